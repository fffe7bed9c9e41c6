//! Which key an event is put under.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{etl::FieldPath, model::OutputEvent};

/// Longest partition key, in characters (API reference, `PutRecordsRequestEntry`).
const LONGEST: usize = 256;

/// Which key an event is put under: events of one key stay on one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PartitionKey {
    /// `record`: the key of the record that the event came in.
    #[default]
    Record,
    /// `random`: a new random key each time, so that events spread evenly.
    Random,
    /// `$.order.id`: this field of the event. One without it, or with a value that is no key, is put
    /// under the key of its record.
    Field(FieldPath),
}

impl PartitionKey {
    /// The key of one event. A record's key that Kinesis would not take (other sources have some)
    /// is replaced by a random one.
    pub(super) fn of(&self, event: &OutputEvent) -> String {
        let usable = |key: &str| !key.is_empty() && key.chars().count() <= LONGEST;
        let own = || Some(event.partition_key.to_string()).filter(|key| usable(key));
        let key = match self {
            Self::Random => None,
            Self::Record => own(),
            Self::Field(path) => {
                let text = std::str::from_utf8(&event.json).ok().and_then(|json| path.text(json));
                text.filter(|key| usable(key)).map(String::from).or_else(own)
            }
        };
        key.unwrap_or_else(|| Uuid::new_v4().to_string())
    }
}

impl FromStr for PartitionKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "record" => Ok(Self::Record),
            "random" => Ok(Self::Random),
            path if path.starts_with("$.") => {
                FieldPath::parse_single(path).map(Self::Field).map_err(|error| error.to_string())
            }
            other => Err(format!(
                "{other:?} is no partition key: expected record, random, or a field such as $.order.id"
            )),
        }
    }
}

impl TryFrom<String> for PartitionKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<PartitionKey> for String {
    fn from(key: PartitionKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record => f.write_str("record"),
            Self::Random => f.write_str("random"),
            Self::Field(path) => path.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::testing::event;

    #[test]
    fn keys_are_the_records_own_unless_they_cannot_be() {
        let own = PartitionKey::Record;
        let mut odd = event(7, "{}");
        assert_eq!(own.of(&odd), "key-7");
        for key in [String::new(), "é".repeat(257)] {
            odd.partition_key = key.into();
            assert_eq!(own.of(&odd).len(), 36);
        }
        odd.partition_key = "é".repeat(256).into();
        assert_eq!(own.of(&odd).chars().count(), 256);
        assert_ne!(PartitionKey::Random.of(&odd), PartitionKey::Random.of(&odd));
    }

    #[test]
    fn a_field_is_a_key_where_there_is_one() {
        let key: PartitionKey = "$.order.id".parse().unwrap();
        for (json, expect) in [
            (r#"{"order":{"id":"a-1"}}"#, "a-1"),
            (r#"{"order":{"id":42}}"#, "42"),
            (r#"{"order":{"id":null}}"#, "key-7"),
            (r#"{"order":{"id":""}}"#, "key-7"),
            (r#"{"order":7}"#, "key-7"),
            ("[]", "key-7"),
        ] {
            assert_eq!(key.of(&event(7, json)), expect, "{json}");
        }
        let long = format!(r#"{{"order":{{"id":"{}"}}}}"#, "x".repeat(257));
        assert_eq!(key.of(&event(7, &long)), "key-7");
    }

    #[test]
    fn keys_read_as_they_print_and_others_are_errors() {
        for text in ["record", "random", "$.order.id"] {
            assert_eq!(text.parse::<PartitionKey>().unwrap().to_string(), text);
        }
        for bad in ["", "recrod", "order.id", "$.", "$.items[*].sku"] {
            assert!(bad.parse::<PartitionKey>().is_err(), "{bad:?}");
        }
    }
}
