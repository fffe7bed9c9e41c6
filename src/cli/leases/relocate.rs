//! `leases move`: another position.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    Failure, Found,
    change::{Action, Change, Consent, carry_out},
    delete,
    desk::{Desk, DeskArgs, Rows},
    destination::Destination,
    effect::{Effect, Reading},
    objection,
    pulse::Pulse,
    release,
    seek::{Seeker, last_position},
};
use crate::{
    model::{Checkpoint, Lease, Progress},
    ports::{StreamError, SystemClock, WallClock},
};

#[derive(clap::Args)]
#[group(id = "which", required = true, multiple = false, args = ["shards", "all"])]
pub(super) struct Args {
    /// The shards' ids, or the leases' whole keys
    shards: Vec<String>,
    /// All shards that are not ended; of one stream with --stream
    #[arg(long)]
    all: bool,
    /// Where to read from, see below
    #[arg(long, value_name = "POSITION", value_parser = destination)]
    to: Destination,
    #[command(flatten)]
    desk: DeskArgs,
    #[command(flatten)]
    consent: Consent,
}

fn destination(text: &str) -> Result<Destination, String> {
    Destination::parse(text, SystemClock.now())
}

/// Shards that are asked at a time.
const AT_A_TIME: usize = 8;

pub(super) async fn run(args: &Args) -> Result<Found, Failure> {
    args.consent.check()?;
    let desk = Desk::open(&args.desk).await?;
    let rows = desk.rows().await?;
    let leases = chosen(args, &desk, &rows)?;
    let pulse = match args.consent.force {
        true => None,
        false => Some(release::watch(&desk, &rows, &leases).await?),
    };
    let changes = leases.into_iter().map(|lease| change(args, &desk, &rows, pulse.as_ref(), lease));
    let changes: Vec<Option<Change>> =
        stream::iter(changes).buffered(AT_A_TIME).try_collect().await?;
    let changes: Vec<Change> = changes.into_iter().flatten().collect();
    carry_out(&desk.table, &changes, args.consent).await
}

fn chosen<'r>(args: &Args, desk: &Desk, rows: &'r Rows) -> Result<Vec<&'r Lease>, Failure> {
    if args.all {
        let open = rows.leases.iter().filter(|lease| desk.selects(lease) && !lease.ended());
        return Ok(open.collect());
    }
    let mut leases: Vec<&Lease> = Vec::new();
    for shard in &args.shards {
        let lease = desk.find(rows, shard)?;
        if !leases.contains(&lease) {
            leases.push(lease);
        }
    }
    Ok(leases)
}

/// What moving one lease means; `None` when it stands there already and nobody has it.
async fn change(
    args: &Args,
    desk: &Desk,
    rows: &Rows,
    pulse: Option<&Pulse>,
    lease: &Lease,
) -> Result<Option<Change>, Failure> {
    let label = desk.label(lease, rows);
    let failed = |problem: Failure| Failure::Problem(format!("{label}: {problem}"));
    let listed = desk.listed(lease).await.map_err(failed)?;
    let shard = listed.iter().find(|shard| shard.id == lease.shard);
    if shard.is_none() {
        return Err(Failure::Problem(format!(
            "{label}: the stream does not list this shard any more, so there is nothing to read"
        )));
    }
    let mut seeker = desk.seeker(lease).map_err(failed)?;
    let to = resolve(&args.to, &mut seeker).await.map_err(failed)?;
    let children = match to.checkpoint {
        Checkpoint::ShardEnd => delete::children(lease, listed),
        _ => Vec::new(),
    };
    let action = Action::Evict { checkpoint: Some(to), children: children.clone() };
    let after = action.after(lease).expect("the row is as it was seen");
    let now = seeker.reading(lease).await.map_err(|e| failed(e.into()))?;
    let then = seeker.reading(&after).await.map_err(|e| failed(e.into()))?;
    if (&now.checkpoint, now.open) == (&then.checkpoint, then.open) && lease.holder().is_none() {
        return Ok(None);
    }
    let effect = Effect::of(&now, &then);
    let mut objections = objection::to_eviction(lease, pulse);
    let by_shard = rows.by_shard();
    let to = &then.checkpoint;
    objections.extend(objection::to_move(lease, to, &effect, &children, shard, &by_shard));
    let mut notes = notes(lease, &then, &effect);
    if args.consent.force {
        notes.extend(release::consequences(lease, true, desk));
    }
    Ok(Some(Change { label, seen: lease.clone(), action, notes, objections }))
}

/// The checkpoint that stands for a position.
async fn resolve(to: &Destination, seeker: &mut Seeker<'_>) -> Result<Progress, Failure> {
    match to {
        Destination::Checkpoint(Checkpoint::After(position)) => {
            let sequence = &position.sequence;
            let record =
                seeker.record(sequence).await.map_err(|e| not_here(e, sequence.as_str()))?;
            let record = record.ok_or_else(|| no_record(sequence.as_str()))?;
            let last = last_position(&record).sub_sequence;
            if position.sub_sequence > last {
                return Err(Failure::Problem(format!(
                    "the record {sequence} has no user record {}: its last one is {last}",
                    position.sub_sequence
                )));
            }
            let checkpoint = Checkpoint::After(position.clone());
            Ok(Progress { arrival: Some(record.arrival), ..checkpoint.into() })
        }
        Destination::Checkpoint(sentinel) => Ok(sentinel.clone().into()),
        Destination::At(sequence) => {
            let record =
                seeker.record(sequence).await.map_err(|e| not_here(e, sequence.as_str()))?;
            let record = record.ok_or_else(|| no_record(sequence.as_str()))?;
            Ok(seeker.just_before(Some(sequence), Some(record.arrival)).await?)
        }
        Destination::Time(time) => match seeker.arrived_at(*time).await? {
            Some(record) => Ok(seeker.just_before(Some(&record.sequence), Some(*time)).await?),
            None => Ok(seeker.just_before(None, None).await?),
        },
        Destination::Now => Ok(seeker.just_before(None, None).await?),
    }
}

/// A worker would read everything kept from such a checkpoint.
fn not_here(problem: StreamError, sequence: &str) -> Failure {
    match problem {
        StreamError::Invalid(why) => {
            Failure::Problem(format!("{sequence} is not a sequence number of this shard: {why}"))
        }
        other => other.into(),
    }
}

fn no_record(sequence: &str) -> Failure {
    Failure::Problem(format!(
        "this shard holds no record {sequence}: it is trimmed, or of another shard; a time or \
         TRIM_HORIZON works"
    ))
}

fn notes(lease: &Lease, then: &Reading, effect: &Effect) -> Vec<String> {
    let mut notes = Vec::new();
    if !effect.loses() {
        notes.push(effect.to_string());
    }
    match (&then.checkpoint, &then.unread) {
        (Checkpoint::ShardEnd, _) => notes.push("its children may begin".to_owned()),
        (Checkpoint::Latest, _) => notes.push(
            "what is put before a worker takes the lease is skipped; --to now is after the last \
             record there is now"
                .to_owned(),
        ),
        (_, Some(_)) if matches!(effect, Effect::Replays { from: Some(_), .. }) => {}
        (_, Some(unread)) => notes.push(format!("the first record to be read is {unread}")),
        (_, None) => notes.push("the first record to be read is the next that is put".to_owned()),
    }
    if lease.ended() {
        notes.push(
            "the shard is read again although its children have begun: its records come after theirs"
                .to_owned(),
        );
    }
    if lease.pending.is_some() {
        notes.push("the prepared checkpoint (pendingCheckpoint) is dropped".to_owned());
    }
    notes
}
