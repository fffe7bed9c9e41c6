//! Rows as sinks get them.

use std::fmt::Write;

use bytes::Bytes;
use serde_json::Value;

use super::{
    Row, Window,
    item::{Group, digest},
};
use crate::{
    codec::json::write_string,
    model::{EpochMillis, ShardId, StreamName},
};

/// The names that each row has of its own.
pub const RESERVED: [&str; 7] =
    ["event_id", "route", "window_start", "window_end", "stream", "shard", "documents"];

/// Where a row is from.
#[derive(Clone, Copy, Debug)]
pub struct RowPlace<'r> {
    /// Its stream.
    pub stream: &'r StreamName,
    /// Its shard.
    pub shard: &'r ShardId,
    /// The name of its route.
    pub route: &'r str,
    /// The end of its window.
    pub end: EpochMillis,
}

impl RowPlace<'_> {
    /// What tells the group from all others of its window: empty where there are no groups.
    pub fn group_id(window: &Window, group: &Group) -> String {
        let mut id = String::new();
        if !window.group_by.is_empty() {
            for byte in digest(group.iter().map(|value| &**value)) {
                // Writing into a string cannot fail.
                let _ = write!(id, "{byte:02x}");
            }
        }
        id
    }

    /// The row as one JSON document in one line; `id` is its `event_id`.
    pub fn json(&self, window: &Window, group: &Group, row: &Row, id: &str) -> Bytes {
        let start = EpochMillis(self.end.0.saturating_sub(window.size()));
        let mut line = Vec::with_capacity(256);
        let mut texts = [
            id.to_owned(),
            self.route.to_owned(),
            start.to_string(),
            self.end.to_string(),
            self.stream.to_string(),
            self.shard.to_string(),
        ]
        .into_iter();
        line.push(b'{');
        for name in RESERVED {
            field(&mut line, name);
            match texts.next() {
                Some(text) => write_string(&text, &mut line),
                None => line.extend_from_slice(row.documents.to_string().as_bytes()),
            }
        }
        for ((name, _), value) in window.group_by.iter().zip(group) {
            field(&mut line, name);
            line.extend_from_slice(value.as_bytes());
        }
        for ((name, _), accumulator) in window.aggregates.iter().zip(&row.accumulators) {
            field(&mut line, name);
            let value: Value = accumulator.json();
            line.extend_from_slice(value.to_string().as_bytes());
        }
        line.push(b'}');
        Bytes::from(line)
    }
}

fn field(line: &mut Vec<u8>, name: &str) {
    if line.len() > 1 {
        line.push(b',');
    }
    write_string(name, line);
    line.push(b':');
}
