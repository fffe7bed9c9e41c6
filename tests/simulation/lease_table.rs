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
    stream::Place,
    world::{Fate, Port, State, WorkerNo, World},
};

#[derive(Default)]
pub(crate) struct Table {
    pub(crate) rows: BTreeMap<LeaseKey, Lease>,
    /// Older images of rows, with the time at which they were replaced.
    old: Vec<(Instant, LeaseKey, Option<Lease>)>,
    late: Vec<Late>,
}

struct Late {
    at: Instant,
    worker: WorkerNo,
    sent: Instant,
    key: LeaseKey,
    write: LeaseWrite,
}

/// An eventually consistent read is at most this old.
const STALE: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(crate) struct SimTable {
    pub(crate) world: World,
    pub(crate) worker: WorkerNo,
}

impl State {
    /// Applies one write at this instant, and lets the auditor see it.
    fn apply(
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
            LeaseWrite::FinishHandOver { .. } => self.count("hand-over finished"),
            LeaseWrite::End { .. } => self.count("shard end"),
            LeaseWrite::Take { by, .. } => {
                self.taken_over(&before);
                match before.holder() {
                    Some(holder) if holder != by && before.owner.as_ref() == Some(by) => {
                        self.count("forced take");
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

    /// A write arrives, and perhaps its answer is lost; or it is late, and there is no answer.
    fn send(
        &mut self,
        worker: WorkerNo,
        sent: Instant,
        key: &LeaseKey,
        write: &LeaseWrite,
    ) -> Option<(Swap, bool)> {
        self.arrive();
        let faults = self.faults;
        let is_take = matches!(write, LeaseWrite::Take { .. });
        let chance =
            if is_take { faults.late_write.max(faults.late_take) } else { faults.late_write };
        if self.rng.random_bool(chance) {
            if is_take {
                self.count("late take");
            }
            let at = Instant::now() + Duration::from_millis(self.rng.random_range(0..6_000));
            let late = Late { at, worker, sent, key: key.clone(), write: write.clone() };
            self.table.late.push(late);
            return None;
        }
        let swap = self.apply(worker, sent, key, write);
        Some((swap, self.rng.random_bool(faults.answer_lost)))
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
        let Some((swap, lost)) = self.world.lock().send(self.worker, sent, &key, &write) else {
            sleep(Duration::from_secs(3)).await;
            return unknown();
        };
        self.world.answer().await;
        if lost {
            self.world.lock().count("answer lost");
            return unknown();
        }
        Ok(swap)
    }

    async fn remove(self, lease: Lease) -> Result<bool, StoreError> {
        self.reach().await?;
        let deleted = {
            let mut state = self.world.lock();
            state.arrive();
            let row = state.table.rows.get(&lease.key);
            let (is_there, changed) =
                (row.is_some(), row.is_some_and(|row| row.counter != lease.counter));
            if is_there && !changed {
                state.note(format!("w{} deletes {}", self.worker, lease.key));
                state.count("lease retired");
                let State { audit, stream, .. } = &mut *state;
                audit.deleted(stream, &lease);
                state.put(lease.key.clone(), None);
            }
            !changed
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
