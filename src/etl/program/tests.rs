//! Programs on events, as the documentation of this module says.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::*;
use crate::etl::header::Header;
use crate::{
    etl::pipeline::tests::{log_event, source_record},
    model::{LogEvent, LogSource},
};

fn run_on(source: &str, event: &LogEvent) -> Transformed {
    let program = Program::compile(source).unwrap_or_else(|error| panic!("{error}"));
    let (record, header) = (source_record(b"raw"), Header::new(&event.source));
    let view = EventView::new(&record, &header, event, 7);
    program.run(&view, &mut Lines::default())
}

fn run(source: &str, message: &str) -> Transformed {
    run_on(source, &log_event(message))
}

fn documents(transformed: Transformed) -> Vec<Json> {
    match transformed {
        Transformed::Events { documents, .. } => {
            documents.iter().map(|json| serde_json::from_slice(json).unwrap()).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check(source: &str, message: &str, expect: Json) {
    assert_eq!(documents(run(source, message)), [expect]);
}

#[test]
fn the_message_is_parsed_and_the_record_is_metadata() {
    check(
        r#". = {"total": .message.total, "group": .log_group, "shard": %shard}"#,
        r#"{"total": 3}"#,
        json!({"total": 3, "group": "/app", "shard": "shardId-000000000000"}),
    );
}

#[test]
fn text_stays_text() {
    check(". = {\"m\": .message}", "17", json!({"m": "17"}));
    check(". = {\"m\": .message}", "{not json", json!({"m": "{not json"}));
}

#[test]
fn unknown_fields_are_there_and_hide_nothing() {
    let extra = |value: Json| value.as_object().unwrap().clone();
    let mut event = log_event("text");
    event.source = Arc::new(LogSource {
        extra: extra(json!({"policyLevel": "ACCOUNT_LEVEL_POLICY", "owner": 1, "x": 2})),
        ..(*event.source).clone()
    });
    event.extra = extra(json!({"extractedFields": {"@aws.account": "1"}, "id": 3, "x": 4}));
    assert_eq!(
        documents(run_on("true", &event)),
        [json!({
            "owner": "123456789012", "log_group": "/app", "log_stream": "i-1",
            "subscription_filters": ["all"], "id": "1", "timestamp": 1_700_000_000_000_i64,
            "message": "text",
            "policyLevel": "ACCOUNT_LEVEL_POLICY", "header.owner": 1, "x": 2,
            "extractedFields": {"@aws.account": "1"}, "event.id": 3, "event.x": 4,
        })]
    );
    let source = r#". = {"account": .extractedFields."@aws.account", "x": ."event.x"}"#;
    assert_eq!(documents(run_on(source, &event)), [json!({"account": "1", "x": 4})]);
}

#[test]
fn an_event_has_a_name_of_its_own() {
    let source = r#". = {"id": %event_id}"#;
    check(source, "x", json!({"id": "123456789012:/app:i-1:all:1"}));
    let nameless = LogEvent { id: String::new(), ..log_event("x") };
    let place = json!({"id": "logs/shardId-000000000000/495:0/7"});
    assert_eq!(documents(run_on(source, &nameless)), [place]);
}

#[test]
fn metadata_is_there_however_it_is_read() {
    let message = r#"{"b": 1.50, "a": []}"#;
    check(". = {\"m\": %message}", message, json!({"m": message}));
    check(". = {\"m\": exists(%arrival)}", "x", json!({"m": true}));
    check(". = {\"m\": del(%partition_key)}", "x", json!({"m": "key"}));
    check(
        "%arrival = int!(%arrival) + 1; . = {\"m\": %arrival}",
        "x",
        json!({"m": 1_700_000_000_124_i64}),
    );
    check(". = {\"m\": get!(%, [\"sequence_number\"])}", "x", json!({"m": "495"}));
    check(". = {\"m\": length(object!(%))}", "x", json!({"m": METADATA.len()}));
}

#[test]
fn an_array_is_several_events_and_an_empty_one_is_none() {
    assert_eq!(documents(run(r#". = [{"a": 1}, {"a": 2}]"#, "x")).len(), 2);
    assert_eq!(documents(run(". = []", "x")).len(), 0);
}

#[test]
fn a_program_may_choose_the_sink() {
    let sink = |source: &str| match run(source, "x") {
        Transformed::Events { sink, .. } => Ok(sink),
        Transformed::Failed(reason) => Err(reason),
        Transformed::Aborted(reason) => panic!("{reason:?}"),
    };
    assert_eq!(sink("true"), Ok(None));
    assert_eq!(sink("%sink = null"), Ok(None));
    assert_eq!(sink(r#"%sink = "orders""#), Ok(Some("orders".to_owned())));
    assert_eq!(sink(r#"%sink = downcase("ORDERS")"#), Ok(Some("orders".to_owned())));
    let reason = "%sink is integer, expected the name of a sink".to_owned();
    assert_eq!(sink("%sink = 1"), Err(reason));
}

#[test]
fn abort_filters_and_errors_fail() {
    assert_eq!(run(r#"abort "noise""#, "x"), Transformed::Aborted(Some("noise".to_owned())));
    assert!(matches!(run(". = parse_json!(\"{\")", "x"), Transformed::Failed(_)));
    assert!(matches!(run(". = 1", "x"), Transformed::Failed(_)));
}

#[track_caller]
fn refused(source: &str, parts: &[&str]) {
    let shown = Program::compile(source).err().unwrap().to_string();
    for part in parts {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
}

#[test]
fn a_bad_program_shows_line_and_caret() {
    refused(".a = 1\n.b = no_such_function(.a)", &["no_such_function", "2 │"]);
}

#[test]
fn programs_reach_neither_the_network_nor_unbounded_memory() {
    assert!(Program::compile(".a = dns_lookup!(\"example.com\")").is_err());
    assert!(Program::compile(".a = decode_gzip!(.message)").is_err());
}

#[test]
fn the_examples_of_our_functions_hold() {
    for function in functions::all() {
        assert!(!function.examples().is_empty(), "{}", function.identifier());
        for example in function.examples() {
            let source = match example.result {
                Ok(_) => format!(". = {{\"result\": {}}}", example.source),
                Err(_) => example.source.to_owned(),
            };
            match (run(&source, "x"), example.result) {
                (Transformed::Events { documents, .. }, Ok(expect)) => {
                    let found: Json = serde_json::from_slice(&documents[0]).unwrap();
                    let expect = serde_json::from_str(expect).unwrap_or_else(|_| json!(expect));
                    assert_eq!(found["result"], expect, "{}", example.title);
                }
                (Transformed::Failed(reason), Err(expect)) => {
                    assert_eq!(reason, expect, "{}", example.title);
                }
                (other, _) => panic!("{}: {other:?}", example.title),
            }
        }
    }
}

#[test]
fn wrong_calls_of_our_functions_are_diagnosed() {
    refused(".a = cut_marker(.message, \"|\")", &["unhandled fallible assignment", "1 │"]);
    refused(".a = parse_python_literal(17)", &["invalid argument type", "string", "1 │"]);
    refused(".a = cut_marker!(.message, \"\")", &["an empty text marks nothing", "1 │"]);
    refused(".a = cut_marker!(.message, \"a\", end: \"\")", &["an empty text marks nothing"]);
    refused(
        ".a = cut_marker!(.message, \"a\", end: \"b\", before: true)",
        &["`before` takes none"],
    );
    refused(".a = cut_marker!(.message, \"a\", before: .b)", &["literal"]);
    refused(".a = cut_marker!(.message)", &["missing function argument", "marker"]);
    // What a literal may be is known: a number cannot be taken for text.
    refused(".a = downcase(parse_python_literal!(\"1\"))", &["fallible"]);
    // The result of the cut is text: nothing else can fail.
    assert!(Program::compile(".a = downcase(cut_marker!(.message, \"|\"))").is_ok());
}

#[test]
fn markers_that_are_not_there_fail_at_run_time() {
    for (call, part) in [
        (r#"cut_marker!(.message, "<")"#, "`marker` \"<\" is not in the text"),
        (r#"cut_marker!(.message, "|", end: ">")"#, "`end` \">\" is not in the text"),
        (r#"cut_marker!(.message, .no || "")"#, "`marker` is empty"),
        (r#"cut_marker!(.timestamp, "|")"#, "expected string"),
    ] {
        match run(&format!(". = {{\"a\": {call}}}"), "a|b") {
            Transformed::Failed(reason) => assert!(reason.contains(part), "{reason}"),
            other => panic!("{call}: {other:?}"),
        }
    }
}

/// Programs that reach their event in every way there is.
const WAYS: [&str; 31] = [
    "true",
    ".a = del(.log_group)",
    ".message.a = 1",
    ".message.a.b = 1",
    ".message.a[1] = .message.a",
    ".message.a = .message.b.a",
    ".message = {\"a\": .message.a}",
    ". = {\"a\": .message.a, \"owner\": .owner}",
    ". = {\"all\": .}",
    ". = [{\"a\": .message.a}, {\"b\": .id}]",
    "if .message.a == 1 { . = {\"a\": 1} } else if exists(.message.b) { .b = del(.message.b.a) }",
    "del(.message)",
    "del(.message.a)",
    "del(.message.a.b, compact: true)",
    ".x = del(.message.a, compact: true); .y = exists(.message)",
    ".message.a = del(.message.b); .message.b = del(.message.a.b)",
    ".copy = .message.b; .message.b.a = 2; .message.b.c = 3",
    ".message.a = 1; .copy = .message; .message.b = 2; .again = .message",
    ".got = get!(., [\"message\", \"a\"])",
    ".message = set!(object(.message) ?? {}, [\"a\"], 1)",
    ". = remove!(., [\"message\", \"b\"])",
    ". |= {\"a\": 1}",
    ".message = object(.message) ?? {}; .message |= {\"a\": 1}",
    ".n = length(object(.message.b) ?? {}) + length!(.subscription_filters)",
    ". = unnest(.message.a) ?? {\"no\": .message.b}",
    ".x = unnest(.message.a) ?? 1; .message.b = 2; . = unnest(.message.a) ?? {}",
    ".message.c = (.message.c + 1) ?? 0",
    ".last = .message.a[-1]; .first = .message[0]",
    ".message[0] = 1",
    "for_each(object(.message) ?? {}) -> |key, _value| { .message.a = key }",
    ".\"policyLevel\" = 1; .extractedFields.a = .extractedFields.b; del(.timestamp)",
];

mod properties {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use serde_json::Map;

    use super::*;
    use crate::etl::{document::tests::documents, program::fields::Part};

    static PROGRAMS: LazyLock<Vec<Program>> = LazyLock::new(|| {
        WAYS.map(|source| Program::compile(source).unwrap_or_else(|error| panic!("{error}"))).into()
    });

    /// Members that the programs know, and others.
    fn object() -> impl Strategy<Value = Json> {
        let name = prop_oneof![Just("a"), Just("b"), Just("c"), Just("é\"")];
        let inner =
            prop::collection::vec((name.clone(), documents()), 0..4).prop_map(Json::from_iter);
        let array = prop::collection::vec(documents(), 0..3).prop_map(Json::from);
        let member = prop_oneof![Just(json!(1)), documents(), inner, array];
        prop::collection::vec((name, member), 0..5).prop_map(Json::from_iter)
    }

    proptest! {
        /// Only what a program asks for is read into values; it makes no difference.
        #[test]
        fn what_is_not_read_is_there_all_the_same(
            message in prop_oneof![
                4 => object().prop_map(|object| object.to_string()),
                1 => documents().prop_map(|document| document.to_string()),
                1 => any::<String>(),
            ],
            extra in object(),
        ) {
            let mut event = log_event(&message);
            event.extra = Map::from_iter([("extractedFields".to_owned(), extra)]);
            let (record, header) = (source_record(b"raw"), Header::new(&event.source));
            let view = EventView::new(&record, &header, &event, 0);
            let whole: Value = view.fields().iter().map(|(name, field)| {
                (KeyString::from(name.as_str()), Value::from(*field))
            }).collect();
            for (source, program) in WAYS.into_iter().zip(&*PROGRAMS) {
                let expect = EventTarget::of(Part::Value(whole.clone()), program.metadata(&view));
                let expect = program.run_on(expect, &mut Lines::default());
                prop_assert_eq!(program.run(&view, &mut Lines::default()), expect, "{}", source);
            }
        }
    }
}
