//! `PutRecord` and `PutRecords`.

use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::hash_range::hash_key;
use super::limits::{MAX_PUT_BYTES, MAX_PUT_RECORDS};
use super::operation::Operation;
use super::ops_reshard::parse_hash_key;
use super::sequence::SequenceNumber;
use super::service::Service;
use super::shard::record_size;
use super::stream::Stream;
use super::wire::{Blob, required};

const MAX_PARTITION_KEY: usize = 256;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutRecord {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    data: Option<Blob>,
    partition_key: Option<String>,
    explicit_hash_key: Option<String>,
    sequence_number_for_ordering: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutRecords {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    records: Option<Vec<PutEntry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutEntry {
    data: Option<Blob>,
    partition_key: Option<String>,
    explicit_hash_key: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Stored {
    shard_id: String,
    sequence_number: SequenceNumber,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutRecordsAnswer {
    failed_record_count: usize,
    records: Vec<PutResult>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum PutResult {
    Stored(Stored),
    #[serde(rename_all = "PascalCase")]
    Failed {
        error_code: &'static str,
        error_message: String,
    },
}

/// An entry that is fit to be written.
struct Entry {
    hash: u128,
    size: u64,
    partition_key: String,
    data: bytes::Bytes,
}

impl PutEntry {
    fn check(self) -> Result<Entry, ApiError> {
        let data = required(self.data, "data")?.0;
        let partition_key = required(self.partition_key, "partitionKey")?;
        let length = partition_key.chars().count();
        if !(1..=MAX_PARTITION_KEY).contains(&length) {
            return Err(ApiError::constraint(
                "partitionKey",
                &partition_key,
                "Member must have length between 1 and 256",
            ));
        }
        let hash = match &self.explicit_hash_key {
            Some(key) => parse_hash_key(key, "explicitHashKey")?,
            None => hash_key(&partition_key),
        };
        let size = record_size(&data, &partition_key);
        Ok(Entry { hash, size, partition_key, data })
    }
}

impl Service {
    pub(super) fn put_record(&self, request: PutRecord) -> Result<Stored, ApiError> {
        let PutRecord { data, partition_key, explicit_hash_key, .. } = request;
        let name = self.name_of(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        let entry = PutEntry { data, partition_key, explicit_hash_key }.check()?;
        self.with_shards_of(&name, |stream, now_ms| {
            check_size(&entry, stream)?;
            if let Some(number) = &request.sequence_number_for_ordering {
                self.check_ordering(stream, entry.hash, number)?;
            }
            self.store(stream, entry, Operation::PutRecord, now_ms)
        })
    }

    pub(super) fn put_records(&self, request: PutRecords) -> Result<PutRecordsAnswer, ApiError> {
        let name = self.name_of(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        let records = required(request.records, "records")?;
        if records.is_empty() || records.len() > MAX_PUT_RECORDS {
            return Err(ApiError::constraint(
                "records",
                &format!("[{} entries]", records.len()),
                "Member must have length between 1 and 500",
            ));
        }
        let entries = records.into_iter().map(PutEntry::check).collect::<Result<Vec<_>, _>>()?;
        if entries.iter().map(|entry| entry.size).sum::<u64>() > MAX_PUT_BYTES {
            return Err(ApiError::invalid_argument("records size exceeds 10 MB limit"));
        }
        self.with_shards_of(&name, |stream, now_ms| {
            entries.iter().try_for_each(|entry| check_size(entry, stream))?;
            let mut failed_record_count = 0;
            let mut put = |entry| match self.store(stream, entry, Operation::PutRecords, now_ms) {
                Ok(stored) => PutResult::Stored(stored),
                Err(error) => {
                    failed_record_count += 1;
                    PutResult::Failed { error_code: error.code, error_message: error.message }
                }
            };
            let records = entries.into_iter().map(&mut put).collect();
            Ok(PutRecordsAnswer { failed_record_count, records })
        })
    }

    /// Writes one record into the shard that owns its hash key, if the shard has quota left.
    fn store(
        &self,
        stream: &mut Stream,
        entry: Entry,
        operation: Operation,
        now_ms: u64,
    ) -> Result<Stored, ApiError> {
        let limits = self.settings.limits;
        let shard = stream.route(entry.hash)?;
        let shard_id = shard.id();
        if let Some(fault) = self.settings.faults.judge_entry(operation, &shard_id) {
            return Err(fault);
        }
        if !shard.usage.admit_write(limits, now_ms, entry.size) {
            return Err(ApiError::throughput_exceeded(format!(
                "rate exceeded for shard {shard_id} in {}",
                self.place(&stream.name)
            )));
        }
        let sequence_number = shard.append(now_ms, entry.partition_key, entry.data);
        Ok(Stored { shard_id, sequence_number })
    }

    /// Every number that a shard gives out grows anyway; one from its future is a mistake.
    fn check_ordering(&self, stream: &mut Stream, hash: u128, text: &str) -> Result<(), ApiError> {
        let shard = stream.route(hash)?;
        match SequenceNumber::parse(text) {
            Ok(number) if number < shard.tip() => Ok(()),
            _ => Err(ApiError::invalid_argument(format!(
                "SequenceNumberForOrdering {text} used in PutRecord on {} is invalid",
                self.place(&stream.name)
            ))),
        }
    }
}

fn check_size(entry: &Entry, stream: &Stream) -> Result<(), ApiError> {
    let max = stream.max_record_kib.saturating_mul(1024);
    if entry.size <= max {
        return Ok(());
    }
    Err(ApiError::invalid_argument(format!(
        "record of {} bytes (data and partition key) exceeds the stream's limit of {max} bytes",
        entry.size
    )))
}
