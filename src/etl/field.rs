//! Fields of a message that is a JSON object, by their paths.

use std::{borrow::Cow, cmp::Ordering, fmt};

use serde_json::value::RawValue;

use super::filter::{
    number::Number,
    raw::{self, Scalar},
    selector::Selector,
};

/// A path to a field: `order.id`, `items[0].sku`, `items[*].sku` (any of them), `['a b'].c`. As the
/// selectors of filter patterns, with or without their `$.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath {
    selector: Selector,
    /// As it was written.
    text: String,
}

/// A path that leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{path:?} is no path: {reason}; write it as in \"order.id\", \"items[0].sku\" or \"['a b'].c\""
)]
pub struct PathError {
    path: String,
    reason: String,
}

impl FieldPath {
    /// Reads a path.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(path: &str) -> Result<Self, PathError> {
        match Selector::from_path(path) {
            Ok(selector) => Ok(Self { selector, text: path.to_owned() }),
            Err(error) => {
                Err(PathError { path: path.to_owned(), reason: error.reason().to_owned() })
            }
        }
    }

    /// Reads a path that leads to one field: without a wildcard.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse_single(path: &str) -> Result<Self, PathError> {
        let parsed = Self::parse(path)?;
        match parsed.selector.has_wildcard() {
            false => Ok(parsed),
            true => Err(PathError {
                path: path.to_owned(),
                reason: "a wildcard would lead to several fields".to_owned(),
            }),
        }
    }

    /// The path to the field of this name, whatever is in the name.
    pub fn of_key(name: &str) -> Self {
        let selector = Selector::of_key(name);
        let text = selector.to_string();
        Self { selector, text }
    }

    /// The field of a JSON document, as it is written there. `None` when there is none, or the
    /// document is no object, or the path has a wildcard.
    pub fn json<'d>(&self, document: &'d str) -> Option<&'d RawValue> {
        self.one(raw::root(document)?)
    }

    /// The field of a JSON object, as it is written there.
    pub(super) fn one<'d>(&self, root: &'d RawValue) -> Option<&'d RawValue> {
        self.selector.one(root)
    }

    /// The field as text: a text without its quotes, a number or flag as it is written, an object or
    /// list as JSON. `None` as in [`Self::json`], and for `null`.
    pub fn text<'d>(&self, document: &'d str) -> Option<Cow<'d, str>> {
        let value = self.json(document)?;
        match raw::scalar(value) {
            Scalar::Null => None,
            Scalar::String(text) => Some(text),
            Scalar::Bool(_) | Scalar::Number(_) | Scalar::Container => Some(value.get().into()),
        }
    }

    /// Whether a message has this field, whatever it holds (`null` too).
    pub(super) fn exists(&self, root: &RawValue) -> bool {
        self.selector.any(root, &|_| true)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a field may hold.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue {
    /// This text, or a number, `true` or `false` that is written so.
    Text(String),
    /// A number of this value, however it is written; the text is a decimal number.
    Number(String),
    /// `true` or `false`.
    Flag(bool),
}

impl FieldValue {
    fn accepts(&self, value: &RawValue) -> bool {
        match (self, raw::scalar(value)) {
            (Self::Text(text), Scalar::String(found)) => *text == found,
            (Self::Text(text), Scalar::Number(_) | Scalar::Bool(_)) => text == value.get(),
            (Self::Number(number), Scalar::Number(found)) => equal(number, found),
            (Self::Flag(flag), Scalar::Bool(found)) => *flag == found,
            _ => false,
        }
    }
}

fn equal(left: &str, right: &str) -> bool {
    let (left, right) = (Number::parse(left), Number::parse(right));
    left.zip(right).and_then(|(left, right)| left.compare(right)) == Some(Ordering::Equal)
}

/// A field that must hold one of some values.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldTest {
    path: FieldPath,
    values: Vec<FieldValue>,
}

impl FieldTest {
    /// The field at `path` must hold one of `values`.
    pub fn new(path: FieldPath, values: Vec<FieldValue>) -> Self {
        Self { path, values }
    }

    /// Whether a message passes; one without a root (no JSON object) has no fields.
    pub(super) fn holds(&self, root: Option<&RawValue>) -> bool {
        let accepts = |found: &RawValue| self.values.iter().any(|value| value.accepts(found));
        root.is_some_and(|root| self.path.selector.any(root, &accepts))
    }

    /// Whether each message that passes `other` passes this test too.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.path.selector == other.path.selector
            && other.values.iter().all(|value| self.values.contains(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = r#"{"type":"order","code":200,"big":9007199254740993,"ok":true,"none":null,
        "header":{"source":"web","a.b":1},"items":[{"sku":"x"},{"sku":"y"}],"n":1e2}"#;

    fn test(path: &str, value: FieldValue) -> bool {
        let test = FieldTest::new(FieldPath::parse(path).unwrap(), vec![value]);
        test.holds(raw::root(ORDER))
    }

    #[test]
    fn a_field_is_compared_by_value() {
        let text = |path: &str, text: &str| test(path, FieldValue::Text(text.to_owned()));
        let number = |path: &str, text: &str| test(path, FieldValue::Number(text.to_owned()));
        assert!(text("type", "order") && text("$.type", "order") && !text("type", "orde"));
        assert!(text("header.source", "web") && text("items[1].sku", "y"));
        assert!(text("items[*].sku", "y") && !text("items[*].sku", "z"));
        assert!(text("code", "200") && text("ok", "true") && !text("none", "null"));
        assert!(number("code", "200") && number("code", "2e2") && number("n", "100"));
        assert!(number("big", "9007199254740993") && !number("big", "9007199254740992"));
        assert!(number("header.['a.b']", "1") && number("$.['header'].['a.b']", "1.0"));
        assert!(test("ok", FieldValue::Flag(true)) && !test("ok", FieldValue::Flag(false)));
        assert!(!text("header", "web") && !text("absent.deeper", "x"));
    }

    #[test]
    fn a_message_that_is_no_object_has_no_fields() {
        let test = FieldTest::new(FieldPath::parse("a").unwrap(), vec![FieldValue::Flag(true)]);
        for message in ["", "text", "[1]", "{\"a\":true"] {
            assert!(!test.holds(raw::root(message)), "{message}");
        }
    }

    #[test]
    fn a_key_exists_even_with_null() {
        let root = raw::root(ORDER).unwrap();
        for (path, expect) in
            [("none", true), ("items[0].sku", true), ("items[2]", false), ("header.no", false)]
        {
            assert_eq!(FieldPath::parse(path).unwrap().exists(root), expect, "{path}");
        }
    }

    #[test]
    fn a_single_field_is_read_as_it_is_written() {
        let text =
            |path: &str| FieldPath::parse_single(path).unwrap().text(ORDER).map(Cow::into_owned);
        assert_eq!(text("type").as_deref(), Some("order"));
        assert_eq!(text("big").as_deref(), Some("9007199254740993"));
        assert_eq!(text("ok").as_deref(), Some("true"));
        assert_eq!(text("items[1]").as_deref(), Some(r#"{"sku":"y"}"#));
        assert_eq!((text("none"), text("absent"), text("type.deeper")), (None, None, None));
        assert!(FieldPath::parse_single("items[*].sku").is_err());
        assert_eq!(FieldPath::parse_single("a").unwrap().text("[1]"), None);
    }

    #[test]
    fn any_name_has_a_path() {
        let document = r#"{"a b":1,"it's":2,"":3,"a.b":4,"\u00e9\\":5,"plain":6}"#;
        for (name, shown) in [
            ("a b", "$.['a b']"),
            ("it's", "$.['it\\'s']"),
            ("", "$.['']"),
            ("a.b", "$.['a.b']"),
            ("é\\", "$.['é\\\\']"),
            ("plain", "$.plain"),
        ] {
            let path = FieldPath::of_key(name);
            assert_eq!(path.to_string(), shown);
            assert!(path.json(document).is_some(), "{name}");
            assert_eq!(FieldPath::parse_single(shown).unwrap(), path);
        }
    }

    #[test]
    fn bad_paths_say_why() {
        for (path, part) in [
            ("", "expected a name"),
            ("a..b", "expected a name"),
            ("a b", "expected `.` or `[`"),
            ("a[x]", "expected an index"),
            ("a[*].b[*]", "only one wildcard"),
        ] {
            let shown = FieldPath::parse(path).unwrap_err().to_string();
            assert!(shown.contains(part) && shown.contains("order.id"), "{shown}");
        }
    }
}
