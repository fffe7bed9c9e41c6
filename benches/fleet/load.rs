//! A steady load: one event into each shard, ten times a second.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;
use shardwright::embedded::{KinesisServer, kinesis::Operation};
use tokio::time::{MissedTickBehavior, interval};

use crate::{fleet::STREAM, ledger::Event};

const EVERY: Duration = Duration::from_millis(100);

/// The stream and its producer, which rests until it is told to run.
pub(crate) struct Load {
    runs: Arc<AtomicBool>,
    put: Arc<AtomicUsize>,
}

impl Load {
    pub(crate) fn start(kinesis: KinesisServer, shards: u32) -> Self {
        let stream = json!({"StreamName": STREAM, "ShardCount": shards});
        kinesis.call(Operation::CreateStream, &stream).unwrap();
        let load = Self { runs: Arc::default(), put: Arc::default() };
        let (runs, put) = (Arc::clone(&load.runs), Arc::clone(&load.put));
        tokio::spawn(async move {
            let mut ticks = interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                if runs.load(Ordering::SeqCst) {
                    put_one_into_each(&kinesis, shards, put.load(Ordering::SeqCst));
                    put.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        load
    }

    pub(crate) fn run(&self) {
        self.runs.store(true, Ordering::SeqCst);
    }

    pub(crate) fn pause(&self) {
        self.runs.store(false, Ordering::SeqCst);
    }

    /// Events put into each shard so far.
    pub(crate) fn put(&self) -> usize {
        self.put.load(Ordering::SeqCst)
    }
}

fn put_one_into_each(kinesis: &KinesisServer, shards: u32, number: usize) {
    // A fresh stream's shards divide the keys evenly, in the order of their ids.
    let middle = |shard: u32| {
        u128::MAX / u128::from(shards) * u128::from(shard) + u128::MAX / u128::from(shards) / 2
    };
    let records: Vec<_> = (0..shards)
        .map(|shard| {
            let event = serde_json::to_string(&Event { shard, number }).unwrap();
            json!({
                "Data": BASE64_STANDARD.encode(event),
                "PartitionKey": "key",
                "ExplicitHashKey": middle(shard).to_string(),
            })
        })
        .collect();
    let request = json!({"StreamName": STREAM, "Records": records});
    let answer = kinesis.call(Operation::PutRecords, &request).unwrap();
    assert_eq!(answer["FailedRecordCount"], 0, "{answer}");
}
