//! What a test puts into the pipeline: captured payloads, messages, events, dead letters.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Map, value::RawValue};

use super::super::offline::Offline;
use crate::{
    codec::{deaggregate, decode_user_record, encode_envelope, parse_event_line, payload},
    etl::{DeadLetter, Failure, Replayed, Source, SourceRecord, Stage},
    model::{
        EpochMillis, Format, LogEvent, LogSource, Position, RawRecord, ShardId, StreamName,
        UserRecord,
    },
};

/// How an input is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// All of it is one payload, as `decode` reads them.
    Payload,
    /// Each line is one payload in base64.
    Base64Lines,
    /// Each line is a message.
    Messages,
    /// Each line is JSON: a message, an event, a record or a dead letter.
    JsonLines,
}

impl Form {
    /// The form that a file's ending says.
    pub(super) fn of(file: &Path) -> Self {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("jsonl") => Self::JsonLines,
            Some("txt" | "log") => Self::Messages,
            _ => Self::Payload,
        }
    }
}

/// Where everything comes from that does not say so itself.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) stream: String,
    pub(super) log_group: String,
    pub(super) log_stream: String,
    pub(super) arrival: Option<EpochMillis>,
}

/// When records arrive whose events say no time: the same in every run.
pub(super) const ARRIVAL: EpochMillis = EpochMillis(1_767_225_600_000);

const SHARD: &str = "shardId-000000000000";

/// Reads inputs for a pipeline.
pub(super) struct Capture<'o> {
    pub(super) offline: &'o Offline,
    pub(super) origin: Origin,
}

/// What a line may say of its record, in keys that are called as programs call them.
struct Place {
    stream: String,
    shard: String,
    sequence_number: String,
    partition_key: String,
    arrival: Option<EpochMillis>,
}

type Fields = BTreeMap<String, Box<RawValue>>;

/// What a line's problem is called when it is JSON of the wrong kind.
const KINDS: &str = "expected a text (a message), or an object with message (an event), data (a record) or version (a dead letter)";

impl Capture<'_> {
    /// The user records of one input, in order.
    ///
    /// # Errors
    /// What is wrong with a line, and which.
    pub(super) fn records(&self, form: Form, input: &[u8]) -> Result<Vec<SourceRecord>, String> {
        if form == Form::Payload {
            let data = payload::record_bytes(&Bytes::copy_from_slice(input));
            return self.payload(&self.place(1), data);
        }
        let mut records = Vec::new();
        for (number, line) in (1u64..).zip(input.split(|byte| *byte == b'\n')) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.trim_ascii().is_empty() {
                continue;
            }
            let read = match form {
                Form::Base64Lines => payload::decode_base64(line)
                    .ok_or_else(|| "not base64".to_owned())
                    .and_then(|data| self.payload(&self.place(number), data.into())),
                Form::Messages => self.message(number, line),
                Form::JsonLines if line.trim_ascii_start().starts_with(b"#") => continue,
                Form::JsonLines | Form::Payload => self.json_line(number, line),
            };
            records.extend(read.map_err(|problem| format!("line {number}: {problem}"))?);
        }
        Ok(records)
    }

    /// The place of the input's record with this number.
    fn place(&self, number: u64) -> Place {
        Place {
            stream: self.origin.stream.clone(),
            shard: SHARD.to_owned(),
            sequence_number: number.to_string(),
            partition_key: "test".to_owned(),
            arrival: self.origin.arrival,
        }
    }

    fn message(&self, number: u64, line: &[u8]) -> Result<Vec<SourceRecord>, String> {
        let message = String::from_utf8_lossy(line).into_owned().into();
        let event = LogEvent { message, ..self.model() };
        self.event(&self.place(number), event)
    }

    fn json_line(&self, number: u64, line: &[u8]) -> Result<Vec<SourceRecord>, String> {
        let not_json = |error: &serde_json::Error| format!("not JSON (column {})", error.column());
        if line.trim_ascii_start().starts_with(b"\"") {
            let message: String = serde_json::from_slice(line).map_err(|error| not_json(&error))?;
            return self.message(number, message.as_bytes());
        }
        let mut fields: Fields =
            serde_json::from_slice(line).map_err(|error| match error.is_data() {
                true => KINDS.to_owned(),
                false => not_json(&error),
            })?;
        if fields.contains_key("version") && fields.contains_key("stage") {
            return self.letter(line);
        }
        let place = self.take_place(number, &mut fields)?;
        if fields.contains_key("message") {
            return self.event_line(&place, &fields);
        }
        match fields.get("data") {
            Some(data) => {
                let data: String = read("data", data, "base64")?;
                let data =
                    payload::decode_base64(data.as_bytes()).ok_or("data: expected base64")?;
                self.payload(&place, data.into())
            }
            None => Err(KINDS.to_owned()),
        }
    }

    fn letter(&self, line: &[u8]) -> Result<Vec<SourceRecord>, String> {
        let streams = &self.offline.streams;
        let letter = DeadLetter::parse(line).map_err(|error| error.to_string())?;
        let revived = self.offline.pipeline.revive(letter, |name| streams.format(name), false);
        Ok(vec![revived.map_err(|error| error.to_string())?])
    }

    /// Takes the keys that begin with `%` out of a line. A record as `decode --records` prints it
    /// names its partition key without.
    fn take_place(&self, number: u64, fields: &mut Fields) -> Result<Place, String> {
        let mut place = self.place(number);
        if fields.contains_key("data")
            && let Some(key) = fields.get("partition_key")
        {
            place.partition_key = read("partition_key", key, "a text")?;
        }
        let named: Vec<String> =
            fields.keys().filter(|key| key.starts_with('%')).cloned().collect();
        for key in named {
            let Some(raw) = fields.remove(&key) else { continue };
            match &*key {
                "%stream" => place.stream = read(&key, &raw, "a text")?,
                "%shard" => place.shard = read(&key, &raw, "a text")?,
                "%sequence_number" => place.sequence_number = read(&key, &raw, "a text of digits")?,
                "%partition_key" => place.partition_key = read(&key, &raw, "a text")?,
                "%arrival" => {
                    let text = raw.get().trim_matches('"');
                    let time = text.parse().map_err(|error| format!("{key}: {error}"))?;
                    place.arrival = Some(time);
                }
                _ => {
                    return Err(format!(
                        "unknown key {key}; there are %stream, %shard, %sequence_number, \
                         %partition_key and %arrival"
                    ));
                }
            }
        }
        Ok(place)
    }

    fn event_line(&self, place: &Place, fields: &Fields) -> Result<Vec<SourceRecord>, String> {
        let line = serde_json::to_string(fields).map_err(|error| error.to_string())?;
        let event = parse_event_line(&line, &self.model());
        let event = event.map_err(|error| error.to_string())?;
        let format = self.format(&place.stream)?;
        if format != Format::CloudwatchLogs
            && let Some(other) = fields.keys().find(|key| *key != "message")
        {
            return Err(format!(
                "{other} says nothing here: the records of stream {} hold messages only",
                place.stream
            ));
        }
        self.event(place, event)
    }

    /// What an event holds where its line says nothing: nothing that changes with its place.
    fn model(&self) -> LogEvent {
        let source = LogSource {
            owner: "000000000000".to_owned(),
            log_group: self.origin.log_group.clone(),
            log_stream: self.origin.log_stream.clone(),
            subscription_filters: vec!["test".to_owned()],
            extra: Map::new(),
        };
        LogEvent {
            source: Arc::new(source),
            id: "0".to_owned(),
            timestamp: Some(self.origin.arrival.unwrap_or(ARRIVAL)),
            message: "".into(),
            extra: Map::new(),
        }
    }

    /// An event as its stream would hold it.
    fn event(&self, place: &Place, event: LogEvent) -> Result<Vec<SourceRecord>, String> {
        let data = match self.format(&place.stream)? {
            Format::CloudwatchLogs => {
                let source = Arc::clone(&event.source);
                encode_envelope(&source, &[event])
            }
            Format::Json | Format::Text | Format::Bytes => event.message.as_str().to_owned().into(),
        };
        self.payload(place, data)
    }

    fn payload(&self, place: &Place, data: Bytes) -> Result<Vec<SourceRecord>, String> {
        let source = Arc::new(Source {
            stream: StreamName::new(&place.stream),
            shard: ShardId::new(&place.shard),
            format: self.format(&place.stream)?,
        });
        let sequence = place.sequence_number.parse();
        let raw = RawRecord {
            sequence: sequence.map_err(|error| format!("%sequence_number: {error}"))?,
            partition_key: place.partition_key.clone(),
            data,
            arrival: place.arrival.unwrap_or(ARRIVAL),
        };
        let members = deaggregate(&raw);
        let records = members.records.into_iter().map(|mut record| {
            if place.arrival.is_none() {
                record.arrival = self.latest(source.format, &record);
            }
            SourceRecord::new(Arc::clone(&source), record)
        });
        let mut records: Vec<SourceRecord> = records.collect();
        if members.unreadable > 0 {
            records.push(unreadable(&source, &raw, members.unreadable));
        }
        Ok(records)
    }

    /// When a captured record arrived, as far as its events tell.
    fn latest(&self, format: Format, record: &UserRecord) -> EpochMillis {
        let decoded = decode_user_record(format, record, &self.offline.limits);
        let events = decoded.map(|decoded| decoded.events).unwrap_or_default();
        events.iter().filter_map(|event| event.timestamp).max().unwrap_or(ARRIVAL)
    }

    fn format(&self, stream: &str) -> Result<Format, String> {
        let streams = &self.offline.streams;
        streams.format(stream).ok_or_else(|| {
            let known: Vec<&str> = streams.names().collect();
            format!(
                "stream {stream:?} is not in the configuration; there are: {}",
                known.join(", ")
            )
        })
    }
}

fn read<T: DeserializeOwned>(key: &str, raw: &RawValue, expected: &str) -> Result<T, String> {
    serde_json::from_str(raw.get()).map_err(|_| format!("{key}: expected {expected}"))
}

/// The letter of what could not be read of a KPL aggregate, as it comes back.
fn unreadable(source: &Arc<Source>, raw: &RawRecord, members: u64) -> SourceRecord {
    let record = UserRecord {
        position: Position { sequence: raw.sequence.clone(), sub_sequence: 0 },
        partition_key: Arc::from(raw.partition_key.as_str()),
        explicit_hash_key: None,
        aggregated: false,
        data: raw.data.clone(),
        arrival: raw.arrival,
    };
    let reason =
        format!("{members} user records of this KPL aggregate name keys that it does not hold");
    let first_failure = Failure { stage: Stage::Decode, reason, configuration: String::new() };
    let replayed = Replayed { part: None, attempts: 0, first_failure };
    SourceRecord { source: Arc::clone(source), record, replayed: Some(Arc::new(replayed)) }
}
