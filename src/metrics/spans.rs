//! What a trace shows of a worker. The records of a page are one trace, from their coming to the checkpoint
//! that covers them:
//!
//! ```text
//! records ─┬─ process      each turn of decoding, validating, transforming
//!          ├─ deliver      each attempt at a sink; linked to the other pages that its batch has events of
//!          └─ checkpoint   the write that covers them; linked to the other pages that it covers
//! ```
//!
//! Calls to Kinesis, other calls to the lease table and changes of leases stand for themselves.
//!
//! Spans have a target of their own and the lowest level, so that no log shows them and a program that
//! exports none pays for none.

use tracing::{Id, Span, field::Empty, trace_span};

use super::LeaseChange;
use crate::model::{Checkpoint, Lease, LeaseKey, ShardId, StreamName};

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

/// One call to the lease table.
pub(super) fn lease_table(op: &'static str, lease: Option<&LeaseKey>) -> Span {
    let span = trace_span!(target: TARGET, "lease table", op, lease = Empty, outcome = Empty);
    if let Some(lease) = lease {
        span.record("lease", lease.as_str());
    }
    span
}

/// A call to the lease table that carries a checkpoint, over the records of `pages`.
pub(super) fn checkpoint(
    op: &'static str,
    lease: &LeaseKey,
    checkpoint: &Checkpoint,
    pages: &[Span],
) -> Span {
    let span = trace_span!(target: TARGET, parent: first(pages), "checkpoint", op,
        lease = lease.as_str(), checkpoint = %checkpoint, outcome = Empty);
    link_rest(&span, pages);
    span
}

/// The records of one page, from their coming to their checkpoint.
pub(super) fn records(stream: &StreamName, shard: &ShardId, records: usize) -> Span {
    trace_span!(target: TARGET, parent: None, "records", stream = stream.as_str(),
        shard = shard.as_str(), records)
}

/// One turn of decoding, validating and transforming records of a page; enter it while the work is done.
pub fn process(page: &Span, stream: &StreamName, shard: &ShardId) -> Span {
    trace_span!(target: TARGET, parent: page, "process", stream = stream.as_str(),
        shard = shard.as_str(), records = Empty, events = Empty)
}

/// One attempt to deliver a batch, with events of these pages.
pub fn deliver(pages: &[Span], sink: &str, lease: &str, events: usize) -> Span {
    let span = trace_span!(target: TARGET, parent: first(pages), "deliver", sink, lease, events,
        accepted = Empty, problem = Empty);
    link_rest(&span, pages);
    span
}

fn first(pages: &[Span]) -> Option<Id> {
    pages.first().and_then(Span::id)
}

fn link_rest(span: &Span, pages: &[Span]) {
    for page in pages.iter().skip(1) {
        span.follows_from(page);
    }
}

/// A lease came to this worker or left it: a moment.
pub(super) fn lease_changed(change: LeaseChange, stream: &str, lease: &Lease, why: &str) {
    let shard = lease.shard.as_str();
    drop(trace_span!(target: TARGET, "lease change", kind = change.name(), stream, shard, why));
}
