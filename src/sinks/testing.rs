//! Events for the sinks' tests.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::{EpochMillis, EventId, OutputEvent, Position, ShardId, Share, StreamName};

/// Event number `number` of a shard, with this JSON text.
pub(super) fn event(number: u64, json: &str) -> OutputEvent {
    OutputEvent {
        id: EventId {
            stream: StreamName::new("orders"),
            shard: ShardId::new("shardId-000000000000"),
            position: Position { sequence: number.to_string().parse().unwrap(), sub_sequence: 0 },
            index: 0,
        },
        share: Share::whole(),
        partition_key: Arc::from(format!("key-{number}")),
        arrival: EpochMillis(0),
        json: Bytes::copy_from_slice(json.as_bytes()),
    }
}

/// Events `range` with distinct JSON documents.
pub(super) fn events(range: std::ops::Range<u64>) -> Vec<OutputEvent> {
    range.map(|number| event(number, &format!("{{\"number\":{number}}}"))).collect()
}
