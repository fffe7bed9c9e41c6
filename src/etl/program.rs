//! Transforms: programs in the Vector Remap Language, compiled once at the start.
//!
//! The program's target `.` is the event:
//!
//! | Field | Value |
//! |---|---|
//! | `.message` | the parsed message if it is a JSON object or array, else the text |
//! | `.owner`, `.log_group`, `.log_stream`, `.subscription_filters` | where it was logged |
//! | `.id`, `.timestamp` | CloudWatch's id; milliseconds since 1970, or null |
//! | further fields | what the envelope held beside these (`policyLevel`, `extractedFields`, …); one whose name is taken is `."header.…"` or `."event.…"` |
//!
//! and its metadata `%` is the record: `%stream`, `%shard`, `%sequence_number`,
//! `%sub_sequence_number`, `%partition_key`, `%arrival` (milliseconds since 1970). `%message` is the
//! message as it was logged. `%event_id` is a text that no other event has and that is the same
//! however often this one is delivered: what [`LogEvent::identity`] says, or the event's place in its
//! shard where there is no id.
//!
//! | What the program leaves | What becomes of the event |
//! |---|---|
//! | an object in `.` | that is delivered |
//! | an array of objects in `.` | several events; none when it is empty |
//! | the name of a sink in `%sink` | it goes there instead of to the route's sink |
//! | `abort` | it is filtered; the message of `abort` is counted as the reason |
//! | a run-time error | a dead letter, with the event as it came |
//!
//! # Functions
//! The standard library of VRL (<https://vrl.dev>), without those that would wait for the network or
//! read the process's environment, and:
//!
//! | Function | |
//! |---|---|
//! | `parse_python_literal(value)` | what Python prints of a dict, list, tuple, set, string, number, `True`, `False` or `None`; `true`, `false`, `null` too. Tuples and sets are arrays. Fails on anything else (`nan`, `Decimal('1')`), and says where |
//! | `format_millis(value)` | milliseconds since 1970 as RFC 3339 in UTC, at a tenth of the cost of `format_timestamp` |
//! | `cut_marker(value, marker, [end], [before])` | the part of a text behind the first `marker`, up to `end` if given; with `before: true` the part in front of it. Fails when a marker is not there |
//!
//! ```coffee
//! # 2026-01-31 INFO |312F14DS|{'dot_type': 'order', 'paid': True}
//! . = object!(parse_python_literal!(cut_marker!(.message, "|312F14DS|")))
//! %sink = if .dot_type == "order" { "orders" } else { "rest" }
//! ```

use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use smallvec::SmallVec;
use vrl::{
    compiler::{Context, ExpressionError, Function, TargetValue, TimeZone, state::RuntimeState},
    diagnostic::Formatter,
    path,
    path::{OwnedSegment, PathPrefix},
    value::{KeyString, ObjectMap, Secrets, Value},
};

use super::{
    functions,
    lines::Lines,
    program_value::{from_document, text},
    view::{EventView, FIELDS},
};
#[cfg(doc)]
use crate::model::LogEvent;

/// A compiled program.
pub struct Program {
    compiled: vrl::compiler::Program,
    timezone: TimeZone,
    /// What it may read of [`METADATA`].
    metadata: Vec<(KeyString, Metadata)>,
}

/// A program that does not compile, as VRL's own diagnostics: line, caret, hint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProgramError(String);

/// What a program made of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Transformed {
    /// These events. May be none.
    Events {
        /// Each one JSON document in one line.
        documents: SmallVec<[Bytes; 1]>,
        /// The sink that the program has chosen for them.
        sink: Option<String>,
    },
    /// The program said `abort`, with this message.
    Aborted(Option<String>),
    /// The program failed.
    Failed(String),
}

/// Functions that would wait for the network or read the process's environment: a program must be
/// a function of its event, or a replay is not a replay.
const IMPURE: [&str; 5] =
    ["dns_lookup", "reverse_dns", "http_request", "get_env_var", "get_hostname"];

/// Functions whose result may be a thousand times as large as what they are given: a small record
/// must not fill the memory. Payloads are inflated, with a cap, before a program sees them.
const UNBOUNDED: [&str; 5] =
    ["decode_gzip", "decode_zlib", "decode_zstd", "decode_snappy", "decode_lz4"];

impl Program {
    /// Compiles a program.
    ///
    /// # Errors
    /// VRL's diagnostics for the whole source.
    pub fn compile(source: &str) -> Result<Self, ProgramError> {
        match vrl::compiler::compile(source, &library()) {
            Ok(compiled) => {
                // Times without a zone are UTC, whatever the machine's zone is.
                let timezone = TimeZone::parse("UTC").unwrap_or_default();
                let metadata = wanted(&compiled.program);
                Ok(Self { compiled: compiled.program, timezone, metadata })
            }
            Err(diagnostics) => {
                Err(ProgramError(Formatter::new(source, diagnostics).to_string().trim().to_owned()))
            }
        }
    }

    /// Runs the program on one event. `last` says that no other program will see it.
    pub(super) fn run(&self, view: &EventView<'_>, last: bool, lines: &mut Lines) -> Transformed {
        let mut target = TargetValue {
            value: Value::Object(fields(view, last)),
            metadata: Value::Object(self.metadata(view)),
            secrets: Secrets::default(),
        };
        let mut state = RuntimeState::default();
        let mut context = Context::new(&mut target, &mut state, &self.timezone);
        // A function of the library that panics on some input must not take the shard with it: the
        // event is parked, as after any other failure of the program.
        let run = AssertUnwindSafe(|| self.compiled.resolve(&mut context));
        match std::panic::catch_unwind(run) {
            Ok(Ok(_) | Err(ExpressionError::Return { .. })) => output(target, lines),
            Ok(Err(ExpressionError::Abort { message, .. })) => Transformed::Aborted(message),
            Ok(Err(error)) => Transformed::Failed(error.to_string()),
            Err(_) => Transformed::Failed("the program panicked, which is a bug".to_owned()),
        }
    }

    fn metadata(&self, view: &EventView<'_>) -> ObjectMap {
        self.metadata.iter().map(|(name, read)| (name.clone(), read(view))).collect()
    }
}

fn library() -> Vec<Box<dyn Function>> {
    let mut library = vrl::stdlib::all();
    let refused = |name: &str| IMPURE.contains(&name) || UNBOUNDED.contains(&name);
    library.retain(|function| !refused(function.identifier()));
    library.extend(functions::all());
    library
}

fn output(target: TargetValue, lines: &mut Lines) -> Transformed {
    let sink = match target.metadata.get(path!("sink")) {
        None | Some(Value::Null) => None,
        Some(name) => {
            let Some(name) = name.to_str_lossy() else {
                let kind = name.kind_str();
                return Transformed::Failed(format!(
                    "%sink is {kind}, expected the name of a sink"
                ));
            };
            Some(name.into_owned())
        }
    };
    let roots = match target.value {
        Value::Array(roots) => roots,
        root => vec![root],
    };
    let mut documents = SmallVec::with_capacity(roots.len());
    for document in roots {
        if !matches!(document, Value::Object(_)) {
            let kind = document.kind_str();
            return Transformed::Failed(format!("the program leaves {kind}, expected an object"));
        }
        match lines.document(&document) {
            Ok(json) => documents.push(json),
            Err(error) => return Transformed::Failed(format!("result is not JSON: {error}")),
        }
    }
    Transformed::Events { documents, sink }
}

fn fields(view: &EventView<'_>, last: bool) -> ObjectMap {
    let event = view.event;
    let [owner, log_group, log_stream, filters] = view.header.for_program();
    let values = [
        owner,
        log_group,
        log_stream,
        filters,
        text(&event.id),
        event.timestamp.map_or(Value::Null, |time| Value::Integer(time.0)),
        view.for_program(last),
    ];
    let unknown = event.unknown_fields(&FIELDS);
    let unknown = unknown.map(|(name, value)| (KeyString::from(&*name), from_document(value)));
    let mut fields = ObjectMap::new();
    fields.extend(FIELDS.map(KeyString::from).into_iter().zip(values));
    fields.extend(unknown);
    fields
}

/// Reads one field of the metadata.
type Metadata = fn(&EventView<'_>) -> Value;

/// What a program may read of the record.
const METADATA: [(&str, Metadata); 8] = [
    ("stream", |view| text(view.record.source.stream.as_str())),
    ("shard", |view| text(view.record.source.shard.as_str())),
    ("sequence_number", |view| text(view.record.record.position.sequence.as_str())),
    ("sub_sequence_number", |view| {
        let sub_sequence = view.record.record.position.sub_sequence;
        Value::Integer(i64::try_from(sub_sequence).unwrap_or(i64::MAX))
    }),
    ("partition_key", |view| text(&view.record.record.partition_key)),
    ("arrival", |view| Value::Integer(view.record.record.arrival.0)),
    ("message", |view| text(&view.event.message)),
    ("event_id", |view| {
        let identity = view.event.identity();
        text(&identity.unwrap_or_else(|| view.record.event_id(view.index).to_string()))
    }),
];

/// The metadata that a program mentions: most programs mention none, and each costs an allocation.
fn wanted(program: &vrl::compiler::Program) -> Vec<(KeyString, Metadata)> {
    let queries = &program.info().target_queries;
    let paths = queries.iter().filter(|query| query.prefix == PathPrefix::Metadata);
    let firsts: Vec<Option<&OwnedSegment>> =
        paths.map(|query| query.path.segments.first()).collect();
    let mentioned = |name: &str| {
        firsts.iter().any(|first| match first {
            Some(OwnedSegment::Field(field)) => &**field == name,
            // All of `%`, or something that is no field of it.
            _ => true,
        })
    };
    METADATA
        .into_iter()
        .filter(|(name, _)| mentioned(name))
        .map(|(name, read)| (name.into(), read))
        .collect()
}

#[cfg(test)]
mod tests {
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
        program.run(&view, true, &mut Lines::default())
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
}
