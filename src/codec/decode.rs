//! One user record in, its events out.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Map;

use super::{
    DecodeError, EnvelopeError,
    envelope::{Envelope, parse_envelopes, parse_unread},
    json, payload,
};
use crate::model::{Format, LogEvent, LogSource, UserRecord};

/// How much one user record may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// The most bytes that a payload may inflate to: 64 MiB by default. Without a cap, 1 MiB of
    /// deflate could become 1 GiB.
    pub max_decompressed: usize,
    /// The most events in one payload: 1,000,000 by default. `PutLogEvents` takes 10,000.
    pub max_events: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { max_decompressed: 64 << 20, max_events: 1_000_000 }
    }
}

/// What one user record holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// Its events, in their order. There may be none.
    pub events: Vec<LogEvent>,
    /// How many control messages it holds. They carry no events.
    pub control: u64,
}

/// Decodes one user record.
///
/// - `cloudwatch-logs`: envelopes under gzip. Zlib, plain JSON and base64 text of all three are
///   accepted too, as producers that put records again write them.
/// - `json`: an event for each document, with its compact source text as the message. Documents may
///   be under gzip or zlib.
/// - `text`: one event, the payload as it is, or what it holds under gzip.
/// - `bytes`: one event, the payload as base64, never inflated.
///
/// Events of the last three have an empty header, no id, and the time the record arrived.
///
/// # Errors
/// [`DecodeError`]; the record is refused whole.
pub fn decode_user_record(
    format: Format,
    record: &UserRecord,
    limits: &DecodeLimits,
) -> Result<Decoded, DecodeError> {
    decode(format, record, limits, parse_envelopes)
}

/// [`decode_user_record`] for those who will probably not look into messages: those of envelopes are
/// kept as JSON, see [`Message`](crate::model::Message). The events are the same.
///
/// # Errors
/// As [`decode_user_record`].
pub fn decode_unread(
    format: Format,
    record: &UserRecord,
    limits: &DecodeLimits,
) -> Result<Decoded, DecodeError> {
    decode(format, record, limits, parse_unread)
}

type ParseEnvelopes = fn(&str, usize) -> Result<Vec<Envelope>, EnvelopeError>;

fn decode(
    format: Format,
    record: &UserRecord,
    limits: &DecodeLimits,
    parse_envelopes: ParseEnvelopes,
) -> Result<Decoded, DecodeError> {
    let messages = match format {
        Format::CloudwatchLogs => return decode_envelopes(&record.data, limits, parse_envelopes),
        Format::Json => decode_documents(&record.data, limits)?,
        Format::Text => {
            vec![utf8(&payload::inflate_gzip(&record.data, limits.max_decompressed)?)?.to_owned()]
        }
        Format::Bytes => vec![STANDARD.encode(&record.data)],
    };
    let source = Arc::new(LogSource::default());
    let events = messages
        .into_iter()
        .map(|message| LogEvent {
            source: Arc::clone(&source),
            id: String::new(),
            timestamp: Some(record.arrival),
            message: message.into(),
            extra: Map::new(),
        })
        .collect();
    Ok(Decoded { events, control: 0 })
}

fn decode_envelopes(
    data: &[u8],
    limits: &DecodeLimits,
    parse_envelopes: ParseEnvelopes,
) -> Result<Decoded, DecodeError> {
    let parse = |unpacked: &[u8]| -> Result<Vec<Envelope>, DecodeError> {
        Ok(parse_envelopes(utf8(unpacked)?, limits.max_events)?)
    };
    let envelopes = payload::with_unpacked(data, limits.max_decompressed, parse)??;
    if envelopes.is_empty() {
        return Err(DecodeError::Empty);
    }
    let mut decoded = Decoded::default();
    for envelope in envelopes {
        match envelope {
            Envelope::Control => decoded.control += 1,
            // Nearly every record holds one envelope: its list is taken as it is.
            Envelope::Data { events, .. } if decoded.events.is_empty() => decoded.events = events,
            Envelope::Data { events, .. } => decoded.events.extend(events),
        }
    }
    Ok(decoded)
}

fn decode_documents(data: &[u8], limits: &DecodeLimits) -> Result<Vec<String>, DecodeError> {
    let inflated = payload::inflate(data, limits.max_decompressed)?;
    let documents = json::split_documents(utf8(&inflated)?, limits.max_events)?;
    if documents.is_empty() {
        return Err(DecodeError::Empty);
    }
    Ok(documents)
}

fn utf8(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|error| DecodeError::Utf8 { offset: error.valid_up_to() })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        codec::{
            gunzip::{gzip, zlib},
            render_event,
        },
        model::{EpochMillis, Position},
    };

    const LIMITS: DecodeLimits = DecodeLimits { max_decompressed: 10_000, max_events: 3 };
    const CONTROL: &str = r#"{"messageType":"CONTROL_MESSAGE","logEvents":[]}"#;
    const DATA: &str = r#"{"messageType":"DATA_MESSAGE","logEvents":[{"message":"m"}]}"#;
    const FORMATS: [Format; 4] =
        [Format::CloudwatchLogs, Format::Json, Format::Text, Format::Bytes];

    fn record(data: &[u8]) -> UserRecord {
        UserRecord {
            position: Position { sequence: "1".parse().unwrap(), sub_sequence: 0 },
            partition_key: Arc::from("k"),
            explicit_hash_key: None,
            aggregated: false,
            data: Bytes::copy_from_slice(data),
            arrival: EpochMillis(77),
        }
    }

    fn decode(format: Format, data: &[u8]) -> Result<Decoded, DecodeError> {
        let record = record(data);
        let decoded = decode_user_record(format, &record, &LIMITS);
        let unread = decode_unread(format, &record, &LIMITS);
        assert_eq!(unread, decoded);
        assert_eq!(unread.as_ref().map(lines), decoded.as_ref().map(lines));
        decoded
    }

    fn lines(decoded: &Decoded) -> Vec<u8> {
        let mut lines = Vec::new();
        decoded.events.iter().for_each(|event| render_event(event, &mut lines));
        lines
    }

    #[test]
    fn cloudwatch_logs_comes_under_many_wrappings() {
        let two = format!("{CONTROL}\n{DATA}{DATA}");
        for data in [
            gzip(two.as_bytes()),
            [gzip(CONTROL.as_bytes()), gzip(DATA.as_bytes()), gzip(DATA.as_bytes())].concat(),
            // One document goes on in the next member.
            [gzip(&two.as_bytes()[..70]), gzip(&two.as_bytes()[70..])].concat(),
            zlib(two.as_bytes()),
            two.clone().into_bytes(),
            STANDARD.encode(gzip(two.as_bytes())).into_bytes(),
        ] {
            let decoded = decode(Format::CloudwatchLogs, &data).unwrap();
            assert_eq!((decoded.events.len(), decoded.control), (2, 1));
            assert!(decoded.events.iter().all(|event| event.timestamp.is_none()));
        }
    }

    #[test]
    fn other_formats_make_events_of_the_record() {
        let check = |format, data: &[u8], expect: &[&str]| {
            let decoded = decode(format, data).unwrap();
            let got: Vec<_> = decoded.events.iter().map(|event| event.message.as_str()).collect();
            assert_eq!(got, expect);
            let stamp = Some(EpochMillis(77));
            assert!(decoded.events.iter().all(|e| e.id.is_empty() && e.timestamp == stamp));
        };
        check(Format::Json, b" {\"a\": 1}\n{}\n", &["{\"a\":1}", "{}"]);
        check(Format::Json, &gzip(b"[1, 2]"), &["[1,2]"]);
        check(Format::Json, &zlib(b"7"), &["7"]);
        check(Format::Text, "za\u{17c}\u{f3}\u{142}\u{107}\n\0".as_bytes(), &["zażółć\n\0"]);
        check(Format::Text, b"", &[""]);
        check(Format::Text, &gzip(b"a\nb"), &["a\nb"]);
        // Bytes that begin zlib are text too.
        check(Format::Text, b"x^2", &["x^2"]);
        check(Format::Bytes, b"\xff\x00", &["/wA="]);
    }

    #[test]
    fn the_default_limits_take_the_largest_records() {
        // CloudWatch Logs takes events of 1 MB, a stream records of 10 MiB.
        let event = format!(r#"{{"message":"{}"}}"#, "a".repeat(1 << 20));
        let envelope = format!(r#"{{"messageType":"DATA_MESSAGE","logEvents":[{event}]}}"#);
        let largest = "a".repeat(10 << 20);
        for (format, data) in [
            (Format::CloudwatchLogs, gzip(envelope.as_bytes())),
            (Format::Json, format!("{{\"a\":\"{}\"}}", "a".repeat(1 << 20)).into_bytes()),
            (Format::Text, gzip(largest.as_bytes())),
            (Format::Bytes, largest.into_bytes()),
        ] {
            let decoded = decode_user_record(format, &record(&data), &DecodeLimits::default());
            assert_eq!(decoded.unwrap().events.len(), 1, "{format:?}");
        }
    }

    #[test]
    fn refusals_name_stage_and_reason() {
        let check = |format, data: &[u8], expect: (&str, &str)| {
            let error = decode(format, data).unwrap_err();
            assert_eq!((error.stage(), error.reason()), expect, "{error}");
        };
        let logs = Format::CloudwatchLogs;
        check(logs, b"", ("payload", "empty"));
        check(logs, b" \n", ("payload", "empty"));
        check(logs, &gzip(b""), ("payload", "empty"));
        check(logs, &gzip(b"x")[..12], ("gunzip", "truncated"));
        let with_newline = [&gzip(DATA.as_bytes())[..], b"\n"].concat();
        check(logs, &with_newline, ("gunzip", "trailing-bytes"));
        check(logs, &gzip(&[b' '; 10_001]), ("gunzip", "too-large"));
        check(logs, &gzip(b"{\"a\":\"\xff\"}"), ("utf8", "invalid-utf8"));
        check(logs, &gzip(b"hello"), ("envelope", "not-json"));
        check(logs, b"hello", ("envelope", "not-json"));
        check(logs, b"{}", ("envelope", "missing-message-type"));
        check(logs, DATA.repeat(4).as_bytes(), ("envelope", "too-many-events"));
        check(Format::Json, b"", ("payload", "empty"));
        check(Format::Json, b"{", ("json", "not-json"));
        check(Format::Json, b"1 2 3 4", ("json", "too-many-events"));
        check(Format::Text, b"a\xff", ("utf8", "invalid-utf8"));
        check(Format::Text, &gzip(&[b' '; 10_001]), ("gunzip", "too-large"));
        check(Format::Text, &zlib(b"text"), ("utf8", "invalid-utf8"));
        assert_eq!(decode(Format::Text, b"a\xff"), Err(DecodeError::Utf8 { offset: 1 }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(data: Vec<u8>) {
            for format in FORMATS {
                let _ = decode(format, &data);
                let _ = decode(format, &gzip(&data));
            }
        }

        #[test]
        fn any_message_is_decoded_or_refused(
            message in r#"([a-z\n/é]|\\["\\/bfnrt]|\\u00[0-9a-fA-F]{2}|\\ud83d\\ude00|\\ud800){0,8}"#,
        ) {
            let data = DATA.replace("\"m\"", &format!("\"{message}\""));
            let _ = decode(Format::CloudwatchLogs, data.as_bytes());
        }

        #[test]
        fn any_json_is_decoded_or_refused(text in r#"(\{|\}|\[|\]|,|:|"messageType"|"DATA_MESSAGE"|"logEvents"|"message"|"id"|1|null| ){0,40}"#) {
            for format in FORMATS {
                let _ = decode(format, text.as_bytes());
            }
        }
    }
}
