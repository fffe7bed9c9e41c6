//! What a value may be: reading it, and saying what was expected instead.

use std::{fmt::Display, net::SocketAddr, str::FromStr, time::Duration};

use bytesize::ByteSize;
use config::{Map, Value, ValueKind};

use super::{place::join, redact::redact};
use crate::{
    model::{EndPosition, InitialPosition},
    sinks::{Column, KeyTemplate, PartitionKey, ValueSource},
};

/// Longest duration. Far longer ones would overflow the clock's arithmetic.
const LONGEST: Duration = Duration::from_hours(365 * 24);
/// Most retries that can be asked for (Lambda API reference, `MaximumRetryAttempts`).
const MOST_RETRIES: i64 = 10_000;
/// Lambda's word for no limit.
const NO_LIMIT: i64 = -1;
/// Largest size: a pebibyte. Far larger ones would overflow counters.
const LARGEST: u64 = 1 << 50;

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text, paths and patterns too.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number from 0.
    Count,
    /// A duration such as `10s`.
    Duration,
    /// A number of retries, or -1.
    Attempts,
    /// A duration, or -1.
    Age,
    /// A number of bytes such as `8MiB`.
    Size,
    /// Address and port.
    Address,
    /// Where a stream is read from.
    Position,
    /// The key that events are put under.
    PartitionKey,
    /// The beginning of an object's key.
    Template,
    /// Where a sink finds a value.
    Value,
    /// A table of names, and where a sink finds a value for each; from the environment as `Pairs`.
    Values,
    /// A table of names, and for each a column of a file: a source with its type; from the environment as
    /// `Pairs`.
    Columns,
    /// A table of texts; from the environment `name=value`, with commas.
    Pairs,
    /// Where the reading of a stream ends.
    End,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of texts; from the environment, with commas.
    Texts,
    /// A table of fields, nested or with dots in their names, each with a value or a list of values.
    Fields,
}

impl Kind {
    /// The value in its one spelling, so that `"0.5h"` and `"30m"` are the same value.
    ///
    /// # Errors
    /// What was expected, and what was found.
    pub(super) fn read(self, value: &Value) -> Result<toml::Value, String> {
        let read = match &value.kind {
            ValueKind::String(text) => self.text(text),
            ValueKind::Boolean(flag) if self == Self::Flag => Ok((*flag).into()),
            ValueKind::I64(number) => self.number(*number),
            ValueKind::Array(items) if self == Self::Texts => {
                let texts = items.iter().map(|item| Self::Text.read(item));
                texts.collect::<Result<Vec<_>, _>>().map(toml::Value::Array).map_err(|_| None)
            }
            ValueKind::Table(table) if self == Self::Fields => {
                fields(table).map(toml::Value::Table).ok_or(None)
            }
            ValueKind::Table(table) if self == Self::Pairs => pairs(table).ok_or(None),
            ValueKind::Table(table) if self == Self::Values => {
                pairs(table).ok_or(None).and_then(|pairs| each::<ValueSource>(pairs).map_err(Some))
            }
            ValueKind::Table(table) if self == Self::Columns => {
                pairs(table).ok_or(None).and_then(|pairs| each::<Column>(pairs).map_err(Some))
            }
            _ => Err(None),
        };
        read.map_err(|why| {
            let expected = why.unwrap_or_else(|| self.expected());
            format!("expected {expected}; found {}", found(value))
        })
    }

    /// The value as an environment variable spells it: text that stands for any kind.
    ///
    /// # Errors
    /// As in [`Self::read`].
    pub(super) fn parse(self, text: &str) -> Result<toml::Value, String> {
        let value = match self {
            Self::Flag => text.parse().map(ValueKind::Boolean).ok(),
            Self::Count | Self::Attempts => text.parse().map(ValueKind::I64).ok(),
            Self::Age => (text.parse() == Ok(NO_LIMIT)).then_some(ValueKind::I64(NO_LIMIT)),
            Self::Texts => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Some(ValueKind::Array(items.map(Value::from).collect()))
            }
            Self::Pairs | Self::Values | Self::Columns => {
                let items = text.split(',').filter_map(|pair| pair.split_once('='));
                let pair = |(name, value): (&str, &str)| {
                    (name.trim().to_owned(), Value::from(value.trim()))
                };
                Some(ValueKind::Table(items.map(pair).collect()))
            }
            Self::Fields if text.is_empty() => Some(ValueKind::Table(Map::new())),
            _ => None,
        };
        self.read(&value.map_or_else(|| Value::from(text), |kind| Value::new(None, kind)))
    }

    /// `Err(None)` when it is of another kind, `Err(Some(…))` when there is more to say.
    fn text(self, text: &str) -> Result<toml::Value, Option<String>> {
        let canonical = match self {
            Self::Text => Some(text.to_owned()),
            Self::Word(words) => words.contains(&text).then(|| text.to_owned()),
            Self::Duration | Self::Age => return duration(text).map(toml::Value::from),
            Self::Size => {
                let size: ByteSize = text.trim().parse().map_err(|_| None)?;
                return size_text(size.as_u64()).map(toml::Value::from);
            }
            Self::Address => text.parse().ok().map(|address: SocketAddr| address.to_string()),
            Self::Position => {
                text.parse().ok().map(|position: InitialPosition| position.to_string())
            }
            Self::End => text.parse().ok().map(|end: EndPosition| end.to_string()),
            Self::PartitionKey => {
                return text
                    .parse()
                    .map(|key: PartitionKey| key.to_string().into())
                    .map_err(|_| None);
            }
            Self::Template => {
                return text
                    .parse()
                    .map(|template: KeyTemplate| template.to_string().into())
                    .map_err(|why| Some(format!("{}: {why}", self.expected())));
            }
            Self::Value => {
                return text
                    .parse()
                    .map(|value: ValueSource| value.to_string().into())
                    .map_err(|_| None);
            }
            Self::Flag
            | Self::Count
            | Self::Attempts
            | Self::Texts
            | Self::Fields
            | Self::Pairs
            | Self::Values
            | Self::Columns => None,
        };
        canonical.map(toml::Value::from).ok_or(None)
    }

    fn number(self, number: i64) -> Result<toml::Value, Option<String>> {
        match (self, u64::try_from(number)) {
            (Self::Count, Ok(_)) => Ok(number.into()),
            (Self::Attempts, _) if (NO_LIMIT..=MOST_RETRIES).contains(&number) => Ok(number.into()),
            (Self::Age, _) if number == NO_LIMIT => Ok(number.into()),
            (Self::Size, Ok(bytes)) => size_text(bytes).map(toml::Value::from),
            _ => Err(None),
        }
    }

    pub(super) fn expected(self) -> String {
        match self {
            Self::Text => "text in quotes".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Count => "a whole number such as 500".to_owned(),
            Self::Duration => "a duration such as \"10s\", \"250ms\" or \"5m\"".to_owned(),
            Self::Attempts => {
                format!("a whole number from 0 to {MOST_RETRIES}, or -1 for no limit")
            }
            Self::Age => "a duration such as \"1h\", or -1 for no limit".to_owned(),
            Self::Size => "a size such as \"64KiB\", \"8MiB\" or \"1GB\"".to_owned(),
            Self::Address => "an address and port such as \"127.0.0.1:9464\"".to_owned(),
            Self::Position => {
                "\"TRIM_HORIZON\", \"LATEST\" or a time such as \"2026-01-31T08:00:00Z\"".to_owned()
            }
            Self::PartitionKey => {
                "\"record\", \"random\" or a field such as \"$.order.id\"".to_owned()
            }
            Self::Value => {
                "a field such as \"$.order.id\", \"$\" for the whole event, or a name such as \
                 \"%delivery_id\""
                    .to_owned()
            }
            Self::Template => "a template such as \"{stream}/dt={date}/kind={$.kind}\"".to_owned(),
            Self::Values => {
                "names with fields, such as { id = \"$.order.id\", body = \"$\" }".to_owned()
            }
            Self::Columns => {
                "names with fields and their types, such as { id = \"$.order.id\", total = \
                 \"$.order.total decimal(10,2) not null\" }"
                    .to_owned()
            }
            Self::Pairs => "names with texts, such as { app = \"orders\" }".to_owned(),
            Self::End => "\"LATEST\" or a time such as \"2026-01-31T08:00:00Z\"".to_owned(),
            Self::Word(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
                match quoted.split_last() {
                    Some((last, [])) => last.clone(),
                    Some((last, others)) => format!("{} or {last}", others.join(", ")),
                    None => String::new(),
                }
            }
            Self::Texts => "a list of texts such as [\"a\", \"b\"]".to_owned(),
            Self::Fields => {
                "fields with what they may hold, such as { type = \"order\", version = [1, 2] }"
                    .to_owned()
            }
        }
    }
}

/// The fields of a table by their paths, each with the list of its values.
fn fields(table: &Map<String, Value>) -> Option<toml::Table> {
    let mut fields = toml::Table::new();
    for (name, value) in table {
        match &value.kind {
            ValueKind::Table(inner) => {
                let inner = self::fields(inner)?;
                fields.extend(inner.into_iter().map(|(path, value)| (join(name, &path), value)));
            }
            ValueKind::Array(items) => {
                let values = items.iter().map(scalar).collect::<Option<Vec<_>>>()?;
                fields.insert(name.clone(), values.into());
            }
            _ => {
                fields.insert(name.clone(), vec![scalar(value)?].into());
            }
        }
    }
    Some(fields)
}

/// A table of texts. Names may hold dots, which have made tables of their own.
fn pairs(table: &Map<String, Value>) -> Option<toml::Value> {
    let texts = fields(table)?.into_iter().map(|(name, values)| {
        let text = values.as_array()?.first()?.as_str()?.to_owned();
        Some((name, text.into()))
    });
    texts.collect::<Option<toml::Table>>().map(toml::Value::Table)
}

/// Each of them in its one spelling.
fn each<T: FromStr<Err = String> + Display>(pairs: toml::Value) -> Result<toml::Value, String> {
    let toml::Value::Table(pairs) = pairs else { return Ok(pairs) };
    let parsed = pairs.into_iter().map(|(name, text)| {
        let parsed = text.as_str().unwrap_or_default().parse::<T>();
        let parsed = parsed.map_err(|why| format!("a value for {name}: {why}"))?;
        Ok((name, parsed.to_string().into()))
    });
    parsed.collect::<Result<toml::Table, _>>().map(toml::Value::Table)
}

fn scalar(value: &Value) -> Option<toml::Value> {
    match &value.kind {
        ValueKind::String(text) => Some(text.clone().into()),
        ValueKind::Boolean(flag) => Some((*flag).into()),
        ValueKind::I64(number) => Some((*number).into()),
        ValueKind::Float(number) if number.is_finite() => Some((*number).into()),
        _ => None,
    }
}

/// What a value is, in few words.
pub(super) fn found(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) => {
            format!("{:?}", redact(text).chars().take(100).collect::<String>())
        }
        ValueKind::Table(_) => "a table".to_owned(),
        ValueKind::Array(_) => "a list".to_owned(),
        ValueKind::Nil => "nothing".to_owned(),
        scalar => scalar.to_string(),
    }
}

fn duration(text: &str) -> Result<String, Option<String>> {
    let too_long = || Some("a duration of at most 365 days".to_owned());
    match humantime::parse_duration(text) {
        Ok(duration) if duration > LONGEST => Err(too_long()),
        Ok(duration) => Ok(duration_text(duration)),
        // Below a nanosecond is the other cause of an overflow.
        Err(humantime::DurationError::NumberOverflow) if !text.contains('.') => Err(too_long()),
        Err(_) => Err(None),
    }
}

/// `1day` and the like would be a year of 365.25 days and a month of 30.44: hours and less are exact.
fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [
        (u128::from(seconds / 3600), "h"),
        (u128::from(seconds % 3600 / 60), "m"),
        (u128::from(seconds % 60), "s"),
        (u128::from(duration.subsec_millis()), "ms"),
        (u128::from(duration.subsec_micros() % 1000), "us"),
        (u128::from(duration.subsec_nanos() % 1000), "ns"),
    ];
    let shown = parts.iter().filter(|(count, _)| *count > 0);
    let shown: Vec<String> = shown.map(|(count, unit)| format!("{count}{unit}")).collect();
    if shown.is_empty() { "0s".to_owned() } else { shown.join(" ") }
}

fn size_text(bytes: u64) -> Result<String, Option<String>> {
    const UNITS: [(u64, &str); 10] = [
        (1 << 50, "PiB"),
        (1 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
        (1_000_000_000_000, "TB"),
        (1_000_000_000, "GB"),
        (1_000_000, "MB"),
        (1000, "kB"),
        (1, "B"),
    ];
    if bytes > LARGEST {
        return Err(Some("a size of at most 1PiB".to_owned()));
    }
    // Exact: no unit that would round.
    let exact = UNITS.iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    let (unit, name) = exact.unwrap_or(&(1, "B"));
    Ok(format!("{}{name}", bytes / unit))
}
