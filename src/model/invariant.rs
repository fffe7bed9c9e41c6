//! The invariants: what holds whatever fails, each under the one name that code, logs, tests, the
//! simulation and the model use.
//!
//! Those that speak of lease rows alone are predicates here. The others need to know more (what the
//! stream holds, what a sink has seen, when a grant was valid): the simulation's auditor knows it,
//! and checks them under the same names.

use std::fmt;

use super::{Checkpoint, Lease, LeaseKey, LeaseWrite, ShardId, WorkerId};

/// Something that must never be otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// LS-1: a lease's counter only grows. Every change raises it, but for the asking for a
    /// hand-over, the taking back of it, and the filling in of a hash range.
    CounterGrows,
    /// LS-2: a lease changes only by a write whose condition held.
    ChangesByCondition,
    /// LS-3: at no instant have two workers valid grants of one lease, and nobody begins a delivery
    /// without one.
    OneValidGrant,
    /// LS-4: a worker lets a lease go (hands it over, releases or ends it) only when nothing of the shard
    /// is under way to a sink any more.
    DrainedFirst,
    /// CP-1: a checkpoint never goes back, unless an operator sets it.
    CheckpointAdvances,
    /// CP-2: every record at or below a checkpoint has its outcome.
    CheckpointIsSettled,
    /// CP-3: only the holder of a lease moves its checkpoint, or an operator.
    HolderCheckpoints,
    /// CP-4: a renewal carries all that had its outcome when it was sent.
    RenewalCheckpoints,
    /// CP-5: what is at or below the checkpoint with which a grant begins is not delivered under it.
    ResumesBehind,
    /// SH-1: a shard is started only when everything in its parents has its outcome.
    ParentsFirst,
    /// SH-2: a shard is ended only when it is closed and everything in it has its outcome.
    EndIsSettled,
    /// SH-3: a lease is deleted only after its shard's end, when each child has a lease and has
    /// started.
    RetiredLast,
    /// OR-1: within one grant a sink sees a shard's events in their order.
    OrderKept,
    /// RT-1: an event that its sink would take becomes a dead letter only when its attempts are spent,
    /// or past its age.
    AttemptsSpent,
    /// RT-2: within one grant an event is tried once more than its retries, and once for each split
    /// of its batch.
    AttemptsBounded,
    /// RC-1: every user record comes to one kind of outcome, the one it must have.
    OneOutcome,
    /// EO-1: a sink that prepares gets a batch only when the lease's row says its range, and of the
    /// objects that are named so each event is in one: none is missing, none is there twice.
    ObjectsHoldOnce,
    /// RC-2: what was counted adds up: records to outcomes, events to outcomes.
    CountsAddUp,
    /// WN-1: whoever delivers a row of a window, and however often, it is the one that all records of
    /// its shard make; and each is delivered.
    WindowIsWhole,
    /// BD-1: the records in flight never hold more bytes than the budget, but for shards that hold a
    /// single record.
    WithinBudget,
    /// LV-1: once faults stop, every shard is read to its tip.
    ReachesTip,
    /// LV-2: a worker that has drained owns no lease, and none is being handed over to it.
    DrainReleases,
}

impl Invariant {
    /// All of them, in the order of their names.
    pub const ALL: [Self; 22] = [
        Self::CounterGrows,
        Self::ChangesByCondition,
        Self::OneValidGrant,
        Self::DrainedFirst,
        Self::CheckpointAdvances,
        Self::CheckpointIsSettled,
        Self::HolderCheckpoints,
        Self::RenewalCheckpoints,
        Self::ResumesBehind,
        Self::ParentsFirst,
        Self::EndIsSettled,
        Self::RetiredLast,
        Self::OrderKept,
        Self::AttemptsSpent,
        Self::AttemptsBounded,
        Self::OneOutcome,
        Self::ObjectsHoldOnce,
        Self::CountsAddUp,
        Self::WindowIsWhole,
        Self::WithinBudget,
        Self::ReachesTip,
        Self::DrainReleases,
    ];

    /// Its name in logs, metrics and tests.
    pub const fn id(self) -> &'static str {
        match self {
            Self::CounterGrows => "LS-1",
            Self::ChangesByCondition => "LS-2",
            Self::OneValidGrant => "LS-3",
            Self::DrainedFirst => "LS-4",
            Self::CheckpointAdvances => "CP-1",
            Self::CheckpointIsSettled => "CP-2",
            Self::HolderCheckpoints => "CP-3",
            Self::RenewalCheckpoints => "CP-4",
            Self::ResumesBehind => "CP-5",
            Self::ParentsFirst => "SH-1",
            Self::EndIsSettled => "SH-2",
            Self::RetiredLast => "SH-3",
            Self::OrderKept => "OR-1",
            Self::AttemptsSpent => "RT-1",
            Self::AttemptsBounded => "RT-2",
            Self::OneOutcome => "RC-1",
            Self::ObjectsHoldOnce => "EO-1",
            Self::CountsAddUp => "RC-2",
            Self::WindowIsWhole => "WN-1",
            Self::WithinBudget => "BD-1",
            Self::ReachesTip => "LV-1",
            Self::DrainReleases => "LV-2",
        }
    }

    /// A breach of it.
    pub fn broken(self, what: impl Into<String>) -> Breach {
        Breach { invariant: self, what: what.into() }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// An invariant that does not hold, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{invariant}: {what}")]
pub struct Breach {
    /// Which one.
    pub invariant: Invariant,
    /// What was seen, for a person.
    pub what: String,
}

/// What one write did to a row: LS-1, LS-2, CP-1 and CP-3.
///
/// # Errors
/// The first of them that does not hold.
pub fn check_write(before: &Lease, write: &LeaseWrite, after: &Lease) -> Result<(), Breach> {
    check_counter(before, write, after)?;
    // A person may set the checkpoint anywhere.
    if !matches!(write, LeaseWrite::Evict { .. }) {
        check_checkpoint(before, after)?;
        check_author(before, write, after)?;
    }
    if write.apply(before).as_ref() != Some(after) {
        let what = format!("{write:?} turns {before:?} into {after:?}");
        return Err(Invariant::ChangesByCondition.broken(what));
    }
    Ok(())
}

/// CP-3.
fn check_author(before: &Lease, write: &LeaseWrite, after: &Lease) -> Result<(), Breach> {
    let (by, holder) = (author(write), before.holder());
    if after.checkpoint == before.checkpoint || (by.is_some() && holder == by) {
        return Ok(());
    }
    let what = format!("{by:?} moves the checkpoint of {}, held by {holder:?}", before.key);
    Err(Invariant::HolderCheckpoints.broken(what))
}

/// LS-1, for two images of a row with one write between them.
///
/// # Errors
/// When the counter did not grow, although the write must raise it, or went back.
pub fn check_counter(before: &Lease, write: &LeaseWrite, after: &Lease) -> Result<(), Breach> {
    let uncounted = matches!(
        write,
        LeaseWrite::RequestHandOver { .. }
            | LeaseWrite::WithdrawRequest { .. }
            | LeaseWrite::FillHashRange { .. }
    );
    let least = if uncounted { before.counter } else { before.counter.saturating_add(1) };
    if after.counter >= least {
        return Ok(());
    }
    let what =
        format!("the counter of {} goes from {} to {}", before.key, before.counter, after.counter);
    Err(Invariant::CounterGrows.broken(what))
}

/// CP-1, for two images of a row, the older first.
///
/// # Errors
/// When the checkpoint went back.
pub fn check_checkpoint(before: &Lease, after: &Lease) -> Result<(), Breach> {
    let (from, to) = (&before.checkpoint, &after.checkpoint);
    if from == to || from.advances(to) {
        return Ok(());
    }
    let what = format!("the checkpoint of {} goes from {from} to {to}", before.key);
    Err(Invariant::CheckpointAdvances.broken(what))
}

/// LS-3, for one instant: `valid` are the workers whose grants of the lease are valid, `acting` is
/// the one that begins a delivery.
///
/// # Errors
/// When another worker has a valid grant, or the acting one has none.
pub fn check_grants<W: PartialEq + fmt::Debug>(
    key: &LeaseKey,
    acting: Option<&W>,
    valid: &[W],
) -> Result<(), Breach> {
    let broken = match acting {
        Some(worker) => !matches!(valid, [only] if only == worker),
        None => valid.len() > 1,
    };
    if !broken {
        return Ok(());
    }
    let acting = acting.map_or_else(String::new, |worker| format!(", {worker:?} delivers"));
    Err(Invariant::OneValidGrant.broken(format!("{key} is granted to {valid:?}{acting}")))
}

/// SH-1, as far as rows tell: each parent's lease has ended or is gone.
///
/// # Errors
/// When a parent is still to be processed.
pub fn check_start<'l>(
    child: &Lease,
    row_of: impl Fn(&ShardId) -> Option<&'l Lease>,
) -> Result<(), Breach> {
    let open = child.parents.iter().filter_map(row_of).find(|parent| !parent.ended());
    let Some(parent) = open else { return Ok(()) };
    let what = format!("{} starts while {} is at {}", child.key, parent.key, parent.checkpoint);
    Err(Invariant::ParentsFirst.broken(what))
}

/// SH-3: what must be true of the other rows when a lease is deleted.
///
/// # Errors
/// When the shard has not ended, or one of its children has not started. A lease that nobody held
/// may go when reading of a child has begun: its shard was done with before it was created.
pub fn check_retirement<'l>(
    lease: &Lease,
    rows: impl Iterator<Item = &'l Lease> + Clone,
) -> Result<(), Breach> {
    let rows = rows.filter(|row| row.stream == lease.stream);
    let goes_on = |row: &Lease| row.begun() && row.parents.contains(&lease.shard);
    if lease.never_held() && rows.clone().any(goes_on) {
        return Ok(());
    }
    let has_started = |row: &Lease| !row.checkpoint.is_start();
    let started = |child: &ShardId| rows.clone().any(|row| row.shard == *child && has_started(row));
    let what = if lease.checkpoint != Checkpoint::ShardEnd {
        format!("{} is deleted at {}", lease.key, lease.checkpoint)
    } else if let Some(child) = lease.children.iter().find(|child| !started(child)) {
        format!("{} is deleted before {child} has started", lease.key)
    } else {
        return Ok(());
    };
    Err(Invariant::RetiredLast.broken(what))
}

/// Who makes a write, if that matters.
fn author(write: &LeaseWrite) -> Option<&WorkerId> {
    Some(match write {
        LeaseWrite::Renew { by, .. }
        | LeaseWrite::Take { by, .. }
        | LeaseWrite::WithdrawRequest { by, .. }
        | LeaseWrite::FinishHandOver { by, .. }
        | LeaseWrite::Release { by, .. }
        | LeaseWrite::End { by, .. } => by,
        LeaseWrite::RequestHandOver { to, .. } => to,
        LeaseWrite::FillHashRange { .. } | LeaseWrite::Evict { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn row(name: &str) -> Lease {
        let (key, shard) = (LeaseKey::new(name), ShardId::new(name));
        let owner = Some(WorkerId::new("a"));
        Lease { counter: 5, owner, ..Lease::new(key, None, shard, at("7")) }
    }

    fn at(sequence: &str) -> Checkpoint {
        Checkpoint::parse(sequence, 0).unwrap()
    }

    fn renew(by: &str, checkpoint: &str) -> LeaseWrite {
        let checkpoint = Some(at(checkpoint).into());
        LeaseWrite::Renew { by: WorkerId::new(by), counter: 5, checkpoint }
    }

    /// What is broken when `write` leaves `change` of the row behind.
    fn check(write: &LeaseWrite, change: impl Fn(&mut Lease), expect: Option<Invariant>) {
        let before = row("s");
        let mut after = before.clone();
        change(&mut after);
        let broken = check_write(&before, write, &after).err().map(|breach| breach.invariant);
        assert_eq!(broken, expect, "{write:?}: {after:?}");
    }

    #[test]
    fn names_are_unique_and_say_what_they_mean() {
        let ids: BTreeSet<&str> = Invariant::ALL.iter().map(|one| one.id()).collect();
        assert_eq!(ids.len(), Invariant::ALL.len());
        let breach = Invariant::OneOutcome.broken("lost");
        assert_eq!(breach.to_string(), "RC-1: lost");
    }

    #[test]
    fn a_write_that_was_applied_breaks_nothing() {
        check(&renew("a", "8"), |row| (row.counter, row.checkpoint) = (6, at("8")), None);
    }

    #[test]
    fn an_operator_may_set_a_checkpoint_back() {
        let write = LeaseWrite::Evict {
            counter: 5,
            owner: Some(WorkerId::new("a")),
            checkpoint_owner: None,
            checkpoint: Some(Box::new(at("6").into())),
            children: vec![],
        };
        let back = |row: &mut Lease| (row.owner, row.checkpoint) = (None, at("6"));
        check(&write, |row| (back(row), row.counter = 6).1, None);
        check(&write, back, Some(Invariant::CounterGrows));
        check(&write, |row| row.counter = 6, Some(Invariant::ChangesByCondition));
    }

    #[test]
    fn each_rule_of_a_write_bites() {
        let good = renew("a", "8");
        check(&good, |row| row.checkpoint = at("8"), Some(Invariant::CounterGrows));
        check(&good, |row| row.counter = 4, Some(Invariant::CounterGrows));
        let back = |row: &mut Lease| (row.counter, row.checkpoint) = (6, at("6"));
        check(&renew("a", "6"), back, Some(Invariant::CheckpointAdvances));
        let on = |row: &mut Lease| (row.counter, row.checkpoint) = (6, at("8"));
        check(&renew("b", "8"), on, Some(Invariant::HolderCheckpoints));
        let owner = |row: &mut Lease| (row.counter, row.owner) = (6, None);
        check(&good, owner, Some(Invariant::ChangesByCondition));
    }

    #[test]
    fn one_grant_at_a_time() {
        let key = LeaseKey::new("s");
        let holds =
            |acting: Option<u32>, valid: &[u32]| check_grants(&key, acting.as_ref(), valid).is_ok();
        assert!(holds(Some(1), &[1]) && holds(None, &[]) && holds(None, &[1]));
        assert!(!holds(Some(1), &[]) && !holds(Some(1), &[2]) && !holds(Some(1), &[1, 2]));
        assert!(!holds(None, &[1, 2]));
    }

    #[test]
    fn children_start_after_parents_and_parents_go_after_children_have_started() {
        let mut parent = row("parent");
        let mut child = row("child");
        child.parents = vec![parent.shard.clone()];
        child.checkpoint = Checkpoint::TrimHorizon;
        assert!(check_start(&child, |_| Some(&parent)).is_err());
        assert!(check_start(&child, |_| None).is_ok(), "long gone");
        parent.checkpoint = Checkpoint::ShardEnd;
        parent.children = vec![child.shard.clone()];
        assert!(check_start(&child, |_| Some(&parent)).is_ok());

        let check = |lease: &Lease, rows: &[Lease]| check_retirement(lease, rows.iter()).is_ok();
        assert!(!check(&parent, &[child.clone()]), "not started");
        assert!(!check(&parent, &[]), "not there");
        child.checkpoint = at("1");
        assert!(check(&parent, &[child.clone()]));
        assert!(!check(&child, &[]), "not ended");
        let (counter, owner, checkpoint) = (0, None, Checkpoint::TrimHorizon);
        let ghost = Lease { counter, owner, checkpoint, ..parent };
        assert!(!check(&ghost, &[]));
        assert!(check(&ghost, &[child]), "put back after it was retired");
    }
}
