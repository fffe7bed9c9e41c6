//! What an event says.

use std::{fmt, sync::OnceLock};

use memchr::memchr;
use serde_json::value::RawValue;

/// The message of an event.
///
/// Most come as a JSON string and leave as one. Where nobody will look inside, one is kept as it was
/// written: taking its escapes out and putting them in again is a fifth of what an event costs.
#[derive(Clone)]
pub struct Message(Form);

#[derive(Clone)]
enum Form {
    Text(String),
    /// A JSON string with its quotes, as `serde_json` would write it.
    Json {
        json: String,
        /// `None` where no escapes are: the text is what stands between the quotes.
        text: Option<OnceLock<String>>,
    },
}

impl Message {
    /// A message that came as JSON.
    ///
    /// # Errors
    /// It is no string, or one with escapes that name no characters.
    pub fn from_json(json: &RawValue) -> serde_json::Result<Self> {
        let json = json.get();
        if !json.starts_with('"') || has_other_escapes(json) {
            return Ok(Self(Form::Text(serde_json::from_str(json)?)));
        }
        let escapes = memchr(b'\\', json.as_bytes()).is_some();
        Ok(Self(Form::Json { json: json.to_owned(), text: escapes.then(OnceLock::new) }))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Form::Text(text) => text,
            Form::Json { json, text: None } => json.trim_matches('"'),
            Form::Json { json, text: Some(text) } => {
                text.get_or_init(|| serde_json::from_str(json).unwrap_or_default())
            }
        }
    }

    /// The JSON string that `serde_json` would write, if that is how it came.
    pub fn as_json(&self) -> Option<&str> {
        match &self.0 {
            Form::Text(_) => None,
            Form::Json { json, .. } => Some(json),
        }
    }
}

/// Whether a JSON string holds escapes that `serde_json` may write in another way, or that name no
/// character: `\u` and `\/`. All others are one letter for one character.
#[expect(
    clippy::needless_bitwise_bool,
    reason = "without branches the compiler takes many bytes at a time"
)]
fn has_other_escapes(json: &str) -> bool {
    let bytes = json.as_bytes();
    let pairs = bytes.iter().zip(bytes.get(1..).unwrap_or_default());
    // A `u` behind an escaped backslash is taken for one of these too; that message is read, which is
    // never wrong.
    pairs.fold(false, |found, (one, next)| {
        found | ((*one == b'\\') & ((*next == b'u') | (*next == b'/')))
    })
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self(Form::Text(text))
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Message {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> serde_json::Result<Message> {
        Message::from_json(&RawValue::from_string(json.to_owned())?)
    }

    proptest! {
        #[test]
        fn a_message_reads_and_is_written_as_serde_does(
            inside in r#"([a-zé/\u{2028}\u{7f}]|\\["\\/bfnrtu]|\\u00[0-9a-fA-F]{2}|\\ud83d\\ude00){0,9}"#,
        ) {
            let json = format!("\"{inside}\"");
            let (expect, message) = (serde_json::from_str::<String>(&json), read(&json));
            let (Ok(expect), Ok(message)) = (&expect, &message) else {
                prop_assert!(expect.is_err() && message.is_err());
                return Ok(());
            };
            prop_assert_eq!(message.as_str(), expect);
            let written = serde_json::to_string(expect).unwrap();
            prop_assert!(message.as_json().is_none_or(|json| json == written));
        }
    }

    #[test]
    fn what_is_no_string_is_refused() {
        for json in ["7", "null", "[\"a\"]", "{}", r#""\ud800""#] {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
