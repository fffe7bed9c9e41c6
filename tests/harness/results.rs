//! What lies on disk: the files of the two sinks, and what a consumer that is not ours wrote down.

use std::{collections::BTreeMap, fs, path::Path};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde_json::Value;
use shardwright::{
    codec::{DecodeLimits, decode_user_record},
    model::{EpochMillis, Format, Position, ShardId, UserRecord},
};

/// A dead letter, as far as it is known beforehand: shard, position, the user record's bytes.
pub(crate) type Letter = (ShardId, Position, Bytes);

/// How often each thing came out.
#[derive(Default)]
pub(crate) struct Results {
    /// Events by their id.
    pub(crate) delivered: BTreeMap<String, u32>,
    pub(crate) parked: BTreeMap<Letter, u32>,
}

impl Results {
    /// Reads the directories below `dir`.
    pub(crate) fn read(dir: &Path) -> Self {
        let mut results = Self::default();
        for event in lines(&dir.join("delivered")) {
            *results.delivered.entry(text(&event["id"])).or_default() += 1;
        }
        for letter in lines(&dir.join("parked")) {
            assert_eq!(letter["stage"], "decode", "{letter}");
            assert!(!text(&letter["reason"]).is_empty(), "{letter}");
            *results.parked.entry(user_record(&letter)).or_default() += 1;
        }
        for record in lines(&dir.join("records")) {
            results.count(user_record(&record));
        }
        results
    }

    /// Counts a user record that has reached somebody as it was put.
    fn count(&mut self, (shard, position, data): Letter) {
        let record = UserRecord {
            position,
            partition_key: "".into(),
            explicit_hash_key: None,
            aggregated: false,
            data,
            arrival: EpochMillis(0),
        };
        match decode_user_record(Format::CloudwatchLogs, &record, &DecodeLimits::default()) {
            Ok(decoded) => {
                for event in decoded.events {
                    *self.delivered.entry(event.id).or_default() += 1;
                }
            }
            Err(_) => *self.parked.entry((shard, record.position, record.data)).or_default() += 1,
        }
    }
}

/// The fields that a dead letter and a line of another consumer have in common.
fn user_record(line: &Value) -> Letter {
    let position = Position {
        sequence: text(&line["sequence_number"]).parse().unwrap(),
        sub_sequence: line["sub_sequence_number"].as_u64().unwrap(),
    };
    let data = BASE64_STANDARD.decode(text(&line["data"])).unwrap();
    (ShardId::new(text(&line["shard"])), position, data.into())
}

/// The complete lines in the files of a directory, each a JSON document.
pub(crate) fn lines(dir: &Path) -> Vec<Value> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut lines = Vec::new();
    for entry in entries {
        // A file that was renamed after it was listed is found by the next look.
        let Ok(text) = fs::read_to_string(entry.unwrap().path()) else { continue };
        let complete = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.extend(complete.map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    lines
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}
