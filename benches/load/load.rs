//! The stream and what is put into it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shardwright::embedded::{KinesisServer, kinesis::Operation};
use tokio::time::{MissedTickBehavior, interval, sleep};

pub(crate) const STREAM: &str = "app-logs";
/// What a record holds, about.
pub(crate) const RECORD_BYTES: u32 = 1024;
/// Between two records of a shard.
const EVERY: Duration = Duration::from_millis(100);
/// Most records of a call (API reference, `PutRecords`).
const MOST: usize = 500;

/// What is put.
#[derive(Serialize, Deserialize)]
pub(crate) struct Event {
    /// Counts all records.
    pub(crate) number: usize,
    /// When, in microseconds.
    pub(crate) at: u64,
    pad: String,
}

/// Microseconds since the epoch.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_micros()).unwrap()
}

/// A steady load, which rests until it is told to run.
pub(crate) struct Load {
    state: Arc<State>,
}

struct State {
    kinesis: KinesisServer,
    shards: u32,
    runs: AtomicBool,
    busy: AtomicBool,
    put: AtomicUsize,
}

impl Load {
    pub(crate) fn start(kinesis: KinesisServer, shards: u32) -> Self {
        let stream = json!({"StreamName": STREAM, "ShardCount": shards});
        kinesis.call(Operation::CreateStream, &stream).unwrap();
        let state = Arc::new(State {
            kinesis,
            shards,
            runs: AtomicBool::new(false),
            busy: AtomicBool::new(false),
            put: AtomicUsize::new(0),
        });
        let own = Arc::downgrade(&state);
        tokio::spawn(async move {
            let mut ticks = interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Some(state) = own.upgrade() else { return };
                state.busy.store(true, Ordering::SeqCst);
                if state.runs.load(Ordering::SeqCst) {
                    state.put_into_each(1);
                }
                state.busy.store(false, Ordering::SeqCst);
            }
        });
        Self { state }
    }

    pub(crate) fn run(&self) {
        self.state.runs.store(true, Ordering::SeqCst);
    }

    /// Nothing more is put when this returns.
    pub(crate) async fn pause(&self) {
        self.state.runs.store(false, Ordering::SeqCst);
        while self.state.busy.load(Ordering::SeqCst) {
            sleep(EVERY).await;
        }
    }

    /// Puts so many records into each shard at once.
    pub(crate) fn put_backlog(&self, records: u32) {
        self.state.put_into_each(records);
    }

    /// Records put so far.
    pub(crate) fn put(&self) -> usize {
        self.state.put.load(Ordering::SeqCst)
    }
}

impl State {
    fn put_into_each(&self, records: u32) {
        // A fresh stream's shards divide the keys evenly, in the order of their ids.
        let width = u128::MAX / u128::from(self.shards);
        let middles = (0..self.shards).map(|shard| width * u128::from(shard) + width / 2);
        let all: Vec<u128> = (0..records).flat_map(|_| middles.clone()).collect();
        for some in all.chunks(MOST) {
            let records: Vec<_> = some.iter().map(|middle| self.record(*middle)).collect();
            let request = json!({"StreamName": STREAM, "Records": records});
            let answer = self.kinesis.call(Operation::PutRecords, &request).unwrap();
            assert_eq!(answer["FailedRecordCount"], 0, "{answer}");
        }
    }

    fn record(&self, hash_key: u128) -> serde_json::Value {
        let number = self.put.fetch_add(1, Ordering::SeqCst);
        let pad = "x".repeat(RECORD_BYTES as usize - 64);
        let event = serde_json::to_string(&Event { number, at: now(), pad }).unwrap();
        json!({
            "Data": BASE64_STANDARD.encode(event),
            "PartitionKey": "key",
            "ExplicitHashKey": hash_key.to_string(),
        })
    }
}
