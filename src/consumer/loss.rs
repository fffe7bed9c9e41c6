//! What was trimmed before it was read: the one way to lose records that no software can prevent.
//! Each time is counted, and said in the log once, with what is known of it.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tracing::error;

use crate::{
    leasing::LeaseGrant,
    metrics::{Loss, Metrics},
    model::{
        Checkpoint, EpochMillis, Lease, Position, RawRecord, RecordPage, SequenceNumber, ShardId,
    },
    ports::{StartAt, StreamError, StreamReader},
};

/// A shard is not listed any more, and its lease says that it was not read to its end.
pub(super) fn shard_lost(metrics: &Metrics, lease: &Lease) {
    metrics.lost(Loss::Shard);
    error!(lease = %lease.key, after = %lease.checkpoint, processed_until = %until(lease.arrival),
        keys = %share(lease),
        "records are lost: the shard left the stream before it was read to its end");
}

/// The records after one are gone up to `oldest`.
fn gap_found(metrics: &Metrics, lease: &Lease, after: &Expected, oldest: &RawRecord) {
    metrics.lost(Loss::Gap);
    let hours = after.arrival.map(|from| oldest.arrival.millis_since(from) / 3_600_000);
    error!(lease = %lease.key, after = %after.sequence, read_until = %until(after.arrival),
        oldest_kept = %oldest.sequence, kept_since = %oldest.arrival, hours,
        "records may be lost: the position was trimmed before it was read on from");
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
    /// The record that should come first, or was read last.
    expected: Option<Expected>,
}

/// A record that is known to have been there, and when Kinesis took it.
struct Expected {
    sequence: SequenceNumber,
    arrival: Option<EpochMillis>,
}

impl GapWatch {
    pub(super) fn new(grant: Arc<LeaseGrant>) -> Self {
        let expected = match &grant.lease.checkpoint {
            Checkpoint::After(Position { sequence, .. }) => {
                Some(Expected { sequence: sequence.clone(), arrival: grant.lease.arrival })
            }
            _ => None,
        };
        Self { grant, expected }
    }

    /// The way on is lost, and reading is resumed behind the last record that was read.
    pub(super) fn resumes_after(&mut self, last: Option<&(SequenceNumber, EpochMillis)>) {
        if let Some((sequence, arrival)) = last {
            self.expected = Some(Expected { sequence: sequence.clone(), arrival: Some(*arrival) });
        }
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
        metrics: &Metrics,
    ) -> Result<(), StreamError> {
        let Some(expected) = &self.expected else { return Ok(()) };
        match page.records.first() {
            None if !page.behind_latest.is_zero() => return Ok(()),
            Some(first) if first.sequence > expected.sequence => {
                let shard = &self.grant.lease.shard;
                let oldest = oldest(shard, reader).await?;
                if oldest.is_none_or(|oldest| oldest.sequence >= first.sequence) {
                    gap_found(metrics, &self.grant.lease, expected, first);
                }
            }
            _ => {}
        }
        self.expected = None;
        Ok(())
    }
}

/// Pages that are looked at for the oldest record: empty ones happen on the way, many where little was
/// written. Who gives up too early reports a loss that there was not.
const PAGES: usize = 100;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(250);

/// The oldest record that a shard keeps.
async fn oldest(
    shard: &ShardId,
    reader: &dyn StreamReader,
) -> Result<Option<RawRecord>, StreamError> {
    let mut iterator = reader.iterator(shard, &StartAt::TrimHorizon).await?;
    for _ in 0..PAGES {
        let page = reader.records(&iterator, 1).await?;
        let oldest = page.records.into_iter().next();
        let Some(next) = page.next.filter(|_| oldest.is_none()) else { return Ok(oldest) };
        iterator = next;
        sleep(PAUSE).await;
    }
    Ok(None)
}
