//! From processed records to settled ones: the lanes to the sinks, the batches under way, and the
//! ledger.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rand::{RngExt, rngs::StdRng};
use tokio::time::{Instant, sleep_until};

use super::{
    ConsumerContext, Ledger, Mark, Reservation, Ticket,
    delivery::BatchDelivery,
    lanes::{LaneId, Lanes, Spread},
    permit::Permit,
    prepared::Prepared,
    queue::Queued,
    retry_policy::{RetryLimits, RetryPolicy},
    under_way::UnderWay,
};
use crate::{
    etl::{Delivery, InWindow, SourceRecord, Stage, Tally},
    metrics::ShardMeter,
    model::{Checkpoint, EpochMillis, PendingCheckpoint, Position, StreamName},
};

/// What waits for the sinks, and what is on its way to them. Where its records come from is its
/// owner's business: a leased shard, or dead letters.
pub(super) struct Outbox {
    permit: Permit,
    context: Arc<ConsumerContext>,
    ledger: Ledger,
    lanes: Lanes,
    prepared: Prepared,
    /// By sink, what of its prepared batch is with a sink, and waits for the rest. The checkpoint must
    /// not pass a part of a batch: the next owner would make another batch of what is left.
    waiting: BTreeMap<usize, Vec<Queued>>,
    deliveries: UnderWay<Delivered>,
    /// Deliveries that each event still waits for, and whether one of them is a dead letter.
    open_events: BTreeMap<(Ticket, Option<u32>), OpenEvent>,
    /// What was settled of windows since somebody asked.
    of_windows: Vec<InWindow>,
    /// The last record of which a sink has seen something.
    begun: Option<Ticket>,
    /// The shard's, if the records are of one.
    meter: Option<Arc<ShardMeter>>,
    rng: StdRng,
}

#[derive(Default)]
struct OpenEvent {
    deliveries: usize,
    dead: bool,
    refused: Option<String>,
}

/// A batch that is through: each delivery, with the reason if it has to become a dead letter.
struct Delivered {
    lane: LaneId,
    verdicts: Vec<(Queued, Option<String>)>,
}

/// An event all of whose deliveries are through.
#[derive(Debug)]
pub(super) struct SettledEvent {
    /// Its record.
    pub(super) ticket: Ticket,
    /// Whether a part of it is a dead letter now.
    pub(super) dead: bool,
    /// Why a sink never took a part of it, if that is so.
    pub(super) refused: Option<String>,
}

impl Outbox {
    pub(super) fn new(permit: Permit, context: Arc<ConsumerContext>, rng: StdRng) -> Self {
        let prepared = Prepared::new(&context.sinks, permit.lease());
        let lanes = Lanes::new(context.sinks.iter().zip(prepared.ends()).map(|(sink, ends)| {
            let spread = match ends {
                Some(last) => Spread::Prepared(last.cloned()),
                None => Spread::ByKey(sink.lanes),
            };
            (sink.batch, spread)
        }));
        let meter = permit.lease().map(|lease| context.metrics.shard(&lease.key));
        Self {
            permit,
            meter,
            context,
            ledger: Ledger::default(),
            lanes,
            prepared,
            waiting: BTreeMap::new(),
            deliveries: UnderWay::new(),
            open_events: BTreeMap::new(),
            of_windows: Vec::new(),
            begun: None,
            rng,
        }
    }

    /// Whether nothing is under way. After [`Self::forget_rest`] the ledger still holds the records
    /// that were forgotten.
    pub(super) fn idle(&self) -> bool {
        self.deliveries.is_empty() && self.lanes.is_empty()
    }

    /// Whether it has its share of bytes; then batches close early, and nothing should be added until
    /// they are through. What a former owner had in one batch was in memory once, so it has room.
    pub(super) fn full(&self) -> bool {
        if self.prepared.rebuilds() {
            return false;
        }
        let part = self.context.budget.decoded_part();
        self.lanes.bytes()
            >= self.context.params.queue_bytes.min(usize::try_from(part).unwrap_or(usize::MAX))
    }

    /// Records that still wait for an outcome.
    pub(super) fn open_records(&self) -> usize {
        self.ledger.len()
    }

    /// The last place up to which everything is settled, once there is one.
    pub(super) fn frontier(&self) -> Option<&Mark> {
        self.ledger.frontier()
    }

    /// What is prepared beyond this checkpoint.
    pub(super) fn pending(&self, checkpoint: &Checkpoint) -> Option<PendingCheckpoint> {
        self.prepared.pending(checkpoint)
    }

    /// Tells the shard's meter what is under way; `held` is the oldest record that a window waits with.
    pub(super) fn report(&self, windows: usize, held: Option<EpochMillis>) {
        if let Some(meter) = &self.meter {
            meter.under_way(self.ledger.len(), self.ledger.oldest());
            meter.windows(windows, held);
        }
    }

    /// The rows and letters of windows that were settled since the last call.
    pub(super) fn settled_of_windows(&mut self) -> Vec<InWindow> {
        std::mem::take(&mut self.of_windows)
    }

    /// Opens a record on the ledger and queues its deliveries.
    pub(super) fn enter(
        &mut self,
        mark: Mark,
        deliveries: Vec<Delivery>,
        record: Option<&Arc<SourceRecord>>,
        reservation: Option<Reservation>,
    ) -> Ticket {
        let position = mark.0.clone();
        // What a former owner had in one batch was in memory once: no shard waits for its own bytes.
        let reservation = reservation.filter(|_| !self.prepared.rebuilds_with(&deliveries));
        let ticket = self.ledger.open(mark, deliveries.len(), reservation);
        if let Some(record) = record {
            self.queue(ticket, deliveries, record);
        }
        self.passed(Some(&position));
        ticket
    }

    fn queue(&mut self, ticket: Ticket, deliveries: Vec<Delivery>, record: &Arc<SourceRecord>) {
        let mut delivered = Vec::new();
        for delivery in deliveries {
            if !is_row(&delivery) {
                self.open_events.entry((ticket, delivery.event)).or_default().deliveries += 1;
            }
            let has = self.prepared.has(&delivery);
            let queued = Queued { delivery, ticket, record: Arc::clone(record), holds: None };
            if has {
                delivered.push(queued);
            } else {
                self.lanes.push(queued, Instant::now());
            }
        }
        if !delivered.is_empty() {
            let mut tally = Tally::default();
            for queued in &delivered {
                drop(self.settle(queued, &mut tally));
            }
            self.context.metrics.count(&record.source.stream, tally);
        }
    }

    /// All of a record was taken in; with `None` all that there is.
    pub(super) fn passed(&mut self, position: Option<&Position>) {
        for sink in self.prepared.passed(position) {
            if !self.lanes.complete(sink) {
                // None of its events is there any more.
                self.prepared.delivered(sink, 0);
            }
        }
    }

    /// Forgets records of which no sink has seen anything; the others are finished.
    pub(super) fn forget_rest(&mut self) {
        self.lanes.forget_after(self.begun);
    }

    /// Sends off the batches that are due; with `flush` all that is there. Answers whether one of them
    /// waits until the lease's row says what is [pending](Self::pending).
    pub(super) fn send(&mut self, flush: bool) -> bool {
        let mut prepares = false;
        for (lane, batch) in self.lanes.take_due(Instant::now(), flush || self.full()) {
            self.begun = self.begun.max(batch.iter().map(|queued| queued.ticket).max());
            let seed = self.rng.random();
            let announced = lane.prepares.then(|| self.prepared.begin(lane.sink, &batch)).flatten();
            prepares |= announced.is_some();
            let (delivery, permit) = (self.delivery(lane), self.permit.clone());
            self.deliveries.push(Box::pin(async move {
                if let Some(announced) = announced {
                    permit.prepared(&announced).await;
                }
                Delivered { lane, verdicts: delivery.run(batch, seed).await }
            }));
        }
        prepares
    }

    fn delivery(&self, lane: LaneId) -> BatchDelivery {
        let sink = self.context.sinks.get(lane.sink).expect("lanes are made for these sinks");
        BatchDelivery {
            sink: Arc::clone(&sink.sink),
            name: Arc::clone(&sink.name),
            permit: self.permit.clone(),
            policy: RetryPolicy {
                limits: if lane.prepares { RetryLimits::whole() } else { sink.retry },
                pause: self.context.params.retry,
            },
            clock: Arc::clone(&self.context.clock),
            metrics: Arc::clone(&self.context.metrics),
            meter: self.meter.clone(),
        }
    }

    /// Waits until a batch is through, and answers the events that are; or until the next batch is
    /// due for [`Self::send`]. Waits for ever when nothing is there.
    ///
    /// # Cancel safety
    /// Safe: batches that are under way stay under way.
    pub(super) async fn turn(&mut self) -> Vec<SettledEvent> {
        let due = self.lanes.next_due();
        tokio::select! { biased;
            delivered = self.deliveries.next() => self.delivered(delivered),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => Vec::new(),
        }
    }

    fn delivered(&mut self, delivered: Delivered) -> Vec<SettledEvent> {
        let Delivered { lane, verdicts } = delivered;
        let refused = verdicts.iter().filter(|(_, dead)| dead.is_some()).count();
        let through = !lane.prepares || self.prepared.delivered(lane.sink, refused);
        if through {
            self.lanes.free(lane);
        }
        let mut tallies: BTreeMap<StreamName, Tally> = BTreeMap::new();
        let mut settled = Vec::new();
        let mut settle = |outbox: &mut Self, queued: &Queued| {
            let tally = tallies.entry(queued.record.source.stream.clone()).or_default();
            settled.extend(outbox.settle(queued, tally));
        };
        for (queued, dead) in verdicts {
            let batch = queued.holds.or((!through).then_some(lane.sink));
            match (dead, batch) {
                (Some(reason), batch) => self.park(Queued { holds: batch, ..queued }, reason),
                (None, None) => settle(self, &queued),
                (None, Some(sink)) => {
                    for queued in self.through_but_for_letters(sink, queued) {
                        settle(self, &queued);
                    }
                }
            }
        }
        for (stream, tally) in tallies {
            self.context.metrics.count(&stream, tally);
        }
        settled
    }

    /// A part of the prepared batch of a sink is with a sink; answers the whole batch with its last
    /// letter.
    fn through_but_for_letters(&mut self, sink: usize, queued: Queued) -> Vec<Queued> {
        let letter = queued.holds.is_some();
        let waiting = self.waiting.entry(sink).or_default();
        waiting.push(queued);
        if !letter || !self.prepared.letter_settled(sink) {
            return Vec::new();
        }
        self.lanes.free_prepared(sink);
        std::mem::take(waiting)
    }

    fn settle(&mut self, queued: &Queued, tally: &mut Tally) -> Option<SettledEvent> {
        let key = (queued.ticket, queued.delivery.event);
        self.of_windows.extend(queued.delivery.window);
        if let Some(InWindow { row: Some(events), .. }) = queued.delivery.window {
            self.ledger.settle(queued.ticket);
            queued.delivery.failed.into_iter().for_each(|stage| tally.letters.count(stage));
            if queued.is_letter() {
                tally.dead_lettered += events;
            } else {
                tally.rows += 1;
                tally.delivered += events;
            }
            return None;
        }
        let event = self.open_events.get_mut(&key)?;
        event.dead |= queued.is_letter();
        event.deliveries -= 1;
        let through = event.deliveries == 0;
        self.ledger.settle(queued.ticket);
        queued.delivery.failed.into_iter().for_each(|stage| tally.letters.count(stage));
        if !through {
            return None;
        }
        let OpenEvent { dead, refused, .. } = self.open_events.remove(&key)?;
        let record = &queued.record;
        let age = self.context.clock.now().millis_since(record.record.arrival);
        self.context.metrics.settled(&record.source.stream, Duration::from_millis(age));
        match (queued.delivery.event, dead) {
            (None, _) => tally.undecodable += 1,
            (Some(_), true) => tally.dead_lettered += 1,
            (Some(_), false) => tally.delivered += 1,
        }
        Some(SettledEvent { ticket: queued.ticket, dead, refused })
    }

    /// An event that its sink refused, or that was given up, becomes a dead letter under the same
    /// ticket.
    fn park(&mut self, queued: Queued, reason: String) {
        let record = &queued.record;
        let position = &record.record.position;
        self.context.metrics.failed(&record.source, position, Stage::Deliver, &reason);
        if let Some(event) = self.open_events.get_mut(&(queued.ticket, queued.delivery.event)) {
            event.refused = Some(reason.clone());
        }
        let letter = self.context.pipeline.refused(record, &queued.delivery, reason);
        self.lanes.push(Queued { delivery: letter, ..queued }, Instant::now());
    }
}

/// Whether it is the row of a window, or the letter of one: it belongs to many events.
fn is_row(delivery: &Delivery) -> bool {
    delivery.window.is_some_and(|window| window.row.is_some())
}
