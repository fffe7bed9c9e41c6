//! Texts of a document, which know how they were written in JSON.

use std::{cmp::Ordering, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

use crate::codec::json::write_string;

/// A text or a name of a document.
#[derive(Clone, Debug)]
pub(super) enum Text<'t> {
    /// JSON writes it as it is, between quotes: there is nothing in it to escape.
    Plain(&'t str),
    /// Whatever it holds.
    Borrowed(&'t str),
    /// Whatever it holds, and nowhere else.
    Owned(String),
}

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Plain(text) | Self::Borrowed(text) => text,
            Self::Owned(text) => text,
        }
    }

    /// Writes it as a JSON string.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Plain(text) => {
                out.push(b'"');
                out.extend_from_slice(text.as_bytes());
                out.push(b'"');
            }
            Self::Borrowed(text) => write_string(text, out),
            Self::Owned(text) => write_string(text, out),
        }
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text<'_> {}

impl PartialOrd for Text<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl<'de> Deserialize<'de> for Text<'de> {
    /// From JSON only: what can be borrowed from its source was written there without escapes.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text::Plain(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// In particular what is taken for plain is.
        #[test]
        fn a_text_is_written_as_serde_does(text: String, code in 0u8..0x80) {
            let text = format!("{text}{}", char::from(code));
            let expect = serde_json::to_string(&text).unwrap();
            for source in [expect.clone(), format!("\"{text}\"")] {
                let Ok(read) = serde_json::from_str::<Text<'_>>(&source) else { continue };
                let mut written = Vec::new();
                read.write(&mut written);
                let expect = serde_json::to_string(read.as_str()).unwrap();
                prop_assert_eq!(String::from_utf8(written).unwrap(), expect);
            }
        }
    }
}
