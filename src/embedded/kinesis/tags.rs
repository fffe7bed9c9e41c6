//! Tags of streams and consumers, and their limits.

use std::collections::BTreeMap;

use super::error::ApiError;

/// Tags of one resource at most ("Tag restrictions" in the developer guide).
const MAX_TAGS: usize = 50;
const MAX_KEY: usize = 128;
const MAX_VALUE: usize = 256;

/// The tags of a stream or a consumer, by key.
#[derive(Debug, Clone, Default)]
pub(super) struct Tags(BTreeMap<String, String>);

impl Tags {
    /// Adds tags, or changes the values of those that are there; all or none.
    pub(super) fn add(&mut self, tags: BTreeMap<String, String>) -> Result<(), ApiError> {
        for (key, value) in &tags {
            check_key(key)?;
            if value.chars().count() > MAX_VALUE {
                let constraint =
                    format!("Member must have length less than or equal to {MAX_VALUE}");
                return Err(ApiError::constraint("tags", value, &constraint));
            }
        }
        let fresh = tags.keys().filter(|key| !self.0.contains_key(*key)).count();
        if self.0.len() + fresh > MAX_TAGS {
            return Err(ApiError::limit_exceeded(format!(
                "a resource has at most {MAX_TAGS} tags"
            )));
        }
        self.0.extend(tags);
        Ok(())
    }

    /// Removes tags; keys that are not there do not matter.
    pub(super) fn remove(&mut self, keys: &[String]) -> Result<(), ApiError> {
        keys.iter().try_for_each(|key| check_key(key))?;
        self.0.retain(|key, _| !keys.contains(key));
        Ok(())
    }

    /// Keys and values in the order of the keys, those after `after` only.
    pub(super) fn after(&self, after: Option<&str>) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter().filter(move |(key, _)| after.is_none_or(|after| key.as_str() > after))
    }
}

fn check_key(key: &str) -> Result<(), ApiError> {
    if (1..=MAX_KEY).contains(&key.chars().count()) {
        return Ok(());
    }
    let constraint = format!("Member must have length between 1 and {MAX_KEY}");
    Err(ApiError::constraint("tagKeys", key, &constraint))
}
