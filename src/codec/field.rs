//! The fields of an event, which come in more than one JSON type.
//!
//! Ids and times are read from their source text: a 186-bit id would lose digits in any number type,
//! and a time in milliseconds should not pass through a float.

use std::{borrow::Cow, fmt};

use memchr::memchr;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::json::compact;
use crate::model::{EpochMillis, Message};

/// An event's id: text, or an unsigned number with its digits kept. `null` is no id.
pub(super) struct EventId(pub(super) String);

/// An event's time: an integer, a float without a fraction, or text of either. `null` is no time.
pub(super) struct EventTime(pub(super) Option<EpochMillis>);

/// An event's message: text, or an object as its compact source text. CloudWatch Logs writes text;
/// the object comes from producers that parse the message and put the envelope again (the sample
/// payload of AWS Lambda Powertools).
pub(super) struct EventMessage(pub(super) Message);

impl<'de> Deserialize<'de> for EventMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MessageVisitor).map(|text| Self(text.into()))
    }
}

/// Reads a message that is text, and keeps its JSON. Refuses all others.
pub(super) struct UnreadMessage;

impl<'de> DeserializeSeed<'de> for UnreadMessage {
    type Value = EventMessage;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<EventMessage, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?;
        Message::from_json(json).map(EventMessage).map_err(D::Error::custom)
    }
}

struct MessageVisitor;

impl<'de> Visitor<'de> for MessageVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    /// Puts the object together from the source of its values, so that order and digits stay.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
        let mut text = String::from("{");
        while let Some(key) = map.next_key::<String>()? {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&serde_json::to_string(&key).map_err(A::Error::custom)?);
            text.push(':');
            text.push_str(&compact(map.next_value::<&RawValue>()?.get()));
        }
        text.push('}');
        Ok(text)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        if let Some(text) = string(raw) {
            return Ok(Self(text.map_err(D::Error::custom)?.into_owned()));
        }
        if raw == "null" {
            return Ok(Self(String::new()));
        }
        if raw.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self(raw.to_owned()));
        }
        Err(D::Error::custom("not an id: neither a string nor a whole number"))
    }
}

impl<'de> Deserialize<'de> for EventTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        if raw == "null" {
            return Ok(Self(None));
        }
        let text = string(raw).transpose().map_err(D::Error::custom)?;
        match parse_millis(text.as_deref().unwrap_or(raw)) {
            Some(millis) => Ok(Self(Some(EpochMillis(millis)))),
            None => Err(D::Error::custom("not a time in whole milliseconds")),
        }
    }
}

/// The text of a JSON string; `None` when the value is no string.
fn string(raw: &str) -> Option<Result<Cow<'_, str>, serde_json::Error>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if memchr(b'\\', inner.as_bytes()).is_some() {
        return Some(serde_json::from_str(raw).map(Cow::Owned));
    }
    Some(Ok(Cow::Borrowed(inner)))
}

/// Reads whole milliseconds. A float counts only where floats are exact, up to 2^53.
fn parse_millis(text: &str) -> Option<i64> {
    if let Ok(millis) = text.parse() {
        return Some(millis);
    }
    // Rust's float parser also takes "inf", "nan" and the like.
    if !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E')) {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    let exact = value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0;
    if !exact {
        return None;
    }
    format!("{value:.0}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_of_every_kind() {
        let check = |json: &str, expect: Option<Option<i64>>| {
            let got = serde_json::from_str::<EventTime>(json).ok();
            let got = got.map(|time| time.0.map(|millis| millis.0));
            assert_eq!(got, expect, "{json}");
        };
        check("1789808292299", Some(Some(1_789_808_292_299)));
        check("\"1789808292299\"", Some(Some(1_789_808_292_299)));
        check(r#""\u0031""#, Some(Some(1)));
        check("1789808292299.0", Some(Some(1_789_808_292_299)));
        check("1.789808292299E12", Some(Some(1_789_808_292_299)));
        check("\"1.789808292299e12\"", Some(Some(1_789_808_292_299)));
        check("-1", Some(Some(-1)));
        check("-0.0", Some(Some(0)));
        check("null", Some(None));
        for bad in [
            "1.5",
            "1e300",
            "9223372036854775808",
            "\"\"",
            "\"soon\"",
            "\"inf\"",
            "\" 1\"",
            "true",
            "[]",
            "{}",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn reads_messages_that_are_text_or_objects() {
        let check = |json: &str, expect: Option<&str>| {
            let got = serde_json::from_str::<EventMessage>(json).ok().map(|message| message.0);
            assert_eq!(got.as_ref().map(Message::as_str), expect, "{json}");
        };
        check(r#""a\n\u0000""#, Some("a\n\0"));
        check("{ }", Some("{}"));
        check(
            r#"{ "b\"" : 1.50, "a": {"z": [1, 1e400], "é": "x y"} , "a": null}"#,
            Some(r#"{"b\"":1.50,"a":{"z":[1,1e400],"é":"x y"},"a":null}"#),
        );
        for bad in ["5", "1.5", "true", "null", "[]", r#""\ud800""#] {
            check(bad, None);
        }
    }

    #[test]
    fn keeps_every_digit_of_an_id() {
        let check = |json: &str, expect: Option<&str>| {
            let got = serde_json::from_str::<EventId>(json).ok().map(|id| id.0);
            assert_eq!(got.as_deref(), expect, "{json}");
        };
        let digits = "39914058680777218331172119955330896220232723406145781760";
        check(digits, Some(digits));
        check(&format!("\"{digits}\""), Some(digits));
        check("\"\"", Some(""));
        check(r#""a\"b""#, Some("a\"b"));
        check("null", Some(""));
        for bad in ["1.5", "-1", "1e5", "true", "{}", "[1]", r#""\ud800""#] {
            check(bad, None);
        }
    }
}
