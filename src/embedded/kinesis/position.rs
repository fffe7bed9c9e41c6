//! Where a reader begins: the five kinds that `GetShardIterator` and `SubscribeToShard` know.

use super::error::ApiError;
use super::sequence::{ParseError, SequenceNumber};
use super::shard::Shard;
use super::wire::{Timestamp, required};

/// A starting position as a request states it.
pub(super) struct Start<'r> {
    pub(super) kind: Option<&'r str>,
    pub(super) sequence_number: Option<&'r str>,
    pub(super) timestamp: Option<Timestamp>,
    /// How the request calls the kind, for refusals.
    pub(super) member: &'static str,
}

impl Start<'_> {
    /// The least sequence number that the reader has not read.
    pub(super) fn resolve(&self, shard: &Shard, now_ms: u64) -> Result<SequenceNumber, ApiError> {
        match required(self.kind, self.member)? {
            "TRIM_HORIZON" => Ok(shard.start),
            "LATEST" => Ok(shard.tip()),
            "AT_SEQUENCE_NUMBER" => self.number(shard),
            "AFTER_SEQUENCE_NUMBER" => self.number(shard).map(SequenceNumber::following),
            "AT_TIMESTAMP" => {
                let at = self.timestamp.ok_or_else(|| {
                    ApiError::invalid_argument("a Timestamp is needed with AT_TIMESTAMP")
                })?;
                if at.0 > now_ms {
                    return Err(ApiError::invalid_argument(format!(
                        "the timestampInMillis parameter cannot be greater than the \
                         currentTimestampInMillis: {} is after {now_ms}",
                        at.0
                    )));
                }
                Ok(shard.position_at(at.0))
            }
            other => Err(ApiError::constraint(
                self.member,
                other,
                "Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, \
                 AT_SEQUENCE_NUMBER, TRIM_HORIZON]",
            )),
        }
    }

    /// The request's sequence number, if this shard can have given it out.
    fn number(&self, shard: &Shard) -> Result<SequenceNumber, ApiError> {
        let text = self.sequence_number.ok_or_else(|| {
            ApiError::invalid_argument("a sequence number is needed with this kind of position")
        })?;
        let invalid = |why: &str| {
            let id = shard.id();
            ApiError::invalid_argument(format!(
                "sequence number {text} as a position in shard {id} is invalid: {why}"
            ))
        };
        let number = SequenceNumber::parse(text).map_err(|error| match error {
            ParseError::Malformed => ApiError::constraint(
                "startingSequenceNumber",
                text,
                "Member must satisfy regular expression pattern: 0|([1-9]\\d{0,128})",
            ),
            ParseError::OutOfRange => invalid("it is out of range"),
        })?;
        if number < shard.start || number > shard.last() {
            return Err(invalid("it did not come from this shard"));
        }
        if number.shard() != shard.number {
            return Err(invalid("it encodes another shard"));
        }
        Ok(number)
    }
}
