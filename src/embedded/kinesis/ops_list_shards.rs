//! `ListShards` with its six filters.

use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::ops_describe::exclusive_start;
use super::service::Service;
use super::shard::Shard;
use super::shard_filter::{Filter, ShardFilter};
use super::stream::{Status, Stream};
use super::token::{ShardsAfter, Token};
use super::wire::{ShardView, Timestamp, page_limit};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListShards {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    next_token: Option<String>,
    exclusive_start_shard_id: Option<String>,
    max_results: Option<u64>,
    shard_filter: Option<ShardFilter>,
    stream_creation_timestamp: Option<Timestamp>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListShardsAnswer {
    shards: Vec<ShardView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Service {
    pub(super) fn list_shards(&self, request: &ListShards) -> Result<ListShardsAnswer, ApiError> {
        let limit = page_limit(request.max_results, "maxResults", 1000, 10_000)?;
        if let Some(token) = &request.next_token {
            return self.list_shards_on(token, request, limit);
        }
        let name = self.name_of(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        let after = exclusive_start(request.exclusive_start_shard_id.as_deref())?;
        self.with_stream(&name, |stream, now_ms| {
            if matches!(stream.status(), Status::Creating | Status::Deleting) {
                let status = stream.status().name();
                let place = self.place(&name);
                return Err(ApiError::in_use(format!("{place} not ACTIVE, but {status}")));
            }
            let filter = match &request.shard_filter {
                Some(filter) => Filter::resolve(filter, stream, now_ms)?,
                None => Filter::All,
            };
            Ok(page(stream, filter, after, limit, now_ms))
        })
    }

    /// The page after the one that gave the token out.
    fn list_shards_on(
        &self,
        token: &str,
        request: &ListShards,
        limit: usize,
    ) -> Result<ListShardsAnswer, ApiError> {
        let names_more = request.stream_name.is_some()
            || request.exclusive_start_shard_id.is_some()
            || request.shard_filter.is_some()
            || request.stream_creation_timestamp.is_some();
        if names_more {
            return Err(ApiError::invalid_argument(
                "NextToken cannot be given together with StreamName, StreamCreationTimestamp, \
                 ExclusiveStartShardId or ShardFilter",
            ));
        }
        let token = Token::<ShardsAfter>::open(token)
            .ok_or_else(|| ApiError::invalid_argument("the NextToken is invalid"))?;
        if token.is_expired(self.now_ms()) {
            return Err(ApiError::expired_token("the NextToken has expired"));
        }
        let ShardsAfter { stream: name, stream_id, after, filter } = token.content;
        self.with_stream(&name, |stream, now_ms| {
            if stream.id != stream_id {
                return Err(self.no_such_stream(&name));
            }
            Ok(page(stream, filter, Some(after), limit, now_ms))
        })
    }
}

fn page(
    stream: &Stream,
    filter: Filter,
    after: Option<u32>,
    limit: usize,
    now_ms: u64,
) -> ListShardsAnswer {
    let wanted = |shard: &&Shard| Some(shard.number) > after && filter.admits(shard);
    let mut rest = stream.shards.values().filter(wanted);
    let shards: Vec<&Shard> = rest.by_ref().take(limit).collect();
    let last = shards.last().filter(|_| rest.next().is_some());
    let next_token = last.map(|shard| {
        let (name, after) = (stream.name.clone(), shard.number);
        let content = ShardsAfter { stream: name, stream_id: stream.id, after, filter };
        Token::new(content, now_ms).seal()
    });
    ListShardsAnswer { shards: shards.into_iter().map(ShardView::from).collect(), next_token }
}
