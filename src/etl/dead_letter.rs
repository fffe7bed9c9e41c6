//! Dead letters: what could not be processed, kept whole.

use std::{fmt, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::SourceRecord;
use crate::{
    codec::render_event,
    model::{LogEvent, OutputEvent},
};

/// Where on its way a record or event failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The bytes of the record are not what the stream's format says.
    Decode,
    /// The event does not satisfy its route's schema.
    Validate,
    /// The route's program failed on it.
    Transform,
    /// The sink will never take it.
    Deliver,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Decode => "decode",
            Self::Validate => "validate",
            Self::Transform => "transform",
            Self::Deliver => "deliver",
        })
    }
}

/// A dead letter as one JSON document.
///
/// A record that could not be decoded has its original bytes in `data`. An event that failed later
/// has itself, decoded and whole, in `event`: the rest of its record was processed, and a replay
/// must not repeat it.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The stream it was read from.
    pub stream: String,
    /// The shard it was read from.
    pub shard: String,
    /// Its record's sequence number.
    pub sequence_number: String,
    /// Its place within a KPL aggregate, else 0.
    pub sub_sequence_number: u64,
    /// Its record's partition key.
    pub partition_key: String,
    /// When Kinesis took the record, RFC 3339.
    pub arrival: String,
    /// Where it failed.
    pub stage: Stage,
    /// Why.
    pub reason: String,
    /// The route it was on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Hash of the configuration that it failed under.
    pub configuration: String,
    /// The event, when it could be decoded: as `decode` prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Box<RawValue>>,
    /// The record's bytes in base64, when it could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

impl DeadLetter {
    /// The letter of a record that could not be decoded.
    pub(super) fn of_record(record: &SourceRecord, configuration: &str, reason: String) -> Self {
        let data = Some(BASE64_STANDARD.encode(&record.record.data));
        Self { data, ..Self::new(record, configuration, Stage::Decode, reason) }
    }

    /// The letter of one event.
    pub(super) fn of_event(
        record: &SourceRecord,
        configuration: &str,
        event: &LogEvent,
        route: &str,
        failure: (Stage, String),
    ) -> Self {
        let (stage, reason) = failure;
        let mut json = Vec::new();
        render_event(event, &mut json);
        // Rendered JSON parses; were it not so, the record's bytes would hold the event still.
        let event = String::from_utf8(json).ok().and_then(|json| RawValue::from_string(json).ok());
        let data = event.is_none().then(|| BASE64_STANDARD.encode(&record.record.data));
        let route = Some(route.to_owned());
        Self { route, event, data, ..Self::new(record, configuration, stage, reason) }
    }

    fn new(record: &SourceRecord, configuration: &str, stage: Stage, reason: String) -> Self {
        let user = &record.record;
        Self {
            stream: record.source.stream.to_string(),
            shard: record.source.shard.to_string(),
            sequence_number: user.position.sequence.to_string(),
            sub_sequence_number: user.position.sub_sequence,
            partition_key: user.partition_key.to_string(),
            arrival: user.arrival.to_string(),
            stage,
            reason,
            route: None,
            configuration: configuration.to_owned(),
            event: None,
            data: None,
        }
    }

    /// The letter as a sink gets it.
    pub(super) fn into_output(self, record: &SourceRecord, index: u32) -> OutputEvent {
        let json = serde_json::to_vec(&self).expect("a letter holds only strings and JSON");
        OutputEvent {
            id: record.event_id(index),
            partition_key: Arc::clone(&record.record.partition_key),
            arrival: record.record.arrival,
            json: Bytes::from(json),
        }
    }
}
