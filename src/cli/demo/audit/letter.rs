//! Dead letters, as the audit reads them.

use serde::Deserialize;

use crate::etl::Stage;

/// The part of a [`crate::etl::DeadLetter`] that says what it is about.
#[derive(Deserialize)]
pub(super) struct Letter {
    stage: Stage,
    reason: String,
    event: Option<Event>,
    data: Option<String>,
}

#[derive(Deserialize)]
struct Event {
    id: String,
}

/// Why something was dead-lettered, in the order in which the summary names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    Unreadable,
    NotJson,
    Schema,
    Program,
    Sink,
}

impl Letter {
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// What it is about: the event's id, or the record's bytes.
    pub(super) fn key(&self) -> &str {
        match &self.event {
            Some(event) => &event.id,
            None => self.data.as_deref().unwrap_or_default(),
        }
    }

    pub(super) fn cause(&self) -> Cause {
        match self.stage {
            Stage::Decode => Cause::Unreadable,
            Stage::Validate if self.reason.contains("is not JSON") => Cause::NotJson,
            Stage::Validate => Cause::Schema,
            Stage::Transform => Cause::Program,
            // The demo has no windows.
            Stage::Window | Stage::Deliver => Cause::Sink,
        }
    }
}

impl Cause {
    /// Whether the producer puts such things, so that there are dead letters to look at.
    pub(super) fn is_on_purpose(self) -> bool {
        matches!(self, Self::Unreadable | Self::NotJson)
    }

    pub(super) fn describe(self, count: u64) -> String {
        let (one, many) = match self {
            Self::Unreadable => ("unreadable record", "unreadable records"),
            Self::NotJson => ("order that is not JSON", "orders that are not JSON"),
            Self::Schema => ("order against the schema", "orders against the schema"),
            Self::Program => {
                ("order that the program fails on", "orders that the program fails on")
            }
            Self::Sink => ("event that the sink refuses", "events that the sink refuses"),
        };
        format!("{count} {}", if count == 1 { one } else { many })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_says_what_it_is_about_and_why() {
        let check = |json: &str, key: &str, cause: &str| {
            let letter = Letter::parse(json.as_bytes()).unwrap();
            assert_eq!((letter.key(), &*letter.cause().describe(1)), (key, cause));
        };
        check(
            r#"{"stage":"decode","reason":"the record is empty","data":"H4s="}"#,
            "H4s=",
            "1 unreadable record",
        );
        check(
            r#"{"stage":"validate","reason":"the message is not JSON: …","event":{"id":"7"}}"#,
            "7",
            "1 order that is not JSON",
        );
        check(
            r#"{"stage":"validate","reason":"kind: 7 is not a string","event":{"id":"7"}}"#,
            "7",
            "1 order against the schema",
        );
        check(
            r#"{"stage":"deliver","reason":"too large","event":{"id":"8","message":"m"}}"#,
            "8",
            "1 event that the sink refuses",
        );
        assert!(Letter::parse(b"{\"stage\":\"decode\"").is_none());
    }
}
