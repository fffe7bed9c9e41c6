//! Columns of objects that have such, as people write them: `$.order.total decimal(10,2) not null`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::sinks::ValueSource;

/// Most digits of a decimal, as readers take it (Athena and Spark: 38).
const MOST_DIGITS: u8 = 38;
/// How a column says that it holds a value in each row.
const NOT_NULL: &str = " not null";

/// Where a column's values come from, and what they are. As text `SOURCE [TYPE] [not null]`; without a
/// type it is a `string`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Column {
    /// The field, or what is known of the record.
    pub source: ValueSource,
    /// The type.
    pub kind: ColumnType,
    /// Whether a value may be absent or `null`.
    pub nullable: bool,
}

/// The type of a column, by the names that Athena and Spark have in `CREATE TABLE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// One value.
    One(ScalarType),
    /// `array<…>`: a list of values, each of which may be `null`.
    Array(ScalarType),
}

/// The type of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalarType {
    /// Text; a number or flag as it is written, an object or list as JSON.
    String,
    /// JSON as text: a text with its quotes.
    Json,
    /// `true` or `false`.
    Boolean,
    /// 32 bits.
    Int,
    /// 64 bits.
    Bigint,
    /// IEEE 754, 32 bits.
    Float,
    /// IEEE 754, 64 bits.
    Double,
    /// An exact number.
    Decimal {
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Those behind the point, at most `precision`.
        scale: u8,
    },
    /// A day, in UTC where a value is a time.
    Date,
    /// A moment, in milliseconds.
    Timestamp,
    /// `timestamp(6)`: a moment, in microseconds.
    TimestampMicros,
}

/// Types without parameters.
const NAMES: [(&str, ScalarType); 10] = [
    ("string", ScalarType::String),
    ("json", ScalarType::Json),
    ("boolean", ScalarType::Boolean),
    ("int", ScalarType::Int),
    ("bigint", ScalarType::Bigint),
    ("float", ScalarType::Float),
    ("double", ScalarType::Double),
    ("date", ScalarType::Date),
    ("timestamp", ScalarType::Timestamp),
    ("timestamp(6)", ScalarType::TimestampMicros),
];

impl FromStr for Column {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (typed, nullable) = match text.strip_suffix(NOT_NULL) {
            Some(typed) => (typed.trim_end(), false),
            None => (text, true),
        };
        let kind = ColumnType::One(ScalarType::String);
        // A path may hold spaces: what is a source as a whole has no type.
        if let Ok(source) = typed.parse() {
            return Ok(Self { source, kind, nullable });
        }
        let Some((source, kind)) = typed.rsplit_once(' ') else {
            return Err(typed.parse::<ValueSource>().err().unwrap_or_default());
        };
        let source = source.trim_end().parse()?;
        Ok(Self { source, kind: kind.parse()?, nullable })
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let null = if self.nullable { "" } else { NOT_NULL };
        write!(f, "{} {}{null}", self.source, self.kind)
    }
}

impl TryFrom<String> for Column {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Column> for String {
    fn from(column: Column) -> Self {
        column.to_string()
    }
}

impl FromStr for ColumnType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match inner(text, "array<", ">") {
            Some(item) => item.parse().map(Self::Array),
            None => text.parse().map(Self::One),
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(kind) => kind.fmt(f),
            Self::Array(kind) => write!(f, "array<{kind}>"),
        }
    }
}

impl FromStr for ScalarType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, kind)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(*kind);
        }
        if let Some((precision, scale)) =
            inner(text, "decimal(", ")").and_then(|it| it.split_once(','))
            && let (Ok(precision), Ok(scale)) = (precision.parse(), scale.parse())
            && (1..=MOST_DIGITS).contains(&precision)
            && scale <= precision
        {
            return Ok(Self::Decimal { precision, scale });
        }
        let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        Err(format!(
            "{text:?} is no type: expected {}, decimal(10,2) with at most {MOST_DIGITS} digits, or an \
             array<…> of one of them",
            names.join(", ")
        ))
    }
}

impl fmt::Display for ScalarType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Decimal { precision, scale } = self {
            return write!(f, "decimal({precision},{scale})");
        }
        let name = NAMES.iter().find(|(_, kind)| kind == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

fn inner<'t>(text: &'t str, begin: &str, end: &str) -> Option<&'t str> {
    text.strip_prefix(begin)?.strip_suffix(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_read_as_they_print() {
        for (text, shown) in [
            ("$.id", "$.id string"),
            ("$.['a b']", "$.['a b'] string"),
            ("$.['a b'] not null", "$.['a b'] string not null"),
            ("%arrival timestamp not null", "%arrival timestamp not null"),
            ("  $.n   bigint ", "$.n bigint"),
            ("$ json", "$ json"),
            ("$.t decimal(10,2)", "$.t decimal(10,2)"),
            ("$.t array<timestamp(6)>", "$.t array<timestamp(6)>"),
        ] {
            let column: Column = text.parse().unwrap();
            assert_eq!(column.to_string(), shown);
            assert_eq!(shown.parse::<Column>().unwrap(), column);
        }
    }

    #[test]
    fn what_is_no_column_says_why() {
        for (text, part) in [
            ("", "says no value"),
            ("id", "says no value"),
            ("id bigint", "\"id\" says no value"),
            ("$.id text", "\"text\" is no type"),
            ("$.id decimal(39,2)", "is no type"),
            ("$.id decimal(2,3)", "is no type"),
            ("$.id array<array<int>>", "\"array<int>\" is no type"),
            ("$.id not null bigint", "\"$.id not null\" is no path"),
        ] {
            let why = text.parse::<Column>().unwrap_err();
            assert!(why.contains(part), "{text:?}: {why}");
        }
    }
}
