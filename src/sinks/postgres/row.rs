//! An event as the texts of a row: the database reads each by its column's type.

use std::borrow::Cow;

use serde_json::Value;

use super::table::Column;
use crate::{model::OutputEvent, sinks::ValueSource};

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

/// The texts of one event, `None` for NULL, in the order of the columns.
pub(super) type Row = Vec<Option<String>>;

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

/// One event as a row.
pub(super) fn row(columns: &[Column], event: &OutputEvent) -> Row {
    columns.iter().map(|column| column.rendering.render(&column.source, event)).collect()
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

/// Rows as COPY's text format (PostgreSQL's manual, COPY).
pub(super) fn copy_text(rows: &[Row]) -> Vec<u8> {
    let mut text = Vec::with_capacity(length(rows));
    for row in rows {
        for (index, value) in row.iter().enumerate() {
            if index > 0 {
                text.push(b'\t');
            }
            match value {
                None => text.extend_from_slice(b"\\N"),
                Some(value) => escape(value, &mut text),
            }
        }
        text.push(b'\n');
    }
    text
}

/// About as many bytes as the text has.
fn length(rows: &[Row]) -> usize {
    rows.iter().flatten().map(|value| value.as_ref().map_or(0, String::len) + 8).sum()
}

/// What is plain is copied as a whole.
fn escape(value: &str, text: &mut Vec<u8>) {
    let mut rest = value.as_bytes();
    while let Some(plain) =
        rest.iter().position(|byte| matches!(byte, b'\\' | b'\n' | b'\r' | b'\t'))
    {
        let (before, special) = rest.split_at(plain);
        text.extend_from_slice(before);
        if let [special, after @ ..] = special {
            let letter = match special {
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                itself => *itself,
            };
            text.extend_from_slice(&[b'\\', letter]);
            rest = after;
        }
    }
    text.extend_from_slice(rest);
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

    #[test]
    fn copy_s_own_characters_are_escaped() {
        let row = vec![Some("a\tb\\c\nd\re".to_owned()), None, Some("\\N".to_owned())];
        assert_eq!(copy_text(&[row]), b"a\\tb\\\\c\\nd\\re\t\\N\t\\\\N\n");
    }
}
