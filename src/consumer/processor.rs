//! From pages to settled records: one loop that owns a shard's lanes and its ledger.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use rand::{RngExt, rngs::StdRng};
use tokio::{sync::mpsc, time::Instant};

use super::{
    ConsumerContext, Ledger, Mark, Reservation, Ticket,
    delivery::BatchDelivery,
    lanes::{LaneId, Lanes},
    pages::Fetched,
    queue::Queued,
    retry_policy::RetryPolicy,
};
use crate::{
    codec::deaggregate,
    etl::{Delivery, Processed, Source, SourceRecord, Stage, Tally},
    leasing::{ConsumerExit, LeaseGrant, alarm},
    model::{Checkpoint, Invariant, Position, Progress, RawRecord, UserRecord},
};

/// Bytes of records that are decoded before others have their turn: about a millisecond of work.
const TURN_BYTES: u64 = 64 * 1024;

/// Processes one shard's pages.
pub(super) struct Processor {
    grant: Arc<LeaseGrant>,
    context: Arc<ConsumerContext>,
    source: Arc<Source>,
    /// Everything up to here was processed before this consumer began.
    done_before: Option<Position>,
    /// Records fetched and not looked at yet; the last of a page holds the page's reservation. They
    /// are decoded a few at a time, as the queues take them: a page may decode to many times its
    /// size.
    backlog: VecDeque<(RawRecord, Option<Reservation>)>,
    ledger: Ledger,
    lanes: Lanes,
    deliveries: FuturesUnordered<BoxFuture<'static, Delivered>>,
    /// Deliveries that each event still waits for, and whether one of them is a dead letter.
    open_events: BTreeMap<(Ticket, Option<u32>), OpenEvent>,
    phase: Phase,
    /// The last record of which a sink has seen something.
    begun: Option<Ticket>,
    rng: StdRng,
}

#[derive(Default)]
struct OpenEvent {
    deliveries: usize,
    dead: bool,
}

enum Phase {
    /// Taking pages.
    Reading,
    /// Asked to drain: records that a sink has seen something of are finished, so that nobody
    /// delivers them again; the rest is left to the next owner.
    Draining,
    /// There is nothing more to read.
    Ended(ConsumerExit),
}

/// A batch that is through: each delivery, with the reason if it has to become a dead letter.
struct Delivered {
    lane: LaneId,
    verdicts: Vec<(Queued, Option<String>)>,
}

enum Action {
    Page(Vec<RawRecord>, Reservation),
    Decode,
    End(ConsumerExit),
    Drain,
    Delivered(Delivered),
    Due,
}

impl Processor {
    pub(super) fn new(
        grant: Arc<LeaseGrant>,
        context: Arc<ConsumerContext>,
        source: Source,
        rng: StdRng,
    ) -> Self {
        let done_before = match &grant.lease.checkpoint {
            Checkpoint::After(position) => Some(position.clone()),
            _ => None,
        };
        let lanes = Lanes::new(context.sinks.iter().map(|sink| (sink.batch, sink.lanes)));
        Self {
            grant,
            context,
            source: Arc::new(source),
            done_before,
            backlog: VecDeque::new(),
            ledger: Ledger::default(),
            lanes,
            deliveries: FuturesUnordered::new(),
            open_events: BTreeMap::new(),
            phase: Phase::Reading,
            begun: None,
            rng,
        }
    }

    /// Runs until everything that was taken is settled and there is nothing more to take, or until it
    /// has drained.
    ///
    /// # Cancel safety
    /// What was settled is reported; what was not will be read again.
    pub(super) async fn run(mut self, mut pages: mpsc::Receiver<Fetched>) -> ConsumerExit {
        loop {
            match (&self.phase, self.idle()) {
                (Phase::Draining, true) => return ConsumerExit::Drained(self.progress()),
                (Phase::Ended(exit), true) => return self.ended(exit.clone()),
                _ => {}
            }
            let action = self.select(&mut pages).await;
            self.apply(action);
            self.start_deliveries();
        }
    }

    async fn select(&mut self, pages: &mut mpsc::Receiver<Fetched>) -> Action {
        let reading = matches!(self.phase, Phase::Reading);
        let draining = matches!(self.phase, Phase::Draining);
        let due = self.lanes.next_due();
        tokio::select! { biased;
            () = self.grant.draining().cancelled(), if !draining => Action::Drain,
            Some(delivered) = self.deliveries.next(), if !self.deliveries.is_empty() => {
                Action::Delivered(delivered)
            }
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                Action::Due
            }
            // Decoding is work without waiting: renewals and other shards have their turn in between.
            () = tokio::task::yield_now(), if !self.backlog.is_empty() && !self.full() => {
                Action::Decode
            }
            fetched = pages.recv(), if reading && self.backlog.is_empty() => match fetched {
                Some(Fetched::Page(records, reservation)) => Action::Page(records, reservation),
                Some(Fetched::End(exit)) => Action::End(exit),
                None => Action::Drain,
            },
        }
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Page(records, reservation) => self.take_page(records, reservation),
            Action::Decode => self.decode_some(),
            Action::End(exit) => self.phase = Phase::Ended(exit),
            Action::Drain => {
                self.phase = Phase::Draining;
                self.backlog.clear();
                self.lanes.forget_after(self.begun);
            }
            Action::Delivered(delivered) => self.delivered(delivered),
            Action::Due => {}
        }
    }

    /// Whether nothing is under way. After a drain has begun the ledger still holds the records that
    /// are left to the next owner.
    fn idle(&self) -> bool {
        self.backlog.is_empty() && self.deliveries.is_empty() && self.lanes.is_empty()
    }

    /// Whether this shard has its share in its queues; then batches close early, and nothing is
    /// decoded until they are through.
    fn full(&self) -> bool {
        self.lanes.bytes() >= self.context.params.queue_bytes
    }

    // === Records in ===

    fn take_page(&mut self, records: Vec<RawRecord>, reservation: Reservation) {
        self.backlog.extend(records.into_iter().map(|record| (record, None)));
        if let Some((_, held)) = self.backlog.back_mut() {
            *held = Some(reservation);
        }
    }

    /// Decodes records until there is enough for one turn.
    fn decode_some(&mut self) {
        let mut tally = Tally::default();
        while tally.bytes < TURN_BYTES && !self.full() {
            let Some((raw, held)) = self.backlog.pop_front() else { break };
            tally.records += 1;
            tally.bytes += raw.data.len() as u64;
            self.take_record(&raw, held, &mut tally);
        }
        self.context.tally.add(tally);
        self.report();
    }

    fn take_record(&mut self, raw: &RawRecord, held: Option<Reservation>, tally: &mut Tally) {
        let members = deaggregate(raw);
        let beyond = members.records.last().map_or(0, |last| last.position.sub_sequence + 1);
        let unreadable = members.unreadable;
        let mut held = held;
        let mut left = members.records.len() + usize::from(unreadable > 0);
        if left == 0 {
            // An aggregate of none: nothing to deliver, but a place to checkpoint.
            let position = Position { sequence: raw.sequence.clone(), sub_sequence: 0 };
            self.enter((position, raw.arrival), Vec::new(), None, held.take());
        }
        for user in members.records {
            left -= 1;
            let reservation = if left == 0 { held.take() } else { None };
            let record = Arc::new(SourceRecord { source: Arc::clone(&self.source), record: user });
            self.take_user_record(&record, reservation, tally, None);
        }
        if unreadable > 0 {
            let reason = format!(
                "{unreadable} user records of this KPL aggregate name keys that it does not hold"
            );
            let record = Arc::new(SourceRecord {
                source: Arc::clone(&self.source),
                record: whole(raw, beyond),
            });
            self.take_user_record(&record, held.take(), tally, Some(reason));
        }
    }

    fn take_user_record(
        &mut self,
        record: &Arc<SourceRecord>,
        reservation: Option<Reservation>,
        tally: &mut Tally,
        park: Option<String>,
    ) {
        let position = record.record.position.clone();
        if self.done_before.as_ref().is_some_and(|done| position <= *done) {
            return;
        }
        let pipeline = &self.context.pipeline;
        let processed = match park {
            Some(reason) => pipeline.park(record, reason),
            None => pipeline.process(record),
        };
        let Processed { deliveries, tally: counted, failures } = processed;
        *tally += counted;
        for (stage, reason) in failures {
            self.context.failures.record(&self.source, &position, &stage, &reason);
        }
        self.enter((position, record.record.arrival), deliveries, Some(record), reservation);
    }

    /// Opens a record on the ledger and queues its deliveries.
    fn enter(
        &mut self,
        mark: Mark,
        deliveries: Vec<Delivery>,
        record: Option<&Arc<SourceRecord>>,
        reservation: Option<Reservation>,
    ) {
        let ticket = self.ledger.open(mark, deliveries.len(), reservation);
        let Some(record) = record else { return };
        for delivery in deliveries {
            self.open_events.entry((ticket, delivery.event)).or_default().deliveries += 1;
            let queued = Queued { delivery, ticket, record: Arc::clone(record) };
            self.lanes.push(queued, Instant::now());
        }
    }

    // === Deliveries out ===

    fn start_deliveries(&mut self) {
        let flush = !matches!(self.phase, Phase::Reading) || self.full();
        for (lane, batch) in self.lanes.take_due(Instant::now(), flush) {
            self.begun = self.begun.max(batch.iter().map(|queued| queued.ticket).max());
            let seed = self.rng.random();
            let delivery = self.delivery(lane);
            self.deliveries.push(Box::pin(async move {
                Delivered { lane, verdicts: delivery.run(batch, seed).await }
            }));
        }
    }

    fn delivery(&self, lane: LaneId) -> BatchDelivery {
        let sink = self.context.sinks.get(lane.sink).expect("lanes are made for these sinks");
        BatchDelivery {
            sink: Arc::clone(&sink.sink),
            name: Arc::clone(&sink.name),
            grant: Arc::clone(&self.grant),
            policy: RetryPolicy { limits: sink.retry, pause: self.context.params.retry },
            clock: Arc::clone(&self.context.clock),
        }
    }

    fn delivered(&mut self, delivered: Delivered) {
        self.lanes.free(delivered.lane);
        let mut tally = Tally::default();
        for (queued, dead) in delivered.verdicts {
            match dead {
                None => self.settle(&queued, &mut tally),
                Some(reason) => self.park(queued, reason),
            }
        }
        self.context.tally.add(tally);
        self.report();
    }

    fn settle(&mut self, queued: &Queued, tally: &mut Tally) {
        let key = (queued.ticket, queued.delivery.event);
        let Some(event) = self.open_events.get_mut(&key) else { return };
        event.dead |= queued.delivery.route.is_none();
        event.deliveries -= 1;
        if event.deliveries == 0 {
            let dead = event.dead;
            self.open_events.remove(&key);
            match (queued.delivery.event, dead) {
                (None, _) => tally.undecodable += 1,
                (Some(_), true) => tally.dead_lettered += 1,
                (Some(_), false) => tally.delivered += 1,
            }
        }
        self.ledger.settle(queued.ticket);
    }

    /// An event that its sink refused, or that was given up, becomes a dead letter under the same
    /// ticket.
    fn park(&mut self, queued: Queued, reason: String) {
        let position = &queued.record.record.position;
        self.context.failures.record(&self.source, position, &Stage::Deliver, &reason);
        let letter = self.context.pipeline.refused(&queued.record, &queued.delivery, reason);
        self.lanes.push(Queued { delivery: letter, ..queued }, Instant::now());
    }

    /// A shard is ended only when everything in it has its outcome; else it is left where it is, and
    /// whoever takes it next reads the rest again.
    fn ended(&self, exit: ConsumerExit) -> ConsumerExit {
        if self.ledger.is_empty() {
            return exit;
        }
        let open = self.ledger.len();
        let what = format!("{open} records of {} are open at its end", self.source.shard);
        alarm::raise(&Invariant::EndIsSettled.broken(what));
        ConsumerExit::Drained(self.progress())
    }

    /// Tells the coordinator how far the shard is processed.
    fn report(&self) {
        if let Some(progress) = self.progress() {
            self.grant.report(progress);
        }
    }

    fn progress(&self) -> Option<Progress> {
        let (position, arrival) = self.ledger.frontier().cloned()?;
        let checkpoint = Checkpoint::After(position);
        Some(Progress { checkpoint, arrival: Some(arrival), pending: None })
    }
}

/// A Kinesis record as one user record, at a place behind its readable members.
fn whole(raw: &RawRecord, sub_sequence: u64) -> UserRecord {
    UserRecord {
        position: Position { sequence: raw.sequence.clone(), sub_sequence },
        partition_key: Arc::from(raw.partition_key.as_str()),
        explicit_hash_key: None,
        aggregated: false,
        data: raw.data.clone(),
        arrival: raw.arrival,
    }
}
