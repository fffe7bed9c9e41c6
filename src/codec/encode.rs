//! Log events in, subscription envelopes out: what CloudWatch Logs would have put.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

use super::gunzip::gzip;
use crate::model::{EpochMillis, LogEvent, LogSource};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    message_type: &'a str,
    owner: &'a str,
    log_group: &'a str,
    log_stream: &'a str,
    subscription_filters: &'a [String],
    log_events: Vec<WireEvent<'a>>,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct WireEvent<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<EpochMillis>,
    message: &'a str,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

/// One `DATA_MESSAGE` under gzip, with the key order of AWS. The header is `source`; that of the
/// single events is not looked at.
pub fn encode_envelope(source: &LogSource, events: &[LogEvent]) -> Bytes {
    encode("DATA_MESSAGE", source, events.iter().map(wire_event).collect())
}

/// The `CONTROL_MESSAGE` that CloudWatch Logs puts when a subscription is created or changed.
pub fn control_envelope(now: EpochMillis) -> Bytes {
    let source = LogSource { owner: "CloudwatchLogs".into(), ..LogSource::default() };
    let check = WireEvent {
        id: "",
        timestamp: Some(now),
        message: "CWL CONTROL MESSAGE: Checking health of destination Kinesis stream.",
        extra: &Map::new(),
    };
    encode("CONTROL_MESSAGE", &source, vec![check])
}

fn encode(message_type: &str, source: &LogSource, log_events: Vec<WireEvent<'_>>) -> Bytes {
    let wire = Wire {
        message_type,
        owner: &source.owner,
        log_group: &source.log_group,
        log_stream: &source.log_stream,
        subscription_filters: &source.subscription_filters,
        log_events,
        extra: &source.extra,
    };
    let json = serde_json::to_vec(&wire).expect("text and numbers are always JSON");
    gzip(&json).into()
}

fn wire_event(event: &LogEvent) -> WireEvent<'_> {
    WireEvent {
        id: &event.id,
        timestamp: event.timestamp,
        message: event.message.as_str(),
        extra: &event.extra,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::codec::{Envelope, gunzip, parse_envelopes};

    fn text(envelope: &[u8]) -> String {
        String::from_utf8(gunzip(envelope, 1 << 20).unwrap()).unwrap()
    }

    #[test]
    fn control_is_written_as_aws_writes_it() {
        let expect = concat!(
            r#"{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","#,
            r#""logStream":"","subscriptionFilters":[],"logEvents":[{"id":"","timestamp":7,"#,
            r#""message":"CWL CONTROL MESSAGE: Checking health of destination Kinesis stream."}]}"#,
        );
        assert_eq!(text(&control_envelope(EpochMillis(7))), expect);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_again(
            owner: String,
            filters: Vec<String>,
            policy: Option<String>,
            events in prop::collection::vec(any::<(String, Option<i64>, String, bool)>(), 0..10),
        ) {
            let extra = |name: &str, value: Option<Value>| {
                value.map(|value| (name.to_owned(), value)).into_iter().collect::<Map<_, _>>()
            };
            let source = Arc::new(LogSource {
                owner: owner.clone(),
                log_group: format!("/g/{owner}"),
                log_stream: "s".into(),
                subscription_filters: filters,
                extra: extra("policyLevel", policy.map(Value::from)),
            });
            let events: Vec<_> = events.into_iter().map(|(id, time, message, more)| LogEvent {
                source: Arc::clone(&source),
                id,
                timestamp: time.map(EpochMillis),
                message: message.into(),
                extra: extra("extractedFields", more.then(|| serde_json::json!({"a": "1"}))),
            }).collect();
            let text = text(&encode_envelope(&source, &events));
            let back = parse_envelopes(&text, 100).unwrap();
            prop_assert_eq!(back, [Envelope::Data { source, events }]);
        }
    }
}
