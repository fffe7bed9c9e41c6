//! One event as one JSON line.

use serde::Serialize;

use super::json::write_string;
use crate::model::{LogEvent, LogSource};

/// The names of the known fields.
pub(super) const FIXED: [&str; 7] =
    ["owner", "logGroup", "logStream", "subscriptionFilters", "id", "timestamp", "message"];

/// Appends an event to `out` as one JSON document without a line's end:
/// `{"owner","logGroup","logStream","subscriptionFilters","id","timestamp","message"}` in this
/// order, then the unknown fields of the header, then those of the event.
///
/// `timestamp` is `null` when the event has none. An unknown field whose name is taken gets the
/// prefix `header.` or `event.`, so that no key is there twice.
pub fn render_event(event: &LogEvent, out: &mut Vec<u8>) {
    render_header(&event.source, out);
    render_rest(event, out);
}

/// The first half of [`render_event`]: what all events of an envelope begin with.
pub fn render_header(source: &LogSource, out: &mut Vec<u8>) {
    text(b"{\"owner\":", &source.owner, out);
    text(b",\"logGroup\":", &source.log_group, out);
    text(b",\"logStream\":", &source.log_stream, out);
    value(b",\"subscriptionFilters\":", &source.subscription_filters, out);
}

/// The second half: what differs, and the unknown fields.
pub fn render_rest(event: &LogEvent, out: &mut Vec<u8>) {
    text(b",\"id\":", &event.id, out);
    value(b",\"timestamp\":", &event.timestamp, out);
    out.extend_from_slice(b",\"message\":");
    match event.message.as_json() {
        Some(json) => out.extend_from_slice(json.as_bytes()),
        None => write_string(event.message.as_str(), out),
    }
    for (name, unknown) in event.unknown_fields(&FIXED) {
        text(b",", &name, out);
        value(b":", unknown, out);
    }
    out.push(b'}');
}

fn text(before: &[u8], text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(before);
    write_string(text, out);
}

fn value(before: &[u8], value: &impl Serialize, out: &mut Vec<u8>) {
    out.extend_from_slice(before);
    serde_json::to_writer(out, value).expect("text and numbers are always JSON");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Map, Value, json};

    use super::*;
    use crate::model::{EpochMillis, LogSource};

    fn fields(value: Value) -> Map<String, Value> {
        let Value::Object(fields) = value else { panic!("an object") };
        fields
    }

    fn check(header: Value, event: Value, timestamp: Option<i64>, message: &str, expect: &str) {
        let event = LogEvent {
            source: Arc::new(LogSource {
                owner: "1".into(),
                log_group: "/g".into(),
                log_stream: "s".into(),
                subscription_filters: vec!["f".into()],
                extra: fields(header),
            }),
            id: "9".into(),
            timestamp: timestamp.map(EpochMillis),
            message: message.into(),
            extra: fields(event),
        };
        let mut line = Vec::new();
        render_event(&event, &mut line);
        let start =
            r#"{"owner":"1","logGroup":"/g","logStream":"s","subscriptionFilters":["f"],"id":"9","#;
        assert_eq!(String::from_utf8(line).unwrap(), format!("{start}{expect}"));
    }

    #[test]
    fn keeps_the_order_and_one_line() {
        check(json!({}), json!({}), Some(5), "m", r#""timestamp":5,"message":"m"}"#);
        check(
            json!({}),
            json!({}),
            None,
            "a\n\t\0\u{1b}[1m\"\\ é\u{2028}",
            "\"timestamp\":null,\"message\":\"a\\n\\t\\u0000\\u001b[1m\\\"\\\\ é\u{2028}\"}",
        );
    }

    #[test]
    fn unknown_fields_follow_and_never_collide() {
        check(
            json!({"policyLevel": "ACCOUNT_LEVEL_POLICY"}),
            json!({"extractedFields": {"a": "1"}}),
            Some(5),
            "m",
            r#""timestamp":5,"message":"m","policyLevel":"ACCOUNT_LEVEL_POLICY","extractedFields":{"a":"1"}}"#,
        );
        check(
            json!({"id": 1, "x": 2}),
            json!({"owner": 3, "x": 4}),
            Some(5),
            "m",
            r#""timestamp":5,"message":"m","header.id":1,"x":2,"event.owner":3,"event.x":4}"#,
        );
    }
}
