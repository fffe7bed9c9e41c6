//! From pages to settled records: one loop that owns a shard's backlog and its outbox.

use std::{collections::VecDeque, sync::Arc};

use rand::rngs::StdRng;
use tokio::{sync::mpsc, time::Instant};
use tracing::Span;

use super::{
    ConsumerContext, Mark, Reservation,
    outbox::Outbox,
    pages::Fetched,
    permit::Permit,
    windows::{ClosedRows, Windows},
};
use crate::{
    codec::{ShardKeys, deaggregate},
    etl::{Processed, Source, SourceRecord, Tally},
    leasing::{ConsumerExit, LeaseGrant},
    metrics::spans,
    model::{Checkpoint, Invariant, Position, Progress, RawRecord, UserRecord},
};

/// Bytes of records that are decoded before others have their turn: about a millisecond of work.
const TURN_BYTES: u64 = 64 * 1024;

/// Processes one shard's pages.
pub(super) struct Processor {
    grant: Arc<LeaseGrant>,
    context: Arc<ConsumerContext>,
    source: Arc<Source>,
    keys: ShardKeys,
    /// Everything up to here was processed before this consumer began.
    done_before: Option<Position>,
    /// Records fetched and not looked at yet; the last of a page holds the page's reservation. They
    /// are decoded a few at a time, as the queues take them: a page may decode to many times its
    /// size.
    backlog: VecDeque<(RawRecord, Option<Reservation>)>,
    /// The trace of the page that they came with.
    page: Span,
    outbox: Outbox,
    windows: Windows,
    phase: Phase,
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

enum Action {
    Page(Vec<RawRecord>, Reservation),
    Decode,
    Tip(Instant),
    End(ConsumerExit),
    Drain,
    Turn,
}

impl Processor {
    pub(super) fn new(
        grant: Arc<LeaseGrant>,
        context: Arc<ConsumerContext>,
        source: Source,
        keys: ShardKeys,
        rng: StdRng,
    ) -> Self {
        let done_before = match &grant.lease.checkpoint {
            Checkpoint::After(position) => Some(position.clone()),
            _ => None,
        };
        let permit = Permit::Lease(Arc::clone(&grant));
        let source = Arc::new(source);
        Self {
            windows: Windows::new(&context.pipeline, Arc::clone(&source), &grant.lease),
            grant,
            outbox: Outbox::new(permit, Arc::clone(&context), rng),
            context,
            source,
            keys,
            done_before,
            backlog: VecDeque::new(),
            page: Span::none(),
            phase: Phase::Reading,
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
            if matches!(self.phase, Phase::Ended(_)) && self.backlog.is_empty() {
                self.outbox.passed(None);
            }
            self.send();
        }
    }

    /// Sends off what is due, and has the lease's row say first what is prepared.
    fn send(&mut self) {
        let prepares = self.outbox.send(!matches!(self.phase, Phase::Reading));
        if prepares && let Some(progress) = self.progress() {
            self.grant.prepare(progress);
        }
    }

    async fn select(&mut self, pages: &mut mpsc::Receiver<Fetched>) -> Action {
        let reading = matches!(self.phase, Phase::Reading);
        let draining = matches!(self.phase, Phase::Draining);
        let room = !self.outbox.full();
        tokio::select! { biased;
            () = self.grant.draining().cancelled(), if !draining => Action::Drain,
            _ = self.outbox.turn() => Action::Turn,
            // Decoding is work without waiting: renewals and other shards have their turn in between.
            () = tokio::task::yield_now(), if !self.backlog.is_empty() && room => {
                Action::Decode
            }
            fetched = pages.recv(), if reading && self.backlog.is_empty() => match fetched {
                Some(Fetched::Page(records, reservation)) => Action::Page(records, reservation),
                Some(Fetched::Tip(asked)) => Action::Tip(asked),
                Some(Fetched::End(exit)) => Action::End(exit),
                None => Action::Drain,
            },
        }
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Page(records, reservation) => self.take_page(records, reservation),
            Action::Decode => self.decode_some(),
            Action::Tip(asked) => {
                let closed = self.windows.tip(&self.context.pipeline, asked);
                self.deliver_rows(closed);
            }
            // Nothing comes for the windows that are open.
            Action::End(exit) => {
                let closed = self.windows.finish(&self.context.pipeline);
                self.deliver_rows(closed);
                self.phase = Phase::Ended(exit);
            }
            Action::Drain => {
                self.phase = Phase::Draining;
                self.backlog.clear();
                self.outbox.forget_rest();
            }
            Action::Turn => {
                for settled in self.outbox.settled_of_windows() {
                    self.windows.settled(settled);
                }
                self.report();
            }
        }
    }

    fn idle(&self) -> bool {
        self.backlog.is_empty() && self.outbox.idle()
    }

    // === Records in ===

    fn take_page(&mut self, records: Vec<RawRecord>, reservation: Reservation) {
        let metrics = &self.context.metrics;
        self.page = metrics.records_came(&self.source.stream, &self.grant.lease, &records);
        self.backlog.extend(records.into_iter().map(|record| (record, None)));
        if let Some((_, held)) = self.backlog.back_mut() {
            *held = Some(reservation);
        }
    }

    /// Decodes records until there is enough for one turn.
    fn decode_some(&mut self) {
        let span = spans::process(&self.page, &self.source.stream, &self.source.shard);
        let entered = span.enter();
        let mut tally = Tally::default();
        while tally.bytes < TURN_BYTES && !self.outbox.full() {
            let Some((raw, held)) = self.backlog.pop_front() else { break };
            tally.records += 1;
            tally.bytes += raw.data.len() as u64;
            self.take_record(&raw, held, &mut tally);
        }
        span.record("records", tally.records).record("events", tally.events);
        drop(entered);
        if self.backlog.is_empty() {
            self.page = Span::none();
        }
        self.context.metrics.count(&self.source.stream, tally);
        self.report();
    }

    fn take_record(&mut self, raw: &RawRecord, held: Option<Reservation>, tally: &mut Tally) {
        let members = deaggregate(raw);
        let beyond = members.records.last().map_or(0, |last| last.position.sub_sequence + 1);
        let unreadable = members.unreadable;
        let foreign = self.keys.foreign(&members.records);
        let mut held = held;
        let mut left = members.records.len() + usize::from(unreadable > 0);
        if left == 0 {
            // An aggregate of none: nothing to deliver, but a place to checkpoint.
            let position = Position { sequence: raw.sequence.clone(), sub_sequence: 0 };
            self.enter_nothing((position, raw.arrival), held.take(), tally);
        }
        for (user, foreign) in members.records.into_iter().zip(foreign) {
            left -= 1;
            let reservation = if left == 0 { held.take() } else { None };
            if foreign {
                self.drop_foreign(user, reservation, tally);
                continue;
            }
            let record = Arc::new(SourceRecord::new(Arc::clone(&self.source), user));
            self.take_user_record(&record, reservation, tally, None);
        }
        if unreadable > 0 {
            let reason = format!(
                "{unreadable} user records of this KPL aggregate name keys that it does not hold"
            );
            let record = Arc::new(SourceRecord::new(Arc::clone(&self.source), whole(raw, beyond)));
            self.take_user_record(&record, held.take(), tally, Some(reason));
        }
    }

    /// A user record of another shard. It has its outcome, and a place to checkpoint.
    fn drop_foreign(&mut self, user: UserRecord, held: Option<Reservation>, tally: &mut Tally) {
        if !self.is_done(&user.position) {
            tally.foreign += 1;
            self.enter_nothing((user.position, user.arrival), held, tally);
        }
    }

    /// Whether this was processed before this consumer began.
    fn is_done(&self, position: &Position) -> bool {
        self.done_before.as_ref().is_some_and(|done| position <= done)
    }

    fn take_user_record(
        &mut self,
        record: &Arc<SourceRecord>,
        reservation: Option<Reservation>,
        tally: &mut Tally,
        park: Option<String>,
    ) {
        let position = record.record.position.clone();
        if self.is_done(&position) {
            return;
        }
        let pipeline = &self.context.pipeline;
        let processed = match park {
            Some(reason) => pipeline.park(record, reason),
            None => pipeline.process(record),
        };
        let Processed { mut deliveries, windowed, tally: counted, failures, .. } = processed;
        *tally += counted;
        for (stage, reason) in failures {
            self.context.metrics.failed(&self.source, &position, stage, &reason);
        }
        let mark = (position, record.record.arrival);
        let closed =
            self.windows.pass(pipeline, &mark, Some(record), windowed, &mut deliveries, tally);
        self.outbox.enter(mark, deliveries, Some(record), reservation);
        self.deliver_rows(closed);
    }

    /// A record that gives nothing, and that time goes on with all the same.
    fn enter_nothing(&mut self, mark: Mark, held: Option<Reservation>, tally: &mut Tally) {
        let pipeline = &self.context.pipeline;
        let none = &mut Vec::new();
        let closed = self.windows.pass(pipeline, &mark, None, Vec::new(), none, tally);
        self.outbox.enter(mark, Vec::new(), None, held);
        self.deliver_rows(closed);
    }

    fn deliver_rows(&mut self, closed: Option<ClosedRows>) {
        if let Some(ClosedRows { record, mark, rows }) = closed {
            self.outbox.enter(mark, rows, Some(&record), None);
        }
    }

    /// A shard is ended only when everything in it has its outcome; else it is left where it is, and
    /// whoever takes it next reads the rest again.
    fn ended(&mut self, exit: ConsumerExit) -> ConsumerExit {
        let open = self.outbox.open_records();
        if open == 0 && self.windows.all_delivered() {
            return match exit {
                ConsumerExit::Reached(_) => ConsumerExit::Reached(self.progress()),
                exit => exit,
            };
        }
        let what = format!("{open} records of {} are open at its end", self.source.shard);
        self.context.metrics.raise(&Invariant::EndIsSettled.broken(what));
        ConsumerExit::Drained(self.progress())
    }

    /// Tells the coordinator how far the shard is processed.
    fn report(&mut self) {
        self.outbox.report(self.windows.open(), self.windows.oldest());
        if let Some(progress) = self.progress() {
            self.grant.report(progress);
        }
    }

    /// How far the shard is processed, and what is prepared beyond; `None` when the row says it all.
    fn progress(&mut self) -> Option<Progress> {
        let settled = self.windows.checkpoint(self.outbox.frontier());
        let (checkpoint, arrival, watermarks) = match settled {
            Some(((position, arrival), watermarks)) => {
                (Checkpoint::After(position), Some(arrival), watermarks)
            }
            None => (self.grant.lease.checkpoint.clone(), None, None),
        };
        let pending = self.outbox.pending(&checkpoint);
        let news = arrival.is_some() || pending.is_some();
        news.then_some(Progress { checkpoint, arrival, watermarks, pending })
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
