//! Events: what a record holds, and what a sink gets.

use std::{borrow::Cow, fmt, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{EpochMillis, Message, Position, ShardId, StreamName};

/// What the records of a stream hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Envelopes of a CloudWatch Logs subscription: gzip, then JSON with `logEvents`.
    #[default]
    CloudwatchLogs,
    /// One or more JSON documents, back to back or a line each.
    Json,
    /// UTF-8 text, one event a record; under gzip or not.
    Text,
    /// Anything; the event carries the bytes as base64.
    Bytes,
}

/// One decoded event, before filters, validation and transforms.
///
/// Events of a CloudWatch Logs envelope carry its header. Events of the other formats have an empty
/// header, no id, and the time their record arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEvent {
    /// The envelope's header, shared by all its events.
    pub source: Arc<LogSource>,
    /// CloudWatch's id: a decimal of 56 digits, unique together with the subscription filter only;
    /// see [`LogEvent::identity`].
    pub id: String,
    /// When the event happened; `None` when its producer did not say.
    pub timestamp: Option<EpochMillis>,
    /// What was logged.
    pub message: Message,
    /// Fields of the event that this version does not know (`extractedFields` and later ones).
    pub extra: Map<String, Value>,
}

impl LogEvent {
    /// What tells a log event from all others, however often and by whatever way it is delivered:
    /// owner, log group, log stream, names of the subscription filters, and id, with colons between
    /// (none of them may hold one on AWS). `None` without an id.
    ///
    /// The id alone would not do: two subscription filters put the same events with the same ids.
    pub fn identity(&self) -> Option<String> {
        let LogSource { owner, log_group, log_stream, subscription_filters, .. } = &*self.source;
        let filters = subscription_filters.join(",");
        let id = &self.id;
        (!id.is_empty()).then(|| format!("{owner}:{log_group}:{log_stream}:{filters}:{id}"))
    }

    /// The unknown fields of the header, then those of the event. One whose name is `taken`, or
    /// there already, gets the prefix `header.` or `event.`.
    pub fn unknown_fields<'e>(
        &'e self,
        taken: &'e [&str],
    ) -> impl Iterator<Item = (Cow<'e, str>, &'e Value)> {
        let header = &self.source.extra;
        let renamed = |prefix: &str, name: &'e str, rename: bool| match rename {
            true => Cow::Owned(format!("{prefix}.{name}")),
            false => Cow::Borrowed(name),
        };
        let of_header = header
            .iter()
            .map(move |(name, value)| (renamed("header", name, taken.contains(&&**name)), value));
        let of_event = self.extra.iter().map(move |(name, value)| {
            let rename = taken.contains(&&**name) || header.contains_key(name);
            (renamed("event", name, rename), value)
        });
        of_header.chain(of_event)
    }
}

/// The header of a CloudWatch Logs envelope: where its events come from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogSource {
    /// Account id of the log data.
    pub owner: String,
    /// Log group name.
    pub log_group: String,
    /// Log stream name.
    pub log_stream: String,
    /// Names of the subscription filters that matched.
    pub subscription_filters: Vec<String>,
    /// Header fields that this version does not know (`policyLevel` and later ones).
    pub extra: Map<String, Value>,
}

/// Where an event came from: the same on every replay, so sinks may use it to recognise one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Its stream.
    pub stream: StreamName,
    /// Its shard.
    pub shard: ShardId,
    /// Its user record.
    pub position: Position,
    /// Its index among the events of that user record.
    pub index: u32,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.stream, self.shard, self.position, self.index)
    }
}

/// Which of the things that are delivered of one event: each of its routes may make several
/// documents of it, and each of those may become a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Share {
    /// A document that a route made.
    Document {
        /// Index of the route.
        route: u32,
        /// Its name.
        name: Arc<str>,
        /// Index of the document among those that the route's program made.
        document: u32,
    },
    /// A row of a window: what a route has made of many events.
    Window(RowId),
    /// The dead letter of a row that its sink refused.
    RowLetter(RowId),
    /// Another dead letter.
    Letter {
        /// The route that the event was on; `None` for a record that could not be decoded.
        route: Option<Arc<str>>,
        /// The document that a sink refused, when there were several.
        document: Option<u32>,
    },
}

/// What tells a row of a window from all others of its shard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId {
    /// The name of the route.
    pub name: Arc<str>,
    /// The end of the window.
    pub end: EpochMillis,
    /// How long the window is, in milliseconds.
    pub size: u64,
    /// What tells its group from others; empty if there are none.
    pub group: Arc<str>,
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, end, size, group } = self;
        write!(f, "{name}/{end}/{size}ms/{group}")
    }
}

impl Share {
    /// The only document of the only route, which has no name: for what did not come through a
    /// pipeline.
    pub fn whole() -> Self {
        Self::Document { route: 0, name: Arc::from(""), document: 0 }
    }
}

/// One event on its way to a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputEvent {
    /// Where it came from.
    pub id: EventId,
    /// Which of the things that came of it this is.
    pub share: Share,
    /// The partition key of its record.
    pub partition_key: Arc<str>,
    /// When Kinesis took its record.
    pub arrival: EpochMillis,
    /// One JSON document in one line, without the line's end.
    pub json: Bytes,
}

impl OutputEvent {
    /// Whether it is a dead letter.
    pub fn is_letter(&self) -> bool {
        matches!(self.share, Share::Letter { .. } | Share::RowLetter(_))
    }

    /// A text that nothing else has which is delivered, and that is the same however often this is:
    /// for sinks that recognise what they have. Other than an event's own identity it knows nothing
    /// of what is inside, so an event that its producer put twice has two.
    pub fn delivery_id(&self) -> String {
        let id = &self.id;
        let EventId { stream, shard, .. } = id;
        match &self.share {
            Share::Document { name, document, .. } => format!("{id}/{name}/{document}"),
            Share::Window(row) => format!("{stream}/{shard}/{row}"),
            Share::RowLetter(row) => format!("{stream}/{shard}/{row}/letter"),
            Share::Letter { route: None, .. } => format!("{id}/letter"),
            Share::Letter { route: Some(name), document } => {
                format!("{id}/letter/{name}/{}", document.unwrap_or(0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_filters_make_two_events_of_one_id() {
        let event = |filter: &str, id: &str| LogEvent {
            source: Arc::new(LogSource {
                owner: "111122223333".to_owned(),
                log_group: "/app".to_owned(),
                log_stream: "i-1".to_owned(),
                subscription_filters: vec![filter.to_owned()],
                extra: Map::new(),
            }),
            id: id.to_owned(),
            timestamp: None,
            message: "".into(),
            extra: Map::new(),
        };
        assert_eq!(event("all", "7").identity().unwrap(), "111122223333:/app:i-1:all:7");
        assert_ne!(event("all", "7").identity(), event("errors", "7").identity());
        assert_eq!(event("all", "").identity(), None);
    }
}
