//! Operations that change which shards a stream has.

use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::ops_stream::SHARD_LIMIT;
use super::service::Service;
use super::shard::{Shard, parse_shard_id};
use super::stream::{Change, Mode, Stream};
use super::wire::required;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SplitShard {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    shard_to_split: Option<String>,
    new_starting_hash_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MergeShards {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    shard_to_merge: Option<String>,
    adjacent_shard_to_merge: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateShardCount {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    target_shard_count: Option<u32>,
    scaling_type: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateShardCountAnswer {
    stream_name: String,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    current_shard_count: u32,
    target_shard_count: u32,
}

impl Service {
    pub(super) fn split_shard(&self, request: SplitShard) -> Result<(), ApiError> {
        let name = self.name_of(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        let shard_id = required(request.shard_to_split, "shardToSplit")?;
        let key = required(request.new_starting_hash_key, "newStartingHashKey")?;
        let at = parse_hash_key(&key, "newStartingHashKey")?;
        self.with_active(&name, |stream, now_ms| {
            check_provisioned(stream)?;
            let shard = self.open_shard(stream, &shard_id)?;
            let (number, range) = (shard.number, shard.range);
            // The service keeps a shard from becoming so narrow that it could not be split again.
            if at <= range.start.saturating_add(1) || at >= range.end {
                return Err(ApiError::invalid_argument(format!(
                    "NewStartingHashKey {key} used in SplitShard() on shard {shard_id} in {} is \
                     not both greater than one plus the shard's StartingHashKey {} and less than \
                     the shard's EndingHashKey {}",
                    self.place(&name),
                    range.start,
                    range.end
                )));
            }
            let change = Change::Split { shard: number, at };
            stream.begin(change, now_ms, self.status_window_ms());
            Ok(())
        })
    }

    pub(super) fn merge_shards(&self, request: MergeShards) -> Result<(), ApiError> {
        let name = self.name_of(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        let first = required(request.shard_to_merge, "shardToMerge")?;
        let second = required(request.adjacent_shard_to_merge, "adjacentShardToMerge")?;
        self.with_active(&name, |stream, now_ms| {
            check_provisioned(stream)?;
            let shard = self.open_shard(stream, &first)?;
            let adjacent = self.open_shard(stream, &second)?;
            if shard.range.join(adjacent.range).is_none() {
                return Err(ApiError::invalid_argument(format!(
                    "shards {first} and {second} in {} are not an adjacent pair of shards \
                     eligible for merging",
                    self.place(&name)
                )));
            }
            let change = Change::Merge { shard: shard.number, adjacent: adjacent.number };
            stream.begin(change, now_ms, self.status_window_ms());
            Ok(())
        })
    }

    pub(super) fn update_shard_count(
        &self,
        request: UpdateShardCount,
    ) -> Result<UpdateShardCountAnswer, ApiError> {
        let name = self.name_of(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        let target = required(request.target_shard_count, "targetShardCount")?;
        let scaling = required(request.scaling_type, "scalingType")?;
        if scaling != "UNIFORM_SCALING" {
            let constraint = "Member must satisfy enum value set: [UNIFORM_SCALING]";
            return Err(ApiError::constraint("scalingType", &scaling, constraint));
        }
        self.with_active(&name, |stream, now_ms| {
            check_provisioned(stream)?;
            let current = u32::try_from(stream.open_count()).unwrap_or(u32::MAX);
            check_target(current, target)?;
            let change = Change::Resize { target };
            stream.begin(change, now_ms, self.status_window_ms());
            Ok(UpdateShardCountAnswer {
                stream_name: stream.name.clone(),
                stream_arn: stream.arn.clone(),
                current_shard_count: current,
                target_shard_count: target,
            })
        })
    }

    fn open_shard<'a>(&self, stream: &'a Stream, id: &str) -> Result<&'a Shard, ApiError> {
        let shard = parse_shard_id(id).and_then(|number| stream.shards.get(&number));
        let place = self.place(&stream.name);
        match shard {
            Some(shard) if shard.closed.is_none() => Ok(shard),
            Some(_) => Err(ApiError::invalid_argument(format!("shard {id} in {place} is closed"))),
            None => Err(ApiError::not_found(format!("could not find shard {id} in {place}"))),
        }
    }
}

/// The bounds of one `UpdateShardCount` call.
fn check_target(current: u32, target: u32) -> Result<(), ApiError> {
    let refused = |text: &str| {
        Err(ApiError::invalid_argument(format!(
            "UpdateShardCount {text}: current open shard count {current}, target {target}"
        )))
    };
    if target == 0 {
        let constraint = "Member must have value greater than or equal to 1";
        return Err(ApiError::constraint("targetShardCount", "0", constraint));
    }
    if target > SHARD_LIMIT {
        return Err(ApiError::limit_exceeded(format!("more than {SHARD_LIMIT} shards")));
    }
    if target > current.saturating_mul(2) {
        return refused("cannot scale up over double your current open shard count");
    }
    if target.saturating_mul(2) < current {
        return refused("cannot scale down below half your current open shard count");
    }
    Ok(())
}

fn check_provisioned(stream: &Stream) -> Result<(), ApiError> {
    match stream.mode {
        Mode::Provisioned => Ok(()),
        Mode::OnDemand => Err(ApiError::validation(
            "this API is only supported for data streams with the provisioned capacity mode",
        )),
    }
}

/// A hash key in decimal, 0 to 2¹²⁸ − 1.
pub(super) fn parse_hash_key(text: &str, member: &str) -> Result<u128, ApiError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits || text.len() > 39 || (text.len() > 1 && text.starts_with('0')) {
        let constraint = "Member must satisfy regular expression pattern: 0|([1-9]\\d{0,38})";
        return Err(ApiError::constraint(member, text, constraint));
    }
    text.parse().map_err(|_| {
        ApiError::invalid_argument(format!(
            "invalid {member}: it must be in the range [0, 2^128-1], the value was {text}"
        ))
    })
}
