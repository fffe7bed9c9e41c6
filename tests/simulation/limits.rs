//! Which seeds have lanes and limits of retries, and what the limits allow.
//!
//! - OR-1 is per partition key where a sink has several lanes.
//! - RT-1: an event that its sink would take is a dead letter only after its attempts, or past its
//!   age; without limits never.
//! - RT-2: within one grant an event is tried once more than its retries, and once for each split.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use shardwright::{
    consumer::RetryLimits,
    model::{EpochMillis, OutputEvent, Position},
};

use crate::{
    audit::Grant,
    objects::{AGAIN, OUT, SinkName},
    stream::Place,
};

/// Most events in a batch.
pub(crate) const BATCH: usize = 7;

/// How wrong the clocks of machines are at most.
const CLOCKS: Duration = Duration::from_secs(1);

pub(crate) struct Limits {
    pub(crate) lanes: usize,
    pub(crate) retry: RetryLimits,
    /// Attempts on an event under a grant.
    attempts: BTreeMap<(Grant, Place, Position), u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { lanes: 1, retry: RetryLimits::default(), attempts: BTreeMap::new() }
    }
}

impl Limits {
    /// Two seeds of five are as the defaults are.
    pub(crate) fn of(seed: u64) -> Self {
        let limits = |attempts, age| RetryLimits { attempts, age, ..RetryLimits::default() };
        let whole = |limits| RetryLimits { bisect: false, ..limits };
        let (lanes, retry) = match seed % 5 {
            1 => (4, RetryLimits::default()),
            2 if seed.is_multiple_of(4) => (1, whole(limits(Some(3), None))),
            2 => (2, limits(None, Some(Duration::from_secs(20)))),
            4 => (3, limits(Some(5), Some(Duration::from_mins(1)))),
            _ => (1, RetryLimits::default()),
        };
        Self { lanes, retry, attempts: BTreeMap::new() }
    }

    /// The sinks of a seed that prepare: in some of those that have one lane and give nothing up the
    /// first one does, in half of these a slower one too, which gets copies.
    pub(crate) fn preparing(seed: u64) -> &'static [SinkName] {
        match (seed % 5, seed / 5 % 4) {
            (0 | 3, 1) => &[OUT],
            (0 | 3, 3) => &[OUT, AGAIN],
            _ => &[],
        }
    }

    /// Whether anything is ever given up.
    pub(crate) fn any(&self) -> bool {
        self.retry.attempts.is_some() || self.retry.age.is_some()
    }

    /// The key of a record: seeds with one lane have one key.
    pub(crate) fn key(&self, number: u64) -> String {
        if self.lanes == 1 { "key".to_owned() } else { format!("key-{}", number % 6) }
    }

    /// What shares its order with an event: its key, or with one lane the whole shard.
    pub(crate) fn order(&self, event: &OutputEvent) -> Option<Arc<str>> {
        (self.lanes > 1).then(|| Arc::clone(&event.partition_key))
    }

    /// Notes an attempt on each event; answers one that was tried too often (RT-2).
    pub(crate) fn tried<'e>(
        &mut self,
        grant: Grant,
        events: &'e [OutputEvent],
    ) -> Option<&'e OutputEvent> {
        let splits = BATCH.next_power_of_two().ilog2();
        let most = self.retry.attempts.map(|retries| 1 + retries + splits);
        let mut too_often = None;
        for event in events {
            let attempts = self.attempts.entry(key(grant, event)).or_default();
            *attempts += 1;
            if most.is_some_and(|most| *attempts > most) {
                too_often.get_or_insert(event);
            }
        }
        too_often
    }

    /// Whether an event may be a dead letter though its sink would take it (RT-1).
    pub(crate) fn may_give_up(&self, grant: Grant, event: &OutputEvent, now: EpochMillis) -> bool {
        let attempts = self.attempts.get(&key(grant, event)).copied().unwrap_or(0);
        let age = Duration::from_millis(now.millis_since(event.arrival)) + CLOCKS;
        self.retry.attempts.is_some_and(|retries| attempts > retries)
            || attempts > 0 && self.retry.age.is_some_and(|most| age > most)
    }
}

fn key(grant: Grant, event: &OutputEvent) -> (Grant, Place, Position) {
    (grant, Place::of_event(&event.id), event.id.position.clone())
}
