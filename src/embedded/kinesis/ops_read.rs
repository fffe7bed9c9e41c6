//! `GetShardIterator` and `GetRecords`.

use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::limits::{MAX_PAGE_BYTES, MAX_PAGE_RECORDS, TOKEN_LIFETIME_MS};
use super::position::Start;
use super::service::Service;
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
        let start = Start {
            kind: request.shard_iterator_type.as_deref(),
            sequence_number: request.starting_sequence_number.as_deref(),
            timestamp: request.timestamp,
            member: "shardIteratorType",
        };
        self.with_shards_of(&name, |stream, now_ms| {
            let shard = self.shard_of(stream, shard_id)?;
            let position = Position {
                stream: name.clone(),
                stream_id: stream.id,
                shard: shard.number,
                sequence: start.resolve(shard, now_ms)?,
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
            let page = shard.page(position.sequence, limit, MAX_PAGE_BYTES);
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
