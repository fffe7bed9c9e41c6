//! The invariants of `shardwright::model::invariant`, checked as things happen. Draws no randomness and
//! changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use shardwright::{
    etl::Tally,
    leasing::LeaseParams,
    metrics::Metrics,
    model::{
        Breach, Checkpoint, EpochMillis, Invariant, Lease, LeaseKey, LeaseWrite, OutputEvent,
        Position, RawRecord, SequenceNumber, ShardId, invariant,
    },
    ports::{SinkError, StartAt, Verdict},
};
use tokio::time::Instant;

use crate::{
    beliefs::Beliefs,
    flight::Flight,
    known::{Known, Part},
    limits::Limits,
    objects::{AGAIN, SinkName},
    order::{Came, Order},
    stream::{Place, Stream},
    windows,
    world::WorkerNo,
};

/// What must become of a user record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Must {
    Deliver,
    DeadLetter,
    /// It is filtered, which leaves no trace.
    Nothing,
    /// It was put before the time from which on the stream is to be read.
    Unwanted,
}

#[derive(Debug)]
struct Entry {
    must: Must,
    /// A sink would not take it once, so a dead letter is as good.
    refused: bool,
    outcomes: u32,
    /// Another sink gets it too.
    copied: bool,
    /// It is not kept any more, or was never to be read.
    lost: bool,
}

/// What was put into one shard.
#[derive(Default)]
struct Book {
    entries: BTreeMap<Position, Entry>,
    /// Those without an outcome.
    open: BTreeSet<Position>,
    /// Those that the sink of copies does not have.
    copies: BTreeSet<Position>,
}

pub(crate) struct Audit {
    pub(crate) breach: Option<Breach>,
    /// Whether the sinks keep the order of a batch.
    pub(crate) check_order: bool,
    beliefs: Beliefs,
    pub(crate) flight: Flight,
    known: Known,
    /// Leases that were handed over and not taken since.
    pub(crate) handed: BTreeSet<LeaseKey>,
    /// Workers that ever stood still: what they know they may not have looked at.
    pub(crate) stood_still: BTreeSet<WorkerNo>,
    books: BTreeMap<Place, Book>,
    /// The table as the writes that were seen must have left it.
    rows: BTreeMap<LeaseKey, Lease>,
    /// Shards whose leases were deleted, as it should be.
    retired: BTreeSet<Place>,
    pub(crate) limits: Limits,
    /// The sinks that prepare what they put.
    pub(crate) preparing: &'static [SinkName],
    orders: BTreeMap<SinkName, Order>,
    /// Shards that are not listed any more.
    trimmed: BTreeSet<Place>,
    /// Whether the streams are read from `LATEST`: what was put into a line of shards before somebody
    /// took the lease of one is not owed.
    pub(crate) from_latest: bool,
    /// When the lease of each shard was first taken.
    begun: BTreeMap<Place, EpochMillis>,
    /// Shards of which somebody has asked for what comes from now on.
    from_now_on: BTreeSet<Place>,
    /// Deliveries of events that had an outcome already.
    pub(crate) duplicates: u64,
}

/// How wrong the clocks of machines are at most, in milliseconds.
const CLOCKS: i64 = 1_000;

/// Tells a worker's grants of one lease apart.
pub(crate) type Grant = (WorkerNo, u64);

impl Audit {
    pub(crate) fn new(params: &LeaseParams) -> Self {
        Self {
            breach: None,
            check_order: false,
            beliefs: Beliefs::new(params.validity()),
            flight: Flight::default(),
            known: Known::default(),
            handed: BTreeSet::new(),
            stood_still: BTreeSet::new(),
            books: BTreeMap::new(),
            rows: BTreeMap::new(),
            retired: BTreeSet::new(),
            limits: Limits::default(),
            preparing: &[],
            orders: BTreeMap::new(),
            trimmed: BTreeSet::new(),
            from_latest: false,
            begun: BTreeMap::new(),
            from_now_on: BTreeSet::new(),
            duplicates: 0,
        }
    }

    /// The first breach counts: later ones may follow from it.
    pub(crate) fn broken(&mut self, invariant: Invariant, what: impl Into<String>) {
        self.breach.get_or_insert_with(|| invariant.broken(what));
    }

    fn check(&mut self, checked: Result<(), Breach>) {
        if let Err(breach) = checked {
            self.breach.get_or_insert(breach);
        }
    }

    /// A record is put; `readable` is whether there is an event in it.
    pub(crate) fn put(
        &mut self,
        stream: &Stream,
        place: &Place,
        position: Position,
        must: Must,
        readable: bool,
    ) {
        let owed = !self.from_latest
            || self.begun.contains_key(place)
            || stream.line_before(place).iter().any(|place| self.begun.contains_key(place));
        let book = self.books.entry(place.clone()).or_default();
        let is_open = matches!(must, Must::Deliver | Must::DeadLetter);
        let copied = self.preparing.contains(&AGAIN) && is_open && readable;
        if is_open && owed {
            book.open.insert(position.clone());
        }
        if copied && owed {
            book.copies.insert(position.clone());
        }
        let entry = Entry { must, refused: false, outcomes: 0, copied, lost: !owed };
        book.entries.insert(position, entry);
    }

    /// Records that are not kept any more need no outcome. Answers how many had none.
    pub(crate) fn lost(&mut self, place: &Place, sequence: &SequenceNumber) -> usize {
        let Some(book) = self.books.get_mut(place) else { return 0 };
        let before = book.open.len();
        book.open.retain(|position| position.sequence != *sequence);
        book.copies.retain(|position| position.sequence != *sequence);
        let first = Position { sequence: sequence.clone(), sub_sequence: 0 };
        let last = Position { sequence: sequence.clone(), sub_sequence: u64::MAX };
        book.entries.range_mut(first..=last).for_each(|(_, entry)| entry.lost = true);
        before - book.open.len()
    }

    /// A shard is not listed any more.
    pub(crate) fn shard_gone(&mut self, place: &Place) {
        self.trimmed.insert(place.clone());
    }

    /// Somebody asks for a place in a shard. The first reader of one that is read from `LATEST` leaves
    /// out what was put before; if it is a later owner of the lease, what was put before the first
    /// take. What came after its line had begun at an earlier shard is owed all the same.
    pub(crate) fn begins(
        &mut self,
        stream: &Stream,
        place: &Place,
        start: &StartAt,
        records: &[RawRecord],
        index: usize,
    ) {
        if !self.from_latest {
            return;
        }
        let line = stream.line_before(place);
        let first_take = |own: Option<&Place>| {
            let places = line.iter().chain(own);
            places.filter_map(|place| self.begun.get(place)).min().copied()
        };
        let owed_from = match start {
            // What came to the shard between its first take and now does not count.
            StartAt::Latest if !self.from_now_on.contains(place) => first_take(None),
            StartAt::Latest => first_take(Some(place)),
            // The time is by the clock of whoever took the first.
            StartAt::Timestamp(_) => first_take(Some(place)).map(|at| EpochMillis(at.0 + CLOCKS)),
            _ => return,
        };
        if *start == StartAt::Latest {
            self.from_now_on.insert(place.clone());
        }
        for record in &records[..index] {
            if owed_from.is_none_or(|from| record.arrival < from) {
                self.lost(place, &record.sequence);
            }
        }
    }

    /// The first record of a shard, up to `limit`, that has no outcome and must have one.
    pub(crate) fn open(&self, place: &Place, limit: Option<&Position>) -> Option<&Position> {
        let book = self.books.get(place)?;
        let first = book.open.first().into_iter().chain(book.copies.first()).min()?;
        limit.is_none_or(|limit| first <= limit).then_some(first)
    }

    /// Whether the record at a position is an aggregate that goes on behind it.
    pub(crate) fn follows_in_aggregate(&self, place: &Place, position: &Position) -> bool {
        let after = (Bound::Excluded(position), Bound::Unbounded);
        let next = self.books.get(place).and_then(|book| book.entries.range(after).next());
        next.is_some_and(|(next, _)| next.sequence == position.sequence)
    }

    // === The table ===

    pub(crate) fn created(&mut self, lease: &Lease) {
        self.rows.insert(lease.key.clone(), lease.clone());
    }

    pub(crate) fn wrote(
        &mut self,
        stream: &Stream,
        worker: WorkerNo,
        sent: Instant,
        now: EpochMillis,
        change: (&Lease, &Lease),
        write: &LeaseWrite,
    ) {
        let (before, after) = change;
        if self.rows.get(&before.key) != Some(before) {
            let what = format!("{} changed between two writes", before.key);
            self.broken(Invariant::ChangesByCondition, what);
        }
        self.rows.insert(after.key.clone(), after.clone());
        self.check(invariant::check_write(before, write, after));
        // A worker of the KCL would go on with it.
        if let (Some(pending), Checkpoint::After(position)) = (&after.pending, &after.checkpoint)
            && pending.position <= *position
        {
            let what =
                format!("{} is prepared up to {}, which is done", after.key, pending.position);
            self.broken(Invariant::ObjectsHoldOnce, what);
        }
        if !matches!(write, LeaseWrite::Evict { .. })
            && let Some(next) = write.checkpoint()
        {
            self.checkpointed(stream, before, next);
        }
        match write {
            LeaseWrite::Renew { .. } => {
                self.beliefs.renewed(&Place::of(before), worker, sent);
                self.carries(stream, after, worker, sent);
            }
            LeaseWrite::Take { .. } => {
                if before.checkpoint.is_start() {
                    self.starts(before);
                }
                self.begun.entry(Place::of(before)).or_insert(now);
                self.flight.left(&Place::of(before), None);
                let place = Place::of(before);
                self.beliefs.took(&place, worker, sent);
                let grant = (worker, self.beliefs.grant(&place, worker));
                self.known.took(&place, grant, &before.checkpoint);
                self.handed.remove(&before.key);
            }
            // What was handed to it is handed on: it was never given to a consumer.
            LeaseWrite::FinishHandOver { .. } if self.handed.contains(&before.key) => {}
            LeaseWrite::FinishHandOver { .. }
            | LeaseWrite::Release { .. }
            | LeaseWrite::End { .. } => {
                let place = Place::of(before);
                self.flight.left(&place, Some(worker));
                self.beliefs.gave_up(&place, worker);
                let grant = (worker, self.beliefs.grant(&place, worker));
                let checked = self.known.let_go(&place, grant);
                self.check(checked);
                if matches!(write, LeaseWrite::FinishHandOver { .. }) {
                    self.handed.insert(before.key.clone());
                }
            }
            // The owner may throw away what it has fetched from now on.
            LeaseWrite::RequestHandOver { .. } => self.flight.left(&Place::of(before), None),
            // Only operators evict.
            LeaseWrite::WithdrawRequest { .. }
            | LeaseWrite::FillHashRange { .. }
            | LeaseWrite::Evict { .. } => {}
        }
    }

    /// CP-4, of workers that never stood still. Batches that are split are not seen through.
    fn carries(&mut self, stream: &Stream, after: &Lease, worker: WorkerNo, sent: Instant) {
        if self.limits.any() || self.stood_still.contains(&worker) {
            return;
        }
        let place = Place::of(after);
        let grant = (worker, self.beliefs.grant(&place, worker));
        let Some(next) = self.next_after(&place, &after.checkpoint) else { return };
        let mut parts = vec![Part::Event(next.clone())];
        if self.books[&place].entries[next].copied {
            parts.push(Part::Copy(next.clone()));
        }
        if stream.windowed {
            // Nobody knows what the windows hold of a shard that was trimmed.
            if self.books[&place].entries.values().any(|entry| entry.lost) {
                return;
            }
            parts.extend(windows::needs(stream, &place, next));
        }
        let checked = self.known.renewed(&place, grant, (next, &parts), sent);
        self.check(checked);
    }

    /// The first record of a shard behind a checkpoint that must be delivered or parked.
    fn next_after(&self, place: &Place, checkpoint: &Checkpoint) -> Option<&Position> {
        let from = match checkpoint {
            Checkpoint::After(position) => Bound::Excluded(position),
            _ => Bound::Unbounded,
        };
        let mut entries = self.books.get(place)?.entries.range((from, Bound::Unbounded));
        let needs = |entry: &Entry| matches!(entry.must, Must::Deliver | Must::DeadLetter);
        let next = entries.find(|(_, entry)| needs(entry));
        // What was trimmed may be under way all the same.
        next.filter(|(_, entry)| !entry.lost).map(|(position, _)| position)
    }

    fn starts(&mut self, child: &Lease) {
        let row_of = |shard: &_| {
            let mut rows = self.rows.values().filter(|row| row.stream == child.stream);
            // What came back after it was retired is of no account, nor is a first lease that stands for
            // "from now on" and came too late: its shard is closed.
            let too_late = |row: &Lease| row.never_held() && row.awaits_latest();
            let counts = |row: &Lease| !self.retired.contains(&Place::of(row)) && !too_late(row);
            rows.find(|row| row.shard == *shard && counts(row))
        };
        let checked = invariant::check_start(child, row_of);
        self.check(checked);
    }

    fn checkpointed(&mut self, stream: &Stream, before: &Lease, next: &Checkpoint) {
        let place = Place::of(before);
        match next {
            Checkpoint::After(position) => {
                if let Some(open) = self.open(&place, Some(position)) {
                    let what = format!("{place} is checkpointed at {position}, {open} is open");
                    self.broken(Invariant::CheckpointIsSettled, what);
                }
            }
            Checkpoint::ShardEnd => {
                let open = self.open(&place, None).map(ToString::to_string);
                let open = open.or_else(|| stream.is_open(&place).then(|| "it".to_owned()));
                if let Some(open) = open {
                    let what = format!("{place} is ended while {open} is open");
                    self.broken(Invariant::EndIsSettled, what);
                }
            }
            // Something is prepared, and nothing is settled yet.
            start if *start == before.checkpoint => {}
            _ => {
                let what = format!("{place} is checkpointed at {next}");
                self.broken(Invariant::CheckpointAdvances, what);
            }
        }
    }

    pub(crate) fn deleted(&mut self, stream: &Stream, lease: &Lease) {
        let place = Place::of(lease);
        let children = &stream.shard(&place).children;
        if lease.never_held() {
            // It came back after it was retired, or was to be read "from now on", and is not kept any more.
            let kept_nothing = lease.awaits_latest() && self.trimmed.contains(&place);
            if !self.has_gone_on(stream, &place) && !kept_nothing {
                let what = format!("{place} is deleted, and nobody has read it");
                self.broken(Invariant::RetiredLast, what);
            }
            self.rows.remove(&lease.key);
            self.retired.insert(place);
            return;
        }
        // A child that was done with before its parent came back, or that is not kept any more, needs no
        // lease, and one that came back with its parent is of no account.
        let mut waits_for = lease.clone();
        waits_for.children.retain(|child| {
            let child = Place { shard: child.clone(), ..place.clone() };
            match self.rows.values().find(|row| Place::of(row) == child) {
                Some(row) => !(row.never_held() && self.has_gone_on(stream, &child)),
                None => !(self.retired.contains(&child) || self.trimmed.contains(&child)),
            }
        });
        let checked = invariant::check_retirement(&waits_for, self.rows.values());
        self.check(checked);
        if let Some(child) = children.iter().find(|child| {
            let gone = Place { shard: (*child).clone(), ..place.clone() };
            !lease.children.contains(child) && !self.trimmed.contains(&gone)
        }) {
            let what = format!("{place} is deleted and never named {child}");
            self.broken(Invariant::RetiredLast, what);
        }
        self.rows.remove(&lease.key);
        self.retired.insert(place);
    }

    /// Whether a descendant of a shard has started.
    fn has_gone_on(&self, stream: &Stream, place: &Place) -> bool {
        let below = |shard: &ShardId| Place { shard: shard.clone(), ..place.clone() };
        let started: BTreeSet<Place> =
            self.rows.values().filter(|row| row.begun()).map(Place::of).collect();
        let mut to_visit: Vec<_> = stream.shard(place).children.iter().map(below).collect();
        while let Some(place) = to_visit.pop() {
            if started.contains(&place) {
                return true;
            }
            to_visit.extend(stream.shard(&place).children.iter().map(below));
        }
        false
    }

    /// An operator sets a lease free, whatever its owner believes.
    pub(crate) fn released_by_force(&mut self, after: &Lease) {
        self.rows.insert(after.key.clone(), after.clone());
        self.beliefs.disowned(&Place::of(after));
        self.flight.left(&Place::of(after), None);
    }

    /// An operator deletes a lease, whatever its owner believes.
    pub(crate) fn deleted_by_hand(&mut self, row: &Lease) {
        self.rows.remove(&row.key);
        self.beliefs.disowned(&Place::of(row));
        self.flight.left(&Place::of(row), None);
    }

    /// Whether an operator took a lease from a worker that may not have noticed yet.
    pub(crate) fn is_disowned(&self, place: &Place, worker: WorkerNo) -> bool {
        self.beliefs.is_disowned(place, worker, Instant::now())
    }

    pub(crate) fn gone(&mut self, worker: WorkerNo) {
        self.beliefs.gone(worker);
        self.flight.gone(worker);
    }

    pub(crate) fn drained(&mut self, worker: WorkerNo) {
        let name = format!("w{worker}");
        let named = |row: &&Lease| {
            [&row.owner, &row.checkpoint_owner]
                .into_iter()
                .flatten()
                .any(|who| who.as_str() == name)
        };
        let held = self.rows.values().find(named);
        if let Some(row) = held {
            let what = format!("{name} has drained, and {} names it", row.key);
            self.broken(Invariant::DrainReleases, what);
        }
    }

    /// Everybody has drained.
    pub(crate) fn all_drained(&mut self) {
        if let Some(row) = self.rows.values().find(|row| row.holder().is_some()) {
            let what = format!("everybody has drained, and {} names {:?}", row.key, row.holder());
            self.broken(Invariant::DrainReleases, what);
        }
    }

    /// Whether a worker's lease has become another's without its knowing.
    pub(crate) fn is_zombie(&self, worker: WorkerNo) -> bool {
        self.beliefs.is_zombie(worker, Instant::now())
    }

    pub(crate) fn counted(&mut self, worker: WorkerNo, tally: &Tally) {
        let Tally { user_records, decoded, undecodable, events, .. } = *tally;
        let outcomes = tally.delivered + tally.filtered + tally.dead_lettered;
        if outcomes > events || decoded + undecodable > user_records {
            self.broken(Invariant::CountsAddUp, format!("w{worker} counted {tally:?}"));
        }
    }

    /// A worker that has seen an invariant broken is right, or wrong about it: both are bugs.
    pub(crate) fn raised(&mut self, worker: WorkerNo, metrics: &Metrics) {
        for invariant in Invariant::ALL {
            if metrics.raised(invariant) > 0 {
                self.broken(invariant, format!("w{worker} raised an alarm"));
            }
        }
    }

    // === The stream ===

    pub(crate) fn reads(&mut self, stream: &Stream, worker: WorkerNo, place: &Place) {
        for before in stream.before(place) {
            if let Some(open) = self.open(&before, None) {
                let what = format!("w{worker} reads {place} while {open} of {before} is open");
                self.broken(Invariant::ParentsFirst, what);
            }
        }
    }

    /// A worker has got a page: so many bytes up to each record.
    pub(crate) fn paged(
        &mut self,
        worker: WorkerNo,
        place: &Place,
        records: impl Iterator<Item = (Position, u64)>,
    ) {
        let now = Instant::now();
        let asked = |row: &Lease| Place::of(row) == *place && row.checkpoint_owner.is_some();
        if !self.beliefs.is_sure(place, worker, now) || self.rows.values().any(asked) {
            return;
        }
        let Self { flight, books, beliefs, .. } = self;
        flight.add(worker, place, records);
        let open = |place: &Place| books.get(place).and_then(|book| book.open.first()).cloned();
        let sure = |place: &Place| beliefs.is_sure(place, worker, now);
        let checked = flight.check(worker, open, sure);
        self.check(checked);
    }

    // === The sinks ===

    /// A worker begins a delivery. Answers its grant.
    pub(crate) fn begins_delivery(
        &mut self,
        worker: WorkerNo,
        events: &[OutputEvent],
        dead_letters: bool,
    ) -> Grant {
        let place = events.first().map(|event| Place::of_event(&event.id));
        let Some(place) = place else { return (worker, 0) };
        let valid = self.beliefs.valid(&place, worker, Instant::now());
        let key = LeaseKey::new(place.to_string());
        self.check(invariant::check_grants(&key, Some(&worker), &valid));
        let grant = (worker, self.beliefs.grant(&place, worker));
        let checked = self.known.begins(&place, grant, events);
        self.check(checked);
        if !dead_letters && let Some(event) = self.limits.tried(grant, events) {
            let what = format!("w{worker} tries {} too often", event.id);
            self.broken(Invariant::AttemptsBounded, what);
        }
        grant
    }

    /// A worker hears of a delivery, each of whose events is one part of what records need.
    pub(crate) fn hears(
        &mut self,
        grant: Grant,
        events: &[OutputEvent],
        part: impl Fn(&OutputEvent) -> Part,
        answer: &Result<Vec<Verdict>, SinkError>,
    ) {
        if let Some(event) = events.first() {
            let parts = events.iter().map(part);
            self.known.hears(&Place::of_event(&event.id), grant, parts, answer);
        }
    }

    /// A sink has taken an event.
    pub(crate) fn delivered(&mut self, event: &OutputEvent) {
        if let Some((must, _)) = self.outcome(event)
            && must != Must::Deliver
        {
            self.wrong_outcome(event, must, Must::Deliver);
        }
    }

    /// The sink of copies has taken an event.
    pub(crate) fn copied(&mut self, event: &OutputEvent) {
        if let Some(book) = self.books.get_mut(&Place::of_event(&event.id)) {
            book.copies.remove(&event.id.position);
        }
    }

    /// An event has become a dead letter. Answers whether it was given up.
    pub(crate) fn parked(&mut self, grant: Grant, event: &OutputEvent, now: EpochMillis) -> bool {
        match self.outcome(event) {
            None | Some((Must::DeadLetter, _) | (_, true)) => false,
            Some((Must::Deliver, _)) if self.limits.any() => {
                if !self.limits.may_give_up(grant, event, now) {
                    let what = format!("w{} gives {} up too early", grant.0, event.id);
                    self.broken(Invariant::AttemptsSpent, what);
                }
                true
            }
            Some((must, _)) => {
                self.wrong_outcome(event, must, Must::DeadLetter);
                false
            }
        }
    }

    /// Notes that an event has an outcome. Answers which it must have, and whether a sink refused it.
    fn outcome(&mut self, event: &OutputEvent) -> Option<(Must, bool)> {
        let id = &event.id;
        let book = self.books.get_mut(&Place::of_event(id));
        let Some((open, entry)) =
            book.and_then(|book| Some((&mut book.open, book.entries.get_mut(&id.position)?)))
        else {
            self.broken(Invariant::OneOutcome, format!("{id} was never put"));
            return None;
        };
        open.remove(&id.position);
        self.duplicates += u64::from(entry.outcomes > 0);
        entry.outcomes += 1;
        Some((entry.must, entry.refused))
    }

    fn wrong_outcome(&mut self, event: &OutputEvent, must: Must, came: Must) {
        let what = format!("{} must come to {must:?}, not {came:?}", event.id);
        self.broken(Invariant::OneOutcome, what);
    }

    /// A sink says that it will never take an event.
    pub(crate) fn refused(&mut self, event: &OutputEvent) {
        let book = self.books.get_mut(&Place::of_event(&event.id));
        if let Some(entry) = book.and_then(|book| book.entries.get_mut(&event.id.position)) {
            entry.refused = true;
        }
    }

    /// A sink has answered for a batch. Answers whether an event came through after a later one of
    /// its shard.
    pub(crate) fn acknowledged(
        &mut self,
        sink: SinkName,
        grant: Grant,
        events: &[OutputEvent],
    ) -> bool {
        if !self.check_order {
            return false;
        }
        let mut overtaken = false;
        for event in events {
            match self.orders.entry(sink).or_default().came(grant, event, self.limits.order(event))
            {
                Came::InOrder => {}
                Came::Overtaken => overtaken = true,
                Came::TooLate => {
                    let what = format!("w{} delivers {} out of order", grant.0, event.id);
                    self.broken(Invariant::OrderKept, what);
                }
            }
        }
        overtaken
    }

    // === The end ===

    /// Events that were delivered, as they must be.
    pub(crate) fn delivered_events(&self) -> Vec<(Place, Position)> {
        let delivered = |(place, book): (&Place, &Book)| -> Vec<(Place, Position)> {
            let entries = book.entries.iter();
            let came = entries.filter(|(_, one)| one.must == Must::Deliver && one.outcomes > 0);
            came.map(|(position, _)| (place.clone(), position.clone())).collect()
        };
        self.books.iter().flat_map(delivered).collect()
    }

    /// Events that the sink of copies has.
    pub(crate) fn copied_events(&self) -> Vec<(Place, Position)> {
        let copied = |(place, book): (&Place, &Book)| -> Vec<(Place, Position)> {
            let entries = book.entries.iter().filter(|(_, one)| one.copied && !one.lost);
            let came = entries.filter(|(position, _)| !book.copies.contains(position));
            came.map(|(position, _)| (place.clone(), position.clone())).collect()
        };
        self.books.iter().flat_map(copied).collect()
    }

    pub(crate) fn all_settled(&self) -> bool {
        self.books.keys().all(|place| self.open(place, None).is_none())
    }

    pub(crate) fn not_settled(&self) -> Vec<String> {
        let open = |place: &Place| Some(format!("{place} {}", self.open(place, None)?));
        self.books.keys().filter_map(open).collect()
    }
}
