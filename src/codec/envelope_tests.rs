//! Tests of the envelope parser.

use serde_json::json;

use super::*;

const MAX: usize = 10;

fn parse(text: &str) -> Result<Vec<Envelope>, EnvelopeError> {
    parse_envelopes(text, MAX)
}

/// The events of the only envelope.
fn events(text: &str) -> Vec<LogEvent> {
    match parse(text).unwrap().pop() {
        Some(Envelope::Data { events, .. }) => events,
        other => panic!("{other:?}"),
    }
}

/// A data envelope around the source text of one event.
fn around(event: &str) -> String {
    format!(
        r#"{{"messageType":"DATA_MESSAGE","owner":"1","logEvents":[{{"message":"ok"}},{event}]}}"#
    )
}

#[test]
fn reads_header_and_events_in_any_order_of_keys() {
    let usual = r#"{"messageType":"DATA_MESSAGE","owner":"123","logGroup":"/g","logStream":"s",
        "subscriptionFilters":["f"],"logEvents":[{"id":"1","timestamp":2,"message":"a\u0000\n"}],
        "policyLevel":"ACCOUNT_LEVEL_POLICY"}"#;
    let odd = r#"{"policyLevel":"ACCOUNT_LEVEL_POLICY","logEvents":[{"message":"a\u0000\n",
        "timestamp":2,"id":"1"}],"subscriptionFilters":["f"],"log\u0053tream":"s","logGroup":"/g",
        "owner":"123","messageType":"DATA_MESSAGE"}"#;
    assert_eq!(parse(usual).unwrap(), parse(odd).unwrap());
    let event = &events(usual)[0];
    assert_eq!(event.source.owner, "123");
    assert_eq!(event.source.log_group, "/g");
    assert_eq!(event.source.log_stream, "s");
    assert_eq!(event.source.subscription_filters, ["f"]);
    assert_eq!(event.source.extra["policyLevel"], "ACCOUNT_LEVEL_POLICY");
    assert_eq!((event.id.as_str(), event.timestamp), ("1", Some(EpochMillis(2))));
    assert_eq!(event.message.as_str(), "a\0\n");
}

#[test]
fn keeps_unknown_fields_of_events() {
    let text = around(r#"{"message":"m","extractedFields":{"a":"1"},"entity":null}"#);
    let extra = &events(&text)[1].extra;
    assert_eq!(
        Value::Object(extra.clone()),
        json!({"extractedFields": {"a": "1"}, "entity": null})
    );
}

#[test]
fn accepts_events_without_id_and_time() {
    for event in [r#"{"message":"m"}"#, r#"{"message":"m","id":null,"timestamp":null}"#] {
        let event = events(&around(event)).pop().unwrap();
        assert_eq!((event.id.as_str(), event.timestamp), ("", None));
    }
}

#[test]
fn control_gives_no_events_wherever_it_says_so() {
    for text in [
        r#"{"messageType":"CONTROL_MESSAGE","logEvents":[{"id":"","timestamp":1,"message":"CWL"}]}"#,
        r#"{"logEvents":[{"id":"","timestamp":1,"message":"CWL"}],"messageType":"CONTROL_MESSAGE"}"#,
    ] {
        assert_eq!(parse(text).unwrap(), [Envelope::Control]);
    }
}

#[test]
fn reads_documents_back_to_back_or_a_line_each() {
    let one = around(r#"{"message":"m"}"#);
    for between in ["", "\n", " \r\n\t"] {
        let all = format!("{between}{one}{between}{one}{between}");
        assert_eq!(parse(&all).unwrap().len(), 2);
    }
    assert_eq!(parse("").unwrap(), []);
    assert_eq!(parse(" \n").unwrap(), []);
}

#[test]
fn many_documents_cost_linear_time() {
    let control = r#"{"messageType":"CONTROL_MESSAGE","logEvents":[]}"#;
    let text = control.repeat(200_000);
    assert_eq!(parse(&text).unwrap().len(), 200_000);
}

#[test]
fn limits_the_events_of_all_documents_together() {
    let one = around(r#"{"message":"m"}"#);
    assert_eq!(parse_envelopes(&one.repeat(2), 4).unwrap().len(), 2);
    let error = parse_envelopes(&one.repeat(2), 3).unwrap_err();
    assert_eq!(error, EnvelopeError { document: 2, problem: Problem::TooManyEvents { limit: 3 } });
}

#[test]
fn refusals_say_what_and_where() {
    let check = |text: &str, reason: &str, expect: &str| {
        let error = parse(text).unwrap_err();
        assert_eq!(error.problem.reason(), reason, "{text}: {error}");
        assert_eq!(error.to_string(), format!("document 1: {expect}"), "{text}");
    };
    check("{}", "missing-message-type", "messageType is missing");
    check(r#"{"logEvents":[]}"#, "missing-message-type", "messageType is missing");
    let other = r#"{"messageType":"OTHER","logEvents":[]}"#;
    check(other, "unknown-message-type", r#"unknown messageType "OTHER""#);
    let bare = r#"{"messageType":"DATA_MESSAGE"}"#;
    check(bare, "missing-log-events", "logEvents is missing");
    check("hello", "not-json", "not json: expected value (line 1, column 1)");
    let array = "invalid type: sequence, expected the object of an envelope (line 1, column 0)";
    check("[]", "bad-field", array);
    let twice = r#"{"owner":"1","owner":"1"}"#;
    check(twice, "bad-field", "owner: the key is there twice (line 1, column 20)");
    check(
        &around(r#"{"message":[{"a":1}]}"#),
        "bad-field",
        "logEvents[1].message: invalid type: sequence, expected a string (line 1, column 84)",
    );
}

#[test]
fn refusals_hold_no_payload() {
    for secret in [
        r#""hunter2""#,
        r#"{"owner":["hunter2"]}"#,
        r#"{"messageType":"DATA_MESSAGE","logEvents":"hunter2"}"#,
        r#"{"messageType":"DATA_MESSAGE","logEvents":[{"id":"1","message":"m","timestamp":"hunter2"}]}"#,
        r#"{"messageType":"DATA_MESSAGE","logEvents":["hunter2 \" and more"]}"#,
        r#"{"messageType":"DATA_MESSAGE","logEvents":[{"id":["hunter2"],"message":"m"}]}"#,
    ] {
        let error = parse(secret).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn refuses_what_would_invent_data() {
    let check = |text: &str, reason: &str, part: &str| {
        let error = parse(text).unwrap_err();
        assert_eq!(error.problem.reason(), reason, "{text}: {error}");
        assert!(error.to_string().contains(part), "{text}: {error}");
    };
    for root in ["\"text\"", "12", "null", "true"] {
        check(root, "bad-field", "expected the object of an envelope");
    }
    check(r#"{"messageType":5}"#, "bad-field", "messageType: invalid type");
    check(r#"{"messageType":null}"#, "bad-field", "messageType: invalid type");
    check(r#"{"owner":["1"]}"#, "bad-field", "owner: invalid type");
    check(r#"{"subscriptionFilters":"f"}"#, "bad-field", "subscriptionFilters: invalid type");
    check(r#"{"logEvents":null}"#, "bad-field", "logEvents: invalid type");
    check(r#"{"logEvents":{}}"#, "bad-field", "logEvents: invalid type");
    check(r#"{"logEvents":[],"logEvents":[]}"#, "bad-field", "logEvents: the key is there twice");
    check(r#"{"x":1,"x":1}"#, "bad-field", r#"the key "x" is there twice"#);
    check(&around("{}"), "bad-field", "logEvents[1]: message is missing");
    check(&around("\"m\""), "bad-field", "logEvents[1]: invalid type");
    check(&around(r#"{"message":null}"#), "bad-field", "logEvents[1].message: invalid type");
    check(&around(r#"{"message":5}"#), "bad-field", "logEvents[1].message: invalid type");
    check(&around(r#"{"id":true,"message":""}"#), "bad-field", "logEvents[1].id: not an id");
    check(&around(r#"{"timestamp":1.5,"message":""}"#), "bad-field", "[1].timestamp: not a time");
    check(&around(r#"{"message":"","message":""}"#), "bad-field", "[1].message: the key is there");
    check(&around(r#"{"message":"","y":1,"y":2}"#), "bad-field", r#"[1]: the key "y" is there"#);
    check(&around(r#"{"message":"\ud800"}"#), "not-json", "logEvents[1].message");
    check(&around(r#"{"message":"m","x":"\ud800"}"#), "not-json", "logEvents[1]");
    check(&around("{\"message\":\"a\nb\"}"), "not-json", "logEvents[1].message");
    check(r#"{"messageType":"DATA_MESSAGE","logEvents":[{"message":"m"}"#, "not-json", "EOF");
    check(&format!("{} x", around(r#"{"message":"m"}"#)), "not-json", "document 2: not json");
    check(&format!("{{\"x\":{}", "[".repeat(100_000)), "not-json", "recursion limit");
}

#[test]
fn messages_do_not_repeat_the_data() {
    let text = format!(r#"{{"logEvents":"{}"}}"#, "secret".repeat(10_000));
    assert!(parse(&text).unwrap_err().to_string().len() < 400);
    let text = format!(r#"{{"messageType":"{}"}}"#, "x".repeat(10_000));
    assert!(parse(&text).unwrap_err().to_string().len() < 400);
}
