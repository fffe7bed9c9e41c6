//! What a trace shows of a worker: a span for each call to Kinesis and to the lease table, each turn of
//! decoding, each attempt at a sink, each change of a lease.
//!
//! They have a target of their own and the lowest level, so that no log shows them and a program that
//! exports none pays for none. Each stands for itself: a batch holds events of several pages, and a
//! checkpoint covers several batches.

use tracing::{Span, field::Empty, trace_span};

use super::LeaseChange;
use crate::model::{Lease, LeaseKey, ShardId, StreamName};

/// The target of all spans.
pub const TARGET: &str = "shardwright::span";

/// One call to Kinesis; `records` and `outcome` are told by [`fetched`].
pub(super) fn fetch(stream: &StreamName, call: &'static str, shard: Option<&ShardId>) -> Span {
    let span = trace_span!(target: TARGET, "fetch", call, stream = stream.as_str(), shard = Empty,
        records = Empty, outcome = Empty);
    if let Some(shard) = shard {
        span.record("shard", shard.as_str());
    }
    span
}

/// How a call to Kinesis came out.
pub(super) fn fetched(span: &Span, outcome: &str, records: Option<usize>) {
    span.record("outcome", outcome);
    if let Some(records) = records {
        span.record("records", records);
    }
}

/// One call to the lease table; called a checkpoint when it carries one.
pub(super) fn lease_table(
    op: &'static str,
    lease: Option<&LeaseKey>,
    checkpoint: Option<&str>,
) -> Span {
    let name = checkpoint.map_or("lease table", |_| "checkpoint");
    let span = trace_span!(target: TARGET, "lease table", otel.name = name, op, lease = Empty,
        checkpoint = Empty, outcome = Empty);
    if let Some(lease) = lease {
        span.record("lease", lease.as_str());
    }
    if let Some(checkpoint) = checkpoint {
        span.record("checkpoint", checkpoint);
    }
    span
}

/// One turn of decoding, validating and transforming; enter it while the work is done.
pub fn process(stream: &StreamName, shard: &ShardId) -> Span {
    trace_span!(target: TARGET, "process", stream = stream.as_str(), shard = shard.as_str(),
        records = Empty, events = Empty)
}

/// One attempt to deliver a batch.
pub fn deliver(sink: &str, lease: &str, events: usize) -> Span {
    trace_span!(target: TARGET, "deliver", sink, lease, events, accepted = Empty, problem = Empty)
}

/// A lease came to this worker or left it: a moment.
pub(super) fn lease_changed(change: LeaseChange, stream: &str, lease: &Lease, why: &str) {
    let shard = lease.shard.as_str();
    drop(trace_span!(target: TARGET, "lease change", kind = change.name(), stream, shard, why));
}
