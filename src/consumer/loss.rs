//! What was trimmed before it was read: the one way to lose records that no software can prevent.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tracing::error;

use crate::{
    leasing::LeaseGrant,
    model::{Checkpoint, EpochMillis, Lease, RawRecord, RecordPage, SequenceNumber},
    ports::{StartAt, StreamError, StreamReader},
};

/// How often records were trimmed unread since the process began, for metrics. Each time is said in
/// the log once, with what is known of it.
#[derive(Debug, Default)]
pub struct LossLog {
    shards: AtomicU64,
    gaps: AtomicU64,
}

impl LossLog {
    /// Shards that left the stream before they were read to their end.
    pub fn shards(&self) -> u64 {
        self.shards.load(Ordering::Relaxed)
    }

    /// Positions that were trimmed before a reader came back to them.
    pub fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }

    /// A shard is not listed any more, and its lease says that it was not read to its end.
    pub(super) fn shard(&self, lease: &Lease) {
        self.shards.fetch_add(1, Ordering::Relaxed);
        error!(lease = %lease.key, after = %lease.checkpoint, processed_until = %until(lease.arrival),
            keys = %share(lease),
            "records are lost: the shard left the stream before it was read to its end");
    }

    /// The records after a checkpoint are gone up to `oldest`.
    fn gap(&self, lease: &Lease, oldest: &RawRecord) {
        self.gaps.fetch_add(1, Ordering::Relaxed);
        let hours = lease.arrival.map(|from| oldest.arrival.millis_since(from) / 3_600_000);
        error!(lease = %lease.key, after = %lease.checkpoint, processed_until = %until(lease.arrival),
            oldest_kept = %oldest.sequence, kept_since = %oldest.arrival, hours,
            "records may be lost: the position was trimmed before it was read on from");
    }
}

fn until(arrival: Option<EpochMillis>) -> String {
    arrival.map_or_else(|| "unknown".to_owned(), |time| time.to_string())
}

/// The part of the stream's keys that a shard takes.
fn share(lease: &Lease) -> String {
    let Some(share) = lease.hash_range.map(|range| range.per_mille()) else {
        return "unknown".to_owned();
    };
    format!("{}.{} %", share / 10, share % 10)
}

/// Looks out for a gap where reading is resumed. Reading begins with the record of the checkpoint
/// itself; when another one comes first, records in between may have been trimmed.
pub(super) struct GapWatch {
    grant: Arc<LeaseGrant>,
    /// The record that should come first.
    expected: Option<SequenceNumber>,
}

impl GapWatch {
    pub(super) fn new(grant: Arc<LeaseGrant>) -> Self {
        let expected = match &grant.lease.checkpoint {
            Checkpoint::After(position) => Some(position.sequence.clone()),
            _ => None,
        };
        Self { grant, expected }
    }

    /// Looks at a page. Asks the stream for its oldest record if this page begins too late: a
    /// checkpoint need not be a record's (an operator may have moved it).
    ///
    /// An idle shard whose last record was trimmed after it was processed answers nothing, and is at
    /// its tip: that is no gap.
    pub(super) async fn see<I: Sync>(
        &mut self,
        page: &RecordPage<I>,
        reader: &dyn StreamReader,
        losses: &LossLog,
    ) -> Result<(), StreamError> {
        let Some(expected) = &self.expected else { return Ok(()) };
        match page.records.first() {
            None if !page.behind_latest.is_zero() => return Ok(()),
            Some(first) if first.sequence > *expected => {
                let shard = &self.grant.lease.shard;
                let oldest = reader.iterator(shard, &StartAt::TrimHorizon).await?;
                let oldest = reader.records(&oldest, 1).await?.records;
                if oldest.first().is_none_or(|oldest| oldest.sequence >= first.sequence) {
                    losses.gap(&self.grant.lease, first);
                }
            }
            _ => {}
        }
        self.expected = None;
        Ok(())
    }
}
