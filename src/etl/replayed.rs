//! Dead letters on their way back into the pipeline.

use std::{fmt, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, error::Category};

use super::{DeadLetter, Failure, Source, SourceRecord};
use crate::{
    codec::parse_event_line,
    model::{EpochMillis, Format, LogEvent, LogSource, Position, ShardId, StreamName, UserRecord},
};

/// What a dead letter adds to its record.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayed {
    /// The part that failed; `None` for a record that could not be decoded, all of which did.
    pub part: Option<Part>,
    /// How often it became a dead letter so far.
    pub attempts: u32,
    /// How it failed the first time.
    pub first_failure: Failure,
}

/// The part of a record that failed: one event, on one route.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The event's index among those of its record.
    pub index: u32,
    /// The event.
    pub event: LogEvent,
    /// Index of the route, and which of the documents that it makes failed, if not all of them did;
    /// `None` for all routes, as if the event were new.
    pub route: Option<(usize, Option<u32>)>,
}

/// What a dead letter is about: a record, or one event of it on one route. The same after each
/// replay that fails.
///
/// Printed as `stream/shard/sequence:sub-sequence`, for an event `/index/route` behind it, with
/// `#document` behind the index when the program made several and one of them was refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId(String);

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a line is not a dead letter that can be replayed. No payload is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LetterError {
    /// It is something else.
    #[error("not a dead letter: {0}")]
    NotALetter(String),
    /// A later version of this program wrote it.
    #[error(
        "a dead letter of version {0}; this program reads version {version}",
        version = DeadLetter::VERSION
    )]
    Version(u64),
    /// A field does not hold what it should.
    #[error("a damaged dead letter: {0}")]
    Damaged(String),
    /// Its stream is not in the configuration, so what its records hold is unknown.
    #[error("stream {0:?} is not in the configuration, so the format of its records is unknown")]
    UnknownStream(String),
    /// It holds the row of a window, whose events were read long ago.
    #[error("it holds a row of a window: take `row` from it and put it where it belongs by hand")]
    Row,
    /// Its route is not in the configuration.
    #[error("route {0:?} is not in the configuration")]
    UnknownRoute(String),
}

/// What a letter is read against.
pub(super) struct Readers<'r> {
    /// The format of a stream.
    pub(super) format: &'r dyn Fn(&str) -> Option<Format>,
    /// The index of a route.
    pub(super) route: &'r dyn Fn(&str) -> Option<usize>,
    /// Whether events go through all routes, whichever they failed on.
    pub(super) all_routes: bool,
}

impl DeadLetter {
    /// Reads one line of a dead-letter file.
    ///
    /// # Errors
    /// [`LetterError`] when it is something else, or a version that is not known.
    pub fn parse(line: &[u8]) -> Result<Self, LetterError> {
        #[derive(Deserialize)]
        struct Version {
            version: u64,
        }
        let version: Version =
            serde_json::from_slice(line).map_err(|error| not_a_letter(&error))?;
        if version.version != u64::from(Self::VERSION) {
            return Err(LetterError::Version(version.version));
        }
        serde_json::from_slice(line).map_err(|error| not_a_letter(&error))
    }

    /// What it is about.
    pub fn id(&self) -> LetterId {
        let Self { stream, shard, sequence_number, sub_sequence_number, .. } = self;
        let mut id = format!("{stream}/{shard}/{sequence_number}:{sub_sequence_number}");
        if let (Some(index), Some(route)) = (self.event_index, &self.route) {
            let document = self.document.map(|document| format!("#{document}")).unwrap_or_default();
            id = format!("{id}/{index}{document}/{route}");
        }
        LetterId(id)
    }

    /// How it failed last.
    pub fn failure(&self) -> Failure {
        Failure {
            stage: self.stage,
            reason: self.reason.clone(),
            configuration: self.configuration.clone(),
        }
    }

    /// When Kinesis took its record.
    ///
    /// # Errors
    /// [`LetterError::Damaged`] when that is not a time.
    pub fn arrival(&self) -> Result<EpochMillis, LetterError> {
        self.arrival.parse().map_err(|_| damaged("arrival is not a time"))
    }

    /// The record to be processed again, with what failed of it.
    pub(super) fn revive(self, readers: &Readers<'_>) -> Result<SourceRecord, LetterError> {
        if self.row.is_some() {
            return Err(LetterError::Row);
        }
        let arrival = self.arrival()?;
        let sequence =
            self.sequence_number.parse().map_err(|_| damaged("sequence_number is not a number"))?;
        let (part, data, format) = match (&self.event, &self.data) {
            (Some(event), _) => (Some(self.part(event.get(), readers)?), Bytes::new(), None),
            (None, Some(data)) => {
                let data = BASE64_STANDARD.decode(data);
                (None, data.map_err(|_| damaged("data is not base64"))?.into(), Some(()))
            }
            (None, None) => return Err(damaged("neither event nor data")),
        };
        let format = match ((readers.format)(&self.stream), format) {
            (Some(format), _) => format,
            // An event is decoded already.
            (None, None) => Format::default(),
            (None, Some(())) => return Err(LetterError::UnknownStream(self.stream)),
        };
        let replayed = Replayed {
            part,
            attempts: self.attempts,
            first_failure: self.first_failure.clone().unwrap_or_else(|| self.failure()),
        };
        let source = Source {
            stream: StreamName::new(self.stream),
            shard: ShardId::new(self.shard),
            format,
        };
        let record = UserRecord {
            position: Position { sequence, sub_sequence: self.sub_sequence_number },
            partition_key: Arc::from(self.partition_key),
            explicit_hash_key: None,
            aggregated: false,
            data,
            arrival,
        };
        Ok(SourceRecord { source: Arc::new(source), record, replayed: Some(Arc::new(replayed)) })
    }

    fn part(&self, event: &str, readers: &Readers<'_>) -> Result<Part, LetterError> {
        let index = self.event_index.ok_or_else(|| damaged("event without event_index"))?;
        let event = parse_event_line(event, &nothing())
            .map_err(|error| LetterError::Damaged(format!("event: {error}")))?;
        let route = match &self.route {
            _ if readers.all_routes => None,
            Some(name) => {
                let route = (readers.route)(name);
                let route = route.ok_or_else(|| LetterError::UnknownRoute(name.clone()))?;
                Some((route, self.document))
            }
            None => return Err(damaged("event without route")),
        };
        Ok(Part { index, event, route })
    }
}

fn damaged(what: &str) -> LetterError {
    LetterError::Damaged(what.to_owned())
}

/// Serde's own words may quote a value.
fn not_a_letter(error: &serde_json::Error) -> LetterError {
    let text = error.to_string();
    let what = match error.classify() {
        Category::Data if text.starts_with("missing field") => text,
        Category::Data => format!("a field of another type (column {})", error.column()),
        Category::Io | Category::Syntax | Category::Eof => {
            format!("not JSON (column {})", error.column())
        }
    };
    LetterError::NotALetter(what)
}

/// What an event holds where its line says nothing.
fn nothing() -> LogEvent {
    LogEvent {
        source: Arc::new(LogSource::default()),
        id: String::new(),
        timestamp: None,
        message: "".into(),
        extra: Map::new(),
    }
}

#[cfg(test)]
#[path = "replayed_tests.rs"]
mod tests;
