//! The frames of an event stream (`application/vnd.amazon.eventstream`).

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use serde::Serialize;

use super::error::{ApiError, Failure};
use super::wire::{ChildShard, JSON, RecordView};

pub(super) const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// What a subscription pushes (`SubscribeToShardEvent`).
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Event {
    pub(super) records: Vec<RecordView>,
    /// Absent at the end of the shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) continuation_sequence_number: Option<String>,
    pub(super) millis_behind_latest: u64,
    /// There at the end of the shard only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) child_shards: Option<Vec<ChildShard>>,
}

/// The first frame, which boto3 insists on.
pub(super) fn initial_response() -> Result<Bytes, ApiError> {
    frame([(":message-type", "event"), (":event-type", "initial-response")], "{}")
}

pub(super) fn event(event: &Event) -> Result<Bytes, ApiError> {
    let payload =
        serde_json::to_vec(event).map_err(|error| ApiError::internal(error.to_string()))?;
    frame([(":message-type", "event"), (":event-type", "SubscribeToShardEvent")], payload)
}

/// A failure inside the stream, which is its last frame.
pub(super) fn exception(error: &ApiError) -> Result<Bytes, ApiError> {
    let payload = Failure::from(error).to_json();
    frame([(":message-type", "exception"), (":exception-type", error.code)], payload)
}

fn frame(
    headers: [(&'static str, &'static str); 2],
    payload: impl Into<Bytes>,
) -> Result<Bytes, ApiError> {
    let mut message = Message::new(payload);
    for (name, value) in headers.into_iter().chain([(":content-type", JSON)]) {
        message = message.add_header(Header::new(name, HeaderValue::String(value.into())));
    }
    let mut frame = Vec::new();
    write_message_to(&message, &mut frame)
        .map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(frame.into())
}
