//! Reading one shard: iterators, pacing, and pages within the byte budget.

use std::{sync::Arc, time::Duration};

use rand::rngs::StdRng;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::{
    ConsumerContext, Pacing, Reservation,
    loss::GapWatch,
    pages::{Fetched, PageSource},
    place::Place,
    shard_consumer::ConsumerStream,
};
use crate::{
    leasing::{ConsumerExit, LeaseGrant},
    model::{RecordPage, rounded},
    ports::{ShardIterator, StreamError, StreamReader},
};

/// Most records a call may answer (AWS API reference, `GetRecords`).
pub(super) const MAX_RECORDS: u32 = 10_000;
/// Most bytes a call may answer.
pub(super) const MAX_PAGE: u64 = 10 * 1024 * 1024;
/// Reserved for the first page of a shard; later ones reserve twice what the last one held, at
/// least this, so that a thousand idle shards do not wait for each other.
pub(super) const MIN_RESERVATION: u64 = 256 * 1024;

/// Reads one shard from its checkpoint to its end, or until it is told to drain.
pub(super) struct Fetcher {
    grant: Arc<LeaseGrant>,
    context: Arc<ConsumerContext>,
    reader: Arc<dyn StreamReader>,
    pacing: Pacing,
    rng: StdRng,
    place: Place,
    gaps: GapWatch,
    iterator: Option<ShardIterator>,
    next_call: Instant,
    reservation: u64,
    /// Calls that failed in a row.
    failures: u32,
}

impl PageSource for Fetcher {
    async fn next(&mut self) -> Fetched {
        if self.grant.lease.ended() {
            return Fetched::End(ConsumerExit::ShardEnded(Vec::new()));
        }
        loop {
            tokio::time::sleep_until(self.next_call).await;
            let reservation = self.context.budget.reserve(self.reservation).await;
            let started = Instant::now();
            match self.call().await {
                Ok(page) => {
                    if let Some(fetched) = self.page(page, reservation, started) {
                        return fetched;
                    }
                }
                Err(problem) => {
                    drop(reservation);
                    if let Some(end) = self.failed(problem).await {
                        return end;
                    }
                }
            }
        }
    }
}

impl Fetcher {
    pub(super) fn new(
        grant: Arc<LeaseGrant>,
        context: Arc<ConsumerContext>,
        stream: &ConsumerStream,
        rng: StdRng,
    ) -> Self {
        Self {
            place: Place::new(Arc::clone(&grant), stream.initial_position),
            gaps: GapWatch::new(Arc::clone(&grant)),
            grant,
            pacing: Pacing::new(context.params.pacing),
            context,
            reader: Arc::clone(&stream.reader),
            rng,
            iterator: None,
            next_call: Instant::now(),
            reservation: MIN_RESERVATION,
            failures: 0,
        }
    }

    async fn call(&mut self) -> Result<RecordPage<ShardIterator>, StreamError> {
        let iterator = match self.iterator.clone() {
            Some(iterator) => iterator,
            None => self.reader.iterator(&self.grant.lease.shard, self.place.start()).await?,
        };
        self.iterator = Some(iterator.clone());
        self.place.accepted();
        let page = self.reader.records(&iterator, MAX_RECORDS).await?;
        self.gaps.see(&page, self.reader.as_ref(), &self.context.losses).await?;
        Ok(page)
    }

    fn page(
        &mut self,
        page: RecordPage<ShardIterator>,
        reservation: Reservation,
        started: Instant,
    ) -> Option<Fetched> {
        if self.failures > 0 {
            info!(lease = %self.grant.lease.key, failed_calls = self.failures, "reading again");
            self.failures = 0;
        }
        let bytes: u64 = page.records.iter().map(|record| record.data.len() as u64).sum();
        let pause = self.pacing.after_page(page.records.len(), bytes, page.behind_latest);
        self.next_call = started + pause;
        self.reservation = (bytes * 2).clamp(MIN_RESERVATION, MAX_PAGE);
        if let Some(last) = page.records.last() {
            self.place.read(&last.sequence);
        }
        let ended = page.next.is_none();
        self.iterator = page.next;
        if ended && page.records.is_empty() {
            return Some(Fetched::End(ConsumerExit::ShardEnded(page.children)));
        }
        if ended {
            // A last page with records: the end is told by the next call, which reads nothing.
            debug!(lease = %self.grant.lease.key, "last page of the shard");
        }
        if page.records.is_empty() {
            return None;
        }
        Some(Fetched::Page(page.records, self.context.budget.fit(reservation, bytes)))
    }

    /// Decides what a failed call means. `Some` when the shard is gone.
    async fn failed(&mut self, problem: StreamError) -> Option<Fetched> {
        let lease = &self.grant.lease.key;
        let mut pause = self.pacing.after_failure(&mut self.rng);
        match problem {
            StreamError::IteratorExpired => {
                info!(%lease, "shard iterator expired, reading on after the last record read");
                self.iterator = None;
                pause = Duration::ZERO;
            }
            StreamError::Throttled => {
                debug!(%lease, retry_in = ?rounded(pause), "throttled, will retry");
            }
            StreamError::Unavailable(reason) | StreamError::Taken(reason) => {
                self.failures += 1;
                warn!(%lease, %reason, retry_in = ?rounded(pause), "could not read, will retry");
            }
            StreamError::Invalid(reason) => self.refused(&reason),
            StreamError::Denied(reason) => {
                error!(%lease, %reason, retry_in = ?rounded(pause), "not allowed to read, will retry");
            }
            StreamError::NotFound(reason) => {
                self.iterator = None;
                if self.place.shard_is_gone(self.reader.as_ref()).await {
                    self.context.losses.shard(&self.grant.lease);
                    return Some(Fetched::End(ConsumerExit::ShardGone));
                }
                warn!(%lease, %reason, retry_in = ?rounded(pause), "stream not found, will retry");
            }
        }
        self.next_call = Instant::now() + pause;
        None
    }

    /// A place that Kinesis does not accept. An iterator is simply asked for again.
    fn refused(&mut self, reason: &str) {
        let lease = &self.grant.lease.key;
        if self.iterator.take().is_some() {
            info!(%lease, %reason, "shard iterator refused, asking for a new one");
        } else if !self.place.refused(reason) {
            error!(%lease, %reason, "read refused, will retry");
        }
    }
}
