//! What a window needs to know of a document.

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{Aggregate, Number, Window};
use crate::{
    etl::{
        FieldPath,
        filter::raw::{self, Scalar},
    },
    model::EpochMillis,
};

/// A document on its way into a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// When it happened.
    pub time: EpochMillis,
    /// Its group: the values of the fields, as JSON.
    pub(super) group: Group,
    /// What it gives to each aggregate.
    pub(super) inputs: Box<[Input]>,
}

pub(super) type Group = Box<[Box<str>]>;

/// What a document gives to an aggregate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Input {
    /// Nothing: the field is not there, or `null`; or the aggregate needs none.
    Absent,
    Number(Number),
    /// Which value it is.
    Digest([u8; 16]),
}

impl Item {
    /// Reads a document, which is one JSON text; `time` is when its event happened.
    ///
    /// # Errors
    /// Which field does not hold what it should.
    pub fn read(window: &Window, document: &str, time: EpochMillis) -> Result<Self, String> {
        // A document that is no object has no fields.
        let root = raw::root(document);
        let time = match &window.time {
            None => time,
            Some(path) => read_time(path, root)?,
        };
        if time.rfc3339().is_none() {
            return Err(format!("{} is not a time of the calendar", time.0));
        }
        let value = |(_, path): &(String, FieldPath)| {
            field(path, root).map_or("null", RawValue::get).into()
        };
        let group = window.group_by.iter().map(value).collect();
        let input = |(_, aggregate): &(String, Aggregate)| input(aggregate, root);
        let inputs = window.aggregates.iter().map(input).collect::<Result<_, _>>()?;
        Ok(Self { time, group, inputs })
    }
}

fn field<'d>(path: &FieldPath, root: Option<&'d RawValue>) -> Option<&'d RawValue> {
    path.one(root?)
}

fn read_time(path: &FieldPath, root: Option<&RawValue>) -> Result<EpochMillis, String> {
    let bad = || format!("{path} is no time: expected RFC 3339, or milliseconds since 1970");
    let value = field(path, root).ok_or_else(bad)?;
    match raw::scalar(value) {
        Scalar::String(text) => text.parse().map_err(|_| bad()),
        Scalar::Number(_) => {
            let number = Number::parse(value.get()).ok_or_else(bad)?;
            let whole = number.whole.and_then(|whole| i64::try_from(whole).ok());
            #[expect(clippy::cast_possible_truncation, reason = "a cast of a double saturates")]
            Ok(EpochMillis(whole.unwrap_or(number.double.floor() as i64)))
        }
        Scalar::Null | Scalar::Bool(_) | Scalar::Container => Err(bad()),
    }
}

fn input(aggregate: &Aggregate, root: Option<&RawValue>) -> Result<Input, String> {
    let (path, distinct) = match aggregate {
        Aggregate::Count => return Ok(Input::Absent),
        Aggregate::Distinct(path) => (path, true),
        Aggregate::Sum(path)
        | Aggregate::Min(path)
        | Aggregate::Max(path)
        | Aggregate::Avg(path)
        | Aggregate::Percentile(_, path) => (path, false),
    };
    let Some(value) = field(path, root) else { return Ok(Input::Absent) };
    match raw::scalar(value) {
        Scalar::Null => Ok(Input::Absent),
        _ if distinct => Ok(Input::Digest(digest([value.get()]))),
        Scalar::Number(_) => {
            let number = Number::parse(value.get());
            number.map(Input::Number).ok_or_else(|| format!("{path} is too large a number"))
        }
        _ => Err(format!("{path} is no number")),
    }
}

/// A digest that two different lists of texts do not share.
pub(super) fn digest<'t>(texts: impl IntoIterator<Item = &'t str>) -> [u8; 16] {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.len().to_be_bytes());
        hash.update(text);
    }
    let mut short = [0; 16];
    short.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etl::window::tumbling::tests::window;

    fn read(time: Option<&str>, document: &str) -> Result<Item, String> {
        let mut window = window(60);
        window.time = time.map(|path| FieldPath::parse_single(path).unwrap());
        window.group_by = vec![("g".to_owned(), FieldPath::parse_single("g").unwrap())];
        window.aggregates = ["count", "sum n", "distinct n"]
            .map(|text| (text.to_owned(), text.parse().unwrap()))
            .to_vec();
        Item::read(&window, document, EpochMillis(7))
    }

    #[test]
    fn fields_are_read_or_left_out() {
        let item = read(None, r#"{"g":"a","n":2}"#).unwrap();
        assert_eq!((item.time, &*item.group[0]), (EpochMillis(7), r#""a""#));
        assert!(matches!(item.inputs[1], Input::Number(Number { whole: Some(2), .. })));
        for document in [r#"{"n":null}"#, "{}", "[1]", "3"] {
            let item = read(None, document).unwrap();
            assert_eq!(&*item.group[0], "null");
            assert_eq!(*item.inputs, [Input::Absent; 3], "{document}");
        }
        let texts = read(None, r#"{"n":"two"}"#).unwrap_err();
        assert_eq!(texts, "n is no number");
        assert!(read(None, r#"{"n":1e999}"#).is_err());
    }

    #[test]
    fn times_are_read_as_people_and_machines_write_them() {
        for (value, expect) in [
            ("1700000000123", 1_700_000_000_123),
            ("1700000000123.9", 1_700_000_000_123),
            (r#""2023-11-14T22:13:20.123Z""#, 1_700_000_000_123),
        ] {
            let item = read(Some("t"), &format!(r#"{{"t":{value}}}"#)).unwrap();
            assert_eq!(item.time, EpochMillis(expect), "{value}");
        }
        for value in ["null", "true", r#""soon""#, "{}", "1e300", "-1e300", "9223372036854775807"] {
            assert!(read(Some("t"), &format!(r#"{{"t":{value}}}"#)).is_err(), "{value}");
        }
        assert!(read(Some("t"), "{}").unwrap_err().starts_with("t is no time"));
    }
}
