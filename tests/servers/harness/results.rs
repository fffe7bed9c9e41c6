//! What lies on disk: the files of the two sinks.

use std::{collections::BTreeMap, fs, path::Path};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde_json::Value;
use shardwright::model::{Position, ShardId};

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
    /// Reads both directories below `dir`.
    pub(crate) fn read(dir: &Path) -> Self {
        let mut results = Self::default();
        for event in lines(&dir.join("delivered")) {
            *results.delivered.entry(text(&event["id"])).or_default() += 1;
        }
        for letter in lines(&dir.join("parked")) {
            assert_eq!(letter["stage"], "decode", "{letter}");
            assert!(!text(&letter["reason"]).is_empty(), "{letter}");
            let position = Position {
                sequence: text(&letter["sequence_number"]).parse().unwrap(),
                sub_sequence: letter["sub_sequence_number"].as_u64().unwrap(),
            };
            let data = BASE64_STANDARD.decode(text(&letter["data"])).unwrap().into();
            let shard = ShardId::new(text(&letter["shard"]));
            *results.parked.entry((shard, position, data)).or_default() += 1;
        }
        results
    }
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
