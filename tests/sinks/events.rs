//! Events as a pipeline makes them.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use shardwright::model::{EpochMillis, EventId, OutputEvent, Position, ShardId, Share, StreamName};

/// Event number `number` of a shard.
pub(crate) fn event(number: u64, json: &str) -> OutputEvent {
    OutputEvent {
        id: EventId {
            stream: StreamName::new("orders"),
            shard: ShardId::new("shardId-000000000000"),
            position: Position { sequence: number.to_string().parse().unwrap(), sub_sequence: 0 },
            index: 0,
        },
        share: Share::Document { route: 0, name: Arc::from("all"), document: 0 },
        partition_key: Arc::from(format!("key-{number}")),
        arrival: EpochMillis(1_700_000_000_000),
        json: Bytes::copy_from_slice(json.as_bytes()),
    }
}

/// Events `{"id":number}`.
pub(crate) fn events(range: Range<u64>) -> Vec<OutputEvent> {
    range.map(|number| event(number, &format!("{{\"id\":{number}}}"))).collect()
}
