//! The JSON envelopes of a CloudWatch Logs subscription.
//!
//! Lenient where AWS has grown: unknown fields are kept in `extra`, the order of keys does not
//! matter, an id may be a number, a timestamp may be text, a message may be an object, and several
//! documents may stand back to back (Firehose and producers that append do that). Strict where
//! guessing would invent data: what has no known `messageType`, no `logEvents`, no `message`, a field
//! of another type or a key twice is refused whole. Only inside an unknown field does the last of two equal keys win.

use std::{
    borrow::Cow,
    fmt,
    marker::PhantomData,
    sync::{Arc, LazyLock},
};

use regex::Regex;

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, error::Category};

use super::field::{EventId, EventMessage, EventTime, UnreadMessage};
use crate::model::{EpochMillis, LogEvent, LogSource, Message};

/// Most events take more bytes than this, with their id and names of the fields.
const LEAST_EVENT: usize = 256;

/// One document of a subscription.
#[derive(Clone, Debug, PartialEq)]
pub enum Envelope {
    /// A `DATA_MESSAGE`.
    Data {
        /// Its header, which its events share.
        source: Arc<LogSource>,
        /// Its events. There may be none.
        events: Vec<LogEvent>,
    },
    /// A `CONTROL_MESSAGE`: AWS checks that the stream can be reached. Its one event, which has an
    /// empty id, is no log data.
    Control,
}

/// Why a document is not an envelope, and which document of the payload it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("document {document}: {problem}")]
pub struct EnvelopeError {
    /// The number of the document, from 1.
    pub document: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is not JSON.
    #[error("not json: {0}")]
    NotJson(String),
    /// A field is there twice, or is not of the type that it must have.
    #[error("{0}")]
    BadField(String),
    /// It does not say what it is.
    #[error("messageType is missing")]
    MissingMessageType,
    /// It is neither data nor control.
    #[error("unknown messageType {0:?}")]
    UnknownMessageType(String),
    /// It says it is data and holds no list of events.
    #[error("logEvents is missing")]
    MissingLogEvents,
    /// The payload holds more events than allowed.
    #[error("more than {limit} events in one record")]
    TooManyEvents {
        /// The most events allowed in one payload.
        limit: usize,
    },
}

impl Problem {
    /// A short stable name, for metrics and dead letters.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotJson(_) => "not-json",
            Self::BadField(_) => "bad-field",
            Self::MissingMessageType => "missing-message-type",
            Self::UnknownMessageType(_) => "unknown-message-type",
            Self::MissingLogEvents => "missing-log-events",
            Self::TooManyEvents { .. } => "too-many-events",
        }
    }
}

/// Reads all the envelopes of one decompressed payload. Blank text holds none.
///
/// # Errors
/// [`EnvelopeError`] names the first document that is refused; the others are given up with it.
pub fn parse_envelopes(text: &str, max_events: usize) -> Result<Vec<Envelope>, EnvelopeError> {
    parse(text, max_events, false)
}

/// [`parse_envelopes`] for those who will not look into the messages.
///
/// # Errors
/// As [`parse_envelopes`].
pub(super) fn parse_unread(text: &str, max_events: usize) -> Result<Vec<Envelope>, EnvelopeError> {
    // What is rare or wrong is read, so that there is one answer to it.
    parse(text, max_events, true).or_else(|_| parse(text, max_events, false))
}

fn parse(text: &str, max_events: usize, unread: bool) -> Result<Vec<Envelope>, EnvelopeError> {
    let mut envelopes = Vec::with_capacity(1);
    let mut left = max_events;
    let mut rest = text.trim_ascii_start();
    while !rest.is_empty() {
        let refused = |problem| EnvelopeError { document: envelopes.len() + 1, problem };
        let room = (rest.len() / LEAST_EVENT).min(left);
        let mut place = Place { left, room, unread, ..Place::default() };
        let mut deserializer = serde_json::Deserializer::from_str(rest);
        let document = match (DocumentSeed { place: &mut place }).deserialize(&mut deserializer) {
            Ok(document) => document,
            Err(_) if place.too_many => {
                return Err(refused(Problem::TooManyEvents { limit: max_events }));
            }
            Err(error) => return Err(refused(place.describe(&error))),
        };
        // A stream of the rest knows where the document ended. Starting afresh from there keeps the
        // cost of many documents linear.
        let end = deserializer.into_iter::<IgnoredAny>().byte_offset();
        rest = rest.get(end..).unwrap_or_default().trim_ascii_start();
        left = place.left;
        envelopes.push(document.finish().map_err(refused)?);
    }
    Ok(envelopes)
}

/// Takes the value out of serde's "invalid type: string \"…\", expected …": a reason goes into logs,
/// where no payload belongs.
fn without_values(message: &str) -> String {
    static VALUE: LazyLock<Regex> = LazyLock::new(|| {
        let pattern = r#"(?s)(invalid (?:type|value): [a-z ]+?) (?:".*"|`.*?`)(, expected)"#;
        Regex::new(pattern).expect("a constant pattern")
    });
    VALUE.replace(message, "$1$2").into_owned()
}

/// Where in a document the parser is, for error messages, and how many events it may still hold.
///
/// Wrapping the errors instead would lose whether serde found bad JSON or a bad field.
#[derive(Default)]
struct Place {
    event: Option<usize>,
    field: Option<&'static str>,
    left: usize,
    /// How many events a document of this size probably holds.
    room: usize,
    too_many: bool,
    /// Whether messages are kept as JSON.
    unread: bool,
}

impl Place {
    fn describe(&self, error: &serde_json::Error) -> Problem {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let what = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
        let what = without_values(what);
        let place = match (self.event, self.field) {
            (Some(event), Some(field)) => format!("logEvents[{event}].{field}: "),
            (Some(event), None) => format!("logEvents[{event}]: "),
            (None, Some(field)) => format!("{field}: "),
            (None, None) => String::new(),
        };
        let text = format!("{place}{what} (line {line}, column {column})");
        match error.classify() {
            Category::Data => Problem::BadField(text),
            Category::Io | Category::Syntax | Category::Eof => Problem::NotJson(text),
        }
    }
}

/// A document as it was read, before the checks that need all its fields.
#[derive(Default)]
struct Document {
    message_type: Option<String>,
    owner: Option<String>,
    log_group: Option<String>,
    log_stream: Option<String>,
    subscription_filters: Option<Vec<String>>,
    log_events: Option<Vec<Event>>,
    extra: Map<String, Value>,
}

impl Document {
    fn finish(self) -> Result<Envelope, Problem> {
        let message_type = self.message_type.ok_or(Problem::MissingMessageType)?;
        match message_type.as_str() {
            "DATA_MESSAGE" => {}
            "CONTROL_MESSAGE" => return Ok(Envelope::Control),
            other => {
                return Err(Problem::UnknownMessageType(other.chars().take(64).collect()));
            }
        }
        let events = self.log_events.ok_or(Problem::MissingLogEvents)?;
        let source = Arc::new(LogSource {
            owner: self.owner.unwrap_or_default(),
            log_group: self.log_group.unwrap_or_default(),
            log_stream: self.log_stream.unwrap_or_default(),
            subscription_filters: self.subscription_filters.unwrap_or_default(),
            extra: self.extra,
        });
        let events = events.into_iter().map(|event| event.with_source(&source)).collect();
        Ok(Envelope::Data { source, events })
    }
}

/// An event while its header, which may go on behind it, is still being read.
struct Event {
    /// Room for it: the list becomes one of [`LogEvent`]s where it is, without being copied.
    source: Option<Arc<LogSource>>,
    id: String,
    timestamp: Option<EpochMillis>,
    message: Message,
    extra: Map<String, Value>,
}

impl Event {
    fn with_source(self, source: &Arc<LogSource>) -> LogEvent {
        LogEvent {
            source: self.source.unwrap_or_else(|| Arc::clone(source)),
            id: self.id,
            timestamp: self.timestamp,
            message: self.message,
            extra: self.extra,
        }
    }
}

/// A key, borrowed from the text unless it holds escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads a field's value, once.
fn once<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    slot: &mut Option<T>,
    name: &'static str,
    place: &mut Place,
    map: &mut A,
) -> Result<(), A::Error> {
    once_as(PhantomData, slot, name, place, map)
}

fn once_as<'de, S: DeserializeSeed<'de>, A: MapAccess<'de>>(
    seed: S,
    slot: &mut Option<S::Value>,
    name: &'static str,
    place: &mut Place,
    map: &mut A,
) -> Result<(), A::Error> {
    place.field = Some(name);
    if slot.is_some() {
        return Err(A::Error::custom("the key is there twice"));
    }
    *slot = Some(map.next_value_seed(seed)?);
    place.field = None;
    Ok(())
}

/// Keeps an unknown field.
fn keep<'de, A: MapAccess<'de>>(
    extra: &mut Map<String, Value>,
    key: &str,
    map: &mut A,
) -> Result<(), A::Error> {
    if extra.insert(key.to_owned(), map.next_value()?).is_some() {
        return Err(A::Error::custom(format_args!("the key {key:?} is there twice")));
    }
    Ok(())
}

struct DocumentSeed<'p> {
    place: &'p mut Place,
}

impl<'de> DeserializeSeed<'de> for DocumentSeed<'_> {
    type Value = Document;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Document, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for DocumentSeed<'_> {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the object of an envelope")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut document = Document::default();
        let place = self.place;
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                "messageType" => {
                    once(&mut document.message_type, "messageType", place, &mut map)?;
                }
                "owner" => once(&mut document.owner, "owner", place, &mut map)?,
                "logGroup" => once(&mut document.log_group, "logGroup", place, &mut map)?,
                "logStream" => once(&mut document.log_stream, "logStream", place, &mut map)?,
                "subscriptionFilters" => {
                    let slot = &mut document.subscription_filters;
                    once(slot, "subscriptionFilters", place, &mut map)?;
                }
                "logEvents" => {
                    place.field = Some("logEvents");
                    if document.log_events.is_some() {
                        return Err(A::Error::custom("the key is there twice"));
                    }
                    document.log_events = Some(map.next_value_seed(EventsSeed { place })?);
                    place.field = None;
                }
                other => keep(&mut document.extra, other, &mut map)?,
            }
        }
        Ok(document)
    }
}

struct EventsSeed<'p> {
    place: &'p mut Place,
}

impl<'de> DeserializeSeed<'de> for EventsSeed<'_> {
    type Value = Vec<Event>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Event>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for EventsSeed<'_> {
    type Value = Vec<Event>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Event>, A::Error> {
        let place = self.place;
        let mut events = Vec::with_capacity(place.room);
        loop {
            place.event = Some(events.len());
            place.field = None;
            let Some(event) = seq.next_element_seed(EventSeed { place })? else { break };
            let Some(left) = place.left.checked_sub(1) else {
                place.too_many = true;
                return Err(A::Error::custom("too many events"));
            };
            place.left = left;
            events.push(event);
        }
        place.event = None;
        Ok(events)
    }
}

struct EventSeed<'p> {
    place: &'p mut Place,
}

impl<'de> DeserializeSeed<'de> for EventSeed<'_> {
    type Value = Event;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Event, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EventSeed<'_> {
    type Value = Event;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the object of an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Event, A::Error> {
        let (mut id, mut timestamp, mut message) = (None, None, None);
        let mut extra = Map::new();
        let place = self.place;
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                "id" => once::<EventId, A>(&mut id, "id", place, &mut map)?,
                "timestamp" => once::<EventTime, A>(&mut timestamp, "timestamp", place, &mut map)?,
                "message" if place.unread => {
                    once_as(UnreadMessage, &mut message, "message", place, &mut map)?;
                }
                "message" => once::<EventMessage, A>(&mut message, "message", place, &mut map)?,
                other => keep(&mut extra, other, &mut map)?,
            }
        }
        Ok(Event {
            source: None,
            id: id.map(|id| id.0).unwrap_or_default(),
            timestamp: timestamp.and_then(|timestamp| timestamp.0),
            message: message.ok_or_else(|| A::Error::custom("message is missing"))?.0,
            extra,
        })
    }
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
