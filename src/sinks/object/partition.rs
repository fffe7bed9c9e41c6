//! A batch as the objects that it becomes.

use std::collections::BTreeMap;

use super::{ObjectConfig, name};
use crate::model::OutputEvent;

/// Longest key (Amazon S3 user guide, object key naming).
const LONGEST_KEY: usize = 1024;

/// What is to be done with a batch: objects by their keys, each with the indices of its events in their
/// order; and what cannot have a key.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    pub(super) objects: BTreeMap<String, Vec<usize>>,
    pub(super) refused: Vec<(usize, String)>,
}

impl Partitions {
    /// Divides a batch. Events that come `in_order` share an object; each of the others, and each dead
    /// letter, has one of its own.
    pub(super) fn of(events: &[OutputEvent], config: &ObjectConfig, in_order: bool) -> Self {
        let mut partitions = Self::default();
        let together = |event: &&OutputEvent| in_order && !event.is_letter();
        let (first, last) =
            (events.iter().find(together), events.iter().rev().find(|event| together(event)));
        let of_batch = first.zip(last);
        let of_batch =
            of_batch.map(|(first, last)| name::of_batch(first, last, config.extension()));
        for (index, event) in events.iter().enumerate() {
            let name = match &of_batch {
                Some(name) if together(&event) => name.clone(),
                _ => name::of_one(event, config.extension()),
            };
            match key(event, config, &name) {
                Ok(key) => partitions.objects.entry(key).or_default().push(index),
                Err(why) => partitions.refused.push((index, why)),
            }
        }
        partitions
    }
}

fn key(event: &OutputEvent, config: &ObjectConfig, name: &str) -> Result<String, String> {
    let folder = config.prefix.folder(event, &config.time)?;
    let key = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    if key.len() > LONGEST_KEY {
        return Err(format!(
            "the key of its object would have {} bytes, S3 takes {LONGEST_KEY}",
            key.len()
        ));
    }
    Ok(key)
}
