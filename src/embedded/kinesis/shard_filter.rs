//! The six filters of `ListShards`.

use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::shard::{Shard, parse_shard_id};
use super::stream::Stream;
use super::wire::{Timestamp, required};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ShardFilter {
    r#type: Option<String>,
    shard_id: Option<String>,
    timestamp: Option<Timestamp>,
}

/// A shard filter with its horizon worked out, so that all pages of a listing agree.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Filter {
    All,
    Open,
    After(u32),
    /// Open at this instant.
    OpenAt(u64),
    /// Open at this instant or created since.
    OpenSince(u64),
}

impl Filter {
    pub(super) fn admits(self, shard: &Shard) -> bool {
        match self {
            Self::All => true,
            Self::Open => shard.closed.is_none(),
            Self::After(number) => shard.number > number,
            Self::OpenAt(at_ms) => shard.was_open_at(at_ms),
            Self::OpenSince(at_ms) => shard.closed.is_none_or(|closed| closed.at_ms > at_ms),
        }
    }

    pub(super) fn resolve(
        filter: &ShardFilter,
        stream: &Stream,
        now_ms: u64,
    ) -> Result<Self, ApiError> {
        let horizon_ms = stream.horizon_ms(now_ms);
        // A time before the horizon counts as the horizon.
        let since =
            || required(filter.timestamp, "shardFilter.timestamp").map(|t| t.0.max(horizon_ms));
        match required(filter.r#type.as_deref(), "shardFilter.type")? {
            "AFTER_SHARD_ID" => {
                let id = required(filter.shard_id.as_deref(), "shardFilter.shardId")?;
                let number = parse_shard_id(id).ok_or_else(|| {
                    ApiError::invalid_argument(format!("{id} is not the id of a shard"))
                })?;
                Ok(Self::After(number))
            }
            "AT_TRIM_HORIZON" => Ok(Self::OpenAt(horizon_ms)),
            "FROM_TRIM_HORIZON" => Ok(Self::All),
            "AT_LATEST" => Ok(Self::Open),
            "AT_TIMESTAMP" => since().map(Self::OpenAt),
            "FROM_TIMESTAMP" => since().map(Self::OpenSince),
            other => Err(ApiError::constraint(
                "shardFilter.type",
                other,
                "Member must satisfy enum value set: [AFTER_SHARD_ID, AT_TRIM_HORIZON, \
                 FROM_TRIM_HORIZON, AT_LATEST, AT_TIMESTAMP, FROM_TIMESTAMP]",
            )),
        }
    }
}
