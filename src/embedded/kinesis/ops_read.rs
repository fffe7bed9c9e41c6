//! `GetShardIterator` and `GetRecords`.

use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::limits::{MAX_PAGE_RECORDS, TOKEN_LIFETIME_MS};
use super::sequence::{ParseError, SequenceNumber};
use super::service::Service;
use super::shard::{Shard, parse_shard_id};
use super::token::{Position, Token};
use super::wire::{ChildShard, RecordView, Timestamp, page_limit, required};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetShardIterator {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    shard_id: Option<String>,
    shard_iterator_type: Option<String>,
    starting_sequence_number: Option<String>,
    timestamp: Option<Timestamp>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetShardIteratorAnswer {
    shard_iterator: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetRecords {
    shard_iterator: Option<String>,
    limit: Option<u64>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetRecordsAnswer {
    records: Vec<RecordView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_shard_iterator: Option<String>,
    millis_behind_latest: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    child_shards: Option<Vec<ChildShard>>,
}

impl Service {
    pub(super) fn get_shard_iterator(
        &self,
        request: &GetShardIterator,
    ) -> Result<GetShardIteratorAnswer, ApiError> {
        let name = self.name_of(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        let shard_id = required(request.shard_id.as_deref(), "shardId")?;
        self.with_shards_of(&name, |stream, now_ms| {
            let number = parse_shard_id(shard_id);
            let shard = number.and_then(|number| stream.shards.get(&number)).ok_or_else(|| {
                let place = self.place(&name);
                ApiError::not_found(format!("shard {shard_id} in {place} does not exist"))
            })?;
            let position = Position {
                stream: name.clone(),
                stream_id: stream.id,
                shard: shard.number,
                sequence: starting_position(request, shard, now_ms)?,
            };
            Ok(GetShardIteratorAnswer { shard_iterator: Token::new(position, now_ms).seal() })
        })
    }

    pub(super) fn get_records(&self, request: GetRecords) -> Result<GetRecordsAnswer, ApiError> {
        let iterator = required(request.shard_iterator, "shardIterator")?;
        let limit = page_limit(request.limit, "limit", MAX_PAGE_RECORDS, MAX_PAGE_RECORDS)?;
        let token = Token::<Position>::open(&iterator)
            .ok_or_else(|| ApiError::invalid_argument("invalid ShardIterator"))?;
        if token.is_expired(self.now_ms()) {
            return Err(ApiError::expired_iterator(format!(
                "iterator expired: it was created at {} ms, which is more than the tolerated \
                 delay of {TOKEN_LIFETIME_MS} milliseconds ago",
                token.created_ms
            )));
        }
        let position = token.content;
        if let Some(arn) = request.stream_arn.as_deref()
            && self.name_of(None, Some(arn))? != position.stream
        {
            return Err(ApiError::invalid_argument("the ShardIterator is of another stream"));
        }
        self.with_shards_of(&position.stream, |stream, now_ms| {
            if stream.id != position.stream_id {
                return Err(self.no_such_stream(&position.stream));
            }
            let place = self.place(&position.stream);
            let shard = stream.shards.get_mut(&position.shard).ok_or_else(|| {
                ApiError::not_found(format!("the iterator's shard in {place} does not exist"))
            })?;
            if !shard.usage.admit_read(self.settings.limits, now_ms) {
                let id = shard.id();
                let message = format!("rate exceeded for shard {id} in {place}");
                return Err(ApiError::throughput_exceeded(message));
            }
            let page = shard.page(position.sequence, limit);
            shard.usage.charge_read(page.bytes);
            let children = shard.children.clone();
            let children = || children.iter().filter_map(|number| stream.shards.get(number));
            let next_shard_iterator = page.next.map(|sequence| {
                Token::new(Position { sequence, ..position.clone() }, now_ms).seal()
            });
            Ok(GetRecordsAnswer {
                child_shards: page.next.is_none().then(|| children().map(Into::into).collect()),
                records: page.records.into_iter().map(RecordView).collect(),
                next_shard_iterator,
                millis_behind_latest: page
                    .unread_since_ms
                    .map_or(0, |arrived_ms| now_ms.saturating_sub(arrived_ms)),
            })
        })
    }
}

fn starting_position(
    request: &GetShardIterator,
    shard: &Shard,
    now_ms: u64,
) -> Result<SequenceNumber, ApiError> {
    match required(request.shard_iterator_type.as_deref(), "shardIteratorType")? {
        "TRIM_HORIZON" => Ok(shard.start),
        "LATEST" => Ok(shard.tip()),
        "AT_SEQUENCE_NUMBER" => starting_number(request, shard),
        "AFTER_SEQUENCE_NUMBER" => starting_number(request, shard).map(SequenceNumber::following),
        "AT_TIMESTAMP" => {
            let at = request.timestamp.ok_or_else(|| {
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
            "shardIteratorType",
            other,
            "Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, \
             AT_SEQUENCE_NUMBER, TRIM_HORIZON]",
        )),
    }
}

/// The request's sequence number, if this shard can have given it out.
fn starting_number(request: &GetShardIterator, shard: &Shard) -> Result<SequenceNumber, ApiError> {
    let text = request.starting_sequence_number.as_deref().ok_or_else(|| {
        ApiError::invalid_argument("a StartingSequenceNumber is needed with this iterator type")
    })?;
    let invalid = |why: &str| {
        let id = shard.id();
        ApiError::invalid_argument(format!(
            "StartingSequenceNumber {text} used in GetShardIterator on shard {id} is invalid: {why}"
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
