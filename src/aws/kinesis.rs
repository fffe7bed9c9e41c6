//! The stream reader over Kinesis Data Streams, by polling.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_kinesis::{
    Client,
    operation::list_shards::ListShardsOutput,
    primitives::DateTime,
    types::{
        EncryptionType, HashKeyRange as SdkHashKeyRange, Record, Shard as SdkShard,
        ShardIteratorType,
    },
};
use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{AwsConnection, Fault};
use crate::{
    model::{
        ChildShard, EpochMillis, HashKeyRange, RawRecord, RecordPage, SequenceNumber, Shard,
        ShardId, StreamName,
    },
    ports::{ShardIterator, StartAt, StreamError, StreamReader, SystemClock, WallClock},
};

/// How a stream is named in requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamTarget {
    /// A stream of this account and region.
    Name(StreamName),
    /// Any stream, of another account too.
    Arn {
        /// `arn:aws:kinesis:<region>:<account>:stream/<name>`.
        arn: String,
        /// The name within the ARN.
        name: StreamName,
    },
}

/// A text that is not the ARN of a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the ARN of a stream: expected arn:aws:kinesis:<region>:<account>:stream/<name>"
)]
pub struct StreamTargetError(String);

impl StreamTarget {
    /// Reads the ARN of a stream.
    ///
    /// # Errors
    /// When it is the ARN of something else, or none.
    pub fn arn(arn: &str) -> Result<Self, StreamTargetError> {
        let parts: Vec<_> = arn.splitn(6, ':').collect();
        if let ["arn", partition, "kinesis", _, _, resource] = parts.as_slice()
            && partition.starts_with("aws")
            && let Some(name) = resource.strip_prefix("stream/")
            && !name.is_empty()
            && !name.contains(['/', ':'])
        {
            return Ok(Self::Arn { arn: arn.to_owned(), name: StreamName::new(name) });
        }
        Err(StreamTargetError(arn.chars().take(200).collect()))
    }

    /// The stream's name.
    pub fn stream_name(&self) -> &StreamName {
        match self {
            Self::Name(name) | Self::Arn { name, .. } => name,
        }
    }

    /// The name, for requests that take the name or the ARN: one of the two only.
    pub(crate) fn name_part(&self) -> Option<String> {
        match self {
            Self::Name(name) => Some(name.as_str().to_owned()),
            Self::Arn { .. } => None,
        }
    }

    /// The ARN, for requests that take the name or the ARN. Some emulators know no ARNs.
    pub(crate) fn arn_part(&self) -> Option<String> {
        match self {
            Self::Name(_) => None,
            Self::Arn { arn, .. } => Some(arn.clone()),
        }
    }
}

/// What Kinesis says of a stream as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSummary {
    /// Its name.
    pub name: StreamName,
    /// Its ARN.
    pub arn: String,
    /// `ACTIVE`, `UPDATING`, `CREATING` or `DELETING`.
    pub status: String,
    /// `ON_DEMAND` or `PROVISIONED`, when the server says so.
    pub mode: Option<String>,
    /// How long records are kept.
    pub retention: Duration,
    /// Shards that take records.
    pub open_shards: u32,
    /// The key that encrypts its records, if one does.
    pub encryption_key: Option<String>,
    /// Registered consumers with enhanced fan-out, when the server counts them.
    pub consumers: Option<u32>,
    /// When it was created; its seconds are part of the keys of a lease table of several streams.
    pub created: EpochMillis,
}

/// A consumer with enhanced fan-out, as its stream lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredConsumer {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// `ACTIVE`, `CREATING` or `DELETING`.
    pub status: String,
}

/// One Kinesis data stream.
///
/// Calls are repeated by the SDK, except `GetRecords`: its pace is the consumer's own business.
#[derive(Clone, Debug)]
pub struct KinesisStream {
    client: Client,
    /// For `GetRecords`.
    once: Client,
    target: StreamTarget,
    reads: Arc<Semaphore>,
    /// Shards a page of `ListShards`; `None` leaves it to the server (1,000).
    page_size: Option<i32>,
}

impl KinesisStream {
    /// Reads this stream. Calls nothing.
    pub fn new(connection: &AwsConnection, target: StreamTarget) -> Self {
        Self {
            client: connection.kinesis(),
            once: connection.kinesis_once(),
            target,
            reads: connection.reads(),
            page_size: None,
        }
    }

    /// Asks for at most so many shards a page, 1 to 10,000.
    #[must_use]
    pub fn with_page_size(mut self, shards: u16) -> Self {
        self.page_size = Some(i32::from(shards.clamp(1, 10_000)));
        self
    }

    /// What the stream is, for start-up and `check`.
    ///
    /// # Errors
    /// When the stream does not answer.
    pub async fn describe(&self) -> Result<StreamSummary, StreamError> {
        let answer = self
            .client
            .describe_stream_summary()
            .set_stream_name(self.target.name_part())
            .set_stream_arn(self.target.arn_part())
            .send()
            .await
            .map_err(|error| Fault::of("kinesis:DescribeStreamSummary", &error).into_stream())?;
        let summary = answer.stream_description_summary.ok_or_else(|| {
            StreamError::Unavailable("kinesis:DescribeStreamSummary: empty answer".to_owned())
        })?;
        let hours = u64::try_from(summary.retention_period_hours).unwrap_or(0);
        Ok(StreamSummary {
            name: self.target.stream_name().clone(),
            arn: summary.stream_arn().to_owned(),
            status: summary.stream_status().as_str().to_owned(),
            mode: summary.stream_mode_details().map(|mode| mode.stream_mode().as_str().to_owned()),
            retention: Duration::from_secs(hours.saturating_mul(3600)),
            open_shards: u32::try_from(summary.open_shard_count()).unwrap_or(0),
            encryption_key: summary
                .encryption_type()
                .filter(|encryption| **encryption == EncryptionType::Kms)
                .map(|_| summary.key_id().unwrap_or("a KMS key").to_owned()),
            consumers: summary.consumer_count().and_then(|count| u32::try_from(count).ok()),
            created: EpochMillis(summary.stream_creation_timestamp().to_millis().unwrap_or(0)),
        })
    }

    /// The consumers with enhanced fan-out that are registered with the stream of this ARN, whosever
    /// they are. Follows the pages.
    ///
    /// # Errors
    /// When the stream does not answer, or does not let this process ask.
    pub async fn consumers(&self, arn: &str) -> Result<Vec<RegisteredConsumer>, StreamError> {
        let mut found = Vec::new();
        let mut pages = self.client.list_stream_consumers().stream_arn(arn).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page
                .map_err(|error| Fault::of("kinesis:ListStreamConsumers", &error).into_stream())?;
            found.extend(page.consumers.unwrap_or_default().into_iter().map(|consumer| {
                RegisteredConsumer {
                    name: consumer.consumer_name,
                    arn: consumer.consumer_arn,
                    status: consumer.consumer_status.as_str().to_owned(),
                }
            }));
        }
        Ok(found)
    }

    /// Waits until one more read may be under way.
    async fn turn(&self) -> SemaphorePermit<'_> {
        self.reads.acquire().await.expect("the semaphore is never closed")
    }

    /// One page of shards. The token of a next page names the stream already: AWS refuses requests
    /// that carry both (API reference, `ListShards`).
    async fn shard_page(&self, token: Option<String>) -> Result<ListShardsOutput, StreamError> {
        let first = token.is_none();
        self.client
            .list_shards()
            .set_stream_name(self.target.name_part().filter(|_| first))
            .set_stream_arn(self.target.arn_part().filter(|_| first))
            .set_next_token(token)
            .set_max_results(self.page_size)
            .send()
            .await
            .map_err(|error| Fault::of("kinesis:ListShards", &error).into_stream())
    }
}

#[async_trait]
impl StreamReader for KinesisStream {
    async fn shards(&self) -> Result<Vec<Shard>, StreamError> {
        let mut shards = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let page = self.shard_page(token.clone()).await?;
            shards.extend(page.shards().iter().map(shard));
            let next = page.next_token.filter(|next| !next.is_empty());
            if next.is_some() && next == token {
                let problem = "kinesis:ListShards: the same page twice";
                return Err(StreamError::Unavailable(problem.to_owned()));
            }
            if next.is_none() {
                return Ok(shards);
            }
            token = next;
        }
    }

    async fn iterator(
        &self,
        shard: &ShardId,
        start: &StartAt,
    ) -> Result<ShardIterator, StreamError> {
        let Place { kind, sequence, timestamp } = Place::of(start);
        let _turn = self.turn().await;
        let answer = self
            .client
            .get_shard_iterator()
            .set_stream_name(self.target.name_part())
            .set_stream_arn(self.target.arn_part())
            .shard_id(shard.as_str())
            .shard_iterator_type(kind)
            .set_starting_sequence_number(sequence)
            .set_timestamp(timestamp)
            .send()
            .await
            .map_err(|error| Fault::of("kinesis:GetShardIterator", &error).into_stream())?;
        answer.shard_iterator.filter(|iterator| !iterator.is_empty()).map(ShardIterator).ok_or_else(
            || StreamError::Unavailable("kinesis:GetShardIterator: empty answer".to_owned()),
        )
    }

    async fn records(
        &self,
        iterator: &ShardIterator,
        limit: u32,
    ) -> Result<RecordPage<ShardIterator>, StreamError> {
        let limit = i32::try_from(limit.clamp(1, 10_000)).unwrap_or(10_000);
        let _turn = self.turn().await;
        let answer = self
            .once
            .get_records()
            .set_stream_arn(self.target.arn_part())
            .shard_iterator(&iterator.0)
            .limit(limit)
            .send()
            .await
            .map_err(|error| Fault::of("kinesis:GetRecords", &error).into_stream())?;
        let behind = answer.millis_behind_latest().unwrap_or(0);
        let children = answer.child_shards().iter().map(child).collect();
        Ok(RecordPage {
            next: answer.next_shard_iterator.filter(|next| !next.is_empty()).map(ShardIterator),
            behind_latest: Duration::from_millis(u64::try_from(behind).unwrap_or(0)),
            children,
            records: answer.records.into_iter().map(record).collect::<Result<_, _>>()?,
        })
    }
}

/// A place to start at, as requests say it.
pub(super) struct Place {
    pub(super) kind: ShardIteratorType,
    pub(super) sequence: Option<String>,
    pub(super) timestamp: Option<DateTime>,
}

impl Place {
    pub(super) fn of(start: &StartAt) -> Self {
        let (kind, sequence, timestamp) = match start {
            StartAt::TrimHorizon => (ShardIteratorType::TrimHorizon, None, None),
            StartAt::Latest => (ShardIteratorType::Latest, None, None),
            StartAt::Timestamp(time) => {
                (ShardIteratorType::AtTimestamp, None, Some(DateTime::from_millis(time.0)))
            }
            StartAt::At(number) => (ShardIteratorType::AtSequenceNumber, Some(number), None),
            StartAt::After(number) => (ShardIteratorType::AfterSequenceNumber, Some(number), None),
        };
        Self { kind, sequence: sequence.map(ToString::to_string), timestamp }
    }
}

/// A shard is open while it has no last sequence number (API reference, `SequenceNumberRange`).
fn shard(shard: &SdkShard) -> Shard {
    let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
    let ending = shard.sequence_number_range().and_then(|range| range.ending_sequence_number());
    Shard {
        id: ShardId::new(shard.shard_id()),
        parents: parents.into_iter().flatten().map(ShardId::new).collect(),
        hash_range: hash_range(shard.hash_key_range()),
        open: ending.is_none(),
    }
}

pub(super) fn child(shard: &aws_sdk_kinesis::types::ChildShard) -> ChildShard {
    ChildShard {
        id: ShardId::new(shard.shard_id()),
        parents: shard.parent_shards().iter().map(ShardId::new).collect(),
        hash_range: hash_range(shard.hash_key_range()),
    }
}

fn hash_range(range: Option<&SdkHashKeyRange>) -> Option<HashKeyRange> {
    let range = range?;
    HashKeyRange::parse(range.starting_hash_key(), range.ending_hash_key())
}

/// The nearest millisecond: the SDK reads seconds as a binary fraction, which may lie just below it.
fn epoch_millis(time: &DateTime) -> Option<EpochMillis> {
    let nearest = time.as_nanos().checked_add(500_000)?.div_euclid(1_000_000);
    i64::try_from(nearest).ok().map(EpochMillis)
}

/// A record whose arrival nobody knows counts as arrived now: as old as possible would make a limit
/// on the age of records drop it.
pub(super) fn record(record: Record) -> Result<RawRecord, StreamError> {
    let arrival = record.approximate_arrival_timestamp.as_ref().and_then(epoch_millis);
    let sequence: SequenceNumber = record
        .sequence_number
        .parse()
        .map_err(|error| StreamError::Invalid(format!("kinesis answered: {error}")))?;
    Ok(RawRecord {
        sequence,
        partition_key: record.partition_key.unwrap_or_default(),
        data: Bytes::from(record.data.into_inner()),
        arrival: arrival.unwrap_or_else(|| SystemClock.now()),
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::primitives::Blob;

    use super::*;

    #[test]
    fn arns_name_their_stream() {
        let arn = "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/app-logs";
        assert_eq!(StreamTarget::arn(arn).unwrap().stream_name().as_str(), "app-logs");
        for bad in [
            "app-logs",
            "arn:aws:kinesis:eu-west-1:1:stream/",
            "arn:aws:kinesis:eu-west-1:1:stream/a/consumer/b:1",
            "arn:aws:sqs:eu-west-1:1:queue",
            "",
        ] {
            assert!(StreamTarget::arn(bad).is_err(), "{bad:?}");
        }
    }

    fn sdk_record(sequence: &str, arrival: Option<DateTime>) -> Record {
        Record::builder()
            .sequence_number(sequence)
            .partition_key("key")
            .data(Blob::new("payload"))
            .set_approximate_arrival_timestamp(arrival)
            .build()
            .unwrap()
    }

    #[test]
    fn odd_records_are_refused_or_tolerated_but_never_panic() {
        let negative = record(sdk_record("0007", Some(DateTime::from_millis(-5)))).unwrap();
        assert_eq!((negative.sequence.as_str(), negative.arrival), ("0007", EpochMillis(-5)));
        let unknown = record(sdk_record("7", None)).unwrap();
        assert!(unknown.arrival > EpochMillis(0));
        let far = record(sdk_record("7", Some(DateTime::from_secs(i64::MAX)))).unwrap();
        assert!(far.arrival > EpochMillis(0));
        let fraction = DateTime::from_secs_f64(1_767_225_600.001);
        let exact = record(sdk_record("7", Some(fraction))).unwrap();
        assert_eq!(exact.arrival, EpochMillis(1_767_225_600_001));
        let error = record(sdk_record("seven", None)).unwrap_err();
        assert!(matches!(error, StreamError::Invalid(_)), "{error:?}");
    }
}
