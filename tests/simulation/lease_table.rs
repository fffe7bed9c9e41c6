//! A lease table that loses answers, applies writes late and shows stale rows.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use rand::RngExt;
use shardwright::{
    model::{Checkpoint, Lease, LeaseKey, LeaseWrite},
    ports::{LeaseStore, StoreError, Swap},
};
use tokio::time::{Instant, sleep};

use crate::{
    fleet::params,
    stream::Place,
    world::{Fate, Port, State, WorkerNo, World},
};

#[derive(Default)]
pub(crate) struct Table {
    pub(crate) rows: BTreeMap<LeaseKey, Lease>,
    /// Older images of rows, with the time at which they were replaced.
    old: Vec<(Instant, LeaseKey, Option<Lease>)>,
    late: Vec<Late>,
    /// When workers last took a lease by force.
    thieves: BTreeMap<WorkerNo, Instant>,
    /// What becomes of the next writes, in this order, whatever else goes wrong.
    pub(crate) script: Vec<Scripted>,
    /// Rows that scans show as they were once.
    pub(crate) shown_as: BTreeMap<LeaseKey, Lease>,
    /// For how long the answer to a worker's scan is under way.
    pub(crate) slow_scans: BTreeMap<WorkerNo, Duration>,
}

/// The fate of a worker's next write of a kind.
pub(crate) struct Scripted {
    pub(crate) worker: WorkerNo,
    pub(crate) is: fn(&LeaseWrite) -> bool,
    pub(crate) fate: WriteFate,
}

#[derive(Clone, Copy)]
pub(crate) enum WriteFate {
    /// It does not get there.
    Unavailable,
    /// It gets there so much later, and nobody hears of it.
    Late(Duration),
    /// Nobody hears of it.
    AnswerLost,
}

struct Late {
    at: Instant,
    worker: WorkerNo,
    sent: Instant,
    key: LeaseKey,
    write: LeaseWrite,
}

/// Where a write has got to, and whether there is an answer.
enum Posted {
    Nowhere,
    Late,
    Arrived(Box<Swap>, bool),
}

/// How long a worker waits for an answer.
const TIME_OUT: Duration = Duration::from_secs(3);

/// An eventually consistent read is at most this old.
const STALE: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(crate) struct SimTable {
    pub(crate) world: World,
    pub(crate) worker: WorkerNo,
}

impl State {
    /// Applies one write at this instant, and lets the auditor see it.
    pub(crate) fn apply(
        &mut self,
        worker: WorkerNo,
        sent: Instant,
        key: &LeaseKey,
        write: &LeaseWrite,
    ) -> Swap {
        let row = self.table.rows.get(key).cloned();
        let Some(next) = row.as_ref().and_then(|row| write.apply(row)) else {
            self.count("write refused");
            if self.thawed.contains(&worker) {
                self.count("write refused to a worker that was frozen");
            }
            return Swap::Refused(row);
        };
        let before = row.expect("a write applies to a row");
        self.note(format!("w{worker} {key} {}", describe(write)));
        match write {
            LeaseWrite::RequestHandOver { .. } => self.count("hand-over asked"),
            LeaseWrite::WithdrawRequest { .. } => self.count("hand-over withdrawn"),
            LeaseWrite::FinishHandOver { .. } if self.audit.handed.contains(key) => {
                self.count("lease handed on");
            }
            LeaseWrite::FinishHandOver { .. } => self.count("hand-over finished"),
            LeaseWrite::End { .. } => self.count("shard end"),
            LeaseWrite::Take { by, .. } => {
                self.count("take");
                self.taken_over(&before);
                match before.holder() {
                    Some(holder) if holder != by && before.owner.as_ref() == Some(by) => {
                        self.count("forced take");
                        self.table.thieves.insert(worker, Instant::now());
                    }
                    Some(holder) if holder != by => self.count("take of an expired lease"),
                    _ => {}
                }
                if let Checkpoint::After(position) = &before.checkpoint
                    && self.audit.follows_in_aggregate(&Place::of(&before), position)
                {
                    self.count("resumed inside an aggregate");
                }
            }
            _ => {}
        }
        if self.frozen.contains(&worker) {
            self.count("write of a frozen worker applied");
        }
        if self.gone.contains(&worker) {
            self.count("write by somebody who is gone");
        }
        let now = self.now();
        self.audit.wrote(&self.stream, worker, sent, now, (&before, &next), write);
        self.put(key.clone(), Some(next.clone()));
        Swap::Applied(next)
    }

    pub(crate) fn create(&mut self, lease: Lease) {
        self.audit.created(&lease);
        self.put(lease.key.clone(), Some(lease));
    }

    /// An operator sets the lease of a worker free, who may be dead or only seem so.
    pub(crate) fn release_by_force(&mut self, key: &LeaseKey) {
        let Some(row) = self.table.rows.get(key).cloned() else { return };
        if row.owner.is_none() {
            return;
        }
        let write = LeaseWrite::Evict {
            counter: row.counter,
            owner: row.owner.clone(),
            checkpoint_owner: row.checkpoint_owner.clone(),
            checkpoint: None,
            children: vec![],
        };
        let Some(next) = write.apply(&row) else { return };
        self.count("lease released by an operator");
        self.note(format!("an operator releases {key}"));
        self.audit.released_by_force(&next);
        self.put(key.clone(), Some(next));
    }

    /// An operator deletes a lease that is held.
    pub(crate) fn delete_by_hand(&mut self, key: &LeaseKey) {
        let Some(row) = self.table.rows.get(key).cloned() else { return };
        self.note(format!("an operator deletes {key}"));
        self.audit.deleted_by_hand(&row);
        self.put(key.clone(), None);
    }

    /// What will become of a write, if anything goes wrong with it.
    fn write_fate(&mut self, worker: WorkerNo, write: &LeaseWrite) -> Option<WriteFate> {
        let scripted = |one: &Scripted| one.worker == worker && (one.is)(write);
        if let Some(index) = self.table.script.iter().position(scripted) {
            return Some(self.table.script.remove(index).fate);
        }
        let faults = self.faults;
        if self.rng.random_bool(faults.late_write) {
            let longest = faults.longest_late.as_millis().try_into().unwrap_or(u64::MAX);
            return Some(WriteFate::Late(Duration::from_millis(
                self.rng.random_range(0..=longest),
            )));
        }
        self.rng.random_bool(faults.answer_lost).then_some(WriteFate::AnswerLost)
    }

    /// A write is on its way.
    fn post(
        &mut self,
        worker: WorkerNo,
        sent: Instant,
        key: &LeaseKey,
        write: &LeaseWrite,
    ) -> Posted {
        self.arrive();
        let fate = self.write_fate(worker, write);
        match fate {
            Some(WriteFate::Unavailable) => Posted::Nowhere,
            Some(WriteFate::Late(by)) => {
                let (at, key, write) = (Instant::now() + by, key.clone(), write.clone());
                self.table.late.push(Late { at, worker, sent, key, write });
                Posted::Late
            }
            Some(WriteFate::AnswerLost) => {
                self.count("answer lost");
                Posted::Arrived(Box::new(self.apply(worker, sent, key, write)), false)
            }
            None => Posted::Arrived(Box::new(self.apply(worker, sent, key, write)), true),
        }
    }

    /// Workers that do not know yet what became of a write of theirs.
    pub(crate) fn in_doubt(&self) -> impl Iterator<Item = WorkerNo> {
        self.table.late.iter().map(|late| late.worker)
    }

    /// Workers that have taken a lease by force, and must wait.
    pub(crate) fn thieves(&self) -> impl Iterator<Item = WorkerNo> {
        let wait = params().failover_time;
        let thieves = self.table.thieves.iter();
        thieves.filter(move |(_, at)| at.elapsed() < wait).map(|(thief, _)| *thief)
    }

    fn put(&mut self, key: LeaseKey, row: Option<Lease>) {
        let now = Instant::now();
        let before = self.table.rows.get(&key).cloned();
        self.table.old.push((now, key.clone(), before));
        self.table.old.retain(|(replaced, _, _)| now.duration_since(*replaced) < STALE);
        match row {
            Some(row) => self.table.rows.insert(key, row),
            None => self.table.rows.remove(&key),
        };
    }

    /// Writes that were on their way arrive.
    fn arrive(&mut self) {
        let now = Instant::now();
        let (due, late) =
            std::mem::take(&mut self.table.late).into_iter().partition(|late| late.at <= now);
        self.table.late = late;
        let due: Vec<Late> = due;
        for Late { worker, sent, key, write, .. } in due {
            match self.apply(worker, sent, &key, &write) {
                Swap::Applied(_) => self.count("late write applied"),
                Swap::Refused(_) => self.count("late write refused"),
            }
        }
    }

    fn scan(&mut self) -> Vec<Lease> {
        let mut rows = self.table.rows.clone();
        let chance = self.faults.stale_rows;
        let mut old = std::mem::take(&mut self.table.old);
        let now = Instant::now();
        old.retain(|(replaced, _, _)| now.duration_since(*replaced) < STALE);
        let mut stale = false;
        for (_, key, row) in &old {
            if self.rng.random_bool(chance) {
                stale = true;
                match row {
                    Some(row) => rows.insert(key.clone(), row.clone()),
                    None => rows.remove(key),
                };
            }
        }
        self.table.old = old;
        rows.extend(self.table.shown_as.clone());
        if stale {
            self.count("scan with stale rows");
        }
        rows.into_values().collect()
    }
}

fn describe(write: &LeaseWrite) -> String {
    let checkpoint =
        write.checkpoint().map(|checkpoint| format!(" {checkpoint}")).unwrap_or_default();
    match write {
        LeaseWrite::Renew { counter, .. } => format!("renews {counter}{checkpoint}"),
        LeaseWrite::Take { from, .. } => format!("takes it from {from:?}"),
        LeaseWrite::RequestHandOver { from, .. } => format!("asks {from} for it"),
        LeaseWrite::WithdrawRequest { from, .. } => format!("leaves it to {from}"),
        LeaseWrite::FinishHandOver { to, .. } => format!("hands it to {to}{checkpoint}"),
        LeaseWrite::Release { .. } => format!("releases it{checkpoint}"),
        LeaseWrite::End { .. } => "ends it".to_owned(),
        LeaseWrite::Evict { .. } => format!("evicts its owner{checkpoint}"),
        LeaseWrite::FillHashRange { .. } => "fills in its hash range".to_owned(),
    }
}

impl SimTable {
    /// A scan of many pages, or one that is repeated below, may take longer than a lease lasts.
    async fn dawdle(&self) {
        let pause = {
            let mut state = self.world.lock();
            let chance = state.faults.slow_scan;
            let slow = state.rng.random_bool(chance);
            if slow {
                state.count("slow scan");
            }
            Duration::from_millis(if slow { state.rng.random_range(1_000..15_000) } else { 0 })
        };
        sleep(pause).await;
    }

    async fn reach(&self) -> Result<(), StoreError> {
        match self.world.begin(self.worker, Port::Table).await {
            Fate::Through => Ok(()),
            Fate::Throttled => Err(StoreError::Throttled),
            Fate::Unavailable => Err(StoreError::Unavailable("simulated".to_owned())),
        }
    }

    async fn all(self) -> Result<Vec<Lease>, StoreError> {
        self.reach().await?;
        self.dawdle().await;
        let rows = {
            let mut state = self.world.lock();
            state.arrive();
            state.scan()
        };
        self.dawdle().await;
        let slow = self.world.lock().table.slow_scans.get(&self.worker).copied();
        sleep(slow.unwrap_or_default()).await;
        self.world.answer().await;
        Ok(rows)
    }

    async fn one(self, key: LeaseKey) -> Result<Option<Lease>, StoreError> {
        self.reach().await?;
        let row = {
            let mut state = self.world.lock();
            state.arrive();
            state.table.rows.get(&key).cloned()
        };
        self.world.answer().await;
        Ok(row)
    }

    async fn put_new(self, lease: Lease) -> Result<bool, StoreError> {
        self.reach().await?;
        let (created, lost) = {
            let mut state = self.world.lock();
            state.arrive();
            let absent = !state.table.rows.contains_key(&lease.key);
            if absent {
                state.note(format!("w{} creates {}", self.worker, lease.key));
                state.create(lease);
            }
            let chance = state.faults.answer_lost;
            (absent, state.rng.random_bool(chance))
        };
        self.world.answer().await;
        if lost { Err(StoreError::Unknown("simulated".to_owned())) } else { Ok(created) }
    }

    async fn send(
        self,
        sent: Instant,
        key: LeaseKey,
        write: LeaseWrite,
    ) -> Result<Swap, StoreError> {
        self.reach().await?;
        let unknown = || Err(StoreError::Unknown("simulated".to_owned()));
        let posted = self.world.lock().post(self.worker, sent, &key, &write);
        match posted {
            Posted::Nowhere => Err(StoreError::Unavailable("scripted".to_owned())),
            Posted::Late => {
                sleep(TIME_OUT).await;
                unknown()
            }
            Posted::Arrived(swap, answered) => {
                self.world.answer().await;
                if answered { Ok(*swap) } else { unknown() }
            }
        }
    }

    async fn remove(self, lease: Lease) -> Result<bool, StoreError> {
        self.reach().await?;
        let deleted = {
            let mut state = self.world.lock();
            state.arrive();
            let row = state.table.rows.get(&lease.key).cloned();
            let gone = row.as_ref().is_none_or(|row| row.is_as(&lease));
            if let Some(row) = row.filter(|_| gone) {
                state.note(format!("w{} deletes {}", self.worker, lease.key));
                state.count(if row.never_held() {
                    "unheld lease deleted"
                } else {
                    "lease retired"
                });
                let State { audit, stream, .. } = &mut *state;
                audit.deleted(stream, &row);
                state.put(lease.key.clone(), None);
            }
            gone
        };
        self.world.answer().await;
        Ok(deleted)
    }
}

#[async_trait]
impl LeaseStore for SimTable {
    async fn scan(&self) -> Result<Vec<Lease>, StoreError> {
        self.world.wire(self.clone().all()).await
    }

    async fn read(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        self.world.wire(self.clone().one(key.clone())).await
    }

    async fn create(&self, lease: &Lease) -> Result<bool, StoreError> {
        self.world.wire(self.clone().put_new(lease.clone())).await
    }

    async fn write(&self, key: &LeaseKey, write: &LeaseWrite) -> Result<Swap, StoreError> {
        let sent = Instant::now();
        self.world.wire(self.clone().send(sent, key.clone(), write.clone())).await
    }

    async fn delete(&self, lease: &Lease) -> Result<bool, StoreError> {
        self.world.wire(self.clone().remove(lease.clone())).await
    }
}
