//! One value of an event as a column holds it.

use jiff::{
    civil::{Date, date},
    tz::TimeZone,
};
use serde_json::value::RawValue;

use super::number::scaled;
use crate::{
    model::OutputEvent,
    sinks::{
        moment::moment,
        object::column::{Column, ColumnType, ScalarType},
    },
};

/// A value by its physical type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Flag(bool),
    Int(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    /// Text, or a decimal too long for an integer.
    Bytes(Vec<u8>),
}

/// What one column has of one event.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cells {
    Null,
    One(Cell),
    /// A list; `None` for an item that is `null`.
    Many(Vec<Option<Cell>>),
}

/// Most digits of a decimal in 32 and in 64 bits (Parquet format, logical types).
pub(super) const DIGITS_OF_INT: u8 = 9;
pub(super) const DIGITS_OF_LONG: u8 = 18;

/// What this column has of an event.
///
/// # Errors
/// Why the event does not fit, naming the column but no values: a reason goes into logs.
pub(super) fn cells(name: &str, column: &Column, event: &OutputEvent) -> Result<Cells, String> {
    let refuse =
        |what: &str| Err(format!("column {name:?} ({}): {what} does not fit", column.kind));
    let found = match column.kind {
        ColumnType::One(ScalarType::Json) => column
            .source
            .json(event)
            .filter(|json| json != "null")
            .map(|json| Some(Cells::One(Cell::Bytes(json.into_owned().into_bytes())))),
        ColumnType::One(kind) => {
            column.source.text(event).map(|text| cell(kind, &text).map(Cells::One))
        }
        ColumnType::Array(kind) => column
            .source
            .json(event)
            .filter(|json| json != "null")
            .map(|json| items(kind, &json).map(Cells::Many)),
    };
    match found {
        Some(Some(cells)) => Ok(cells),
        Some(None) => refuse(column.source.json(event).as_deref().map_or("this value", kind_of)),
        None if column.nullable => Ok(Cells::Null),
        None => Err(format!("column {name:?} ({column}): the event has no value for it")),
    }
}

/// What a JSON value is, in two words.
fn kind_of(json: &str) -> &'static str {
    match json.bytes().next() {
        Some(b'"') => "this text",
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "a boolean",
        _ => "this number",
    }
}

fn items(kind: ScalarType, json: &str) -> Option<Vec<Option<Cell>>> {
    let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
    let item = |item: &&RawValue| match (item.get(), kind) {
        ("null", _) => Some(None),
        (json, ScalarType::Json) => Some(Some(Cell::Bytes(json.as_bytes().to_vec()))),
        (json, kind) if json.starts_with('"') => {
            let text: String = serde_json::from_str(json).ok()?;
            cell(kind, &text).map(Some)
        }
        (json, kind) => cell(kind, json).map(Some),
    };
    items.iter().map(item).collect()
}

/// A value from its text, which has no quotes.
fn cell(kind: ScalarType, text: &str) -> Option<Cell> {
    Some(match kind {
        ScalarType::String | ScalarType::Json => Cell::Bytes(text.as_bytes().to_vec()),
        ScalarType::Boolean => Cell::Flag(text.parse().ok()?),
        ScalarType::Int => Cell::Int(scaled(text, 0)?.try_into().ok()?),
        ScalarType::Bigint => Cell::Long(scaled(text, 0)?.try_into().ok()?),
        // A number that is too large would be infinite.
        ScalarType::Float => Cell::Float(text.parse().ok().filter(|it: &f32| it.is_finite())?),
        ScalarType::Double => Cell::Double(text.parse().ok().filter(|it: &f64| it.is_finite())?),
        ScalarType::Decimal { precision, scale } => decimal(text, precision, scale)?,
        ScalarType::Date => Cell::Int(days(text)?),
        ScalarType::Timestamp => Cell::Long(moment(text)?.as_millisecond()),
        ScalarType::TimestampMicros => Cell::Long(moment(text)?.as_microsecond()),
    })
}

fn decimal(text: &str, precision: u8, scale: u8) -> Option<Cell> {
    let number = scaled(text, scale)?;
    if number.unsigned_abs() >= 10_u128.checked_pow(precision.into())? {
        return None;
    }
    Some(match precision {
        ..=DIGITS_OF_INT => Cell::Int(number.try_into().ok()?),
        _ if precision <= DIGITS_OF_LONG => Cell::Long(number.try_into().ok()?),
        _ => Cell::Bytes(number.to_be_bytes().to_vec()),
    })
}

/// Days since 1970.
fn days(text: &str) -> Option<i32> {
    // A text of a day is a time in UTC, too.
    let day: Date = moment(text)?.to_zoned(TimeZone::UTC).date();
    let since = day.duration_since(date(1970, 1, 1));
    (since.as_hours() / 24).try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::testing::event;

    const EVENT: &str = r#"{"text":"it's \"é\" \u0000","n":1.50,"big":9007199254740993,"huge":1e400,"yes":true,
        "none":null,"ms":1700000000123,"at":"2026-01-31T23:59:59.123456Z","day":"2026-01-31","before":-1,
        "list":["a",null,1,{"b":2}],"numbers":[1,"2",3.0],"object":{"a":[1]},"whole":100.0}"#;

    fn of(column: &str) -> Result<Cells, String> {
        cells("c", &column.parse().unwrap(), &event(7, EVENT))
    }

    fn text(text: &str) -> Cell {
        Cell::Bytes(text.as_bytes().to_vec())
    }

    #[test]
    fn values_are_read_by_the_type_of_their_column() {
        let one = Cells::One;
        for (column, expect) in [
            ("$.text", one(text("it's \"é\" \0"))),
            ("$.n", one(text("1.50"))),
            ("$.object", one(text("{\"a\":[1]}"))),
            ("$.text json", one(text("\"it's \\\"é\\\" \\u0000\""))),
            ("$.none json", Cells::Null),
            ("$.absent", Cells::Null),
            ("$.yes boolean", one(Cell::Flag(true))),
            ("$.whole int", one(Cell::Int(100))),
            ("$.big bigint", one(Cell::Long(9_007_199_254_740_993))),
            ("$.n float", one(Cell::Float(1.5))),
            ("$.n double", one(Cell::Double(1.5))),
            ("$.n decimal(9,2)", one(Cell::Int(150))),
            ("$.n decimal(18,2)", one(Cell::Long(150))),
            ("$.n decimal(38,2)", one(Cell::Bytes(150_i128.to_be_bytes().to_vec()))),
            ("$.day date", one(Cell::Int(20_484))),
            ("$.at date", one(Cell::Int(20_484))),
            ("$.ms date", one(Cell::Int(19_675))),
            ("$.before date", one(Cell::Int(-1))),
            ("$.ms timestamp", one(Cell::Long(1_700_000_000_123))),
            ("$.at timestamp", one(Cell::Long(1_769_903_999_123))),
            ("$.at timestamp(6)", one(Cell::Long(1_769_903_999_123_456))),
            ("%arrival timestamp", one(Cell::Long(0))),
            ("%sequence_number string not null", one(text("7"))),
            (
                "$.list array<string>",
                Cells::Many(vec![Some(text("a")), None, Some(text("1")), Some(text("{\"b\":2}"))]),
            ),
            (
                "$.numbers array<int>",
                Cells::Many(vec![Some(Cell::Int(1)), Some(Cell::Int(2)), Some(Cell::Int(3))]),
            ),
            ("$.none array<int>", Cells::Null),
        ] {
            assert_eq!(of(column), Ok(expect), "{column}");
        }
    }

    #[test]
    fn what_does_not_fit_names_the_column_and_no_value() {
        for (column, expect) in [
            ("$.text bigint", "column \"c\" (bigint): this text does not fit"),
            ("$.object double", "column \"c\" (double): an object does not fit"),
            ("$.list boolean", "column \"c\" (boolean): a list does not fit"),
            ("$.yes int", "column \"c\" (int): a boolean does not fit"),
            ("$.n int", "column \"c\" (int): this number does not fit"),
            ("$.big int", "column \"c\" (int): this number does not fit"),
            ("$.huge double", "column \"c\" (double): this number does not fit"),
            ("$.huge float", "column \"c\" (float): this number does not fit"),
            ("$.n decimal(2,2)", "column \"c\" (decimal(2,2)): this number does not fit"),
            ("$.n decimal(9,0)", "column \"c\" (decimal(9,0)): this number does not fit"),
            ("$.text date", "column \"c\" (date): this text does not fit"),
            ("$.n timestamp", "column \"c\" (timestamp): this number does not fit"),
            ("$.text array<string>", "column \"c\" (array<string>): this text does not fit"),
            ("$.list array<int>", "column \"c\" (array<int>): a list does not fit"),
            (
                "$.none bigint not null",
                "column \"c\" ($.none bigint not null): the event has no value for it",
            ),
        ] {
            assert_eq!(of(column), Err(expect.to_owned()), "{column}");
        }
    }
}
