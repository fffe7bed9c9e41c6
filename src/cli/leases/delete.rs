//! `leases delete`: takes rows out of the table.

use std::collections::BTreeSet;

use super::{
    Failure, Found,
    change::{Action, Change, Consent, carry_out},
    desk::{Desk, DeskArgs, DeskStream, Rows},
    objection, release,
};
use crate::{
    leasing::plan::{self, Lineage},
    model::{Lease, Shard, ShardId},
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The shards' ids, or the leases' whole keys
    #[arg(required = true)]
    shards: Vec<String>,
    #[command(flatten)]
    desk: DeskArgs,
    #[command(flatten)]
    consent: Consent,
}

pub(super) async fn run(args: &Args) -> Result<Found, Failure> {
    args.consent.check()?;
    let desk = Desk::open(&args.desk).await?;
    let rows = desk.rows().await?;
    let mut leases: Vec<&Lease> = Vec::new();
    for shard in &args.shards {
        let lease = desk.find(&rows, shard)?;
        if !leases.contains(&lease) {
            leases.push(lease);
        }
    }
    let owned: Vec<&Lease> = leases.iter().copied().filter(|lease| !lease.ended()).collect();
    let pulse = match args.consent.force {
        true => None,
        false => Some(release::watch(&desk, &rows, &owned).await?),
    };
    let mut changes = Vec::new();
    for lease in &leases {
        // A table whose stream is gone must still be mendable.
        let listed = desk.listed(lease).await;
        let shards = *listed.as_ref().unwrap_or(&[].as_slice());
        let is_listed = listed.is_err() || shards.iter().any(|shard| shard.id == lease.shard);
        let children = children(lease, shards);
        let mut objections = Vec::new();
        if !lease.ended() {
            objections.extend(objection::to_eviction(lease, pulse.as_ref()));
        }
        objections.extend(objection::to_deletion(lease, &children, is_listed, &rows.by_shard()));
        let mut notes = match (&listed, desk.stream_of(lease)) {
            (Ok(shards), Some(stream)) => sync_will(lease, &leases, shards, &rows, stream),
            (Err(problem), _) => vec![format!("what shard sync will do is not known: {problem}")],
            (Ok(_), None) => Vec::new(),
        };
        // What is delivered again is said with the position at which shard sync begins.
        if !lease.ended() && args.consent.force {
            notes.extend(release::consequences(lease, true, &desk));
        }
        changes.push(Change {
            label: desk.label(lease, &rows),
            seen: (*lease).clone(),
            action: Action::Delete,
            notes,
            objections,
        });
    }
    carry_out(&desk.table, &changes, args.consent).await
}

/// The shards that go on where this one ends: as its row names them, and by lineage.
pub(super) fn children(lease: &Lease, listed: &[Shard]) -> Vec<ShardId> {
    let by_lineage = listed.iter().filter(|shard| shard.parents.contains(&lease.shard));
    let all: BTreeSet<&ShardId> =
        lease.children.iter().chain(by_lineage.map(|shard| &shard.id)).collect();
    all.into_iter().cloned().collect()
}

/// What shard sync will make of the table without these leases.
fn sync_will(
    lease: &Lease,
    gone: &[&Lease],
    listed: &[Shard],
    rows: &Rows,
    stream: &DeskStream,
) -> Vec<String> {
    let left: Vec<Lease> = rows
        .of_stream(lease.stream.as_ref())
        .into_iter()
        .filter(|row| gone.iter().all(|gone| gone.key != row.key))
        .collect();
    if plan::first_hole(&left).is_none() {
        return vec![
            "its hash keys are covered by other leases: it is not created again".to_owned(),
        ];
    }
    let lineage = Lineage::of(listed.to_vec());
    let created: Vec<String> = plan::missing_leases(&lineage, &left, stream.initial_position)
        .iter()
        .map(|(shard, checkpoint)| format!("{} at {checkpoint}", shard.id))
        .collect();
    match created.is_empty() {
        true => vec!["no lease covers its hash keys then, and shard sync creates none".to_owned()],
        false => vec![format!(
            "the next shard sync of a running worker creates, within seconds: {}",
            created.join(", ")
        )],
    }
}
