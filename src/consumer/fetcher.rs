//! Reading one shard: iterators, pacing, and pages within the byte budget.

use std::{sync::Arc, time::Duration};

use rand::rngs::StdRng;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::{
    ConsumerContext, ConsumerStream, Pacing, Reservation, Share,
    loss::{GapWatch, shard_lost},
    page_size::{PageSize, size, weight_of},
    pages::{Fetched, PageSource},
    place::{Place, Refusal, TOO_EARLY},
    until::Until,
};
use crate::{
    leasing::{ConsumerExit, LeaseGrant},
    metrics::ShardMeter,
    model::{EpochMillis, RecordPage, SequenceNumber, rounded},
    ports::{ShardIterator, StreamError, StreamReader},
};

/// Reads one shard from its checkpoint to its end, or until it is told to drain.
pub(super) struct Fetcher {
    grant: Arc<LeaseGrant>,
    context: Arc<ConsumerContext>,
    reader: Arc<dyn StreamReader>,
    pacing: Pacing,
    rng: StdRng,
    place: Place,
    gaps: GapWatch,
    meter: Arc<ShardMeter>,
    until: Until,
    share: Share,
    page_size: PageSize,
    iterator: Option<ShardIterator>,
    /// The last record read, and when it arrived.
    last: Option<(SequenceNumber, EpochMillis)>,
    next_call: Instant,
    /// Calls that failed in a row.
    failures: u32,
    /// What follows the page that was handed on last.
    end: Option<ConsumerExit>,
}

impl PageSource for Fetcher {
    async fn next(&mut self) -> Fetched {
        if self.grant.lease.ended() {
            return Fetched::End(ConsumerExit::ShardEnded(Vec::new()));
        }
        if let Some(end) = self.end.take() {
            return Fetched::End(end);
        }
        loop {
            tokio::time::sleep_until(self.next_call).await;
            self.context.pause.over().await;
            let reservation =
                self.share.reserve(self.page_size.wish(), self.page_size.least()).await;
            let limit = self.page_size.limit(reservation.bytes());
            let started = Instant::now();
            match self.call(limit).await {
                Ok(page) => {
                    self.page_size.learn(&page.records, limit);
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
            meter: context.metrics.shard(&grant.lease.key),
            until: Until::new(stream.until, Arc::clone(&context.clock)),
            share: context.budget.share(),
            page_size: PageSize::new(),
            grant,
            pacing: Pacing::new(context.params.pacing),
            context,
            reader: Arc::clone(&stream.reader),
            rng,
            iterator: None,
            last: None,
            next_call: Instant::now(),
            failures: 0,
            end: None,
        }
    }

    async fn call(&mut self, limit: u32) -> Result<RecordPage<ShardIterator>, StreamError> {
        let iterator = match self.iterator.clone() {
            Some(iterator) => iterator,
            None => self.reader.iterator(&self.grant.lease.shard, self.place.start()).await?,
        };
        self.iterator = Some(iterator.clone());
        self.place.accepted();
        self.until.asking();
        let page = self.reader.records(&iterator, limit).await?;
        self.gaps.see(&page, self.reader.as_ref(), &self.context.metrics).await?;
        Ok(page)
    }

    fn page(
        &mut self,
        mut page: RecordPage<ShardIterator>,
        reservation: Reservation,
        started: Instant,
    ) -> Option<Fetched> {
        if self.failures > 0 {
            info!(lease = %self.grant.lease.key, failed_calls = self.failures, "reading again");
            self.failures = 0;
        }
        let bytes = size(&page.records);
        let pause =
            self.pacing.after_page(page.records.len(), bytes, page.behind_latest, &mut self.rng);
        self.next_call = started + pause;
        let all = page.records.len();
        // What there are no bytes for is read again when there are.
        let (reservation, fit) = reservation.fit_some(page.records.iter().map(weight_of));
        let fits = fit == all;
        if !fits {
            page.records.truncate(fit);
            page.behind_latest = page.behind_latest.max(Duration::from_millis(1));
        }
        let reached = self.until.cut(&mut page);
        self.meter.page(page.records.len(), size(&page.records), page.behind_latest);
        if let Some(last) = page.records.last() {
            self.place.read(&last.sequence);
            self.last = Some((last.sequence.clone(), last.arrival));
        }
        let ended = page.next.is_none() && page.records.len() == all;
        self.iterator = page.next.filter(|_| fits);
        if reached && !ended {
            self.end = Some(ConsumerExit::Reached(None));
        } else if ended && page.records.is_empty() {
            self.end = Some(ConsumerExit::ShardEnded(page.children));
        }
        if ended {
            // A last page with records: the end is told by the next call, which reads nothing.
            debug!(lease = %self.grant.lease.key, "last page of the shard");
        }
        if page.records.is_empty() {
            let tip = page.behind_latest.is_zero() && self.context.pipeline.has_windows();
            let end = self.end.take().map(Fetched::End);
            return end.or(tip.then_some(Fetched::Tip(started)));
        }
        Some(Fetched::Page(page.records, reservation))
    }

    /// Decides what a failed call means. `Some` when the shard is gone.
    async fn failed(&mut self, problem: StreamError) -> Option<Fetched> {
        let lease = &self.grant.lease.key;
        let mut pause = self.pacing.after_failure(&mut self.rng);
        match problem {
            StreamError::IteratorExpired => {
                info!(%lease, "shard iterator expired, reading on after the last record read");
                self.iterator = None;
                self.gaps.resumes_after(self.last.as_ref());
                pause = Duration::ZERO;
            }
            StreamError::Throttled => {
                debug!(%lease, retry_in = ?rounded(pause), "throttled, will retry");
            }
            StreamError::Unavailable(reason) | StreamError::Taken(reason) => {
                if self.again(&reason) {
                    let lease = &self.grant.lease.key;
                    warn!(%lease, %reason, failed_calls = self.failures, retry_in = ?rounded(pause),
                        "could not read, will retry");
                }
            }
            StreamError::Invalid(reason) => self.refused(&reason),
            StreamError::Denied(reason) => {
                if self.again(&reason) {
                    let lease = &self.grant.lease.key;
                    error!(%lease, %reason, failed_calls = self.failures, retry_in = ?rounded(pause),
                        "not allowed to read, will retry");
                }
            }
            StreamError::NotFound(reason) => {
                self.iterator = None;
                if self.place.shard_is_gone(self.reader.as_ref()).await {
                    shard_lost(&self.context.metrics, &self.grant.lease);
                    return Some(Fetched::End(ConsumerExit::ShardGone));
                }
                if self.again(&reason) {
                    let lease = &self.grant.lease.key;
                    warn!(%lease, %reason, failed_calls = self.failures, retry_in = ?rounded(pause),
                        "stream not found, will retry");
                }
            }
        }
        self.next_call = Instant::now() + pause;
        None
    }

    /// A place that Kinesis does not accept. An iterator is simply asked for again.
    fn refused(&mut self, reason: &str) {
        let lease = &self.grant.lease.key;
        self.gaps.resumes_after(self.last.as_ref());
        if self.iterator.take().is_some() {
            info!(%lease, %reason, "shard iterator refused, asking for a new one");
            return;
        }
        match self.place.refused(reason) {
            Refusal::TooEarly if self.again(reason) => {
                let lease = &self.grant.lease.key;
                warn!(%lease, %reason, failed_calls = self.failures, "{TOO_EARLY}");
            }
            Refusal::Final if self.again(reason) => {
                let lease = &self.grant.lease.key;
                error!(%lease, %reason, failed_calls = self.failures, "read refused, will retry");
            }
            _ => {}
        }
    }

    /// One more failure in a row; `true` when it is worth a line: the first is, then each time the row
    /// has doubled.
    fn again(&mut self, reason: &str) -> bool {
        self.failures += 1;
        self.meter.not_read(reason);
        self.failures.is_power_of_two()
    }
}
