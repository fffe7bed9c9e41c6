//! `leases show`: everything about one lease.

use std::fmt::Write;

use super::{
    Failure, Found,
    desk::{Desk, DeskArgs, Rows},
    effect::Unread,
    list::{Entry, json_line},
    pulse::Pulse,
    seek::Lag,
    state::State,
    text::{self, field},
};
use crate::{
    cli::talk::{complain, print},
    model::{Lease, Shard, ShardId},
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The shard's id, or the lease's whole key
    shard: String,
    #[command(flatten)]
    desk: DeskArgs,
    /// A JSON object, as `list --json` prints it
    #[arg(long)]
    json: bool,
    /// Watch whether the owner renews: up to `lease.failover_time`
    #[arg(long)]
    live: bool,
}

pub(super) async fn run(args: &Args) -> Result<Found, Failure> {
    let desk = Desk::open(&args.desk).await?;
    let mut rows = desk.rows().await?;
    let key = desk.find(&rows, &args.shard)?.key.clone();
    let mut pulse = None;
    if args.live {
        let holder = desk.find(&rows, key.as_str())?.holder().cloned();
        let enough = |pulse: &Pulse| holder.is_none() || pulse.renews(&key);
        let mut watched = desk.watch(&rows, enough).await?;
        rows = desk.rows().await?;
        watched.see(&rows.leases);
        pulse = Some(watched);
    }
    let lease = desk.find(&rows, key.as_str())?;
    let state = State::of(lease, &rows.by_shard(), pulse.as_ref());
    let asked = asked(&desk, lease).await;
    let lag = asked.as_ref().ok().map(|asked| Ok(asked.lag));
    let entry = Entry { lease, stream: desk.stream_name(lease, &rows), state, lag };
    if args.json {
        print(&json_line(&entry, &rows, pulse.as_ref()))?;
    } else {
        print(&render(&entry, &rows, asked.as_ref().ok(), pulse.as_ref()))?;
    }
    if let Err(problem) = &asked {
        complain(problem);
    }
    Ok(Found::problem_if(asked.is_err() || matches!(state, State::DeadOwner | State::NotRenewed)))
}

/// What the stream says of a shard.
struct Asked {
    /// The shard, if it is still listed.
    shard: Option<Shard>,
    unread: Option<Unread>,
    lag: Option<Lag>,
}

async fn asked(desk: &Desk, lease: &Lease) -> Result<Asked, Failure> {
    let shard = desk.listed(lease).await?.iter().find(|shard| shard.id == lease.shard).cloned();
    if shard.is_none() {
        return Ok(Asked { shard, unread: None, lag: None });
    }
    let mut seeker = desk.seeker(lease)?;
    let lag = seeker.lag(lease).await?;
    Ok(Asked { shard, unread: seeker.reading(lease).await?.unread, lag })
}

fn render(entry: &Entry<'_>, rows: &Rows, asked: Option<&Asked>, pulse: Option<&Pulse>) -> String {
    let lease = entry.lease;
    let mut shown = format!("{} {}\n", entry.stream, lease.shard);
    let mut add = |name: &str, value: String| shown.push_str(&field(name, value));
    if lease.key.as_str() != lease.shard.as_str() {
        add("lease key", lease.key.to_string());
    }
    let renewed = match pulse.map(|pulse| pulse.renews(&lease.key)) {
        Some(true) => ", renewed just now",
        _ => "",
    };
    add("state", format!("{}{renewed}", entry.state));
    add("owner", text::owner(lease));
    let arrived = lease.arrival.map(|time| format!(", arrived {time}")).unwrap_or_default();
    add("checkpoint", format!("{}{arrived}", lease.checkpoint));
    if let Some(since) = lease.latest_since.filter(|_| lease.checkpoint.is_start()) {
        add(
            "",
            format!("which is since {since}, when a worker first took it or a shard before it"),
        );
    }
    if let Some(pending) = &lease.pending {
        add("prepared", format!("up to {}", pending.position));
    }
    if let Some(asked) = asked {
        let unread = match &asked.unread {
            Some(unread) => format!("first unread record {unread}"),
            None => "no unread record".to_owned(),
        };
        add("", unread);
        add("lag", asked.lag.as_ref().map_or(text::NONE.to_owned(), text::lag));
    }
    add("counter", lease.counter.to_string());
    add("switches", format!("{} since the last checkpoint", lease.owner_switches));
    let range = |range: Option<_>| range.as_ref().map_or(text::NONE.to_owned(), text::range);
    add("hash keys", range(lease.hash_range));
    for (name, ids) in [("parent", &lease.parents), ("child", &lease.children)] {
        for id in ids {
            add(name, relative(lease, id, rows));
        }
    }
    if let Some(asked) = asked {
        add("stream says", stream_says(lease, asked.shard.as_ref()));
    }
    let mut others = rows.other_attributes(lease).peekable();
    if others.peek().is_some() {
        shown.push_str("  other attributes\n");
    }
    for (name, value) in others {
        // Writing into a string cannot fail.
        let _ = writeln!(shown, "    {name} = {value}");
    }
    shown
}

/// A parent or child with its own state.
fn relative(lease: &Lease, id: &ShardId, rows: &Rows) -> String {
    let by_shard = rows.by_shard();
    match by_shard.get(&(lease.stream.as_deref(), id)) {
        None => format!("{id}: no lease"),
        Some(row) => {
            let state = State::of(row, &by_shard, None);
            format!("{id}: {state}, {}", text::short(&row.checkpoint))
        }
    }
}

fn stream_says(lease: &Lease, shard: Option<&Shard>) -> String {
    let Some(shard) = shard else {
        return "the shard is not listed any more: its records are gone".to_owned();
    };
    let open = if shard.open { "open" } else { "closed" };
    match shard.hash_range {
        range if range == lease.hash_range => format!("{open}, the same hash keys"),
        Some(range) => format!("{open}, hash keys {}", text::range(&range)),
        None => format!("{open}, no hash keys"),
    }
}
