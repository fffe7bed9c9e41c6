//! The invariants of `shardwright::model::invariant`, checked as things happen. Draws no randomness and
//! changes nothing.

use std::collections::BTreeMap;

use shardwright::{
    leasing::LeaseParams,
    model::{
        Breach, Checkpoint, Invariant, Lease, LeaseKey, LeaseWrite, OutputEvent, Position, ShardId,
        invariant,
    },
};
use tokio::time::Instant;

use crate::{stream::Stream, world::WorkerNo};

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
    pub(crate) violation: Option<Breach>,
    pub(crate) params: Option<LeaseParams>,
    pub(crate) check_order: bool,
    records: BTreeMap<ShardId, BTreeMap<Position, Entry>>,
    /// From when until when a worker may believe that it owns a lease.
    beliefs: BTreeMap<(LeaseKey, WorkerNo), (Instant, Instant)>,
    /// The last position that a sink acknowledged, per worker, shard and kind of sink.
    acknowledged: BTreeMap<(WorkerNo, ShardId, bool), Position>,
}

impl Audit {
    /// The first breach counts: later ones may follow from it.
    pub(crate) fn broken(&mut self, invariant: Invariant, what: impl Into<String>) {
        self.violation.get_or_insert_with(|| invariant.broken(what));
    }

    fn check(&mut self, checked: Result<(), Breach>) {
        if let Err(breach) = checked {
            self.violation.get_or_insert(breach);
        }
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
        self.check(invariant::check_write(before, write, after));
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
            }
            LeaseWrite::FinishHandOver { .. }
            | LeaseWrite::Release { .. }
            | LeaseWrite::End { .. } => {
                self.beliefs.remove(&belief);
            }
            LeaseWrite::RequestHandOver { .. } | LeaseWrite::WithdrawRequest { .. } => {}
        }
    }

    fn checkpointed(&mut self, stream: &Stream, before: &Lease, next: &Checkpoint) {
        let shard = &before.shard;
        match next {
            Checkpoint::After(position) => {
                if let Some(open) = self.open(shard, Some(position)) {
                    let what = format!("{shard} is checkpointed at {position}, {open} is open");
                    self.broken(Invariant::CheckpointIsSettled, what);
                }
            }
            Checkpoint::ShardEnd => {
                let open = self.open(shard, None).map(ToString::to_string);
                let open = open.or_else(|| stream.shards[shard].open.then(|| "it".to_owned()));
                if let Some(open) = open {
                    let what = format!("{shard} is ended while {open} is open");
                    self.broken(Invariant::EndIsSettled, what);
                }
            }
            _ => {
                let what = format!("{shard} is checkpointed at {next}");
                self.broken(Invariant::CheckpointAdvances, what);
            }
        }
    }

    pub(crate) fn deleted(
        &mut self,
        stream: &Stream,
        lease: &Lease,
        rows: &BTreeMap<LeaseKey, Lease>,
    ) {
        let row_of = |shard: &ShardId| rows.values().find(|row| row.shard == *shard);
        self.check(invariant::check_retirement(lease, row_of));
        let children = &stream.shards[&lease.shard].children;
        if let Some(child) = children.iter().find(|child| !lease.children.contains(child)) {
            let what = format!("{} is deleted and never named {child}", lease.key);
            self.broken(Invariant::RetiredLast, what);
        }
    }

    pub(crate) fn crashed(&mut self, worker: WorkerNo) {
        self.beliefs.retain(|(_, who), _| *who != worker);
    }

    pub(crate) fn drained(&mut self, worker: WorkerNo, rows: &BTreeMap<LeaseKey, Lease>) {
        let name = format!("w{worker}");
        for row in rows.values() {
            if row.holder().is_some_and(|holder| holder.as_str() == name) {
                let what = format!("{name} has drained and still holds {}", row.key);
                self.broken(Invariant::DrainReleases, what);
            }
        }
    }

    // === The stream ===

    pub(crate) fn reads(&mut self, stream: &Stream, worker: WorkerNo, shard: &ShardId) {
        for parent in &stream.shards[shard].parents {
            if let Some(open) = self.open(parent, None) {
                let what = format!("w{worker} reads {shard} while {open} of {parent} is open");
                self.broken(Invariant::ParentsFirst, what);
            }
        }
    }

    // === The sinks ===

    pub(crate) fn begins_delivery(&mut self, worker: WorkerNo, events: &[OutputEvent]) {
        let Some(first) = events.first() else { return };
        let now = Instant::now();
        let key = LeaseKey::new(first.id.shard.as_str());
        let valid: Vec<WorkerNo> = self
            .beliefs
            .iter()
            .filter(|((lease, _), (from, until))| *lease == key && *from <= now && now < *until)
            .map(|((_, who), _)| *who)
            .collect();
        self.check(invariant::check_grants(&key, Some(&worker), &valid));
    }

    pub(crate) fn delivered(&mut self, event: &OutputEvent, dead_letters: bool) {
        let id = &event.id;
        let entry = self.records.get_mut(&id.shard).and_then(|shard| shard.get_mut(&id.position));
        let Some(entry) = entry else {
            self.broken(Invariant::OneOutcome, format!("{id} was never put"));
            return;
        };
        if dead_letters {
            entry.parked += 1;
        } else {
            entry.delivered += 1;
        }
        let must = if dead_letters { Must::DeadLetter } else { Must::Deliver };
        if entry.must != must {
            let what = format!("{id} must come to {:?}, not {must:?}", entry.must);
            self.broken(Invariant::OneOutcome, what);
        }
    }

    pub(crate) fn acknowledged(
        &mut self,
        worker: WorkerNo,
        events: &[OutputEvent],
        dead_letters: bool,
    ) {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return };
        let order = events.windows(2).all(|pair| pair[0].id.position <= pair[1].id.position);
        let key = (worker, first.id.shard.clone(), dead_letters);
        let before = self.acknowledged.insert(key, last.id.position.clone());
        let follows = before.is_none_or(|before| before <= first.id.position);
        // Letters of events that a sink refused come when it has refused them.
        if self.check_order && !dead_letters && !(order && follows) {
            let what = format!("w{worker} delivers {} out of order", first.id);
            self.broken(Invariant::OrderKept, what);
        }
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
