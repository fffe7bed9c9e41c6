//! `leases release`: clears owners.

use super::{
    Failure, Found,
    change::{Action, Change, Consent, carry_out},
    desk::{Desk, DeskArgs, Rows},
    objection,
    pulse::Pulse,
    text,
};
use crate::model::{Lease, WorkerId};

#[derive(clap::Args)]
#[group(id = "which", required = true, multiple = false, args = ["shard", "owner", "all"])]
pub(super) struct Args {
    /// The shard's id, or the lease's whole key
    shard: Option<String>,
    /// All leases of this worker
    #[arg(long, value_name = "WORKER")]
    owner: Option<String>,
    /// All leases that have an owner
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    desk: DeskArgs,
    #[command(flatten)]
    consent: Consent,
}

pub(super) async fn run(args: &Args) -> Result<Found, Failure> {
    args.consent.check()?;
    let desk = Desk::open(&args.desk).await?;
    let rows = desk.rows().await?;
    let leases = chosen(args, &desk, &rows)?;
    let pulse = if args.consent.force { None } else { Some(watch(&desk, &rows, &leases).await?) };
    let changes: Vec<Change> = leases
        .into_iter()
        .map(|lease| Change {
            label: desk.label(lease, &rows),
            seen: lease.clone(),
            action: Action::Evict { checkpoint: None, children: Vec::new() },
            notes: consequences(lease, args.consent.force, &desk),
            objections: objection::to_eviction(lease, pulse.as_ref()),
        })
        .collect();
    carry_out(&desk.table, &changes, args.consent).await
}

fn chosen<'r>(args: &Args, desk: &Desk, rows: &'r Rows) -> Result<Vec<&'r Lease>, Failure> {
    if let Some(shard) = &args.shard {
        let lease = desk.find(rows, shard)?;
        return Ok(if lease.holder().is_some() { vec![lease] } else { Vec::new() });
    }
    let worker = args.owner.as_ref().map(WorkerId::new);
    let held = |lease: &&Lease| match (&worker, lease.holder()) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(worker), Some(_)) => {
            lease.owner.as_ref() == Some(worker) || lease.checkpoint_owner.as_ref() == Some(worker)
        }
    };
    let leases: Vec<&Lease> =
        rows.leases.iter().filter(|lease| desk.selects(lease)).filter(held).collect();
    match &worker {
        Some(worker) if leases.is_empty() => Err(Failure::Problem(format!(
            "no lease names the worker {worker}: `leases list` says who owns what"
        ))),
        _ => Ok(leases),
    }
}

/// Watches until one of the owners has renewed, which is reason enough to refuse.
pub(super) async fn watch(desk: &Desk, rows: &Rows, leases: &[&Lease]) -> Result<Pulse, Failure> {
    let holders: Vec<&WorkerId> = leases.iter().filter_map(|lease| lease.holder()).collect();
    let enough =
        |pulse: &Pulse| holders.is_empty() || holders.iter().any(|holder| pulse.lives(holder));
    if !holders.is_empty() {
        super::say_watching(&holders, desk.failover);
    }
    desk.watch(rows, enough).await
}

/// What becomes of the owner and of the records.
pub(super) fn consequences(lease: &Lease, force: bool, desk: &Desk) -> Vec<String> {
    let Some(holder) = lease.holder() else { return Vec::new() };
    let mut notes = vec![match force {
        true => format!(
            "if {holder} is alive, it goes on until its next renewal, within {}, and then loses the \
             lease; the next owner begins at once: duplicates are possible, no loss",
            text::duration(desk.failover / 3)
        ),
        false => format!(
            "what {holder} has delivered since its last checkpoint is delivered again: duplicates, no \
             loss"
        ),
    }];
    if let (Some(_), Some(to)) = (&lease.checkpoint_owner, &lease.owner) {
        notes.push(format!("the hand-over to {to} is off: anyone may take the lease"));
    }
    notes
}
