//! Shard iterators and page tokens: opaque to the caller, reusable, valid for five minutes.
//!
//! A token carries all it means, so the server keeps no table of them and the caller may hold any
//! number. It is sealed by a checksum: what this server did not write is refused as invalid.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::limits::TOKEN_LIFETIME_MS;
use super::sequence::SequenceNumber;
use super::shard_filter::Filter;

const CHECKSUM_BYTES: usize = 16;

/// A token's content with the time of its making.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Token<T> {
    pub(super) created_ms: u64,
    pub(super) content: T,
}

/// Where a reader stands in a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) stream: String,
    pub(super) stream_id: u128,
    pub(super) shard: u32,
    /// The least sequence number that has not been read.
    pub(super) sequence: SequenceNumber,
}

/// Where a listing of shards goes on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ShardsAfter {
    pub(super) stream: String,
    pub(super) stream_id: u128,
    pub(super) after: u32,
    pub(super) filter: Filter,
}

/// Where a listing of consumers goes on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ConsumersAfter {
    pub(super) stream: String,
    pub(super) stream_id: u128,
    pub(super) after: String,
}

impl<T: Serialize + DeserializeOwned> Token<T> {
    pub(super) fn new(content: T, now_ms: u64) -> Self {
        Self { created_ms: now_ms, content }
    }

    pub(super) fn seal(&self) -> String {
        let body = serde_json::to_vec(self).expect("plain data always serializes");
        let mut bytes = Md5::digest(&body).to_vec();
        bytes.extend_from_slice(&body);
        STANDARD.encode(bytes)
    }

    /// Reads a token back; `None` if this server did not write it.
    pub(super) fn open(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?;
        let (checksum, body) = bytes.split_at_checked(CHECKSUM_BYTES)?;
        if Md5::digest(body).as_slice() != checksum {
            return None;
        }
        serde_json::from_slice(body).ok()
    }

    pub(super) fn is_expired(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.created_ms) > TOKEN_LIFETIME_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_and_a_forged_one_does_not() {
        let sequence = SequenceNumber::new(3, 1_767_225_600, 9, 1_767_225_600);
        let position = Position { stream: "s".into(), stream_id: u128::MAX, shard: 3, sequence };
        let sealed = Token::new(position.clone(), 5).seal();
        assert_eq!(Token::<Position>::open(&sealed).unwrap().content, position);
        let forged = [String::new(), "garbage".into(), sealed.replacen('A', "B", 1)];
        for text in forged.iter().chain([&format!("{sealed}AAAA")]) {
            assert!(Token::<Position>::open(text).is_none(), "{text}");
        }
    }
}
