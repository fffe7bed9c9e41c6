//! Where a value that a sink needs comes from: a field of the event, or what is known of its record.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{etl::FieldPath, model::OutputEvent};

/// Where a value comes from, as people write it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ValueSource {
    /// `$`: the whole event.
    Event,
    /// `$.order.id`: a field of the event.
    Field(FieldPath),
    /// `%delivery_id` and others: what is known of the delivery and of its record.
    Known(Known),
}

/// What is known of a delivery, by the names that programs use where they have it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// `%delivery_id`: [`OutputEvent::delivery_id`].
    DeliveryId,
    /// `%stream`.
    Stream,
    /// `%shard`.
    Shard,
    /// `%sequence_number`.
    SequenceNumber,
    /// `%sub_sequence_number`.
    SubSequenceNumber,
    /// `%event_index`: the event's index among those of its record.
    EventIndex,
    /// `%partition_key`.
    PartitionKey,
    /// `%arrival`: when Kinesis took the record, RFC 3339.
    Arrival,
}

const NAMES: [(&str, Known); 8] = [
    ("%delivery_id", Known::DeliveryId),
    ("%stream", Known::Stream),
    ("%shard", Known::Shard),
    ("%sequence_number", Known::SequenceNumber),
    ("%sub_sequence_number", Known::SubSequenceNumber),
    ("%event_index", Known::EventIndex),
    ("%partition_key", Known::PartitionKey),
    ("%arrival", Known::Arrival),
];

impl ValueSource {
    /// The value as text: a text without its quotes, a number or flag as it is written, an object or
    /// list as JSON. `None` for `null`, and when the event has no such field.
    pub(super) fn text<'e>(&self, event: &'e OutputEvent) -> Option<Cow<'e, str>> {
        match self {
            Self::Event => document(event).map(Cow::Borrowed),
            Self::Field(path) => path.text(document(event)?),
            Self::Known(known) => Some(known.of(event)),
        }
    }

    /// The value as JSON, `null` too; `None` when the event has no such field.
    #[cfg(any(test, feature = "parquet", feature = "postgres"))]
    pub(super) fn json<'e>(&self, event: &'e OutputEvent) -> Option<Cow<'e, str>> {
        match self {
            Self::Event => document(event).map(Cow::Borrowed),
            Self::Field(path) => path.json(document(event)?).map(|value| value.get().into()),
            Self::Known(known) => serde_json::to_string(&known.of(event)).ok().map(Cow::Owned),
        }
    }
}

impl Known {
    fn of(self, event: &OutputEvent) -> Cow<'_, str> {
        let id = &event.id;
        match self {
            Self::DeliveryId => event.delivery_id().into(),
            Self::Stream => id.stream.as_str().into(),
            Self::Shard => id.shard.to_string().into(),
            Self::SequenceNumber => id.position.sequence.as_str().into(),
            Self::SubSequenceNumber => id.position.sub_sequence.to_string().into(),
            Self::EventIndex => id.index.to_string().into(),
            Self::PartitionKey => (&*event.partition_key).into(),
            Self::Arrival => event.arrival.to_string().into(),
        }
    }
}

/// Events are JSON, so this is never `None` for one that went through a pipeline.
fn document(event: &OutputEvent) -> Option<&str> {
    std::str::from_utf8(&event.json).ok()
}

impl FromStr for ValueSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "$" {
            return Ok(Self::Event);
        }
        if text.starts_with("$.") {
            let path = FieldPath::parse_single(text).map_err(|error| error.to_string())?;
            return Ok(Self::Field(path));
        }
        let known = NAMES.iter().find(|(name, _)| *name == text);
        known.map(|(_, known)| Self::Known(*known)).ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            format!(
                "{text:?} says no value: expected a field such as $.order.id, $ for the whole event, \
                 or {}",
                names.join(", ")
            )
        })
    }
}

impl fmt::Display for ValueSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event => f.write_str("$"),
            Self::Field(path) => path.fmt(f),
            Self::Known(known) => {
                let name = NAMES.iter().find(|(_, other)| other == known);
                f.write_str(name.map_or("", |(name, _)| name))
            }
        }
    }
}

impl TryFrom<String> for ValueSource {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ValueSource> for String {
    fn from(source: ValueSource) -> Self {
        source.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::testing::event;

    #[test]
    fn values_come_from_the_event_and_from_its_record() {
        let event = event(7, r#"{"a":{"b":"x"},"n":1.50,"z":null}"#);
        for (source, text, json) in [
            ("$.a.b", Some("x"), Some("\"x\"")),
            ("$.a", Some(r#"{"b":"x"}"#), Some(r#"{"b":"x"}"#)),
            ("$.n", Some("1.50"), Some("1.50")),
            ("$.z", None, Some("null")),
            ("$.absent", None, None),
            ("%sequence_number", Some("7"), Some("\"7\"")),
            ("%partition_key", Some("key-7"), Some("\"key-7\"")),
            ("%delivery_id", Some("orders/shardId-000000000000/7:0/0//0"), None),
        ] {
            let value: ValueSource = source.parse().unwrap();
            assert_eq!(value.text(&event).as_deref(), text, "{source}");
            if json.is_some() || source == "$.absent" {
                assert_eq!(value.json(&event).as_deref(), json, "{source}");
            }
            assert_eq!(value.to_string(), source);
        }
    }

    #[test]
    fn anything_else_is_an_error() {
        for bad in ["", "order.id", "$.items[*]", "%delivery", "$order"] {
            assert!(bad.parse::<ValueSource>().is_err(), "{bad:?}");
        }
    }
}
