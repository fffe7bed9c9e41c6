//! The pipeline: one user record in, deliveries and counts out.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    DeadLetter, Failure, LetterError, Part, Replayed, Route, Stage, Tally, Transformed,
    dead_letter::FailedEvent, replayed::Readers, view::EventView,
};
use crate::{
    codec::{DecodeLimits, decode_user_record, has_unreadable_members, render_event},
    model::{EventId, Format, LogEvent, OutputEvent, ShardId, StreamName, UserRecord},
};

/// Where records come from: a shard, and what its stream's records hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The stream.
    pub stream: StreamName,
    /// The shard.
    pub shard: ShardId,
    /// What its records hold.
    pub format: Format,
}

/// A user record together with where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceRecord {
    /// Its shard.
    pub source: Arc<Source>,
    /// The record. It has no data when only one event of it is replayed.
    pub record: UserRecord,
    /// What its dead letter says, when it comes from there and not from the stream.
    pub replayed: Option<Arc<Replayed>>,
}

impl SourceRecord {
    /// A record as it was read from its stream.
    pub fn new(source: Arc<Source>, record: UserRecord) -> Self {
        Self { source, record, replayed: None }
    }

    pub(super) fn part(&self) -> Option<&Part> {
        self.replayed.as_ref()?.part.as_ref()
    }

    /// The identity of one of its events.
    pub fn event_id(&self, index: u32) -> EventId {
        EventId {
            stream: self.source.stream.clone(),
            shard: self.source.shard.clone(),
            position: self.record.position.clone(),
            index,
        }
    }
}

/// One thing to be delivered.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Index of the sink.
    pub sink: usize,
    /// Index of the event within its record; several deliveries may belong to one event. `None` for
    /// the dead letter of a record that holds no readable event.
    pub event: Option<u32>,
    /// Index of the route; `None` for a dead letter.
    pub route: Option<usize>,
    /// Which of the documents that the route's program made of the event, when it made several.
    pub document: Option<u32>,
    /// What the sink gets.
    pub output: OutputEvent,
}

/// An event that a route took and that gave nothing to deliver there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Index of the event within its record.
    pub event: u32,
    /// Index of the route.
    pub route: usize,
    /// Why.
    pub why: WhyDropped,
}

/// Why a route had nothing to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyDropped {
    /// The program said `abort`, with this message.
    Aborted(Option<String>),
    /// The program left an empty array.
    Nothing,
    /// Only one document is replayed, and the program does not make it any more.
    NotMade,
}

/// What became of one user record.
#[derive(Debug, Default)]
pub struct Processed {
    /// What is to be delivered, in order.
    pub deliveries: Vec<Delivery>,
    /// What is known already: `delivered`, `dead_lettered` and `undecodable` are counted once their
    /// sinks have said so.
    pub tally: Tally,
    /// Why records and events went to the dead letters, for the log.
    pub failures: Vec<(Stage, String)>,
    /// What routes had nothing to deliver of. An event is filtered if that is all of its routes, or
    /// if it has none.
    pub dropped: Vec<Dropped>,
}

/// What a pipeline is made of.
pub struct PipelineParts {
    /// The routes, in the order of the configuration.
    pub routes: Vec<Route>,
    /// The names of the sinks, by index: programs may choose one.
    pub sinks: Vec<String>,
    /// Index of the sink that dead letters go to.
    pub dead_letters: usize,
    /// Caps on decompression and on events.
    pub limits: DecodeLimits,
    /// Hash of the configuration, for dead letters.
    pub configuration: String,
}

/// Decodes, filters, validates, transforms and routes. Shared by all shards; holds no state.
pub struct Pipeline {
    parts: PipelineParts,
}

impl Pipeline {
    /// A pipeline of these parts.
    pub fn new(parts: PipelineParts) -> Self {
        Self { parts }
    }

    /// Takes one user record through all stages; of one that is replayed only what failed.
    pub fn process(&self, record: &SourceRecord) -> Processed {
        let mut processed = Processed::default();
        processed.tally.user_records = 1;
        if let Some(part) = record.part() {
            processed.tally.decoded = 1;
            self.route(record, part.index, &part.event, &mut processed);
            return processed;
        }
        if let Some(replayed) = &record.replayed
            && has_unreadable_members(&record.record.data)
        {
            // The other members of the aggregate were processed.
            self.undecodable(record, replayed.first_failure.reason.clone(), &mut processed);
            return processed;
        }
        match decode_user_record(record.source.format, &record.record, &self.parts.limits) {
            Ok(decoded) => {
                processed.tally.decoded = 1;
                processed.tally.control = decoded.control;
                for (index, event) in (0u32..).zip(&decoded.events) {
                    self.route(record, index, event, &mut processed);
                }
            }
            Err(error) => self.undecodable(record, error.to_string(), &mut processed),
        }
        processed
    }

    /// The record that a dead letter is about, to be processed again: its event on its route, on all
    /// routes if `all_routes`, or the whole record if it could not be decoded. `format` knows the
    /// streams.
    ///
    /// # Errors
    /// [`LetterError`] when the letter is damaged, or when its stream or route is not known.
    pub fn revive(
        &self,
        letter: DeadLetter,
        format: impl Fn(&str) -> Option<Format>,
        all_routes: bool,
    ) -> Result<SourceRecord, LetterError> {
        let route = |name: &str| self.route_index(name);
        letter.revive(&Readers { format: &format, route: &route, all_routes })
    }

    pub(super) fn route_index(&self, name: &str) -> Option<usize> {
        self.parts.routes.iter().position(|route| route.name == name)
    }

    pub(super) fn route_name(&self, index: Option<usize>) -> Option<String> {
        Some(self.parts.routes.get(index?)?.name.clone())
    }

    pub(super) fn sink_name(&self, index: usize) -> Option<String> {
        self.parts.sinks.get(index).cloned()
    }

    /// A record that gives no events: its bytes go to the dead letters.
    pub fn park(&self, record: &SourceRecord, reason: String) -> Processed {
        let mut processed = Processed::default();
        processed.tally.user_records = 1;
        self.undecodable(record, reason, &mut processed);
        processed
    }

    fn undecodable(&self, record: &SourceRecord, reason: String, out: &mut Processed) {
        out.failures.push((Stage::Decode, reason.clone()));
        let letter = DeadLetter::of_record(record, self.failure(Stage::Decode, reason));
        out.deliveries.push(self.letter(letter, record, None));
    }

    /// The dead letter for a delivery that its sink will never take. The event is decoded again
    /// from its record, so that the letter holds what came in, not what a program made of it.
    pub fn refused(&self, record: &SourceRecord, refused: &Delivery, reason: String) -> Delivery {
        let route = refused.route.and_then(|route| self.parts.routes.get(route));
        let event =
            self.events(record).into_iter().find(|(index, _)| refused.event == Some(*index));
        let letter = match (route, event) {
            (Some(route), Some((index, event))) => {
                let (route, document) = (&*route.name, refused.document);
                let failed = FailedEvent { event: &event, index, route, document };
                DeadLetter::of_event(record, &failed, self.failure(Stage::Deliver, reason))
            }
            // It was decoded before, so this does not happen; the record's bytes hold the event.
            _ => DeadLetter::of_record(record, self.failure(Stage::Decode, reason)),
        };
        self.letter(letter, record, refused.event)
    }

    /// The events of a record, or what is replayed of it, with their indices; none if it cannot be
    /// decoded.
    pub(super) fn events(&self, record: &SourceRecord) -> Vec<(u32, LogEvent)> {
        if let Some(part) = record.part() {
            return vec![(part.index, part.event.clone())];
        }
        let decoded = decode_user_record(record.source.format, &record.record, &self.parts.limits);
        (0u32..).zip(decoded.map(|decoded| decoded.events).unwrap_or_default()).collect()
    }

    fn route(&self, record: &SourceRecord, index: u32, event: &LogEvent, out: &mut Processed) {
        out.tally.events += 1;
        let before = out.deliveries.len();
        let view = EventView::new(record, event, index);
        let only = record.part().and_then(|part| part.route);
        let mut taken = false;
        for (number, route) in self.parts.routes.iter().enumerate() {
            let replayed = only.is_none_or(|(only, _)| only == number);
            if !replayed || !route.takes(&view, taken) {
                continue;
            }
            taken = true;
            let document = only.and_then(|(_, document)| document);
            match self.apply(route, &view, out) {
                Ok(Made::Documents { sink, json }) => {
                    let several = json.len() > 1;
                    let before = out.deliveries.len();
                    let made = (0u32..).zip(json).map(|(place, json)| Delivery {
                        sink,
                        event: Some(index),
                        route: Some(number),
                        document: several.then_some(place),
                        output: OutputEvent {
                            id: record.event_id(index),
                            partition_key: Arc::clone(&record.record.partition_key),
                            arrival: record.record.arrival,
                            json,
                        },
                    });
                    out.deliveries.extend(made.filter(|made| {
                        document.is_none_or(|only| made.document.unwrap_or(0) == only)
                    }));
                    if out.deliveries.len() == before {
                        let why = WhyDropped::NotMade;
                        out.dropped.push(Dropped { event: index, route: number, why });
                    }
                }
                Ok(Made::Nothing(why)) => {
                    out.dropped.push(Dropped { event: index, route: number, why });
                }
                Err((stage, reason)) => {
                    out.failures.push((stage, reason.clone()));
                    let route = &*route.name;
                    let failed = FailedEvent { event, index, route, document };
                    let letter = DeadLetter::of_event(record, &failed, self.failure(stage, reason));
                    out.deliveries.push(self.letter(letter, record, Some(index)));
                }
            }
            if !route.also {
                break;
            }
        }
        // No route wanted it, or every program aborted it or left nothing.
        out.tally.filtered += u64::from(out.deliveries.len() == before);
    }

    fn failure(&self, stage: Stage, reason: String) -> Failure {
        Failure { stage, reason, configuration: self.parts.configuration.clone() }
    }

    /// Validates and transforms one event: where it goes, and as what.
    fn apply(
        &self,
        route: &Route,
        view: &EventView<'_>,
        out: &mut Processed,
    ) -> Result<Made, (Stage, String)> {
        route.validation.check(view).map_err(|reason| (Stage::Validate, reason))?;
        let Some(program) = &route.transform else {
            let mut json = Vec::with_capacity(view.event.message.len() + 256);
            render_event(view.event, &mut json);
            return Ok(Made::Documents { sink: route.sink, json: vec![Bytes::from(json)] });
        };
        let failed = |reason| Err((Stage::Transform, reason));
        match program.run(view, !route.also) {
            Transformed::Events { documents, .. } if documents.is_empty() => {
                Ok(Made::Nothing(WhyDropped::Nothing))
            }
            Transformed::Events { documents, sink: None } => {
                Ok(Made::Documents { sink: route.sink, json: documents })
            }
            Transformed::Events { documents, sink: Some(name) } => {
                match self.parts.sinks.iter().position(|sink| *sink == name) {
                    Some(sink) => Ok(Made::Documents { sink, json: documents }),
                    None => failed("%sink names no sink of the configuration".to_owned()),
                }
            }
            Transformed::Aborted(reason) => {
                out.tally.aborts.count(reason.as_deref());
                Ok(Made::Nothing(WhyDropped::Aborted(reason)))
            }
            Transformed::Failed(reason) => failed(reason),
        }
    }

    fn letter(&self, letter: DeadLetter, record: &SourceRecord, event: Option<u32>) -> Delivery {
        let output = letter.into_output(record, event.unwrap_or(0));
        let sink = self.parts.dead_letters;
        Delivery { sink, event, route: None, document: None, output }
    }
}

/// What a route makes of an event.
enum Made {
    /// Documents for a sink.
    Documents { sink: usize, json: Vec<Bytes> },
    /// Nothing to deliver.
    Nothing(WhyDropped),
}

#[cfg(test)]
pub(super) mod tests {
    use wildmatch::WildMatch;

    use super::*;
    use crate::{
        codec::encode_envelope,
        etl::{
            FieldPath, FieldTest, FieldValue, Program, SchemaCheck, SchemaTarget, Validation,
            filter::FilterPattern,
        },
        model::{EpochMillis, LogSource, Position},
    };

    pub(crate) fn log_event(message: &str) -> LogEvent {
        LogEvent {
            source: Arc::new(LogSource {
                owner: "123456789012".to_owned(),
                log_group: "/app".to_owned(),
                log_stream: "i-1".to_owned(),
                subscription_filters: vec!["all".to_owned()],
                ..LogSource::default()
            }),
            id: "1".to_owned(),
            timestamp: Some(EpochMillis(1_700_000_000_000)),
            message: message.to_owned(),
            extra: serde_json::Map::new(),
        }
    }

    pub(crate) fn source_record(data: &[u8]) -> SourceRecord {
        let source = Source {
            stream: StreamName::new("logs"),
            shard: ShardId::new("shardId-000000000000"),
            format: Format::CloudwatchLogs,
        };
        let record = UserRecord {
            position: Position { sequence: "495".parse().unwrap(), sub_sequence: 0 },
            partition_key: Arc::from("key"),
            explicit_hash_key: None,
            aggregated: false,
            data: Bytes::copy_from_slice(data),
            arrival: EpochMillis(1_700_000_000_123),
        };
        SourceRecord::new(Arc::new(source), record)
    }

    pub(crate) fn envelope(messages: &[&str]) -> SourceRecord {
        let events: Vec<LogEvent> = messages.iter().map(|message| log_event(message)).collect();
        source_record(&encode_envelope(&log_event("").source, &events))
    }

    const LETTERS: usize = 9;

    fn pipeline(routes: Vec<Route>) -> Pipeline {
        Pipeline::new(PipelineParts {
            routes,
            sinks: ["a", "b", "c"].map(str::to_owned).to_vec(),
            dead_letters: LETTERS,
            limits: DecodeLimits::default(),
            configuration: "c0ffee".to_owned(),
        })
    }

    /// The sinks that each delivery goes to, and how many events were filtered.
    fn check(routes: Vec<Route>, messages: &[&str], sinks: &[usize], filtered: u64) -> Processed {
        let processed = pipeline(routes).process(&envelope(messages));
        let found: Vec<usize> = processed.deliveries.iter().map(|one| one.sink).collect();
        assert_eq!((found.as_slice(), processed.tally.filtered), (sinks, filtered), "{messages:?}");
        assert_eq!(processed.tally.events, messages.len() as u64);
        processed
    }

    #[test]
    fn the_first_route_that_matches_takes_the_event() {
        let filter = |text| Some(FilterPattern::parse(text).unwrap());
        let routes = || {
            vec![
                Route { filter: filter("ERROR"), ..Route::new("errors", 0) },
                Route { filter: filter("saved"), ..Route::new("saved", 1) },
            ]
        };
        check(routes(), &["ERROR saved", "saved", "noise"], &[0, 1], 1);
    }

    #[test]
    fn also_lets_later_routes_see_the_event() {
        let routes = vec![Route { also: true, ..Route::new("copy", 0) }, Route::new("rest", 1)];
        check(routes, &["one", "two"], &[0, 1, 0, 1], 0);
    }

    #[test]
    fn log_groups_are_globs() {
        let only =
            |glob| vec![Route { log_groups: vec![WildMatch::new(glob)], ..Route::new("r", 0) }];
        check(only("/a*"), &["x"], &[0], 0);
        check(only("/aws/*"), &["x"], &[], 1);
    }

    #[test]
    fn an_invalid_event_becomes_a_letter_that_holds_it() {
        let schema = SchemaCheck::compile(r#"{"required":["id"]}"#).unwrap();
        let schema = Some((schema, SchemaTarget::Message));
        let validation = Validation { schema, ..Validation::default() };
        let routes = vec![Route { validation, ..Route::new("orders", 0) }];
        let processed = check(routes, &[r#"{"id":1}"#, r#"{"no":1}"#], &[0, LETTERS], 0);
        let letter: DeadLetter =
            serde_json::from_slice(&processed.deliveries[1].output.json).unwrap();
        assert_eq!((letter.stage, letter.route.as_deref()), (Stage::Validate, Some("orders")));
        let event: serde_json::Value = serde_json::from_str(letter.event.unwrap().get()).unwrap();
        assert_eq!(event["message"], r#"{"no":1}"#);
        assert_eq!(letter.data, None);
    }

    #[test]
    fn a_program_may_drop_split_and_fail() {
        let source = r#"
            if .message == "drop" { abort }
            if .message == "fail" { . = parse_json!("{") }
            . = [{"n": 1}, {"n": 2}]"#;
        let transform = Some(Program::compile(source).unwrap());
        let routes = vec![Route { transform, ..Route::new("split", 0) }];
        check(routes, &["drop", "x", "fail"], &[0, 0, LETTERS], 1);
    }

    #[test]
    fn fields_of_the_message_choose_the_route() {
        let kind = |values: &[&str], sink| {
            let path = FieldPath::parse("header.kind").unwrap();
            let values = values.iter().map(|text| FieldValue::Text((*text).to_owned())).collect();
            Route { fields: vec![FieldTest::new(path, values)], ..Route::new("r", sink) }
        };
        let message = |kind: &str| format!(r#"{{"header":{{"kind":"{kind}"}}}}"#);
        let routes = vec![kind(&["order", "refund"], 0), kind(&["click"], 1)];
        let messages = ["click", "order", "refund", "other"].map(message);
        let messages: Vec<&str> = messages.iter().map(String::as_str).chain(["text"]).collect();
        check(routes, &messages, &[1, 0, 0], 2);
    }

    #[test]
    fn the_default_route_takes_what_is_left_over() {
        let filter = |text| Some(FilterPattern::parse(text).unwrap());
        let routes = vec![
            Route { filter: filter("a"), also: true, ..Route::new("a", 0) },
            Route { filter: filter("b"), also: true, ..Route::new("b", 1) },
            Route { default: true, ..Route::new("rest", 2) },
        ];
        check(routes, &["a", "b", "a b", "c"], &[0, 1, 0, 1, 2], 0);
    }

    #[test]
    fn a_program_may_choose_the_sink() {
        let source = "%sink = .message.to";
        let transform = Some(Program::compile(source).unwrap());
        let routes = vec![Route { transform, ..Route::new("r", 0) }];
        let messages = [r#"{"to":"c"}"#, r#"{"to":"nowhere"}"#, "{}"];
        let processed = check(routes, &messages, &[2, LETTERS, 0], 0);
        assert_eq!(processed.failures[0].1, "%sink names no sink of the configuration");
    }

    #[test]
    fn aborts_are_counted_by_reason() {
        let program = |source| Some(Program::compile(source).unwrap());
        let routes = vec![
            Route {
                transform: program("if .message == \"x\" { abort \"an x\" }"),
                also: true,
                ..Route::new("a", 0)
            },
            Route { transform: program("abort"), ..Route::new("b", 0) },
        ];
        let processed = check(routes, &["x", "y", "x"], &[0], 2);
        assert_eq!(processed.tally.aborts.to_string(), "an x: 2, no reason given: 3");
    }

    #[test]
    fn a_record_that_cannot_be_decoded_is_kept_byte_for_byte() {
        let bytes = b"\x1f\x8bnot gzip";
        let processed = pipeline(vec![Route::new("all", 0)]).process(&source_record(bytes));
        assert_eq!(processed.tally.decoded, 0);
        let [only] = processed.deliveries.as_slice() else { panic!("one letter") };
        let letter: DeadLetter = serde_json::from_slice(&only.output.json).unwrap();
        assert_eq!(only.sink, LETTERS);
        assert_eq!(
            base64::Engine::decode(&base64::prelude::BASE64_STANDARD, letter.data.unwrap())
                .unwrap(),
            bytes
        );
        assert_eq!(
            (letter.sequence_number.as_str(), letter.configuration.as_str()),
            ("495", "c0ffee")
        );
    }

    #[test]
    fn a_refused_delivery_becomes_a_letter_with_the_event_as_it_came() {
        let transform = Some(Program::compile(r#". = {"short": true}"#).unwrap());
        let pipeline = pipeline(vec![Route { transform, ..Route::new("all", 0) }]);
        let record = envelope(&["first", "second"]);
        let processed = pipeline.process(&record);
        let letter = pipeline.refused(&record, &processed.deliveries[1], "too long".to_owned());
        let parsed: DeadLetter = serde_json::from_slice(&letter.output.json).unwrap();
        assert_eq!((parsed.stage, parsed.reason.as_str()), (Stage::Deliver, "too long"));
        assert!(parsed.event.unwrap().get().contains("second"));
    }
}
