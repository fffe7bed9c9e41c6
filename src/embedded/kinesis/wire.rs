//! The JSON forms that requests and responses share (`application/x-amz-json-1.1`).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Error, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::clock::millis;
use super::error::ApiError;
use super::hash_range::HashRange;
use super::sequence::SequenceNumber;
use super::shard::{Record, Shard, shard_id};
use super::stream::{Mode, Status};

/// The content type of all of them.
pub(super) const JSON: &str = "application/x-amz-json-1.1";

/// Bytes that travel as base64.
#[derive(Debug)]
pub(super) struct Blob(pub(super) Bytes);

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Decodes straight from the request's text: a borrowed string would fail on an escape.
        struct Base64;
        impl Visitor<'_> for Base64 {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a base64 string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Blob, E> {
                let bytes = STANDARD.decode(text).map_err(E::custom)?;
                Ok(Blob(Bytes::from(bytes)))
            }
        }
        deserializer.deserialize_str(Base64)
    }
}

/// Epoch milliseconds that travel as seconds with a fraction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timestamp(pub(super) u64);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(Duration::from_millis(self.0).as_secs_f64())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?.max(0.0);
        let exact = Duration::try_from_secs_f64(seconds).map_err(D::Error::custom)?;
        // A double holds today's time to a quarter of a microsecond: round, or 0.234 reads 0.233.
        Ok(Self(millis(exact.saturating_add(Duration::from_micros(500)))))
    }
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModeDetails {
    stream_mode: &'static str,
}

impl From<Mode> for ModeDetails {
    fn from(mode: Mode) -> Self {
        let stream_mode = match mode {
            Mode::Provisioned => "PROVISIONED",
            Mode::OnDemand => "ON_DEMAND",
        };
        Self { stream_mode }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModeDetailsRequest {
    stream_mode: Option<String>,
}

impl ModeDetailsRequest {
    pub(super) fn mode(&self) -> Result<Mode, ApiError> {
        match self.stream_mode.as_deref() {
            Some("PROVISIONED") => Ok(Mode::Provisioned),
            Some("ON_DEMAND") => Ok(Mode::OnDemand),
            Some(other) => Err(ApiError::constraint(
                "streamModeDetails.streamMode",
                other,
                "Member must satisfy enum value set: [PROVISIONED, ON_DEMAND]",
            )),
            None => Err(ApiError::missing("streamModeDetails.streamMode")),
        }
    }
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HashKeyRange {
    starting_hash_key: String,
    ending_hash_key: String,
}

impl From<HashRange> for HashKeyRange {
    fn from(range: HashRange) -> Self {
        Self { starting_hash_key: range.start.to_string(), ending_hash_key: range.end.to_string() }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SequenceNumberRange {
    starting_sequence_number: SequenceNumber,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending_sequence_number: Option<SequenceNumber>,
}

/// A shard as `DescribeStream` and `ListShards` show it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ShardView {
    shard_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_shard_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    adjacent_parent_shard_id: Option<String>,
    hash_key_range: HashKeyRange,
    sequence_number_range: SequenceNumberRange,
}

impl From<&Shard> for ShardView {
    fn from(shard: &Shard) -> Self {
        let parent = |i: usize| shard.parents.get(i).copied().map(shard_id);
        Self {
            shard_id: shard.id(),
            parent_shard_id: parent(0),
            adjacent_parent_shard_id: parent(1),
            hash_key_range: shard.range.into(),
            sequence_number_range: SequenceNumberRange {
                starting_sequence_number: shard.start,
                ending_sequence_number: shard.closed.map(|closed| closed.end),
            },
        }
    }
}

/// A shard as the last page of its parent names it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChildShard {
    shard_id: String,
    parent_shards: Vec<String>,
    hash_key_range: HashKeyRange,
}

impl From<&Shard> for ChildShard {
    fn from(shard: &Shard) -> Self {
        Self {
            shard_id: shard.id(),
            parent_shards: shard.parents.iter().copied().map(shard_id).collect(),
            hash_key_range: shard.range.into(),
        }
    }
}

/// A record in a page: shared with the shard, so the page is encoded without holding its lock.
#[derive(Debug)]
pub(super) struct RecordView(pub(super) Arc<Record>);

impl Serialize for RecordView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut record = serializer.serialize_struct("Record", 4)?;
        record.serialize_field("SequenceNumber", &self.0.sequence)?;
        record.serialize_field("ApproximateArrivalTimestamp", &Timestamp(self.0.arrived_ms))?;
        record.serialize_field("Data", &STANDARD.encode(&self.0.data))?;
        record.serialize_field("PartitionKey", &self.0.partition_key)?;
        record.end()
    }
}

/// A member that must be there.
pub(super) fn required<T>(value: Option<T>, member: &str) -> Result<T, ApiError> {
    value.ok_or_else(|| ApiError::missing(member))
}

/// A page size between 1 and `max`.
pub(super) fn page_limit(
    value: Option<u64>,
    member: &str,
    default: u64,
    max: u64,
) -> Result<usize, ApiError> {
    let value = value.unwrap_or(default);
    if value == 0 {
        let constraint = "Member must have value greater than or equal to 1";
        return Err(ApiError::constraint(member, "0", constraint));
    }
    if value > max {
        let constraint = format!("Member must have value less than or equal to {max}");
        return Err(ApiError::constraint(member, &value.to_string(), &constraint));
    }
    Ok(usize::try_from(value).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_keep_their_milliseconds() {
        let check = |json: &str, expect: u64| {
            assert_eq!(serde_json::from_str::<Timestamp>(json).unwrap().0, expect, "{json}");
        };
        check("1767225600", 1_767_225_600_000);
        check("1767225600.234", 1_767_225_600_234);
        check("1.767225600999E9", 1_767_225_600_999);
        check("-5", 0);
        assert!(serde_json::from_str::<Timestamp>("1e300").is_err());
        let text = serde_json::to_string(&Timestamp(1_767_225_600_234)).unwrap();
        assert_eq!(text, "1767225600.234");
    }

    #[test]
    fn blobs_are_base64_with_or_without_escapes() {
        let decode = |json: &str| serde_json::from_str::<Blob>(json).map(|blob| blob.0);
        assert_eq!(decode(r#""/+8=""#).unwrap().as_ref(), [0xff, 0xef]);
        assert_eq!(decode(r#""\/+8=""#).unwrap().as_ref(), [0xff, 0xef]);
        assert!(decode(r#""%%""#).is_err() && decode("7").is_err());
    }
}
