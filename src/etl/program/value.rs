//! JSON to VRL's values and back: what VRL's own `Deserialize` and `Serialize` do, without the detours
//! that cost the most on events of ten members.

use bytes::Bytes;
use vrl::value::{ObjectMap, Value};

use crate::{codec::json::write_string, etl::document::Document};

/// A text for a program.
pub(super) fn text(text: &str) -> Value {
    Value::Bytes(Bytes::copy_from_slice(text.as_bytes()))
}

impl From<&Document<'_>> for Value {
    fn from(document: &Document<'_>) -> Self {
        match document {
            Document::Null => Self::Null,
            Document::Boolean(flag) => Self::Boolean(*flag),
            Document::Integer(number) => Self::Integer(*number),
            Document::Float(number) => Self::from_f64_or_zero(*number),
            Document::Text(string) => text(string.as_str()),
            Document::Array(items) => Self::Array(items.iter().map(Self::from).collect()),
            Document::Object(members) => {
                // Collecting an iterator would sort a list first.
                let mut object = ObjectMap::new();
                for (name, member) in members.iter() {
                    object.insert(name.as_str().into(), member.into());
                }
                Self::Object(object)
            }
        }
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

    use super::*;
    use crate::etl::document::tests::documents;

    proptest! {
        #[test]
        fn values_are_read_and_written_as_vrl_does(document in documents()) {
            let source = document.to_string();
            let value: Value = serde_json::from_str(&source).unwrap();
            prop_assert_eq!(&Value::from(&Document::read(&source).unwrap()), &value);
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
        let read = Value::from(&Document::read(twice).unwrap());
        assert_eq!(read, serde_json::from_str::<Value>(twice).unwrap());
    }
}
