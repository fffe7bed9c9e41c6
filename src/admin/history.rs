//! The last quarter of an hour, so that somebody who opens the page at night sees how it came to be.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    etl::Tally,
    metrics::{Metrics, ShardReading},
    ports::{SystemClock, WallClock},
};

/// Between two samples.
pub(super) const EVERY: Duration = Duration::from_secs(5);
/// Samples that are kept.
const MOST: usize = 180;

/// What happened between two samples.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Sample {
    records: u64,
    bytes: u64,
    delivered: u64,
    filtered: u64,
    dead_lettered: u64,
    /// How far the worst shard was behind, or how long its oldest record waited for its outcome.
    behind_seconds: Option<f64>,
}

#[derive(Debug, Default)]
pub(super) struct History(Mutex<VecDeque<Sample>>);

impl History {
    /// Takes samples, for as long as it is polled.
    pub(super) async fn keep(&self, metrics: &Metrics) -> Infallible {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        let mut before = metrics.tally();
        loop {
            ticks.tick().await;
            let now = metrics.tally();
            let time = SystemClock.now();
            let lag = |shard: ShardReading| shard.behind.max(shard.oldest_unsettled(time));
            let behind = metrics.shards().into_values().filter_map(lag).max();
            let sample = Sample {
                behind_seconds: behind.map(|behind| behind.as_secs_f64()),
                ..between(&before, &now)
            };
            before = now;
            let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if samples.len() == MOST {
                samples.pop_front();
            }
            samples.push_back(sample);
        }
    }

    /// The samples, the oldest first.
    pub(super) fn samples(&self) -> Vec<Sample> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

fn between(before: &Tally, now: &Tally) -> Sample {
    let dead = |tally: &Tally| tally.dead_lettered + tally.undecodable;
    Sample {
        records: now.records - before.records,
        bytes: now.bytes - before.bytes,
        delivered: now.delivered - before.delivered,
        filtered: now.filtered - before.filtered,
        dead_lettered: dead(now) - dead(before),
        behind_seconds: None,
    }
}
