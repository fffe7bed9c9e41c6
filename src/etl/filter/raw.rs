//! Looking into JSON text without building a tree.
//!
//! The message is checked once as a whole; after that only the members on a selector's path are
//! looked at, borrowed from the message. Numbers keep their source text, which the comparisons
//! need. Skipping a value is iterative in `serde_json`, so deep nesting cannot exhaust the stack.

use std::{borrow::Cow, collections::HashMap, fmt};

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

/// A JSON value by what the tests tell apart.
pub(in crate::etl) enum Scalar<'m> {
    Null,
    Bool(bool),
    /// Source text.
    Number(&'m str),
    String(Cow<'m, str>),
    Container,
}

/// The whole message as one JSON object, or `None`.
pub(in crate::etl) fn root(message: &str) -> Option<&RawValue> {
    let value: &RawValue = serde_json::from_str(message).ok()?;
    value.get().starts_with('{').then_some(value)
}

pub(in crate::etl) fn scalar(value: &RawValue) -> Scalar<'_> {
    match value.get() {
        "null" => Scalar::Null,
        "true" => Scalar::Bool(true),
        "false" => Scalar::Bool(false),
        text if text.starts_with('"') => match serde_json::from_str::<Text<'_>>(text) {
            Ok(text) => Scalar::String(text.0),
            // Not reached: the text was checked as part of the message.
            Err(_) => Scalar::Container,
        },
        text if text.starts_with(['{', '[']) => Scalar::Container,
        number => Scalar::Number(number),
    }
}

/// The value of `key` in an object; the last one if the key is there more than once.
pub(super) fn member<'m>(object: &'m RawValue, key: &str) -> Option<&'m RawValue> {
    let mut parser = serde_json::Deserializer::from_str(object.get());
    parser.deserialize_map(Member(key)).ok().flatten()
}

/// The element of an array at `index`.
pub(super) fn element(array: &RawValue, index: usize) -> Option<&RawValue> {
    let mut parser = serde_json::Deserializer::from_str(array.get());
    parser.deserialize_seq(Element(index)).ok().flatten()
}

/// All elements of an array or values of an object; nothing for other values.
pub(super) fn children(value: &RawValue) -> Vec<&RawValue> {
    let text = value.get();
    if text.starts_with('[') {
        return serde_json::from_str(text).unwrap_or_default();
    }
    let mut parser = serde_json::Deserializer::from_str(text);
    parser.deserialize_map(Values).unwrap_or_default()
}

/// Whether an array holds `null` itself, not deeper.
pub(super) fn holds_null(value: &RawValue) -> bool {
    value.get().starts_with('[') && children(value).iter().any(|item| item.get() == "null")
}

/// A JSON string. Read as bytes, because `serde_json` refuses lone surrogates in a `str`, while
/// such a message is JSON for AWS too; they are replaced.
struct Text<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Text(String::from_utf8_lossy(bytes)))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(String::from_utf8_lossy(bytes).into_owned())))
    }
}

/// Whether the next key is this one, compared without a copy.
struct KeyIs<'k>(&'k str);

impl<'de> DeserializeSeed<'de> for KeyIs<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for KeyIs<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<bool, E> {
        Ok(bytes == self.0.as_bytes())
    }
}

struct Member<'k>(&'k str);

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(KeyIs(self.0))? {
            if is_it {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

struct Element(usize);

impl<'de> Visitor<'de> for Element {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        for _ in 0..self.0 {
            if elements.next_element::<IgnoredAny>()?.is_none() {
                return Ok(None);
            }
        }
        let found = elements.next_element()?;
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = HashMap::new();
        while let Some((key, value)) = map.next_entry::<Text<'de>, &RawValue>()? {
            values.insert(key.0, value);
        }
        Ok(values.into_values().collect())
    }
}
