//! `leases list`: all leases, and what is wrong with them.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    Failure, Found,
    desk::{Desk, DeskArgs, Rows},
    pulse::Pulse,
    seek::Lag,
    state::State,
    text::{self, Table, counted},
};
use crate::{
    cli::talk::{print, say},
    leasing::plan,
    model::{HashKeyRange, Lease, ShardId, WorkerId},
};

#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub(super) struct Args {
    #[command(flatten)]
    desk: DeskArgs,
    /// One JSON object a line, with every attribute of the row
    #[arg(long)]
    json: bool,
    /// Whole checkpoints, and the stream's name on each line
    #[arg(long)]
    wide: bool,
    /// Watch who renews: an owner that does not within `lease.failover_time` counts as dead
    ///
    /// Takes about a third of that time when all are alive, and the whole of it, 10 s by default,
    /// when one is not. Costs a scan a second.
    #[arg(long)]
    live: bool,
    /// Ask the stream how far each shard is behind
    ///
    /// One `GetShardIterator` and one `GetRecords` of one record for each shard that is not ended, eight
    /// shards at a time. It shares the five reads a second of the shard with its consumers.
    #[arg(long)]
    lag: bool,
}

/// Shards that are asked at a time.
const AT_A_TIME: usize = 8;

/// What was found out about one lease.
pub(super) struct Entry<'r> {
    pub(super) lease: &'r Lease,
    pub(super) stream: String,
    pub(super) state: State,
    pub(super) lag: Option<Result<Option<Lag>, Failure>>,
}

pub(super) async fn run(args: &Args) -> Result<Found, Failure> {
    let desk = Desk::open(&args.desk).await?;
    let mut rows = desk.rows().await?;
    let mut pulse = None;
    if args.live {
        let mut watched = desk.watch(&rows, Pulse::complete).await?;
        rows = desk.rows().await?;
        watched.see(&rows.leases);
        pulse = Some(watched);
    }
    let entries = entries(&desk, &rows, pulse.as_ref(), args.lag).await;
    let shown = match args.json {
        true => entries.iter().map(|entry| json_line(entry, &rows, pulse.as_ref())).collect(),
        false if entries.is_empty() => String::new(),
        false => table(&entries, args),
    };
    print(&shown)?;
    say(summary(&entries, desk.table.table()));
    if let Some(version) = desk.leader_assigned().await {
        say(format_args!(
            "a leader assigns the leases of this table (KCL 3.x, {version}): `run` does not join it"
        ));
    }
    let problems = problems(&desk, &rows, &entries);
    problems.iter().for_each(say);
    Ok(Found::problem_if(!problems.is_empty()))
}

async fn entries<'r>(
    desk: &'r Desk,
    rows: &'r Rows,
    pulse: Option<&Pulse>,
    with_lag: bool,
) -> Vec<Entry<'r>> {
    let by_shard = rows.by_shard();
    let selected = rows.leases.iter().filter(|lease| desk.selects(lease));
    let entries = selected.map(|lease| {
        let state = State::of(lease, &by_shard, pulse);
        let stream = desk.stream_name(lease, rows);
        async move {
            let lag = if with_lag { Some(lag(desk, lease).await) } else { None };
            Entry { lease, stream, state, lag }
        }
    });
    stream::iter(entries).buffered(AT_A_TIME).collect().await
}

async fn lag(desk: &Desk, lease: &Lease) -> Result<Option<Lag>, Failure> {
    Ok(desk.seeker(lease)?.lag(lease).await?)
}

fn table(entries: &[Entry<'_>], args: &Args) -> String {
    let streams: BTreeSet<&str> = entries.iter().map(|entry| entry.stream.as_str()).collect();
    let with_stream = args.wide || streams.len() > 1;
    let mut head = vec!["SHARD", "STATE", "OWNER", "CHECKPOINT", "COUNTER", "SWITCHES"];
    if with_stream {
        head.insert(0, "STREAM");
    }
    if args.lag {
        head.push("LAG");
    }
    let mut table = Table::new(&head);
    for entry in entries {
        let Entry { lease, stream, state, lag } = entry;
        let checkpoint = match args.wide {
            true => lease.checkpoint.to_string(),
            false => text::short(&lease.checkpoint),
        };
        let mut cells = vec![
            lease.shard.to_string(),
            state.to_string(),
            text::owner(lease),
            checkpoint,
            lease.counter.to_string(),
            lease.owner_switches.to_string(),
        ];
        if with_stream {
            cells.insert(0, stream.clone());
        }
        cells.extend(lag.as_ref().map(|lag| match lag {
            Ok(Some(lag)) => text::lag(lag),
            Ok(None) => text::NONE.to_owned(),
            Err(_) => "?".to_owned(),
        }));
        table.row(cells);
    }
    table.render()
}

/// A lease for programs.
#[derive(Serialize)]
struct Line<'r> {
    stream: &'r str,
    shard: &'r str,
    key: &'r str,
    state: State,
    owner: Option<&'r str>,
    checkpoint_owner: Option<&'r str>,
    checkpoint: &'r str,
    sub_sequence: u64,
    counter: u64,
    owner_switches: u64,
    parents: Vec<&'r str>,
    children: Vec<&'r str>,
    hash_range: Option<[String; 2]>,
    /// Whether the lease was renewed while it was watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    renewed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    millis_behind_latest: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_unread: Option<String>,
    /// The row as it is.
    attributes: Map<String, Value>,
}

/// A lease as one line of JSON.
pub(super) fn json_line(entry: &Entry<'_>, rows: &Rows, pulse: Option<&Pulse>) -> String {
    let lease = entry.lease;
    let ids =
        |shards: &'_ [ShardId]| -> Vec<String> { shards.iter().map(ToString::to_string).collect() };
    let (parents, children) = (ids(&lease.parents), ids(&lease.children));
    let lag = entry.lag.as_ref().and_then(|lag| lag.as_ref().ok().copied().flatten());
    let line = Line {
        stream: &entry.stream,
        shard: lease.shard.as_str(),
        key: lease.key.as_str(),
        state: entry.state,
        owner: lease.owner.as_ref().map(WorkerId::as_str),
        checkpoint_owner: lease.checkpoint_owner.as_ref().map(WorkerId::as_str),
        checkpoint: lease.checkpoint.text(),
        sub_sequence: lease.checkpoint.sub_sequence(),
        counter: lease.counter,
        owner_switches: lease.owner_switches,
        parents: parents.iter().map(String::as_str).collect(),
        children: children.iter().map(String::as_str).collect(),
        hash_range: lease
            .hash_range
            .map(|range| [range.start, range.end].map(|key| key.0.to_string())),
        renewed: pulse.map(|pulse| pulse.renews(&lease.key)),
        millis_behind_latest: lag
            .map(|lag| u64::try_from(lag.behind.as_millis()).unwrap_or(u64::MAX)),
        oldest_unread: lag.and_then(|lag| lag.oldest_unread).map(|time| time.to_string()),
        attributes: rows.attributes(lease),
    };
    let line = serde_json::to_string(&line).expect("texts and numbers are JSON");
    format!("{line}\n")
}

fn summary(entries: &[Entry<'_>], table: &str) -> String {
    let mut owners: BTreeMap<&WorkerId, usize> = BTreeMap::new();
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in entries {
        match entry.state {
            State::Ended => *states.entry("ended").or_default() += 1,
            State::Unowned => *states.entry("unowned").or_default() += 1,
            State::Waiting => *states.entry("waiting for parents").or_default() += 1,
            State::Owned | State::HandingOver | State::DeadOwner | State::NotRenewed => {
                if let Some(holder) = entry.lease.holder() {
                    *owners.entry(holder).or_default() += 1;
                }
            }
        }
    }
    let mut parts: Vec<String> = Vec::new();
    if !owners.is_empty() {
        let owned = owners.values().sum::<usize>();
        let each: Vec<String> =
            owners.iter().map(|(owner, count)| format!("{owner} {count}")).collect();
        let workers = counted(owners.len(), "worker");
        parts.push(format!("{owned} owned by {workers} ({})", each.join(", ")));
    }
    parts.extend(states.iter().map(|(state, count)| format!("{count} {state}")));
    let leases = counted(entries.len(), "lease");
    let parts = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    format!("{leases} in table {table}{parts}")
}

/// Everything that an operator should look into, a line each.
fn problems(desk: &Desk, rows: &Rows, entries: &[Entry<'_>]) -> Vec<String> {
    let mut found = Vec::new();
    for (key, problem) in &rows.malformed {
        found.push(format!("{key}: no worker takes this lease: {problem}"));
    }
    for stream in &desk.streams {
        let leased = entries
            .iter()
            .any(|entry| desk.stream_of(entry.lease).is_some_and(|own| own.name == stream.name));
        if !leased && desk.selects_stream(&stream.name) {
            found.push(format!(
                "{}: the table has no lease of this stream: no worker has reached both",
                stream.name
            ));
        }
    }
    let identifiers: BTreeSet<_> =
        entries.iter().map(|entry| (entry.lease.stream.as_ref(), entry.stream.as_str())).collect();
    for (identifier, name) in identifiers {
        let hole = plan::first_hole(&rows.of_stream(identifier));
        found.extend(hole.map(|hole| hole_text(name, &hole)));
    }
    let mut dead: BTreeMap<&WorkerId, usize> = BTreeMap::new();
    for entry in entries {
        let Some(holder) = entry.lease.holder() else { continue };
        match entry.state {
            State::DeadOwner => *dead.entry(holder).or_default() += 1,
            State::NotRenewed => found.push(format!(
                "{} {}: {holder} renews others of its leases, but not this one",
                entry.stream, entry.lease.shard
            )),
            _ => {}
        }
    }
    found.extend(dead.iter().map(|(owner, leases)| {
        format!(
            "{owner} has renewed none of its {} for {}: it is dead, or cannot reach the table; a \
             running worker takes them by itself, so none runs that could",
            counted(*leases, "lease"),
            text::duration(desk.failover)
        )
    }));
    for entry in entries {
        if let Some(Err(problem)) = &entry.lag {
            found.push(format!("{} {}: {problem}", entry.stream, entry.lease.shard));
        }
    }
    found
}

fn hole_text(stream: &str, hole: &HashKeyRange) -> String {
    format!(
        "{stream}: no lease covers the hash keys {}: nobody reads what is put there. A running worker \
         creates missing leases within seconds; if it does not, its log says why",
        text::range(hole)
    )
}
