//! One JSON line in, one event out: what [`super::render_event`] prints, and what people write by hand.

use std::{collections::HashMap, sync::Arc};

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::{
    field::{EventId, EventMessage, EventTime},
    render::FIXED,
};
use crate::model::{LogEvent, LogSource};

/// Why a line is not an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EventLineError(String);

/// Reads an event as [`super::render_event`] prints it. A field that is not there is taken from
/// `absent`; only `message` must be there. As in an envelope the message may be an object and the id
/// a number.
///
/// An unknown field becomes one of the event, unless its name says that it was one of the header.
///
/// # Errors
/// [`EventLineError`], which names the field but no value.
pub fn parse_event_line(line: &str, absent: &LogEvent) -> Result<LogEvent, EventLineError> {
    let mut fields: Fields<'_> = serde_json::from_str(line).map_err(|error| {
        EventLineError(format!("not a JSON object (column {})", error.column().max(1)))
    })?;
    let source = &absent.source;
    let mut header = LogSource {
        owner: fields.text("owner", &source.owner)?,
        log_group: fields.text("logGroup", &source.log_group)?,
        log_stream: fields.text("logStream", &source.log_stream)?,
        subscription_filters: fields
            .take("subscriptionFilters", "a list of texts")?
            .unwrap_or_else(|| source.subscription_filters.clone()),
        extra: source.extra.clone(),
    };
    let id = fields.take("id", "a text or a whole number")?;
    let timestamp = fields.take("timestamp", "milliseconds since 1970, or null")?;
    let message = fields.take("message", "a text or an object")?;
    let extra = fields.rest(&mut header.extra)?;
    let EventMessage(message) =
        message.ok_or_else(|| EventLineError("message is missing".to_owned()))?;
    Ok(LogEvent {
        id: id.map_or_else(|| absent.id.clone(), |EventId(id)| id),
        timestamp: timestamp.map_or(absent.timestamp, |EventTime(time)| time),
        message,
        source: Arc::new(header),
        extra,
    })
}

/// The fields of a line, not read yet: an id may have more digits than a number holds.
#[derive(Deserialize)]
#[serde(transparent)]
struct Fields<'a>(#[serde(borrow)] HashMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    fn take<T: Deserialize<'a>>(
        &mut self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>, EventLineError> {
        self.0.remove(name).map(|raw| read(name, raw, expected)).transpose()
    }

    fn text(&mut self, name: &str, absent: &str) -> Result<String, EventLineError> {
        Ok(self.take(name, "a text")?.unwrap_or_else(|| absent.to_owned()))
    }

    /// The unknown fields of the event; those of the header go there.
    fn rest(self, header: &mut Map<String, Value>) -> Result<Map<String, Value>, EventLineError> {
        let mut event = Map::new();
        for (name, raw) in self.0 {
            let value = read(&name, raw, "a JSON value")?;
            match (renamed(&name, "header."), renamed(&name, "event.")) {
                (Some(name), _) => header.insert(name.to_owned(), value),
                (None, Some(name)) => event.insert(name.to_owned(), value),
                (None, None) => event.insert(name, value),
            };
        }
        Ok(event)
    }
}

/// The name that a field had before it was renamed for standing beside a known one.
fn renamed<'n>(name: &'n str, prefix: &str) -> Option<&'n str> {
    name.strip_prefix(prefix).filter(|name| FIXED.contains(name))
}

/// Serde's own words would quote the value.
fn read<'a, T: Deserialize<'a>>(
    name: &str,
    raw: &'a RawValue,
    expected: &str,
) -> Result<T, EventLineError> {
    serde_json::from_str(raw.get())
        .map_err(|_| EventLineError(format!("{name}: expected {expected}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{codec::render_event, model::EpochMillis};

    fn absent() -> LogEvent {
        LogEvent {
            source: Arc::new(LogSource { log_group: "/absent".into(), ..LogSource::default() }),
            id: "0".into(),
            timestamp: Some(EpochMillis(7)),
            message: "".into(),
            extra: Map::new(),
        }
    }

    fn printed(event: &LogEvent) -> String {
        let mut line = Vec::new();
        render_event(event, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn what_is_absent_is_taken_from_the_model() {
        let event = parse_event_line(r#"{"message":"m","logStream":"s"}"#, &absent()).unwrap();
        assert_eq!((&*event.source.log_group, &*event.source.log_stream), ("/absent", "s"));
        assert_eq!((&*event.id, event.timestamp), ("0", Some(EpochMillis(7))));
        let digits = "39914058680777218331172119955330896220232723406145781760";
        let line = format!(r#"{{"message":{{"a": 1}},"id":{digits},"timestamp":null,"x":[1]}}"#);
        let event = parse_event_line(&line, &absent()).unwrap();
        assert_eq!((&*event.id, event.timestamp), (digits, None));
        assert_eq!(event.message.as_str(), r#"{"a":1}"#);
        assert_eq!(Value::Object(event.extra), json!({"x": [1]}));
    }

    #[test]
    fn what_is_wrong_is_named_without_its_value() {
        let check = |line: &str, problem: &str| {
            let error = parse_event_line(line, &absent()).unwrap_err();
            assert_eq!(error.to_string(), problem);
        };
        check("secret", "not a JSON object (column 1)");
        check("[1]", "not a JSON object (column 1)");
        check(r#"{"id":"1"}"#, "message is missing");
        check(r#"{"message":7}"#, "message: expected a text or an object");
        check(
            r#"{"message":"m","timestamp":"secret"}"#,
            "timestamp: expected milliseconds since 1970, or null",
        );
        check(r#"{"message":"m","owner":1}"#, "owner: expected a text");
        check(
            r#"{"message":"m","subscriptionFilters":"f"}"#,
            "subscriptionFilters: expected a list of texts",
        );
    }

    fn fields() -> impl Strategy<Value = Map<String, Value>> {
        let name = prop_oneof!["[a-z.]{1,8}", Just("id".into()), Just("owner".into())];
        let value = prop_oneof![any::<i64>().prop_map(Value::from), ".*".prop_map(Value::from)];
        prop::collection::btree_map(name, value, 0..4).prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #[test]
        fn a_printed_event_reads_as_itself(
            texts in prop::array::uniform5(".*"),
            filters in prop::collection::vec(".*", 0..3),
            timestamp in prop::option::of(any::<i64>()),
            header in fields(),
            extra in fields(),
        ) {
            let [owner, log_group, log_stream, id, message] = texts;
            let source =
                LogSource { owner, log_group, log_stream, subscription_filters: filters, extra: header };
            let timestamp = timestamp.map(EpochMillis);
            let message = message.into();
            let event = LogEvent { source: Arc::new(source), id, timestamp, message, extra };
            let line = printed(&event);
            let again = parse_event_line(&line, &absent()).unwrap();
            // Fields of the header that were printed under their own names are the event's now.
            prop_assert_eq!(printed(&again).parse::<Value>().unwrap(), line.parse::<Value>().unwrap());
            prop_assert_eq!(&again.message, &event.message);
        }
    }
}
