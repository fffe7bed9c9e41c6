//! JSON that borrows the text it was read from: an event, as far as no program has touched it.

use std::{fmt, mem};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::Value as Json;

use super::text::Text;

/// A JSON document. Its whole numbers have 64 bits; larger ones are floats, as everywhere in VRL.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Document<'t> {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(Text<'t>),
    Array(Vec<Document<'t>>),
    Object(Members<'t>),
}

/// The members of an object, sorted by name, each name once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Members<'t>(Vec<(Text<'t>, Document<'t>)>);

impl<'t> Document<'t> {
    /// Reads JSON. Of members with the same name the last one counts.
    ///
    /// # Errors
    /// The text is not JSON, or nested deeper than 128 levels, or holds a number beyond all floats.
    pub(super) fn read(text: &'t str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    pub(super) fn text(text: &'t str) -> Self {
        Self::Text(Text::Borrowed(text))
    }

    /// Writes the document as one line, its members in their order.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Boolean(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
            Self::Integer(number) => write_number(number, out),
            Self::Float(number) => write_number(number, out),
            Self::Text(text) => text.write(out),
            Self::Array(items) => {
                let mut before = b'[';
                for item in items {
                    out.push(before);
                    before = b',';
                    item.write(out);
                }
                out.extend_from_slice(if items.is_empty() { b"[]" } else { b"]" });
            }
            Self::Object(members) => {
                let mut before = b'{';
                for (name, member) in members.iter() {
                    out.push(before);
                    before = b',';
                    name.write(out);
                    out.push(b':');
                    member.write(out);
                }
                out.extend_from_slice(if members.0.is_empty() { b"{}" } else { b"}" });
            }
        }
    }
}

fn write_number(number: &impl serde::Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, number).expect("a number of JSON is JSON");
}

impl<'t> Members<'t> {
    pub(super) fn iter(&self) -> impl Iterator<Item = &(Text<'t>, Document<'t>)> {
        self.0.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Document<'t>> {
        let at = self.0.binary_search_by(|(member, _)| member.as_str().cmp(name)).ok()?;
        Some(&self.0.get(at)?.1)
    }

    fn sorted(mut members: Vec<(Text<'t>, Document<'t>)>) -> Self {
        sort_by_name(&mut members);
        Self(members)
    }
}

/// Sorts members by name. Of equal names the last one counts.
pub(super) fn sort_by_name<T>(members: &mut Vec<(Text<'_>, T)>) {
    // As most programs write them.
    if members.is_sorted_by(|one, other| one.0 < other.0) {
        return;
    }
    // Stable, so that of equal names the last one stays the last.
    members.sort_by(|one, other| one.0.cmp(&other.0));
    members.dedup_by(|later, kept| {
        let again = later.0 == kept.0;
        if again {
            mem::swap(later, kept);
        }
        again
    });
}

impl<'t> From<&'t Json> for Document<'t> {
    fn from(json: &'t Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(flag) => Self::Boolean(*flag),
            // The number of a document is finite.
            Json::Number(number) => number
                .as_i64()
                .map_or_else(|| Self::Float(number.as_f64().unwrap_or_default()), Self::Integer),
            Json::String(string) => Self::text(string),
            Json::Array(items) => Self::Array(items.iter().map(Self::from).collect()),
            Json::Object(members) => {
                let member = |(name, member): (&'t String, _)| {
                    (Text::Borrowed(name), Document::from(member))
                };
                Self::Object(Members::sorted(members.iter().map(member).collect()))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Document<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Document<'de>, E> {
        Ok(Document::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Document<'de>, E> {
        Ok(Document::Boolean(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Document<'de>, E> {
        Ok(Document::Integer(number))
    }

    #[expect(clippy::cast_precision_loss, reason = "as in VRL")]
    fn visit_u64<E>(self, number: u64) -> Result<Document<'de>, E> {
        Ok(i64::try_from(number).map_or_else(|_| Document::Float(number as f64), Document::Integer))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Document<'de>, E> {
        Ok(Document::Float(number))
    }

    // As `Text` reads itself.
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Document<'de>, E> {
        Ok(Document::Text(Text::Plain(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Document<'de>, E> {
        Ok(Document::Text(Text::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Document<'de>, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Document::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document<'de>, A::Error> {
        let mut members = Vec::with_capacity(12);
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Document::Object(Members::sorted(members)))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    pub(in crate::etl) fn documents() -> impl Strategy<Value = Json> {
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
                prop::collection::hash_map("[abé\"\\\\]{0,3}", inner, 0..8)
                    .prop_map(|members| Json::Object(members.into_iter().collect())),
            ]
        })
    }

    fn written(document: &Document<'_>) -> String {
        let mut out = Vec::new();
        document.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn members_are_sorted_and_the_last_of_a_name_counts() {
        let source = "{\"b\": 1.50, \"a\": 1,\n\"b\": -0, \"a\": {}, \"a\": [18446744073709551615, \"\\u00e9\\/\"]}";
        let document = Document::read(source).unwrap();
        assert_eq!(written(&document), r#"{"a":[1.8446744073709552e+19,"é/"],"b":-0.0}"#);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for bad in ["", "{", "{}x", "1e400", r#"{"a":"\ud800"}"#, "{\"a\":\"\n\"}", "[01]"] {
            assert!(Document::read(bad).is_err(), "{bad}");
        }
        assert!(Document::read(&"[".repeat(200)).is_err());
    }

    proptest! {
        #[test]
        fn text_and_tree_are_one(json in documents()) {
            let source = json.to_string();
            prop_assert_eq!(&Document::read(&source).unwrap(), &Document::from(&json));
            let value: vrl::value::Value = serde_json::from_str(&source).unwrap();
            prop_assert_eq!(written(&Document::from(&json)), serde_json::to_string(&value).unwrap());
        }
    }
}
