//! A column, and how a value is written for it: the database reads each text by the column's type.

use std::borrow::Cow;

use serde_json::Value;

use crate::{model::OutputEvent, sinks::ValueSource};

/// One column that is written.
pub(super) struct Column {
    pub(super) name: String,
    /// Its type without its length, as SQL writes it: a cast to a length would cut what is too long.
    pub(super) kind: String,
    pub(super) rendering: Rendering,
    pub(super) source: ValueSource,
}

impl Column {
    /// The text of one event, `None` for NULL.
    pub(super) fn render(&self, event: &OutputEvent) -> Option<String> {
        self.rendering.render(&self.source, event)
    }
}

/// How a value is written for a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rendering {
    /// JSON as it is, for `json` and `jsonb`.
    Json,
    /// A list as an array literal.
    Array,
    /// A number is milliseconds since 1970, what CloudWatch writes.
    Time,
    /// Text without quotes, numbers and flags as they are written, JSON for the rest.
    Text,
}

impl Rendering {
    /// By the type's name and its category (`pg_type.typcategory`).
    pub(super) fn of(kind: &str, category: &str) -> Self {
        match (kind, category) {
            ("json" | "jsonb", _) => Self::Json,
            (_, "A") => Self::Array,
            (kind, "D") if kind != "time" && !kind.starts_with("time ") => Self::Time,
            _ => Self::Text,
        }
    }

    fn render(self, source: &ValueSource, event: &OutputEvent) -> Option<String> {
        match self {
            // SQL's NULL is what people expect of `null`.
            Self::Json => source.json(event).filter(|json| json != "null").map(Cow::into_owned),
            Self::Text => source.text(event).map(Cow::into_owned),
            Self::Time => {
                let text = source.text(event)?;
                let millis = text.parse::<i64>().ok();
                let time = millis.and_then(|it| jiff::Timestamp::from_millisecond(it).ok());
                Some(time.map_or_else(|| text.into_owned(), |time| time.to_string()))
            }
            Self::Array => {
                let json = source.json(event)?;
                match serde_json::from_str(&json) {
                    Ok(Value::Array(items)) => Some(array(&items)),
                    _ => source.text(event).map(Cow::into_owned),
                }
            }
        }
    }
}

/// `{"a","b",NULL}` (PostgreSQL's manual, 8.15.2).
fn array(items: &[Value]) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let item = |item: &Value| match item {
        Value::Null => "NULL".to_owned(),
        Value::Array(items) => array(items),
        Value::String(text) => quoted(text),
        other => quoted(&other.to_string()),
    };
    format!("{{{}}}", items.iter().map(item).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::testing::event;

    #[test]
    fn a_value_is_written_for_its_column() {
        let event = event(
            1,
            r#"{"text":"it's","n":1.50,"list":["a\"b",null,1,["c"]],"none":null,
                "time":1700000000123,"object":{"a":1}}"#,
        );
        for (kind, category, source, expect) in [
            ("text", "S", "$.text", Some("it's")),
            ("numeric", "N", "$.n", Some("1.50")),
            ("text", "S", "$.object", Some(r#"{"a":1}"#)),
            ("jsonb", "U", "$.text", Some(r#""it's""#)),
            ("jsonb", "U", "$.none", None),
            ("text", "S", "$.none", None),
            ("text", "S", "$.absent", None),
            ("text[]", "A", "$.list", Some(r#"{"a\"b",NULL,"1",{"c"}}"#)),
            ("text[]", "A", "$.text", Some("it's")),
            ("timestamp with time zone", "D", "$.time", Some("2023-11-14T22:13:20.123Z")),
            ("time without time zone", "D", "$.time", Some("1700000000123")),
            ("bigint", "N", "$.time", Some("1700000000123")),
            ("text", "S", "%partition_key", Some("key-1")),
        ] {
            let rendered = Rendering::of(kind, category).render(&source.parse().unwrap(), &event);
            assert_eq!(rendered.as_deref(), expect, "{kind} {source}");
        }
    }
}
