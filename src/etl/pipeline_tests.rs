//! The pipeline as a whole, from bytes to deliveries.

use proptest::prelude::*;
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
        message: message.into(),
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
    let only = |glob| vec![Route { log_groups: vec![WildMatch::new(glob)], ..Route::new("r", 0) }];
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
    let letter: DeadLetter = serde_json::from_slice(&processed.deliveries[1].output.json).unwrap();
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
        base64::Engine::decode(&base64::prelude::BASE64_STANDARD, letter.data.unwrap()).unwrap(),
        bytes
    );
    assert_eq!((letter.sequence_number.as_str(), letter.configuration.as_str()), ("495", "c0ffee"));
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

/// What a route is made of: filter, program, sink, and whether it has `also`, `default`, a
/// required key, a field.
type Plan = (Option<&'static str>, Option<&'static str>, usize, [bool; 4]);

fn any_plan() -> impl Strategy<Value = Plan> {
    let filter = prop_oneof![Just(None), Just(Some("a")), Just(Some("{ $.k = 1 }"))];
    let program = prop_oneof![
        4 => Just(None),
        1 => Just(Some("if exists(.message.k) { abort \"k\" }")),
        1 => Just(Some(". = [{}, {}]")),
        1 => Just(Some(". = []")),
        1 => Just(Some("%sink = .message.k")),
    ];
    (filter, program, 0..3_usize, any::<[bool; 4]>())
}

fn planned((filter, program, sink, [also, default, key, field]): Plan) -> Route {
    let path = || FieldPath::parse("k").unwrap();
    let test = FieldTest::new(path(), vec![FieldValue::Number("1".to_owned())]);
    let required_keys = if key { vec![path()] } else { Vec::new() };
    Route {
        filter: filter.map(|text| FilterPattern::parse(text).unwrap()),
        fields: if field { vec![test] } else { Vec::new() },
        default,
        also,
        validation: Validation { required_keys, ..Validation::default() },
        transform: program.map(|source| Program::compile(source).unwrap()),
        ..Route::new("any", sink)
    }
}

proptest! {
    /// Whatever the routes: each event is delivered, parked or counted as filtered, in order.
    #[test]
    fn nothing_is_lost_between_the_stages(
        plans in prop::collection::vec(any_plan(), 0..5),
        messages in prop::collection::vec(
            prop_oneof![Just("a"), Just("b"), Just(r#"{"k":1}"#), Just(r#"{"k":"b"}"#)], 0..8),
    ) {
        let routes: Vec<Route> = plans.into_iter().map(planned).collect();
        let unreachable = crate::etl::unreachable(&routes);
        let processed = pipeline(routes).process(&envelope(&messages));
        let mut events: Vec<u32> = processed.deliveries.iter().filter_map(|one| one.event).collect();
        prop_assert!(events.is_sorted());
        events.dedup();
        prop_assert_eq!(processed.tally.events, messages.len() as u64);
        prop_assert_eq!(events.len() as u64 + processed.tally.filtered, processed.tally.events);
        let letters = processed.deliveries.iter().filter(|one| one.route.is_none()).count();
        prop_assert_eq!(letters, processed.failures.len());
        // What is said to be unreachable is not reached.
        for (later, _) in unreachable {
            prop_assert!(processed.deliveries.iter().all(|one| one.route != Some(later)));
        }
    }
}
