//! Operations that make, change and remove streams.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::service::Service;
use super::stream::{Change, Mode, Status, Stream};
use super::wire::{ModeDetailsRequest, required};

/// Open shards that one server holds at most.
pub(super) const SHARD_LIMIT: u32 = 10_000;
/// Shards of a stream that is created on demand.
const ON_DEMAND_SHARDS: u32 = 4;
const DEFAULT_RECORD_KIB: u64 = 1024;
const MAX_RECORD_KIB: u64 = 10_240;
const MIN_RETENTION_HOURS: u64 = 24;
const MAX_RETENTION_HOURS: u64 = 8760;
const MAX_NAME: usize = 128;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateStream {
    stream_name: Option<String>,
    shard_count: Option<u32>,
    stream_mode_details: Option<ModeDetailsRequest>,
    #[serde(rename = "MaxRecordSizeInKiB")]
    max_record_kib: Option<u64>,
    tags: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteStream {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    enforce_consumer_deletion: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChangeRetention {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    retention_period_hours: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateStreamMode {
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    stream_mode_details: Option<ModeDetailsRequest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateMaxRecordSize {
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    #[serde(rename = "MaxRecordSizeInKiB")]
    max_record_kib: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EnhancedMonitoring {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    shard_level_metrics: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EnhancedMonitoringAnswer {
    stream_name: String,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    current_shard_level_metrics: Vec<String>,
    desired_shard_level_metrics: Vec<String>,
}

impl Service {
    pub(super) fn create_stream(&self, request: CreateStream) -> Result<(), ApiError> {
        let name = required(request.stream_name, "streamName")?;
        check_name(&name, "streamName")?;
        let mode = request.stream_mode_details.map_or(Ok(Mode::Provisioned), |m| m.mode())?;
        let shards = match mode {
            Mode::OnDemand => ON_DEMAND_SHARDS,
            Mode::Provisioned => required(request.shard_count, "shardCount")?,
        };
        if shards == 0 {
            let constraint = "Member must have value greater than or equal to 1";
            return Err(ApiError::constraint("shardCount", "0", constraint));
        }
        let record_kib = request.max_record_kib.unwrap_or(DEFAULT_RECORD_KIB);
        check_record_kib(record_kib)?;
        let open = self.each_stream(Stream::open_count).into_iter().sum::<usize>();
        let limit = usize::try_from(SHARD_LIMIT).unwrap_or(usize::MAX);
        if usize::try_from(shards).is_ok_and(|more| open.saturating_add(more) > limit) {
            return Err(ApiError::limit_exceeded(format!(
                "this request would exceed the shard limit for the account {}: limit {SHARD_LIMIT}",
                self.settings.account
            )));
        }
        let now_ms = self.now_ms();
        let mut stream = Stream::new(name.clone(), self.arn(&name), mode, record_kib, now_ms);
        stream.tags.add(request.tags.unwrap_or_default())?;
        stream.begin(Change::Create { shards }, now_ms, self.status_window_ms());
        self.insert(stream)
    }

    pub(super) fn delete_stream(&self, request: &DeleteStream) -> Result<(), ApiError> {
        let name = self.name_of(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        self.with_stream(&name, |stream, now_ms| {
            if stream.consumers.len() > 0 && request.enforce_consumer_deletion != Some(true) {
                return Err(ApiError::in_use(format!(
                    "{} has registered consumers: deregister them, or set EnforceConsumerDeletion",
                    self.place(&name)
                )));
            }
            if stream.status() != Status::Deleting {
                stream.begin(Change::Delete, now_ms, self.status_window_ms());
                stream.wake();
            }
            Ok(())
        })?;
        // Frees the records now rather than at the next listing.
        self.each_stream(|_| ());
        Ok(())
    }

    pub(super) fn increase_retention(&self, request: &ChangeRetention) -> Result<(), ApiError> {
        self.change_retention(request, |old, new| (new < old).then_some("can not be shorter than"))
    }

    pub(super) fn decrease_retention(&self, request: &ChangeRetention) -> Result<(), ApiError> {
        self.change_retention(request, |old, new| (new > old).then_some("can not be longer than"))
    }

    /// `objection` says what is wrong with a change from the old to the new number of hours.
    fn change_retention(
        &self,
        request: &ChangeRetention,
        objection: impl FnOnce(u64, u64) -> Option<&'static str>,
    ) -> Result<(), ApiError> {
        let name = self.name_of(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        let hours = required(request.retention_period_hours, "retentionPeriodHours")?;
        if !(MIN_RETENTION_HOURS..=MAX_RETENTION_HOURS).contains(&hours) {
            return Err(ApiError::invalid_argument(format!(
                "retention period must be between {MIN_RETENTION_HOURS} and \
                 {MAX_RETENTION_HOURS} hours, not {hours}"
            )));
        }
        self.with_active(&name, |stream, now_ms| {
            let old = stream.retention_hours;
            if let Some(objection) = objection(old, hours) {
                return Err(ApiError::invalid_argument(format!(
                    "requested retention period ({hours} hours) for {} {objection} the existing \
                     retention period ({old} hours)",
                    self.place(&name)
                )));
            }
            stream.retention_hours = hours;
            stream.begin(Change::Setting, now_ms, self.status_window_ms());
            Ok(())
        })
    }

    pub(super) fn update_stream_mode(&self, request: UpdateStreamMode) -> Result<(), ApiError> {
        let arn = required(request.stream_arn, "streamARN")?;
        let mode = required(request.stream_mode_details, "streamModeDetails")?.mode()?;
        let name = self.name_of(None, Some(&arn))?;
        self.with_active(&name, |stream, now_ms| {
            stream.mode = mode;
            stream.begin(Change::Setting, now_ms, self.status_window_ms());
            Ok(())
        })
    }

    pub(super) fn update_max_record_size(
        &self,
        request: UpdateMaxRecordSize,
    ) -> Result<(), ApiError> {
        let arn = required(request.stream_arn, "streamARN")?;
        let kib = required(request.max_record_kib, "maxRecordSizeInKiB")?;
        check_record_kib(kib)?;
        let name = self.name_of(None, Some(&arn))?;
        self.with_active(&name, |stream, now_ms| {
            stream.max_record_kib = kib;
            stream.begin(Change::Setting, now_ms, self.status_window_ms());
            Ok(())
        })
    }

    /// Shard-level metrics go nowhere here: the call is answered so that set-up scripts pass.
    pub(super) fn enhanced_monitoring(
        &self,
        request: EnhancedMonitoring,
    ) -> Result<EnhancedMonitoringAnswer, ApiError> {
        let name = self.name_of(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        let metrics = required(request.shard_level_metrics, "shardLevelMetrics")?;
        self.with_stream(&name, |stream, _| {
            Ok(EnhancedMonitoringAnswer {
                stream_name: stream.name.clone(),
                stream_arn: stream.arn.clone(),
                current_shard_level_metrics: Vec::new(),
                desired_shard_level_metrics: metrics,
            })
        })
    }
}

/// The characters of a stream's or a consumer's name.
pub(super) fn check_name(name: &str, member: &str) -> Result<(), ApiError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(allowed) {
        let constraint = "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]{1,128}";
        return Err(ApiError::constraint(member, name, constraint));
    }
    Ok(())
}

fn check_record_kib(kib: u64) -> Result<(), ApiError> {
    if (DEFAULT_RECORD_KIB..=MAX_RECORD_KIB).contains(&kib) {
        return Ok(());
    }
    let constraint =
        format!("Member must have value between {DEFAULT_RECORD_KIB} and {MAX_RECORD_KIB}");
    Err(ApiError::constraint("maxRecordSizeInKiB", &kib.to_string(), &constraint))
}
