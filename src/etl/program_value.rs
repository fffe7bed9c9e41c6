//! JSON text to a program's values and back: what VRL's own `Deserialize` and `Serialize` do, without
//! the detours that cost the most on events of ten members.

use std::fmt;

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::Value as Json;
use vrl::value::{KeyString, ObjectMap, Value};

use crate::codec::json::write_string;

/// A text for a program.
pub(super) fn text(text: &str) -> Value {
    Value::Bytes(Bytes::copy_from_slice(text.as_bytes()))
}

/// A document for a program, as [`from_text`] would read it.
pub(super) fn from_document(document: &Json) -> Value {
    match document {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Boolean(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Value::Integer(integer),
            // The number of a document is finite.
            None => Value::from_f64_or_zero(number.as_f64().unwrap_or_default()),
        },
        Json::String(string) => text(string),
        Json::Array(items) => Value::Array(items.iter().map(from_document).collect()),
        Json::Object(members) => {
            let members = members.iter();
            Value::Object(
                members.map(|(key, value)| (key.as_str().into(), from_document(value))).collect(),
            )
        }
    }
}

/// Reads JSON. A whole number beyond 64 bits becomes a float, as everywhere in VRL.
///
/// # Errors
/// The text is not JSON, or nested deeper than 128 levels.
pub(super) fn from_text(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str::<Read>(text).map(|read| read.0)
}

struct Read(Value);

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Self)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Boolean(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number))
    }

    #[expect(clippy::cast_precision_loss, reason = "as in VRL")]
    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number)
            .map_or_else(|_| Value::from_f64_or_zero(number as f64), Value::Integer))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::from_f64_or_zero(number))
    }

    fn visit_str<E>(self, string: &str) -> Result<Value, E> {
        Ok(text(string))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Read(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        // Collecting an iterator would sort a list first.
        let mut object = ObjectMap::new();
        while let Some((key, Read(value))) = members.next_entry::<String, Read>()? {
            object.insert(KeyString::from(key), value);
        }
        Ok(Value::Object(object))
    }
}

/// Writes JSON.
///
/// # Errors
/// As VRL's `Serialize`.
pub(super) fn write(value: &Value, out: &mut Vec<u8>) -> serde_json::Result<()> {
    match value {
        Value::Bytes(_) | Value::String(_) => {
            write_string(&value.to_str_lossy().unwrap_or_default(), out);
        }
        Value::Object(members) => {
            let mut before = b'{';
            for (key, member) in members {
                out.push(before);
                before = b',';
                write_string(key, out);
                out.push(b':');
                write(member, out)?;
            }
            out.extend_from_slice(if members.is_empty() { b"{}" } else { b"}" });
        }
        Value::Array(items) => {
            let mut before = b'[';
            for item in items {
                out.push(before);
                before = b',';
                write(item, out)?;
            }
            out.extend_from_slice(if items.is_empty() { b"[]" } else { b"]" });
        }
        scalar => serde_json::to_writer(out, scalar)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn documents() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            any::<String>().prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 40, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Json::from),
                prop::collection::hash_map(any::<String>(), inner, 0..8)
                    .prop_map(|members| Json::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_are_read_and_written_as_vrl_does(document in documents()) {
            let source = document.to_string();
            let value: Value = serde_json::from_str(&source).unwrap();
            prop_assert_eq!(&from_text(&source).unwrap(), &value);
            prop_assert_eq!(&from_document(&document), &value);
            let mut written = Vec::new();
            write(&value, &mut written).unwrap();
            prop_assert_eq!(written, serde_json::to_vec(&value).unwrap());
        }
    }

    #[test]
    fn bytes_that_are_no_text_and_repeated_keys_are_as_in_vrl() {
        let bytes = Value::Bytes(Bytes::from_static(b"a\xff\n"));
        let mut written = Vec::new();
        write(&bytes, &mut written).unwrap();
        assert_eq!(written, serde_json::to_vec(&bytes).unwrap());
        let twice = r#"{"a":1,"a":2}"#;
        assert_eq!(from_text(twice).unwrap(), serde_json::from_str::<Value>(twice).unwrap());
        assert!(from_text(&"[".repeat(200)).is_err());
    }
}
