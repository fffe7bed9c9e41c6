//! Dead letters: what could not be processed, kept whole.

use std::{fmt, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::SourceRecord;
use crate::{
    codec::render_event,
    model::{LogEvent, OutputEvent, Share},
};

/// Where on its way a record or event failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The bytes of the record are not what the stream's format says.
    Decode,
    /// The event does not satisfy its route's schema.
    Validate,
    /// The route's program failed on it.
    Transform,
    /// It is in no window: it came too late, or there is no room.
    Window,
    /// The sink will never take it.
    Deliver,
}

impl Stage {
    /// All of them, in the order of the way.
    pub const ALL: [Self; 5] =
        [Self::Decode, Self::Validate, Self::Transform, Self::Window, Self::Deliver];
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Decode => "decode",
            Self::Validate => "validate",
            Self::Transform => "transform",
            Self::Window => "window",
            Self::Deliver => "deliver",
        })
    }
}

/// How something failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Where.
    pub stage: Stage,
    /// Why.
    pub reason: String,
    /// Hash of the configuration that it failed under.
    pub configuration: String,
}

/// A dead letter as one JSON document.
///
/// A record that could not be decoded has its original bytes in `data`. An event that failed later
/// has itself, decoded and whole, in `event`: the rest of its record was processed, and a replay
/// must not repeat it. What a letter is about is its [`super::LetterId`], the same after each replay.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Version of this format: [`Self::VERSION`].
    pub version: u32,
    /// The stream it was read from.
    pub stream: String,
    /// The shard it was read from.
    pub shard: String,
    /// Its record's sequence number.
    pub sequence_number: String,
    /// Its place within a KPL aggregate, else 0.
    pub sub_sequence_number: u64,
    /// The event's index among those of its record, when the record could be decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_index: Option<u32>,
    /// Its record's partition key.
    pub partition_key: String,
    /// When Kinesis took the record, RFC 3339.
    pub arrival: String,
    /// Where it failed last.
    pub stage: Stage,
    /// Why.
    pub reason: String,
    /// The route it was on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Which of the documents that the route's program made of the event the sink refused, when it
    /// made several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<u32>,
    /// Hash of the configuration that it failed under.
    pub configuration: String,
    /// How often it became a dead letter: 1, and one more with each replay that failed.
    pub attempts: u32,
    /// How it failed the first time, when it was replayed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_failure: Option<Failure>,
    /// The event, when it could be decoded: as `decode` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Box<RawValue>>,
    /// The row of a window, when a sink refused that: it is made of many events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<Box<RawValue>>,
    /// The record's bytes in base64, when it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

/// One event on one route, as far as a letter of it is concerned.
pub(super) struct FailedEvent<'e> {
    pub(super) event: &'e LogEvent,
    /// Its index among those of its record.
    pub(super) index: u32,
    pub(super) route: &'e str,
    /// See [`DeadLetter::document`].
    pub(super) document: Option<u32>,
}

impl DeadLetter {
    /// The version that is written, and the only one that is read.
    pub const VERSION: u32 = 1;

    /// The letter of a record that could not be decoded.
    pub(super) fn of_record(record: &SourceRecord, failure: Failure) -> Self {
        let data = Some(BASE64_STANDARD.encode(&record.record.data));
        Self { data, ..Self::new(record, failure) }
    }

    /// The letter of one event.
    pub(super) fn of_event(record: &SourceRecord, failed: &FailedEvent<'_>, why: Failure) -> Self {
        let mut json = Vec::new();
        render_event(failed.event, &mut json);
        // Rendered JSON parses; were it not so, the record's bytes would hold the event still.
        let event = String::from_utf8(json).ok().and_then(|json| RawValue::from_string(json).ok());
        let data = event.is_none().then(|| BASE64_STANDARD.encode(&record.record.data));
        Self {
            event_index: Some(failed.index),
            route: Some(failed.route.to_owned()),
            document: failed.document,
            event,
            data,
            ..Self::new(record, why)
        }
    }

    /// The letter of a row that its sink will never take; `record` is the one that closed its window.
    pub(super) fn of_row(
        record: &SourceRecord,
        route: &str,
        row: &OutputEvent,
        why: Failure,
    ) -> Self {
        let row = serde_json::from_slice(&row.json).ok();
        Self { route: Some(route.to_owned()), row, ..Self::new(record, why) }
    }

    fn new(record: &SourceRecord, failure: Failure) -> Self {
        let user = &record.record;
        let before = record.replayed.as_deref();
        Self {
            version: Self::VERSION,
            stream: record.source.stream.to_string(),
            shard: record.source.shard.to_string(),
            sequence_number: user.position.sequence.to_string(),
            sub_sequence_number: user.position.sub_sequence,
            event_index: None,
            partition_key: user.partition_key.to_string(),
            arrival: user.arrival.to_string(),
            stage: failure.stage,
            reason: failure.reason,
            route: None,
            document: None,
            configuration: failure.configuration,
            attempts: before.map_or(1, |before| before.attempts.saturating_add(1)),
            first_failure: before.map(|before| before.first_failure.clone()),
            event: None,
            row: None,
            data: None,
        }
    }

    /// The letter as a sink gets it.
    pub(super) fn into_output(self, record: &SourceRecord, index: u32) -> OutputEvent {
        let json = serde_json::to_vec(&self).expect("a letter holds only strings and JSON");
        let route = self.route.as_deref().map(Arc::from);
        OutputEvent {
            id: record.event_id(index),
            share: Share::Letter { route, document: self.document },
            partition_key: Arc::clone(&record.record.partition_key),
            arrival: record.record.arrival,
            json: Bytes::from(json),
        }
    }
}
