//! The invariants, checked as things happen. Draws no randomness and changes nothing.
//!
//! - LS-1: a lease's counter only grows.
//! - LS-3: a delivery begins only under the one valid grant of its shard.
//! - CP-1: a checkpoint never goes back.
//! - CP-2: every record at or below a checkpoint has its outcome.
//! - SH-1: a child is read only after everything in its parents has its outcome.
//! - SH-2: a shard is ended only when it is closed and everything in it has its outcome.
//! - SH-3: a lease is deleted only after its shard's end, and its children have leases.
//! - OR-1: within one grant a sink sees a shard's events in order, with several lanes those of a key.
//! - RC-1: every user record comes to one kind of outcome, the one it must have.
//! - RT-1, RT-2: see `limits.rs`.
//! - LV-1: once the faults stop, every record put has its outcome.
//! - LV-2: a worker that has drained owns no lease.

use std::{collections::BTreeMap, sync::Arc};

use shardwright::{
    leasing::LeaseParams,
    model::{Checkpoint, EpochMillis, Lease, LeaseKey, LeaseWrite, OutputEvent, Position, ShardId},
};
use tokio::time::Instant;

use crate::{limits::Limits, stream::Stream, world::WorkerNo};

/// What must become of a user record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Must {
    Deliver,
    DeadLetter,
    /// It is filtered, which leaves no trace.
    Nothing,
}

#[derive(Debug)]
struct Entry {
    must: Must,
    delivered: u32,
    parked: u32,
}

#[derive(Default)]
pub(crate) struct Audit {
    pub(crate) violation: Option<String>,
    pub(crate) params: Option<LeaseParams>,
    pub(crate) check_order: bool,
    pub(crate) limits: Limits,
    records: BTreeMap<ShardId, BTreeMap<Position, Entry>>,
    /// From when until when a worker may believe that it owns a lease.
    beliefs: BTreeMap<(LeaseKey, WorkerNo), (Instant, Instant)>,
    /// The last position that a sink acknowledged, per worker, shard and what shares its order.
    acknowledged: BTreeMap<(WorkerNo, ShardId, Option<Arc<str>>), Position>,
    /// The furthest position that a sink acknowledged, per worker and shard.
    furthest: BTreeMap<(WorkerNo, ShardId), Position>,
}

impl Audit {
    fn violated(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    pub(crate) fn put(&mut self, shard: ShardId, position: Position, must: Must) {
        let entry = Entry { must, delivered: 0, parked: 0 };
        self.records.entry(shard).or_default().insert(position, entry);
    }

    /// The first record of a shard, up to `limit`, that has no outcome.
    fn open(&self, shard: &ShardId, limit: Option<&Position>) -> Option<&Position> {
        let records = self.records.get(shard)?;
        let open = records
            .iter()
            .find(|(_, entry)| entry.must != Must::Nothing && entry.delivered + entry.parked == 0);
        let (position, _) = open?;
        limit.is_none_or(|limit| position <= limit).then_some(position)
    }

    // === The table ===

    pub(crate) fn wrote(
        &mut self,
        stream: &Stream,
        worker: WorkerNo,
        sent: Instant,
        before: &Lease,
        after: &Lease,
        write: &LeaseWrite,
    ) {
        let key = before.key.clone();
        let uncounted = matches!(
            write,
            LeaseWrite::RequestHandOver { .. }
                | LeaseWrite::WithdrawRequest { .. }
                | LeaseWrite::FillHashRange { .. }
        );
        if after.counter < before.counter || (!uncounted && after.counter == before.counter) {
            self.violated(format!("LS-1: {key} goes from {} to {}", before.counter, after.counter));
        }
        if let Some(next) = write.checkpoint() {
            self.checkpointed(stream, before, next);
        }
        let belief = (key, worker);
        match write {
            LeaseWrite::Renew { .. } => {
                let until = sent + self.params.as_ref().expect("set at the start").validity();
                let from = self.beliefs.get(&belief).map_or(sent, |(from, _)| *from);
                self.beliefs.insert(belief, (from, until));
            }
            LeaseWrite::Take { .. } => {
                let until = sent + self.params.as_ref().expect("set at the start").validity();
                // A thief waits until the old owner can no longer believe in its lease.
                let others = self
                    .beliefs
                    .iter()
                    .filter(|((key, who), _)| *key == before.key && *who != worker);
                let from = others.map(|(_, (_, until))| *until).max().unwrap_or(sent).max(sent);
                self.beliefs.insert(belief, (from, until));
                self.acknowledged
                    .retain(|(who, shard, _), _| *who != worker || *shard != before.shard);
                self.furthest.remove(&(worker, before.shard.clone()));
                self.limits.granted(worker, &before.shard);
            }
            LeaseWrite::FinishHandOver { .. }
            | LeaseWrite::Release { .. }
            | LeaseWrite::End { .. } => {
                self.beliefs.remove(&belief);
            }
            // No worker evicts.
            LeaseWrite::RequestHandOver { .. }
            | LeaseWrite::WithdrawRequest { .. }
            | LeaseWrite::FillHashRange { .. }
            | LeaseWrite::Evict { .. } => {}
        }
    }

    fn checkpointed(&mut self, stream: &Stream, before: &Lease, next: &Checkpoint) {
        let shard = &before.shard;
        if !before.checkpoint.advances(next) {
            self.violated(format!("CP-1: {shard} goes from {} to {next}", before.checkpoint));
        }
        match next {
            Checkpoint::After(position) => {
                if let Some(open) = self.open(shard, Some(position)) {
                    let what =
                        format!("CP-2: {shard} is checkpointed at {position}, {open} is open");
                    self.violated(what);
                }
            }
            Checkpoint::ShardEnd => {
                if stream.shards[shard].open {
                    self.violated(format!("SH-2: {shard} is ended while it is open"));
                }
                if let Some(open) = self.open(shard, None) {
                    let what = format!("SH-2: {shard} is ended while {open} is open");
                    self.violated(what);
                }
            }
            _ => self.violated(format!("CP-1: {shard} is checkpointed at {next}")),
        }
    }

    pub(crate) fn deleted(&mut self, stream: &Stream, lease: &Lease) {
        let children = &stream.shards[&lease.shard].children;
        if !lease.ended() || children.iter().any(|child| !lease.children.contains(child)) {
            self.violated(format!("SH-3: {} is deleted too early", lease.key));
        }
    }

    pub(crate) fn crashed(&mut self, worker: WorkerNo) {
        self.beliefs.retain(|(_, who), _| *who != worker);
    }

    pub(crate) fn drained(&mut self, worker: WorkerNo, rows: &BTreeMap<LeaseKey, Lease>) {
        let name = format!("w{worker}");
        for row in rows.values() {
            if row.holder().is_some_and(|holder| holder.as_str() == name) {
                self.violated(format!("LV-2: {name} has drained and still holds {}", row.key));
            }
        }
    }

    // === The stream ===

    pub(crate) fn reads(&mut self, stream: &Stream, worker: WorkerNo, shard: &ShardId) {
        for parent in &stream.shards[shard].parents {
            if let Some(open) = self.open(parent, None) {
                let what =
                    format!("SH-1: w{worker} reads {shard} while {open} of {parent} is open");
                self.violated(what);
            }
        }
    }

    // === The sinks ===

    pub(crate) fn begins_delivery(
        &mut self,
        worker: WorkerNo,
        events: &[OutputEvent],
        dead_letters: bool,
    ) {
        let Some(first) = events.first() else { return };
        let now = Instant::now();
        let key = LeaseKey::new(first.id.shard.as_str());
        let valid: Vec<WorkerNo> = self
            .beliefs
            .iter()
            .filter(|((lease, _), (from, until))| *lease == key && *from <= now && now < *until)
            .map(|((_, who), _)| *who)
            .collect();
        if valid != [worker] {
            self.violated(format!("LS-3: w{worker} delivers of {key} while {valid:?} may own it"));
        }
        if !dead_letters && let Some(event) = self.limits.tried(worker, events) {
            self.violated(format!("RT-2: w{worker} tries {} too often", event.id));
        }
    }

    /// Answers whether it is an event that was given up.
    pub(crate) fn delivered(
        &mut self,
        worker: WorkerNo,
        event: &OutputEvent,
        dead_letters: bool,
        now: EpochMillis,
    ) -> bool {
        let id = &event.id;
        let entry = self.records.get_mut(&id.shard).and_then(|shard| shard.get_mut(&id.position));
        let Some(entry) = entry else {
            self.violated(format!("RC-1: {id} was never put"));
            return false;
        };
        if dead_letters {
            entry.parked += 1;
        } else {
            entry.delivered += 1;
        }
        let must = if dead_letters { Must::DeadLetter } else { Must::Deliver };
        let given_up = dead_letters && entry.must == Must::Deliver && self.limits.any();
        if given_up && !self.limits.may_give_up(worker, event, now) {
            self.violated(format!("RT-1: w{worker} gives {id} up too early"));
        } else if entry.must != must && !given_up {
            let what = format!("RC-1: {id} must come to {:?}, not {must:?}", entry.must);
            self.violated(what);
        }
        given_up
    }

    /// Answers whether an event came through after a later one of its shard. Letters of events that
    /// a sink refused come when it has refused them: they have no order.
    pub(crate) fn acknowledged(
        &mut self,
        worker: WorkerNo,
        events: &[OutputEvent],
        dead_letters: bool,
    ) -> bool {
        if dead_letters || !self.check_order {
            return false;
        }
        let mut overtaken = false;
        for event in events {
            let (shard, position) = (event.id.shard.clone(), event.id.position.clone());
            let furthest = self.furthest.entry((worker, shard.clone())).or_insert(position.clone());
            overtaken |= position < *furthest;
            *furthest = furthest.clone().max(position.clone());
            let key = (worker, shard, self.limits.order(event));
            let before = self.acknowledged.insert(key, position.clone());
            if before.is_some_and(|before| before > position) {
                self.violated(format!("OR-1: w{worker} delivers {} out of order", event.id));
            }
        }
        overtaken
    }

    // === The end ===

    pub(crate) fn all_settled(&self) -> bool {
        self.records.keys().all(|shard| self.open(shard, None).is_none())
    }

    pub(crate) fn not_settled(&self) -> Vec<String> {
        let open = |shard: &ShardId| Some(format!("{shard} {}", self.open(shard, None)?));
        self.records.keys().filter_map(open).collect()
    }
}
