//! Operations that look at streams.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::ops_stream::SHARD_LIMIT;
use super::service::Service;
use super::shard::parse_shard_id;
use super::stream::{Mode, Stream};
use super::wire::{ModeDetails, ShardView, Timestamp, page_limit};

const ON_DEMAND_STREAM_LIMIT: u32 = 50;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeStream {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    limit: Option<u64>,
    exclusive_start_shard_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeStreamAnswer {
    stream_description: Description,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SummaryAnswer {
    stream_description_summary: Summary,
}

/// What both descriptions say.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Common {
    stream_name: String,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    stream_status: &'static str,
    stream_mode_details: ModeDetails,
    retention_period_hours: u64,
    stream_creation_timestamp: Timestamp,
    enhanced_monitoring: [Monitoring; 1],
    encryption_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Monitoring {
    shard_level_metrics: [&'static str; 0],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    #[serde(flatten)]
    common: Common,
    shards: Vec<ShardView>,
    has_more_shards: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    #[serde(flatten)]
    common: Common,
    open_shard_count: usize,
    consumer_count: usize,
    #[serde(rename = "MaxRecordSizeInKiB")]
    max_record_kib: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListStreams {
    limit: Option<u64>,
    exclusive_start_stream_name: Option<String>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListStreamsAnswer {
    stream_names: Vec<String>,
    has_more_streams: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    stream_summaries: Vec<StreamSummary>,
}

/// A stream in a listing.
#[derive(Serialize)]
struct StreamSummary {
    #[serde(rename = "StreamName")]
    name: String,
    #[serde(rename = "StreamARN")]
    arn: String,
    #[serde(rename = "StreamStatus")]
    status: &'static str,
    #[serde(rename = "StreamModeDetails")]
    mode_details: ModeDetails,
    #[serde(rename = "StreamCreationTimestamp")]
    created: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LimitsAnswer {
    shard_limit: u32,
    open_shard_count: usize,
    on_demand_stream_count: usize,
    on_demand_stream_count_limit: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AccountSettings {
    minimum_throughput_billing_commitment: Commitment,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Commitment {
    status: &'static str,
}

impl From<&Stream> for Common {
    fn from(stream: &Stream) -> Self {
        Self {
            stream_name: stream.name.clone(),
            stream_arn: stream.arn.clone(),
            stream_status: stream.status().name(),
            stream_mode_details: stream.mode.into(),
            retention_period_hours: stream.retention_hours,
            stream_creation_timestamp: Timestamp(stream.created_ms),
            enhanced_monitoring: [Monitoring { shard_level_metrics: [] }],
            encryption_type: if stream.encryption_key.is_some() { "KMS" } else { "NONE" },
            key_id: stream.encryption_key.clone(),
        }
    }
}

impl From<&Stream> for StreamSummary {
    fn from(stream: &Stream) -> Self {
        Self {
            name: stream.name.clone(),
            arn: stream.arn.clone(),
            status: stream.status().name(),
            mode_details: stream.mode.into(),
            created: Timestamp(stream.created_ms),
        }
    }
}

impl Service {
    pub(super) fn describe_stream(
        &self,
        request: &DescribeStream,
    ) -> Result<DescribeStreamAnswer, ApiError> {
        let name = self.name_of(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        let limit = page_limit(request.limit, "limit", 100, 10_000)?;
        let after = exclusive_start(request.exclusive_start_shard_id.as_deref())?;
        self.with_stream(&name, |stream, _| {
            let mut rest = stream.shards.values().filter(|shard| Some(shard.number) > after);
            let shards = rest.by_ref().take(limit).map(ShardView::from).collect();
            let stream_description = Description {
                common: (&*stream).into(),
                shards,
                has_more_shards: rest.next().is_some(),
            };
            Ok(DescribeStreamAnswer { stream_description })
        })
    }

    pub(super) fn describe_stream_summary(
        &self,
        request: &DescribeStream,
    ) -> Result<SummaryAnswer, ApiError> {
        let name = self.name_of(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        self.with_stream(&name, |stream, _| {
            let stream_description_summary = Summary {
                common: (&*stream).into(),
                open_shard_count: stream.open_count(),
                consumer_count: stream.consumers.len(),
                max_record_kib: stream.max_record_kib,
            };
            Ok(SummaryAnswer { stream_description_summary })
        })
    }

    pub(super) fn list_streams(&self, request: ListStreams) -> Result<ListStreamsAnswer, ApiError> {
        let limit = page_limit(request.limit, "limit", 100, 10_000)?;
        let after = match (request.next_token, request.exclusive_start_stream_name) {
            (Some(token), None) => open_name(&token)?,
            (None, start) => start.unwrap_or_default(),
            (Some(_), Some(_)) => {
                return Err(ApiError::invalid_argument(
                    "NextToken and ExclusiveStartStreamName cannot be given together",
                ));
            }
        };
        let mut summaries = self.each_stream(|stream| StreamSummary::from(stream));
        summaries.retain(|summary| summary.name > after);
        let has_more_streams = summaries.len() > limit;
        summaries.truncate(limit);
        let last = summaries.last().filter(|_| has_more_streams);
        Ok(ListStreamsAnswer {
            stream_names: summaries.iter().map(|s| s.name.clone()).collect(),
            has_more_streams,
            next_token: last.map(|summary| STANDARD.encode(&summary.name)),
            stream_summaries: summaries,
        })
    }

    pub(super) fn describe_limits(&self) -> LimitsAnswer {
        let streams = self.each_stream(|stream| (stream.open_count(), stream.mode));
        LimitsAnswer {
            shard_limit: SHARD_LIMIT,
            open_shard_count: streams.iter().map(|(open, _)| open).sum(),
            on_demand_stream_count: streams.iter().filter(|(_, m)| *m == Mode::OnDemand).count(),
            on_demand_stream_count_limit: ON_DEMAND_STREAM_LIMIT,
        }
    }

    pub(super) fn describe_account_settings() -> AccountSettings {
        AccountSettings { minimum_throughput_billing_commitment: Commitment { status: "DISABLED" } }
    }
}

/// The shard after which a listing starts.
pub(super) fn exclusive_start(shard_id: Option<&str>) -> Result<Option<u32>, ApiError> {
    let Some(id) = shard_id else { return Ok(None) };
    parse_shard_id(id)
        .map(Some)
        .ok_or_else(|| ApiError::invalid_argument(format!("{id} is not the id of a shard")))
}

fn open_name(token: &str) -> Result<String, ApiError> {
    STANDARD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| ApiError::invalid_argument("the NextToken is invalid"))
}
