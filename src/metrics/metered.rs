//! Streams and lease tables whose calls are counted and traced. They change nothing else.

use std::sync::Arc;

use async_trait::async_trait;
use tracing::{Instrument, Span};

use super::{Metrics, families::lost_race, spans};
use crate::{
    model::{Checkpoint, Lease, LeaseKey, LeaseWrite, RecordPage, Shard, ShardId, StreamName},
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

    /// Makes a call in a span, and counts it.
    async fn call<T>(
        &self,
        call: &'static str,
        shard: Option<&ShardId>,
        answer: impl Future<Output = Result<T, StreamError>>,
        records: impl FnOnce(&T) -> Option<usize>,
    ) -> Result<T, StreamError> {
        let span = spans::fetch(&self.stream, call, shard);
        let answer = answer.instrument(span.clone()).await;
        let outcome = self.metrics.families.fetched(&self.stream, call, &answer);
        spans::fetched(&span, outcome, answer.as_ref().ok().and_then(records));
        answer
    }
}

#[async_trait]
impl StreamReader for MeteredStream {
    async fn shards(&self) -> Result<Vec<Shard>, StreamError> {
        self.call("list_shards", None, self.reader.shards(), |_| None).await
    }

    async fn iterator(
        &self,
        shard: &ShardId,
        start: &StartAt,
    ) -> Result<ShardIterator, StreamError> {
        let answer = self.reader.iterator(shard, start);
        self.call("get_shard_iterator", Some(shard), answer, |_| None).await
    }

    async fn records(
        &self,
        iterator: &ShardIterator,
        limit: u32,
    ) -> Result<RecordPage<ShardIterator>, StreamError> {
        let answer = self.reader.records(iterator, limit);
        self.call("get_records", None, answer, |page| Some(page.records.len())).await
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
        const CALL: &str = "subscribe_to_shard";
        let span = spans::fetch(&self.stream, CALL, Some(shard));
        let answer = self.subscriber.subscribe(shard, start).instrument(span.clone()).await;
        let outcome = self.metrics.families.fetched(&self.stream, CALL, &answer);
        spans::fetched(&span, outcome, None);
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

    /// Makes a call in a span, and counts it.
    async fn call<T>(
        &self,
        op: &'static str,
        span: Span,
        answer: impl Future<Output = Result<T, StoreError>>,
        refused: impl FnOnce(&T) -> bool,
    ) -> Result<T, StoreError> {
        let answer = answer.instrument(span.clone()).await;
        let outcome = self.metrics.families.table(op, &answer, refused);
        span.record("outcome", outcome);
        answer
    }
}

#[async_trait]
impl LeaseStore for MeteredLeases {
    async fn scan(&self) -> Result<Vec<Lease>, StoreError> {
        let span = spans::lease_table("scan", None);
        self.call("scan", span, self.store.scan(), |_| false).await
    }

    async fn read(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        let span = spans::lease_table("read", Some(key));
        self.call("read", span, self.store.read(key), |_| false).await
    }

    async fn create(&self, lease: &Lease) -> Result<bool, StoreError> {
        let span = spans::lease_table("create", Some(&lease.key));
        self.call("create", span, self.store.create(lease), |made| !made).await
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
        let Some(checkpoint) = checkpoint_of(write) else {
            let span = spans::lease_table(op, Some(key));
            return self.call(op, span, self.store.write(key, write), lost_race).await;
        };
        let traces = &self.metrics.traces;
        let span = spans::checkpoint(op, key, checkpoint, &traces.upto(key, checkpoint));
        let answer = self.call(op, span, self.store.write(key, write), lost_race).await;
        if answer.as_ref().is_ok_and(|swap| !lost_race(swap)) {
            traces.end(key, checkpoint);
        }
        answer
    }

    async fn delete(&self, lease: &Lease) -> Result<bool, StoreError> {
        let span = spans::lease_table("delete", Some(&lease.key));
        self.call("delete", span, self.store.delete(lease), |gone| !gone).await
    }
}

/// The checkpoint that a write carries.
fn checkpoint_of(write: &LeaseWrite) -> Option<&Checkpoint> {
    match write {
        LeaseWrite::Renew { checkpoint, .. }
        | LeaseWrite::FinishHandOver { checkpoint, .. }
        | LeaseWrite::Release { checkpoint, .. } => {
            checkpoint.as_ref().map(|progress| &progress.checkpoint)
        }
        LeaseWrite::End { .. } => Some(&Checkpoint::ShardEnd),
        _ => None,
    }
}
