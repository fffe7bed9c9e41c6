//! Streams and lease tables whose calls are counted. They change nothing else.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Metrics, families::lost_race};
use crate::{
    model::{Lease, LeaseKey, LeaseWrite, RecordPage, Shard, ShardId, StreamName},
    ports::{
        LeaseStore, ShardIterator, ShardSubscriber, StartAt, StoreError, StreamError, StreamReader,
        Subscription, Swap,
    },
};

/// A stream reader whose calls are counted.
pub struct MeteredStream {
    reader: Arc<dyn StreamReader>,
    stream: StreamName,
    metrics: Arc<Metrics>,
}

impl MeteredStream {
    /// Counts the calls of `reader`.
    pub fn new(reader: Arc<dyn StreamReader>, stream: StreamName, metrics: Arc<Metrics>) -> Self {
        Self { reader, stream, metrics }
    }

    fn count<T>(
        &self,
        call: &'static str,
        answer: Result<T, StreamError>,
    ) -> Result<T, StreamError> {
        self.metrics.families.fetched(&self.stream, call, &answer);
        answer
    }
}

#[async_trait]
impl StreamReader for MeteredStream {
    async fn shards(&self) -> Result<Vec<Shard>, StreamError> {
        self.count("list_shards", self.reader.shards().await)
    }

    async fn iterator(
        &self,
        shard: &ShardId,
        start: &StartAt,
    ) -> Result<ShardIterator, StreamError> {
        self.count("get_shard_iterator", self.reader.iterator(shard, start).await)
    }

    async fn records(
        &self,
        iterator: &ShardIterator,
        limit: u32,
    ) -> Result<RecordPage<ShardIterator>, StreamError> {
        self.count("get_records", self.reader.records(iterator, limit).await)
    }
}

/// A subscriber whose subscriptions are counted.
pub struct MeteredSubscriber {
    subscriber: Arc<dyn ShardSubscriber>,
    stream: StreamName,
    metrics: Arc<Metrics>,
}

impl MeteredSubscriber {
    /// Counts the calls of `subscriber`.
    pub fn new(
        subscriber: Arc<dyn ShardSubscriber>,
        stream: StreamName,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { subscriber, stream, metrics }
    }
}

#[async_trait]
impl ShardSubscriber for MeteredSubscriber {
    async fn subscribe(
        &self,
        shard: &ShardId,
        start: &StartAt,
    ) -> Result<Subscription, StreamError> {
        let answer = self.subscriber.subscribe(shard, start).await;
        self.metrics.families.fetched(&self.stream, "subscribe_to_shard", &answer);
        answer
    }
}

/// A lease table whose calls are counted.
pub struct MeteredLeases {
    store: Arc<dyn LeaseStore>,
    metrics: Arc<Metrics>,
}

impl MeteredLeases {
    /// Counts the calls of `store`.
    pub fn new(store: Arc<dyn LeaseStore>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics }
    }

    fn count<T>(
        &self,
        op: &'static str,
        answer: Result<T, StoreError>,
        refused: impl FnOnce(&T) -> bool,
    ) -> Result<T, StoreError> {
        self.metrics.families.table(op, &answer, refused);
        answer
    }
}

#[async_trait]
impl LeaseStore for MeteredLeases {
    async fn scan(&self) -> Result<Vec<Lease>, StoreError> {
        self.count("scan", self.store.scan().await, |_| false)
    }

    async fn read(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        self.count("read", self.store.read(key).await, |_| false)
    }

    async fn create(&self, lease: &Lease) -> Result<bool, StoreError> {
        self.count("create", self.store.create(lease).await, |made| !made)
    }

    async fn write(&self, key: &LeaseKey, write: &LeaseWrite) -> Result<Swap, StoreError> {
        let op = match write {
            LeaseWrite::Renew { .. } => "renew",
            LeaseWrite::Take { .. } => "take",
            LeaseWrite::Release { .. } => "release",
            LeaseWrite::End { .. } => "end",
            LeaseWrite::RequestHandOver { .. }
            | LeaseWrite::WithdrawRequest { .. }
            | LeaseWrite::FinishHandOver { .. } => "hand_over",
            LeaseWrite::FillHashRange { .. } | LeaseWrite::Evict { .. } => "mend",
        };
        self.count(op, self.store.write(key, write).await, lost_race)
    }

    async fn delete(&self, lease: &Lease) -> Result<bool, StoreError> {
        self.count("delete", self.store.delete(lease).await, |gone| !gone)
    }
}
