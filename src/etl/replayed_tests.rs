use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    codec::{DecodeLimits, KplRecord, aggregate},
    etl::{
        Delivery, Pipeline, PipelineParts, Program, Route, SchemaCheck, SchemaTarget, Stage,
        Validation, WhyDropped,
        pipeline::tests::{envelope, source_record},
    },
};

const LETTERS: usize = 9;

fn pipeline(routes: Vec<Route>) -> Pipeline {
    Pipeline::new(PipelineParts {
        routes,
        sinks: vec!["a".to_owned(), "b".to_owned()],
        dead_letters: LETTERS,
        limits: DecodeLimits::default(),
        configuration: "c0ffee".to_owned(),
    })
}

/// Takes orders only.
fn strict(route: Route) -> Route {
    let schema = SchemaCheck::compile(r#"{"required":["order"]}"#).unwrap();
    let validation =
        Validation { schema: Some((schema, SchemaTarget::Message)), ..Validation::default() };
    Route { validation, ..route }
}

fn split(route: Route, source: &str) -> Route {
    Route { transform: Some(Program::compile(source).unwrap()), ..route }
}

fn letter(delivery: &Delivery) -> DeadLetter {
    assert_eq!((delivery.sink, delivery.route), (LETTERS, None));
    DeadLetter::parse(&delivery.output.json).unwrap()
}

fn letters(deliveries: &[Delivery]) -> Vec<DeadLetter> {
    deliveries.iter().filter(|one| one.route.is_none()).map(letter).collect()
}

fn known(name: &str) -> Option<Format> {
    (name == "logs").then_some(Format::CloudwatchLogs)
}

fn revived(pipeline: &Pipeline, letter: &DeadLetter) -> SourceRecord {
    pipeline.revive(letter.clone(), known, false).unwrap()
}

#[test]
fn a_letter_that_fails_again_is_one_letter_that_remembers_the_first() {
    let bad = pipeline(vec![strict(Route::new("orders", 0))]);
    let mut letter = letters(&bad.process(&envelope(&["{}", r#"{"order":1}"#])).deliveries)
        .pop()
        .expect("one letter");
    let (id, first) = (letter.id(), letter.failure());
    assert_eq!(id.to_string(), "logs/shardId-000000000000/495:0/0/orders");
    let worse = pipeline(vec![split(Route::new("orders", 0), ". = parse_json!(\"{\")")]);
    for attempts in 2..5 {
        let processed = worse.process(&revived(&worse, &letter));
        assert_eq!((processed.deliveries.len(), processed.tally.events), (1, 1));
        letter = letters(&processed.deliveries).pop().unwrap();
        assert_eq!((letter.id(), letter.attempts), (id.clone(), attempts));
        assert_eq!((letter.stage, &letter.first_failure), (Stage::Transform, &Some(first.clone())));
        assert_eq!(letter.arrival, "2023-11-14T22:13:20.123Z");
    }
}

#[test]
fn only_the_route_that_failed_is_replayed() {
    let routes = |orders: Route| {
        vec![
            Route { also: true, ..Route::new("copy", 0) },
            Route { also: true, ..orders },
            Route::new("rest", 1),
        ]
    };
    let bad = pipeline(routes(strict(Route::new("orders", 1))));
    let [letter] = &letters(&bad.process(&envelope(&["{}"])).deliveries)[..] else {
        panic!("one letter")
    };
    let good = pipeline(routes(Route::new("orders", 1)));
    let processed = good.process(&revived(&good, letter));
    let found: Vec<_> = processed.deliveries.iter().map(|one| (one.sink, one.route)).collect();
    assert_eq!(found, [(1, Some(1))]);
    // As if it were new.
    let record = good.revive(letter.clone(), known, true).unwrap();
    assert_eq!(good.process(&record).deliveries.len(), 3);
}

#[test]
fn a_route_that_no_longer_takes_the_event_filters_it() {
    let bad = pipeline(vec![strict(Route::new("orders", 0))]);
    let [letter] = &letters(&bad.process(&envelope(&["noise"])).deliveries)[..] else {
        panic!("one letter")
    };
    let filter = Some(crate::etl::filter::FilterPattern::parse("-noise").unwrap());
    let good = pipeline(vec![Route { filter, ..Route::new("orders", 0) }]);
    let processed = good.process(&revived(&good, letter));
    assert_eq!((processed.deliveries.len(), processed.tally.filtered), (0, 1));
}

#[test]
fn a_refused_document_is_replayed_without_its_siblings() {
    let three = r#". = [{"n": 0}, {"n": 1}, {"n": 2}]"#;
    let pipeline_of = |source: &str| pipeline(vec![split(Route::new("split", 0), source)]);
    let first = pipeline_of(three);
    let record = envelope(&["x"]);
    let deliveries = first.process(&record).deliveries;
    let refused =
        |place: usize| letter(&first.refused(&record, &deliveries[place], "no".to_owned()));
    assert_eq!(refused(1).id().to_string(), "logs/shardId-000000000000/495:0/0#1/split");
    let check = |source: &str, place: usize, expect: &str| {
        let again = pipeline_of(source);
        let processed = again.process(&revived(&again, &refused(place)));
        let made: Vec<_> = processed
            .deliveries
            .iter()
            .map(|one| String::from_utf8_lossy(&one.output.json))
            .collect();
        assert_eq!(made.concat(), expect, "{source}");
        processed
    };
    check(three, 1, r#"{"n":1}"#);
    check(r#". = {"only": true}"#, 0, r#"{"only":true}"#);
    let processed = check(r#". = {"only": true}"#, 2, "");
    assert_eq!((processed.tally.filtered, &processed.dropped[0].why), (1, &WhyDropped::NotMade));

    // Failing in the program keeps the document: the siblings' letters are their own.
    let failing = pipeline_of(". = parse_json!(\"{\")");
    let processed = failing.process(&revived(&failing, &refused(2)));
    assert_eq!(letter(&processed.deliveries[0]).id(), refused(2).id());
    // And so does a second refusal.
    let record = revived(&first, &refused(1));
    let again = first.process(&record).deliveries;
    let twice = letter(&first.refused(&record, &again[0], "no".to_owned()));
    assert_eq!((twice.id(), twice.attempts), (refused(1).id(), 2));
}

#[test]
fn an_undecodable_record_is_replayed_whole() {
    let bad = pipeline(vec![strict(Route::new("orders", 0))]);
    let [letter] = &letters(&bad.process(&source_record(b"{")).deliveries)[..] else {
        panic!("one letter")
    };
    assert_eq!(letter.id().to_string(), "logs/shardId-000000000000/495:0");
    let as_text = bad.revive(letter.clone(), |_| Some(Format::Text), false).unwrap();
    let [event] = &letters(&bad.process(&as_text).deliveries)[..] else { panic!("one letter") };
    assert_eq!((event.stage, event.attempts), (Stage::Validate, 2));
    assert_eq!(event.first_failure.as_ref().unwrap().stage, Stage::Decode);
    let unknown = bad.revive(letter.clone(), |_| None, false).unwrap_err();
    assert_eq!(unknown, LetterError::UnknownStream("logs".to_owned()));
}

#[test]
fn the_readable_members_of_an_aggregate_are_not_replayed_with_the_unreadable_ones() {
    let member = |key: &str| KplRecord {
        partition_key: key.to_owned(),
        explicit_hash_key: None,
        data: Bytes::from_static(b"m"),
    };
    let whole = aggregate(&[member("a")]);
    // The member names key 1 of a table with one key.
    let body: &[u8] = b"\x0a\x01a\x1a\x05\x08\x01\x1a\x01x";
    let digest = <md5::Md5 as md5::Digest>::digest(body);
    let broken = [&whole[..4], body, digest.as_slice()].concat();
    let pipeline = pipeline(vec![Route::new("all", 0)]);
    let parked = pipeline.park(&source_record(&broken), "a member names no key".to_owned());
    let letter = letter(&parked.deliveries[0]);
    // A `bytes` stream would take anything.
    let record = pipeline.revive(letter, |_| Some(Format::Bytes), false).unwrap();
    let again = letters(&pipeline.process(&record).deliveries).pop().unwrap();
    assert_eq!((again.attempts, &*again.reason), (2, "a member names no key"));
}

#[test]
fn what_is_no_letter_says_why_without_its_content() {
    let check = |line: &str, expect: &str| {
        let error = DeadLetter::parse(line.as_bytes()).unwrap_err().to_string();
        assert_eq!(error, expect, "{line}");
    };
    check("secret", "not a dead letter: not JSON (column 1)");
    check(r#"{"secret":1}"#, "not a dead letter: missing field `version` at line 1 column 12");
    check(r#"{"version":"secret"}"#, "not a dead letter: a field of another type (column 19)");
    check(r#"{"version":2}"#, "a dead letter of version 2; this program reads version 1");

    let good = json!({
        "version": 1, "stream": "logs", "shard": "s", "sequence_number": "1",
        "sub_sequence_number": 0, "event_index": 0, "partition_key": "k",
        "arrival": "2023-11-14T22:13:20.123Z", "stage": "validate", "reason": "r",
        "route": "all", "configuration": "c", "attempts": 1, "event": {"message": "m"},
    });
    let pipeline = pipeline(vec![Route::new("all", 0)]);
    let check = |change: Value, expect: Option<&str>| {
        let mut letter = good.clone();
        letter.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let letter = DeadLetter::parse(letter.to_string().as_bytes()).unwrap();
        let found = pipeline.revive(letter, known, false).err().map(|error| error.to_string());
        assert_eq!(found.as_deref(), expect, "{change}");
    };
    check(json!({}), None);
    check(json!({"stream": "gone"}), None);
    check(
        json!({"sequence_number": "x"}),
        Some("a damaged dead letter: sequence_number is not a number"),
    );
    check(json!({"arrival": "x"}), Some("a damaged dead letter: arrival is not a time"));
    check(json!({"route": "gone"}), Some("route \"gone\" is not in the configuration"));
    check(json!({"route": null}), Some("a damaged dead letter: event without route"));
    check(json!({"event_index": null}), Some("a damaged dead letter: event without event_index"));
    check(json!({"event": {}}), Some("a damaged dead letter: event: message is missing"));
    check(json!({"event": null}), Some("a damaged dead letter: neither event nor data"));
    check(json!({"event": null, "data": "?"}), Some("a damaged dead letter: data is not base64"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What a mended pipeline makes of the letters, together with what the broken one delivered, is
    /// what the mended pipeline would have made of the record.
    #[test]
    fn broken_and_replayed_is_as_if_it_never_broke(
        kinds in prop::collection::vec(0usize..4, 1..12),
        refuse in prop::collection::vec(any::<bool>(), 40),
        rounds in 0usize..3,
    ) {
        let messages = ["{}", r#"{"order":1}"#, "text", r#"{"order":2,"two":true}"#];
        let messages: Vec<&str> = kinds.iter().map(|kind| messages[*kind]).collect();
        let source = r#"m = to_string(.message) ?? encode_json(.message)
            . = if contains(m, "two") { [{"n": 1, "m": m}, {"n": 2, "m": m}] } else { {"m": m} }"#;
        let routes = |broken: bool| {
            let mend = |route| if broken { strict(route) } else { route };
            vec![
                Route { also: true, ..mend(split(Route::new("a", 0), source)) },
                mend(Route::new("b", 1)),
            ]
        };
        let (broken, good) = (pipeline(routes(true)), pipeline(routes(false)));
        let record = envelope(&messages);

        let mut delivered = Vec::new();
        let mut waiting = Vec::new();
        let mut refuse = refuse.into_iter().chain(std::iter::repeat(false));
        // The sink refuses some of what comes to it.
        let mut take = |pipeline: &Pipeline, record: &SourceRecord, may_refuse: bool| {
            let mut letters = Vec::new();
            for one in pipeline.process(record).deliveries {
                if one.route.is_none() {
                    letters.push(letter(&one));
                } else if may_refuse && refuse.next().unwrap() {
                    letters.push(letter(&pipeline.refused(record, &one, "no".to_owned())));
                } else {
                    delivered.push((one.sink, one.output.id.to_string(), one.output.json.clone()));
                }
            }
            letters
        };
        waiting.extend(take(&broken, &record, true));
        for _ in 0..rounds {
            for letter in std::mem::take(&mut waiting) {
                let again = take(&broken, &revived(&broken, &letter), true);
                prop_assert!(again.len() <= 1, "one letter becomes one letter at most");
                prop_assert!(again.iter().all(|again| again.id() == letter.id()));
                waiting.extend(again);
            }
        }
        for letter in waiting {
            prop_assert_eq!(take(&good, &revived(&good, &letter), false).len(), 0);
        }
        let mut expect: Vec<_> = good
            .process(&record)
            .deliveries
            .into_iter()
            .map(|one| (one.sink, one.output.id.to_string(), one.output.json))
            .collect();
        delivered.sort();
        expect.sort();
        prop_assert_eq!(delivered, expect);
    }

    #[test]
    fn any_line_is_a_letter_or_refused(line: Vec<u8>) {
        prop_assert!(DeadLetter::parse(&line).is_err());
    }
}
