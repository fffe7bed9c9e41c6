//! Validation: what an event must satisfy, or become a dead letter.

use std::time::Duration;

use bytesize::ByteSize;
use humantime::format_duration;
use wildmatch::WildMatch;

use super::{FieldPath, SchemaCheck, view::EventView};

/// The checks of a route, cheap ones first. What is absent is not checked.
///
/// A reason names the place that fails and no values of the message: it goes into logs, where no
/// payload belongs.
#[derive(Default)]
pub struct Validation {
    /// Most bytes of the message.
    pub max_event_size: Option<ByteSize>,
    /// The log groups that events may come from (`*` and `?` are wildcards); any when empty.
    pub known_log_groups: Vec<WildMatch>,
    /// How long before its record's arrival an event may have happened.
    pub oldest_event: Option<Duration>,
    /// How long after its record's arrival an event may say that it happened: clocks differ.
    pub newest_event: Option<Duration>,
    /// Fields that the message must have, whatever they hold.
    pub required_keys: Vec<FieldPath>,
    /// A JSON Schema, and what must satisfy it.
    pub schema: Option<(SchemaCheck, SchemaTarget)>,
}

/// What must satisfy a schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SchemaTarget {
    /// The parsed message.
    #[default]
    Message,
    /// The event under the names that programs see, with its message parsed if that is a JSON object
    /// or array.
    Event,
}

impl Validation {
    /// Whether a check looks into messages.
    pub(super) fn reads_messages(&self) -> bool {
        self.max_event_size.is_some() || !self.required_keys.is_empty() || self.schema.is_some()
    }

    /// The first check that fails, as the reason for a dead letter.
    pub(super) fn check(&self, view: &EventView<'_>) -> Result<(), String> {
        self.size(view)?;
        self.log_group(view)?;
        self.time(view)?;
        self.keys(view)?;
        match &self.schema {
            None => Ok(()),
            Some((schema, SchemaTarget::Message)) => schema.check(view.document()?),
            Some((schema, SchemaTarget::Event)) => schema.check(view.whole()),
        }
    }

    fn size(&self, view: &EventView<'_>) -> Result<(), String> {
        let Some(most) = self.max_event_size else { return Ok(()) };
        let size = ByteSize::b(view.event.message.as_str().len() as u64);
        match size > most {
            true => Err(format!(
                "/message: has {} bytes, more than max_event_size ({})",
                size.as_u64(),
                most.as_u64()
            )),
            false => Ok(()),
        }
    }

    fn log_group(&self, view: &EventView<'_>) -> Result<(), String> {
        let (known, group) = (&self.known_log_groups, &view.event.source.log_group);
        match known.is_empty() || known.iter().any(|glob| glob.matches(group)) {
            true => Ok(()),
            false => Err(format!("/log_group: {group:?} is none of known_log_groups")),
        }
    }

    fn time(&self, view: &EventView<'_>) -> Result<(), String> {
        if self.oldest_event.is_none() && self.newest_event.is_none() {
            return Ok(());
        }
        let arrival = view.record.record.arrival;
        let Some(time) = view.event.timestamp else {
            return Err("/timestamp: is missing".to_owned());
        };
        // CloudWatch's unit is milliseconds; a time in seconds is early in 1970.
        let seconds = (0..100_000_000_000).contains(&time.0);
        let hint = if seconds { " (seconds instead of milliseconds?)" } else { "" };
        let beyond = |distance: u64, most: Option<Duration>| {
            most.filter(|most| u128::from(distance) > most.as_millis())
        };
        if let Some(oldest) = beyond(arrival.millis_since(time), self.oldest_event) {
            let oldest = format_duration(oldest);
            return Err(format!(
                "/timestamp: {time} is more than oldest_event ({oldest}) before the arrival of its record{hint}"
            ));
        }
        if let Some(newest) = beyond(time.millis_since(arrival), self.newest_event) {
            let newest = format_duration(newest);
            return Err(format!(
                "/timestamp: {time} is more than newest_event ({newest}) after the arrival of its record"
            ));
        }
        Ok(())
    }

    fn keys(&self, view: &EventView<'_>) -> Result<(), String> {
        if self.required_keys.is_empty() {
            return Ok(());
        }
        let Some(root) = view.root() else {
            return Err("the message is no JSON object, so it has no required_keys".to_owned());
        };
        let missing = self.required_keys.iter().filter(|path| !path.exists(root));
        let missing: Vec<String> = missing.map(ToString::to_string).collect();
        match missing.is_empty() {
            true => Ok(()),
            false => Err(format!("{}: missing (required_keys)", missing.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::etl::header::Header;
    use crate::{
        etl::pipeline::tests::{log_event, source_record},
        model::{EpochMillis, LogEvent},
    };

    const HOUR: i64 = 3_600_000;

    fn of(message: &str, validation: &Validation) -> Result<(), String> {
        event(&log_event(message), validation)
    }

    fn event(event: &LogEvent, validation: &Validation) -> Result<(), String> {
        validation.check(&EventView::new(
            &source_record(b""),
            &Header::new(&event.source),
            event,
            0,
        ))
    }

    fn none() -> Validation {
        Validation::default()
    }

    #[test]
    fn sizes_are_those_of_the_message() {
        let most = Validation { max_event_size: Some(ByteSize::b(4)), ..none() };
        assert_eq!(of("éé", &most), Ok(()));
        let reason = "/message: has 5 bytes, more than max_event_size (4)";
        assert_eq!(of("éé!", &most), Err(reason.to_owned()));
    }

    #[test]
    fn events_of_unknown_log_groups_are_refused() {
        let known = |globs: &[&str]| Validation {
            known_log_groups: globs.iter().map(|glob| WildMatch::new(glob)).collect(),
            ..none()
        };
        assert_eq!(of("x", &known(&["/other", "/ap?"])), Ok(()));
        let reason = "/log_group: \"/app\" is none of known_log_groups";
        assert_eq!(of("x", &known(&["/other", "/app/*"])), Err(reason.to_owned()));
    }

    #[test]
    fn times_are_counted_from_the_arrival_of_the_record() {
        let arrival = source_record(b"").record.arrival;
        let hours = |hours| Some(Duration::from_hours(hours));
        let window = Validation { oldest_event: hours(24), newest_event: hours(2), ..none() };
        let at = |time: Option<i64>| {
            event(&LogEvent { timestamp: time.map(EpochMillis), ..log_event("") }, &window)
        };
        for inside in [0, -24 * HOUR, 2 * HOUR] {
            assert_eq!(at(Some(arrival.0 + inside)), Ok(()), "{inside}");
        }
        for (outside, part) in [
            (-24 * HOUR - 1, "is more than oldest_event (1day) before"),
            (2 * HOUR + 1, "is more than newest_event (2h) after"),
            (-arrival.0 + 1_700_000_000, "(seconds instead of milliseconds?)"),
            (i64::MIN, "before the arrival"),
            (i64::MAX - arrival.0, "after the arrival"),
        ] {
            let reason = at(Some(arrival.0.saturating_add(outside))).unwrap_err();
            assert!(reason.starts_with("/timestamp: ") && reason.contains(part), "{reason}");
        }
        assert_eq!(at(None), Err("/timestamp: is missing".to_owned()));
        let timeless = LogEvent { timestamp: None, ..log_event("") };
        assert_eq!(event(&timeless, &none()), Ok(()));
    }

    #[test]
    fn all_missing_keys_are_named() {
        let paths = ["order.id", "order.total", "items[0].sku"];
        let required_keys = paths.map(|path| FieldPath::parse(path).unwrap()).to_vec();
        let keys = Validation { required_keys, ..none() };
        assert_eq!(of(r#"{"order":{"id":null,"total":1},"items":[{"sku":1}]}"#, &keys), Ok(()));
        let reason = of(r#"{"order":{"total":"secret"},"items":[]}"#, &keys).unwrap_err();
        assert_eq!(reason, "order.id, items[0].sku: missing (required_keys)");
        for message in ["text", "[1]", "{"] {
            assert!(of(message, &keys).unwrap_err().contains("no JSON object"), "{message}");
        }
    }

    #[test]
    fn a_schema_is_for_the_message_or_for_the_event() {
        let schema = |text: &str, target| Validation {
            schema: Some((SchemaCheck::compile(text).unwrap(), target)),
            ..none()
        };
        let total = r#"{"properties":{"total":{"type":"number"}}}"#;
        let message = schema(total, SchemaTarget::Message);
        assert_eq!(of(r#"{"total":1}"#, &message), Ok(()));
        assert!(of(r#"{"total":"1"}"#, &message).unwrap_err().starts_with("/total: "));
        assert!(of("text", &message).unwrap_err().starts_with("the message is not JSON: "));
        assert_eq!(of("17", &message), Ok(()), "any document may satisfy a schema");

        let whole = schema(
            &format!(
                r#"{{"properties":{{
                    "owner":{{"pattern":"^[0-9]{{12}}$"}},
                    "log_stream":{{"type":"string"}},
                    "subscription_filters":{{"items":{{"const":"all"}}}},
                    "timestamp":{{"type":"integer"}},
                    "message":{total}}},
                    "required":["log_group","id"]}}"#
            ),
            SchemaTarget::Event,
        );
        assert_eq!(of(r#"{"total":1}"#, &whole), Ok(()));
        assert_eq!(of("text", &whole), Ok(()));
        assert!(of(r#"{"total":"1"}"#, &whole).unwrap_err().starts_with("/message/total: "));
        let timeless = LogEvent { timestamp: None, ..log_event("") };
        assert!(event(&timeless, &whole).unwrap_err().starts_with("/timestamp: "));
        let view_of = log_event("17");
        let record = source_record(b"");
        let header = Header::new(&view_of.source);
        let view = EventView::new(&record, &header, &view_of, 0);
        assert_eq!(view.whole()["message"], Value::from("17"));
    }
}
