//! Transforms: programs in the Vector Remap Language, compiled once at the start.
//!
//! The program's target `.` is the event:
//!
//! | Field | Value |
//! |---|---|
//! | `.message` | the parsed message if it is a JSON object or array, else the text |
//! | `.owner`, `.log_group`, `.log_stream`, `.subscription_filters` | where it was logged |
//! | `.id`, `.timestamp` | CloudWatch's id; milliseconds since 1970, or null |
//! | further fields | what the envelope held beside these (`policyLevel`, `extractedFields`, …) |
//!
//! and its metadata `%` is the record: `%stream`, `%shard`, `%sequence_number`,
//! `%sub_sequence_number`, `%partition_key`, `%arrival` (milliseconds since 1970).
//!
//! What `.` holds at the end is the event that is delivered; an array at the root is several events.
//! `abort` filters the event; a run-time error makes it a dead letter.

use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use vrl::{
    compiler::{Context, ExpressionError, Function, TargetValue, TimeZone, state::RuntimeState},
    diagnostic::Formatter,
    value::{KeyString, ObjectMap, Secrets, Value},
};

use super::pipeline::SourceRecord;
use crate::model::LogEvent;

/// A compiled program.
pub struct Program {
    program: vrl::compiler::Program,
    timezone: TimeZone,
}

/// A program that does not compile, as VRL's own diagnostics: line, caret, hint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProgramError(String);

/// What a program made of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transformed {
    /// These events, each one JSON document in one line. May be none.
    Events(Vec<Bytes>),
    /// The program said `abort`, with this message.
    Aborted(Option<String>),
    /// The program failed.
    Failed(String),
}

/// Functions that would wait for the network or read the process's environment: a program must be
/// a function of its event, or a replay is not a replay.
const IMPURE: [&str; 5] =
    ["dns_lookup", "reverse_dns", "http_request", "get_env_var", "get_hostname"];

impl Program {
    /// Compiles a program.
    ///
    /// # Errors
    /// VRL's diagnostics for the whole source.
    pub fn compile(source: &str) -> Result<Self, ProgramError> {
        match vrl::compiler::compile(source, &functions()) {
            Ok(compiled) => {
                // Times without a zone are UTC, whatever the machine's zone is.
                let timezone = TimeZone::parse("UTC").unwrap_or_default();
                Ok(Self { program: compiled.program, timezone })
            }
            Err(diagnostics) => {
                Err(ProgramError(Formatter::new(source, diagnostics).to_string().trim().to_owned()))
            }
        }
    }

    /// Runs the program on one event.
    pub fn run(&self, event: &LogEvent, record: &SourceRecord) -> Transformed {
        let mut target = TargetValue {
            value: Value::Object(fields(event)),
            metadata: Value::Object(metadata(record)),
            secrets: Secrets::default(),
        };
        let mut state = RuntimeState::default();
        let mut context = Context::new(&mut target, &mut state, &self.timezone);
        // A function of the library that panics on some input must not take the shard with it: the
        // event is parked, as after any other failure of the program.
        let run = AssertUnwindSafe(|| self.program.resolve(&mut context));
        match std::panic::catch_unwind(run) {
            Ok(Ok(_) | Err(ExpressionError::Return { .. })) => output(target.value),
            Ok(Err(ExpressionError::Abort { message, .. })) => Transformed::Aborted(message),
            Ok(Err(error)) => Transformed::Failed(error.to_string()),
            Err(_) => Transformed::Failed("the program panicked, which is a bug".to_owned()),
        }
    }
}

fn functions() -> Vec<Box<dyn Function>> {
    vrl::stdlib::all()
        .into_iter()
        .filter(|function| !IMPURE.contains(&function.identifier()))
        .collect()
}

fn output(root: Value) -> Transformed {
    let documents = match root {
        Value::Array(documents) => documents,
        document => vec![document],
    };
    let mut events = Vec::with_capacity(documents.len());
    for document in documents {
        if !matches!(document, Value::Object(_)) {
            let kind = document.kind_str();
            return Transformed::Failed(format!("the program leaves {kind}, expected an object"));
        }
        match serde_json::to_vec(&document) {
            Ok(json) => events.push(Bytes::from(json)),
            Err(error) => return Transformed::Failed(format!("result is not JSON: {error}")),
        }
    }
    Transformed::Events(events)
}

fn fields(event: &LogEvent) -> ObjectMap {
    let source = &event.source;
    let mut fields = ObjectMap::new();
    for (key, value) in source.extra.iter().chain(&event.extra) {
        fields.insert(KeyString::from(key.as_str()), Value::from(value));
    }
    let mut set = |key: &str, value: Value| fields.insert(KeyString::from(key), value);
    set("owner", text(&source.owner));
    set("log_group", text(&source.log_group));
    set("log_stream", text(&source.log_stream));
    let filters = source.subscription_filters.iter().map(|name| text(name)).collect();
    set("subscription_filters", Value::Array(filters));
    set("id", text(&event.id));
    set("timestamp", event.timestamp.map_or(Value::Null, |time| Value::Integer(time.0)));
    set("message", message(&event.message));
    fields
}

fn metadata(record: &SourceRecord) -> ObjectMap {
    let position = &record.record.position;
    let sub_sequence = i64::try_from(position.sub_sequence).unwrap_or(i64::MAX);
    [
        ("stream", text(record.source.stream.as_str())),
        ("shard", text(record.source.shard.as_str())),
        ("sequence_number", text(position.sequence.as_str())),
        ("sub_sequence_number", Value::Integer(sub_sequence)),
        ("partition_key", text(&record.record.partition_key)),
        ("arrival", Value::Integer(record.record.arrival.0)),
    ]
    .into_iter()
    .map(|(key, value)| (KeyString::from(key), value))
    .collect()
}

fn text(text: &str) -> Value {
    Value::Bytes(Bytes::copy_from_slice(text.as_bytes()))
}

/// JSON objects and arrays are parsed; anything else, a bare number too, is what was printed.
fn message(message: &str) -> Value {
    let document = message.trim_start().starts_with(['{', '[']);
    let parsed = document.then(|| serde_json::from_str::<Value>(message).ok()).flatten();
    parsed.unwrap_or_else(|| text(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etl::pipeline::tests::{log_event, source_record};

    fn run(source: &str, message: &str) -> Transformed {
        Program::compile(source).unwrap().run(&log_event(message), &source_record(b"raw"))
    }

    fn events(source: &str, message: &str) -> Vec<serde_json::Value> {
        match run(source, message) {
            Transformed::Events(events) => {
                events.iter().map(|event| serde_json::from_slice(event).unwrap()).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_message_is_parsed_and_the_record_is_metadata() {
        let source = r#". = {"total": .message.total, "group": .log_group, "shard": %shard}"#;
        let expect =
            serde_json::json!({"total": 3, "group": "/app", "shard": "shardId-000000000000"});
        assert_eq!(events(source, r#"{"total": 3}"#), [expect]);
    }

    #[test]
    fn text_stays_text() {
        assert_eq!(events(". = {\"m\": .message}", "17")[0]["m"], "17");
        assert_eq!(events(". = {\"m\": .message}", "{not json")[0]["m"], "{not json");
    }

    #[test]
    fn an_array_is_several_events_and_an_empty_one_is_none() {
        assert_eq!(events(r#". = [{"a": 1}, {"a": 2}]"#, "x").len(), 2);
        assert_eq!(run(". = []", "x"), Transformed::Events(vec![]));
    }

    #[test]
    fn abort_filters_and_errors_fail() {
        assert_eq!(run(r#"abort "noise""#, "x"), Transformed::Aborted(Some("noise".to_owned())));
        assert!(matches!(run(". = parse_json!(\"{\")", "x"), Transformed::Failed(_)));
        assert!(matches!(run(". = 1", "x"), Transformed::Failed(_)));
    }

    #[test]
    fn a_bad_program_shows_line_and_caret() {
        let error = Program::compile(".a = 1\n.b = no_such_function(.a)").err().unwrap();
        let shown = error.to_string();
        assert!(shown.contains("no_such_function") && shown.contains("2 │"), "{shown}");
    }

    #[test]
    fn programs_cannot_reach_the_network() {
        assert!(Program::compile(".a = dns_lookup!(\"example.com\")").is_err());
    }
}
