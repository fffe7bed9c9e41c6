//! Delivering for a while, from several shards at a time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use cpu_time::ProcessTime;
use serde_json::json;
use shardwright::{
    model::{EpochMillis, EventId, OutputEvent, Position, ShardId, Share, StreamName},
    ports::Verdict,
};

use crate::places::Place;

/// How long each sink is measured, after a second to warm up.
const TIME: Duration = Duration::from_secs(5);
const WARM_UP: Duration = Duration::from_secs(1);
const SHARDS: u64 = 4;

/// What was seen.
pub(crate) struct Measured {
    /// Events a second.
    pub(crate) rate: f64,
    /// CPU time of this process.
    pub(crate) cpu_micros: f64,
}

/// Delivers for a while.
pub(crate) async fn run(place: &Place) -> Measured {
    deliver(place, WARM_UP, 0).await;
    let (began, cpu) = (Instant::now(), ProcessTime::now());
    let events = deliver(place, TIME, 1 << 40).await;
    let (time, cpu) = (began.elapsed(), cpu.elapsed());
    place.sink.close().await.unwrap();
    Measured {
        rate: events as f64 / time.as_secs_f64(),
        cpu_micros: cpu.as_secs_f64() * 1e6 / events as f64,
    }
}

async fn deliver(place: &Place, time: Duration, first: u64) -> u64 {
    let until = Instant::now() + time;
    let shards = (0..SHARDS).map(|shard| {
        let (sink, size) = (Arc::clone(&place.sink), place.batch);
        tokio::spawn(async move {
            let mut next = first;
            while Instant::now() < until {
                let batch: Vec<_> =
                    (next..next + size).map(|number| event(shard, number)).collect();
                let verdicts = sink.deliver(&batch).await.unwrap();
                assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Accepted));
                next += size;
            }
            next - first
        })
    });
    let mut events = 0;
    for shard in shards.collect::<Vec<_>>() {
        events += shard.await.unwrap();
    }
    events
}

/// A log event as a pipeline delivers it.
fn event(shard: u64, number: u64) -> OutputEvent {
    let json = json!({
        "owner": "111122223333", "logGroup": "/aws/lambda/orders", "logStream": "2026/01/31/[$LATEST]",
        "subscriptionFilters": ["all"], "id": format!("{shard}-{number:056}"),
        "timestamp": 1_769_817_600_000_u64 + number,
        "message": format!("INFO order {number} of customer c-{} was taken", number % 1000),
    });
    OutputEvent {
        id: EventId {
            stream: StreamName::new("app-logs"),
            shard: ShardId::new(format!("shardId-{shard:012}")),
            position: Position {
                sequence: (number + 1).to_string().parse().unwrap(),
                sub_sequence: 0,
            },
            index: 0,
        },
        share: Share::Document { route: 0, name: Arc::from("all"), document: 0 },
        partition_key: Arc::from(format!("key-{}", number % 1000)),
        arrival: EpochMillis(1_769_817_600_000),
        json: Bytes::from(json.to_string()),
    }
}
