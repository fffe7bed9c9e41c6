//! Reading one shard by enhanced fan-out: subscriptions one after another, and their events as pages.
//!
//! A subscription lasts five minutes; the next one begins where it ended. What is read is handed on
//! before more is pulled, so that a slow sink is felt by the server through the connection. Not every
//! server tells the end of a shard in its streams: when one breaks off, ends early or brings nothing
//! for a while, the shards are listed, and a closed one is asked for a page by `GetRecords`.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, info, warn};

use super::{
    ConsumerContext, ConsumerStream, FanOut, Reservation, Share,
    loss::{GapWatch, shard_lost},
    page_size::{PageSize, size, weight},
    pages::{Fetched, PageSource},
    place::{Place, Refusal, TOO_EARLY},
    renewal::Renewal,
    until::Until,
};
use crate::{
    leasing::{ConsumerExit, LeaseGrant},
    metrics::ShardMeter,
    model::{RecordPage, SequenceNumber, rounded},
    ports::{ShardIterator, StreamError, StreamReader, Subscription},
};

/// A subscription without any sign of life for so long is given up. Kinesis sends an empty event every
/// five seconds.
const STALL: Duration = Duration::from_secs(30);
/// A shard without records is looked up in the list of shards this often, all shards of a stream
/// together.
const QUIET: Duration = Duration::from_secs(10);
/// An event that says that it is from the tip may have waited so long in the connection.
const WAITED: Duration = Duration::from_secs(5);

/// Reads one shard from its checkpoint to its end, or until it is told to drain.
pub(super) struct Subscriber {
    grant: Arc<LeaseGrant>,
    context: Arc<ConsumerContext>,
    reader: Arc<dyn StreamReader>,
    fan_out: Arc<FanOut>,
    rng: StdRng,
    place: Place,
    gaps: GapWatch,
    meter: Arc<ShardMeter>,
    until: Until,
    pub(super) share: Share,
    renewal: Renewal,
    subscription: Option<Subscription>,
    /// No subscription begins earlier.
    next_call: Instant,
    /// The last sign of life of the subscription. Time in which nobody pulls does not count.
    heard: Instant,
    /// Since when no records came, or when the shard was last looked up.
    quiet: Instant,
    /// Whether the subscription has brought an event.
    lives: bool,
    /// Whether the next event probably holds records: then bytes are reserved before it is pulled. At
    /// the tip an event comes unannounced, and waits for its bytes when it is there.
    behind: bool,
    page_size: PageSize,
    last_record: Option<SequenceNumber>,
    /// What follows the page that was handed on last.
    end: Option<ConsumerExit>,
}

/// What a look at the subscription shows.
enum Seen {
    Begun(Result<Subscription, StreamError>),
    Event(RecordPage<SequenceNumber>, Option<Reservation>),
    Failed(StreamError),
    Ended,
    Stalled,
    Quiet,
}

impl PageSource for Subscriber {
    async fn next(&mut self) -> Fetched {
        if self.grant.lease.ended() {
            return Fetched::End(ConsumerExit::ShardEnded(Vec::new()));
        }
        if let Some(end) = self.end.take() {
            return Fetched::End(end);
        }
        (self.heard, self.quiet) = (Instant::now(), Instant::now());
        loop {
            let seen = self.look().await;
            if let Some(fetched) = self.apply(seen).await {
                return fetched;
            }
        }
    }
}

impl Subscriber {
    pub(super) fn new(
        grant: Arc<LeaseGrant>,
        context: Arc<ConsumerContext>,
        stream: &ConsumerStream,
        fan_out: Arc<FanOut>,
        rng: StdRng,
    ) -> Self {
        let now = Instant::now();
        Self {
            place: Place::new(Arc::clone(&grant), stream.initial_position),
            gaps: GapWatch::new(Arc::clone(&grant)),
            meter: context.metrics.shard(&grant.lease.key),
            until: Until::new(stream.until, Arc::clone(&context.clock)),
            share: context.budget.share(),
            grant,
            context,
            reader: Arc::clone(&stream.reader),
            fan_out,
            rng,
            renewal: Renewal::default(),
            subscription: None,
            next_call: now,
            heard: now,
            quiet: now,
            lives: false,
            behind: false,
            page_size: PageSize::new(),
            last_record: None,
            end: None,
        }
    }

    async fn look(&mut self) -> Seen {
        let Some(subscription) = &mut self.subscription else {
            sleep_until(self.next_call).await;
            self.context.pause.over().await;
            let shard = &self.grant.lease.shard;
            let begun = self.fan_out.subscriber.subscribe(shard, self.place.start()).await;
            return Seen::Begun(begun);
        };
        let mut reservation = None;
        let from = Instant::now();
        self.context.pause.over().await;
        if self.behind {
            reservation = Some(self.share.reserve(self.page_size.wish(), 1).await);
        }
        self.heard += from.elapsed();
        self.quiet += from.elapsed();
        tokio::select! { biased;
            event = subscription.next() => match event {
                Some(Ok(page)) => Seen::Event(page, reservation),
                Some(Err(problem)) => Seen::Failed(problem),
                None => Seen::Ended,
            },
            () = sleep_until(self.heard + STALL) => Seen::Stalled,
            () = sleep_until(self.quiet + QUIET) => Seen::Quiet,
        }
    }

    async fn apply(&mut self, seen: Seen) -> Option<Fetched> {
        let now = Instant::now();
        let lease = &self.grant.lease.key;
        match seen {
            Seen::Begun(Ok(subscription)) => {
                debug!(%lease, from = ?self.place.start(), "subscribed");
                self.place.accepted();
                self.renewal.began(now);
                self.subscription = Some(subscription);
                self.lives = false;
                self.heard = now;
                None
            }
            Seen::Event(page, reservation) => self.event(page, reservation).await,
            Seen::Begun(Err(problem)) | Seen::Failed(problem) => self.failed(problem).await,
            Seen::Ended if self.renewal.is_full_term(now) => {
                self.subscription = None;
                self.next_call = self.renewal.after_full_term(now);
                None
            }
            Seen::Ended => self.broke("the stream ended early").await,
            Seen::Stalled => self.broke("no event for a while").await,
            Seen::Quiet => {
                self.quiet = now;
                self.check(now.checked_sub(QUIET).unwrap_or(now)).await
            }
        }
    }

    async fn event(
        &mut self,
        mut page: RecordPage<SequenceNumber>,
        reservation: Option<Reservation>,
    ) -> Option<Fetched> {
        self.heard = Instant::now();
        self.lives = true;
        self.behind = !page.behind_latest.is_zero();
        if let Some(last) = &self.last_record {
            page.records.retain(|record| record.sequence > *last);
        }
        let seen = self.gaps.see(&page, self.reader.as_ref(), &self.context.metrics).await;
        if let Err(problem) = seen {
            // The event is given up with the subscription, and pushed again by the next one.
            return self.failed(problem).await;
        }
        let all = page.records.len();
        self.until.cut(&mut page);
        let beyond = page.records.len() < all;
        self.follow(&page);
        let children = page.children;
        self.end = (!children.is_empty()).then_some(ConsumerExit::ShardEnded(children));
        self.meter.page(page.records.len(), size(&page.records), page.behind_latest);
        if beyond {
            self.end = Some(ConsumerExit::Reached(None));
        }
        if page.records.is_empty() {
            return match self.end.take() {
                Some(end) => Some(Fetched::End(end)),
                // What an event says of the tip may be old: it may have waited in the connection.
                None if !self.behind && self.until.has_passed() => self.poll_page().await,
                None if !self.behind && self.context.pipeline.has_windows() => {
                    self.heard.checked_sub(WAITED).map(Fetched::Tip)
                }
                None => None,
            };
        }
        if self.renewal.failures() > 0 {
            info!(lease = %self.grant.lease.key, "reading again");
        }
        self.renewal.delivered();
        self.page_size.learn(&page.records, u32::MAX);
        let weight = weight(&page.records);
        let reservation = match reservation {
            Some(reservation) => reservation,
            None => self.share.reserve(weight, weight).await,
        };
        Some(Fetched::Page(page.records, reservation.fit(weight)))
    }

    /// Goes on behind this page. Its `next` may be ahead of its records and of older ones, and spares
    /// the server the way there; before the first record it may not replace where reading begins, and
    /// some servers name a place from long ago.
    fn follow(&mut self, page: &RecordPage<SequenceNumber>) {
        if let Some(last) = page.records.last() {
            self.last_record = Some(last.sequence.clone());
            self.place.read(&last.sequence);
        }
        if let (Some(next), Some(last)) = (&page.next, self.place.last_read())
            && next > last
        {
            self.place.read(next);
        }
    }

    /// The subscription, or the attempt to begin one, has failed.
    async fn failed(&mut self, problem: StreamError) -> Option<Fetched> {
        let now = Instant::now();
        let held = self.subscription.take().is_some() && self.lives;
        let lease = &self.grant.lease.key;
        match problem {
            StreamError::Unavailable(_) if held && self.renewal.is_full_term(now) => {
                self.next_call = self.renewal.after_full_term(now);
            }
            StreamError::Unavailable(reason) => return self.broke(&reason).await,
            StreamError::Taken(reason) => self.taken(held, &reason),
            StreamError::Throttled => {
                self.next_call = self.renewal.after_throttling(now, &mut self.rng);
                debug!(%lease, "throttled, will subscribe again");
            }
            StreamError::Invalid(reason) => {
                self.next_call = self.renewal.after_failure(now, &mut self.rng);
                match self.place.refused(&reason) {
                    Refusal::TooEarly if self.is_worth_a_line(&reason) => {
                        warn!(%lease, %reason, "{TOO_EARLY}");
                    }
                    Refusal::Final if self.is_worth_a_line(&reason) => {
                        error!(%lease, %reason, "subscription refused, will retry");
                    }
                    _ => {}
                }
            }
            StreamError::Denied(reason) => {
                self.next_call = self.renewal.after_failure(now, &mut self.rng);
                if self.is_worth_a_line(&reason) {
                    error!(%lease, %reason, "not allowed to subscribe, will retry");
                }
            }
            StreamError::NotFound(reason) => {
                self.next_call = self.renewal.after_failure(now, &mut self.rng);
                if self.is_worth_a_line(&reason) {
                    warn!(%lease, %reason, "stream, shard or consumer not found, will retry");
                }
                return self.gone().await;
            }
            StreamError::IteratorExpired => self.next_call = now,
        }
        None
    }

    /// Whether a failure is worth a line: the first of a row is, then each time the row has doubled.
    fn is_worth_a_line(&self, reason: &str) -> bool {
        self.meter.not_read(reason);
        self.renewal.failures().is_power_of_two()
    }

    /// Somebody else is subscribed to the shard: for some seconds after its lease has moved that is as
    /// it should be.
    fn taken(&mut self, held: bool, reason: &str) {
        let now = Instant::now();
        self.next_call = match held {
            true => self.renewal.after_take_over(now, &mut self.rng),
            false => self.renewal.after_refusal(now, &mut self.rng),
        };
        let lease = &self.grant.lease.key;
        if self.renewal.is_contested(now) {
            self.meter.not_read(reason);
            warn!(%lease, %reason, "another subscription keeps the shard, will retry: does another \
                application use the same consumer?");
        } else {
            debug!(%lease, %reason, "the shard is taken, will subscribe again");
        }
    }

    /// The subscription is no good any more: perhaps because the shard has ended.
    async fn broke(&mut self, reason: &str) -> Option<Fetched> {
        self.subscription = None;
        let now = Instant::now();
        let lease = &self.grant.lease.key;
        let again = self.renewal.failures() > 0;
        self.next_call = self.renewal.after_failure(now, &mut self.rng);
        let retry_in = rounded(self.next_call.duration_since(now));
        // A connection that breaks is everyday life; one that does not come back is not.
        if again && self.is_worth_a_line(reason) {
            warn!(%lease, %reason, ?retry_in, "cannot stay subscribed, will retry");
        } else {
            debug!(%lease, %reason, ?retry_in, "subscription broke off, will subscribe again");
        }
        self.check(now).await
    }

    /// Looks whether the shard has ended, by a listing asked for no earlier than `since`. A closed
    /// shard is read by one `GetRecords` call from where the subscription was.
    async fn check(&mut self, since: Instant) -> Option<Fetched> {
        if self.fan_out.is_open(&self.grant.lease.shard, since).await {
            return None;
        }
        self.poll_page().await
    }

    /// Reads one page by `GetRecords`, for what the subscription does not say.
    async fn poll_page(&mut self) -> Option<Fetched> {
        let reservation = self.share.reserve(self.page_size.wish(), 1).await;
        let limit = self.page_size.limit(reservation.bytes());
        let mut page = match self.poll(limit).await {
            Ok(page) => page,
            Err(StreamError::NotFound(_)) => return self.gone().await,
            Err(problem) => {
                debug!(lease = %self.grant.lease.key, %problem, "cannot poll the shard");
                return None;
            }
        };
        let all = page.records.len();
        let reached = self.until.cut(&mut page);
        if page.next.is_none() && page.records.len() == all {
            info!(lease = %self.grant.lease.key, "the shard has ended without its subscription saying so");
            self.end = Some(ConsumerExit::ShardEnded(page.children));
        } else if reached {
            self.end = Some(ConsumerExit::Reached(None));
        }
        let Some(last) = page.records.last() else {
            return self.end.take().map(Fetched::End);
        };
        // What the subscription would bring is behind now.
        self.subscription = None;
        self.last_record = Some(last.sequence.clone());
        self.place.read(&last.sequence);
        self.meter.page(page.records.len(), size(&page.records), page.behind_latest);
        let reservation = reservation.fit(weight(&page.records));
        Some(Fetched::Page(page.records, reservation))
    }

    async fn poll(&mut self, limit: u32) -> Result<RecordPage<ShardIterator>, StreamError> {
        let iterator = self.reader.iterator(&self.grant.lease.shard, self.place.start()).await?;
        self.until.asking();
        let page = self.reader.records(&iterator, limit).await?;
        self.gaps.see(&page, self.reader.as_ref(), &self.context.metrics).await?;
        Ok(page)
    }

    /// The end, if the stream exists and the shard does not.
    async fn gone(&mut self) -> Option<Fetched> {
        if !self.place.shard_is_gone(self.reader.as_ref()).await {
            return None;
        }
        shard_lost(&self.context.metrics, &self.grant.lease);
        Some(Fetched::End(ConsumerExit::ShardGone))
    }
}
