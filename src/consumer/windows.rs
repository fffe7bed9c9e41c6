//! The windows of one shard: what they make of its records, and what the checkpoint must wait for.
//!
//! A record whose events are in a window has no delivery of its own on the ledger, and gives its bytes
//! back at once. Instead each window that is not delivered holds the checkpoint before the first record
//! that it has something of. With the checkpoint goes the [`Watermark`] of each route as it was there:
//! whoever reads on knows by it which windows were delivered.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{Mark, watermarks::Kept};
use crate::{
    etl::{
        Delivery, InWindow, Pipeline, Source, SourceRecord, Tally, Unplaced, Windowed,
        window::{Closed, Placed, Tumbling, Watermark, Window},
    },
    model::{EpochMillis, Lease, Position, UserRecord},
};

/// Two servers of Kinesis may differ by so much in the time that they give to a record.
const SKEW: Duration = Duration::from_secs(1);

/// The watermarks of all routes after some record.
type Snapshot = Arc<[Option<Watermark>]>;

/// The windows of one shard.
pub(super) struct Windows {
    source: Arc<Source>,
    routes: Vec<RouteWindows>,
    /// The last record.
    last: Option<Mark>,
    /// After it.
    snapshot: Snapshot,
    /// At the last checkpoint that can still be written, and after each record behind it.
    history: VecDeque<(Option<Position>, Snapshot)>,
}

/// The windows of one route.
struct RouteWindows {
    route: usize,
    name: Arc<str>,
    window: Arc<Window>,
    tumbling: Tumbling,
    /// Those that are not delivered, by their ends.
    waiting: BTreeMap<EpochMillis, Waiting>,
    /// When something was last put into a window.
    touched: Instant,
}

/// A window that is not delivered.
struct Waiting {
    /// The last record before the first that it has something of, if this consumer has read it.
    before: Option<Mark>,
    /// After that record.
    snapshot: Snapshot,
    /// When the first record that it has something of arrived.
    oldest: EpochMillis,
    /// Rows that wait for their sink, and letters of events that it had no room for.
    waits: usize,
    closed: bool,
}

/// Rows of windows that were closed, with the record that they are delivered with.
pub(super) struct ClosedRows {
    pub(super) record: Arc<SourceRecord>,
    pub(super) mark: Mark,
    pub(super) rows: Vec<Delivery>,
}

impl Windows {
    /// The windows of a shard behind its lease's checkpoint.
    pub(super) fn new(pipeline: &Pipeline, source: Arc<Source>, lease: &Lease) -> Self {
        let kept = Kept::of(lease, pipeline.has_windows());
        let route = |(route, name, window, _): (usize, &Arc<str>, &Arc<Window>, usize)| {
            let mark = kept.mark(name, window);
            RouteWindows {
                route,
                name: Arc::clone(name),
                window: Arc::clone(window),
                tumbling: Tumbling::new(Arc::clone(window), mark),
                waiting: BTreeMap::new(),
                touched: Instant::now(),
            }
        };
        let routes: Vec<_> = pipeline.windows().map(route).collect();
        let snapshot: Snapshot = routes.iter().map(|route| route.tumbling.mark()).collect();
        let history = VecDeque::from([(None, Arc::clone(&snapshot))]);
        Self { source, routes, last: None, snapshot, history }
    }

    /// Takes in the next record of the shard, with what it has for windows. Adds to its `deliveries`
    /// what is in no window, and answers the rows of the windows that it closes.
    pub(super) fn pass(
        &mut self,
        pipeline: &Pipeline,
        mark: &Mark,
        record: Option<&SourceRecord>,
        windowed: Vec<Windowed>,
        deliveries: &mut Vec<Delivery>,
        tally: &mut Tally,
    ) -> Option<ClosedRows> {
        if self.routes.is_empty() {
            return None;
        }
        // A server may answer a record twice; it is in its windows already.
        let again = self.last.as_ref().is_some_and(|last| mark.0 <= last.0);
        if again {
            let seen: BTreeSet<u32> = windowed.iter().map(|one| one.event).collect();
            let other = |event: &&u32| deliveries.iter().all(|one| one.event != Some(**event));
            tally.delivered += seen.iter().filter(other).count() as u64;
            return None;
        }
        let mut closed = Vec::new();
        for (index, route) in self.routes.iter_mut().enumerate() {
            closed.extend(route.tumbling.begin(mark.1).into_iter().map(|window| (index, window)));
        }
        if let Some(record) = record {
            self.place(pipeline, mark, record, windowed, deliveries, tally);
        }
        for (index, route) in self.routes.iter_mut().enumerate() {
            closed.extend(route.tumbling.end(mark.1).into_iter().map(|window| (index, window)));
        }
        self.last = Some(mark.clone());
        self.closed(pipeline, closed)
    }

    /// The shard has been read to its tip, and what is asked for after this instant is not read yet.
    /// Closes what got nothing for too long: the next record will have arrived so much later, and would
    /// close it too.
    pub(super) fn tip(&mut self, pipeline: &Pipeline, asked: Instant) -> Option<ClosedRows> {
        let mut closed = Vec::new();
        for (index, route) in self.routes.iter_mut().enumerate() {
            let idle = route.window.idle + SKEW;
            if route.tumbling.open() > 0 && asked.duration_since(route.touched) >= idle {
                closed.extend(route.tumbling.finish().into_iter().map(|window| (index, window)));
            }
        }
        self.closed(pipeline, closed)
    }

    /// Reading has come to its end: closes all windows.
    pub(super) fn finish(&mut self, pipeline: &Pipeline) -> Option<ClosedRows> {
        let mut closed = Vec::new();
        for (index, route) in self.routes.iter_mut().enumerate() {
            closed.extend(route.tumbling.finish().into_iter().map(|window| (index, window)));
        }
        self.closed(pipeline, closed)
    }

    /// A row, or a letter of an event that a window had no room for, has its outcome. The windows of a
    /// route are delivered in the order of their ends.
    pub(super) fn settled(&mut self, settled: InWindow) {
        let route = self.routes.iter_mut().find(|route| route.route == settled.route);
        let Some(route) = route else { return };
        if let Some(waiting) = route.waiting.get_mut(&settled.end) {
            waiting.waits = waiting.waits.saturating_sub(1);
        }
        route.advance();
    }

    /// Whether every window is delivered.
    pub(super) fn all_delivered(&self) -> bool {
        self.routes.iter().all(|route| route.waiting.is_empty())
    }

    /// Windows that are open.
    pub(super) fn open(&self) -> usize {
        self.routes.iter().map(|route| route.tumbling.open()).sum()
    }

    /// When the oldest record arrived that a window holds the checkpoint for.
    pub(super) fn oldest(&self) -> Option<EpochMillis> {
        self.waiting().map(|waiting| waiting.oldest).min()
    }

    /// The checkpoint, when everything up to `frontier` has its outcome but for windows; with what is
    /// to be kept with it.
    pub(super) fn checkpoint(
        &mut self,
        frontier: Option<&Mark>,
    ) -> Option<(Mark, Option<Arc<str>>)> {
        let frontier = frontier?;
        if self.routes.is_empty() {
            return Some((frontier.clone(), None));
        }
        let after = |entry: &(Option<Position>, Snapshot)| {
            entry.0.as_ref().is_some_and(|position| *position > frontier.0)
        };
        while self.history.get(1).is_some_and(|next| !after(next)) {
            self.history.pop_front();
        }
        let first =
            self.waiting().min_by_key(|waiting| waiting.before.as_ref().map(|mark| &mark.0));
        let (mark, snapshot) = match first {
            Some(Waiting { before: None, .. }) => return None,
            Some(Waiting { before: Some(before), snapshot, .. }) if before.0 < frontier.0 => {
                (before, snapshot)
            }
            _ => (frontier, self.history.front().map_or(&self.snapshot, |(_, kept)| kept)),
        };
        let routes = self.routes.iter().zip(snapshot.iter());
        let marks = routes.filter_map(|(route, mark)| Some((&route.name, &route.window, (*mark)?)));
        Some((mark.clone(), Kept::new(&mark.0, marks).text()))
    }

    fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        self.routes.iter().flat_map(|route| route.waiting.values())
    }

    // === One record ===

    fn place(
        &mut self,
        pipeline: &Pipeline,
        mark: &Mark,
        record: &SourceRecord,
        windowed: Vec<Windowed>,
        deliveries: &mut Vec<Delivery>,
        tally: &mut Tally,
    ) {
        let elsewhere: BTreeSet<u32> = deliveries.iter().filter_map(|one| one.event).collect();
        let mut unplaced = Vec::new();
        let mut letters = Vec::new();
        // Where the event under way is counted, unless it comes to another outcome too.
        let mut counted: Option<(u32, Counted)> = None;
        for one in windowed {
            if counted.as_ref().is_none_or(|(event, _)| *event != one.event) {
                let here = !elsewhere.contains(&one.event);
                counted =
                    Some((one.event, if here { Counted::Nowhere } else { Counted::Elsewhere }));
            }
            let Some((_, counting)) = &mut counted else { continue };
            let index = self.routes.iter().position(|route| route.route == one.route);
            let Some(index) = index else { continue };
            let placed = self.routes.get_mut(index).map(|route| route.place(&one, mark.1));
            let why = match placed {
                None => continue,
                Some(Placed::In(end)) => {
                    self.hold(index, end, mark.1);
                    if matches!(counting, Counted::Nowhere) {
                        self.count(index, end, &one, true);
                        *counting = Counted::In(index, end, one);
                    }
                    continue;
                }
                Some(Placed::Delivered) => {
                    if matches!(counting, Counted::Nowhere) {
                        tally.delivered += 1;
                        *counting = Counted::Before;
                    }
                    continue;
                }
                Some(Placed::Full(end)) => {
                    self.hold(index, end, mark.1);
                    if let Some(waiting) = self.waiting_mut(index, end) {
                        waiting.waits += 1;
                    }
                    letters.push((unplaced.len(), InWindow { route: one.route, end, row: None }));
                    Unplaced::Full
                }
                Some(Placed::Late) => {
                    tally.late += 1;
                    Unplaced::Late
                }
                Some(Placed::Ahead) => Unplaced::Ahead,
            };
            match std::mem::replace(counting, Counted::Elsewhere) {
                Counted::In(index, end, counted) => self.count(index, end, &counted, false),
                Counted::Before => tally.delivered = tally.delivered.saturating_sub(1),
                Counted::Nowhere | Counted::Elsewhere => {}
            }
            unplaced.push((one, why));
        }
        let mut made = pipeline.unplaced(record, unplaced);
        for (place, window) in letters {
            if let Some(letter) = made.get_mut(place) {
                letter.window = Some(window);
            }
        }
        if made.is_empty() {
            return;
        }
        deliveries.extend(made);
        // Sinks that keep places know what they have by the order of the shard.
        deliveries.sort_by_key(|one| (one.event, one.route, one.document));
    }

    fn count(&mut self, index: usize, end: EpochMillis, one: &Windowed, counted: bool) {
        if let Some(route) = self.routes.get_mut(index) {
            route.tumbling.count(end, &one.item, counted);
        }
    }

    fn waiting_mut(&mut self, index: usize, end: EpochMillis) -> Option<&mut Waiting> {
        self.routes.get_mut(index)?.waiting.get_mut(&end)
    }

    /// The checkpoint waits for this window, from before the record under way on.
    fn hold(&mut self, index: usize, end: EpochMillis, arrival: EpochMillis) {
        let Self { routes, last, snapshot, .. } = self;
        let Some(route) = routes.get_mut(index) else { return };
        route.waiting.entry(end).or_insert_with(|| Waiting {
            before: last.clone(),
            snapshot: Arc::clone(snapshot),
            oldest: arrival,
            waits: 0,
            closed: false,
        });
    }

    // === Rows ===

    /// Windows that were closed after the last record, by the index of their route.
    fn closed(&mut self, pipeline: &Pipeline, closed: Vec<(usize, Closed)>) -> Option<ClosedRows> {
        let mark = self.last.clone()?;
        let snapshot: Snapshot = self.routes.iter().map(|route| route.tumbling.mark()).collect();
        if snapshot != self.snapshot {
            self.snapshot = snapshot;
            self.history.push_back((Some(mark.0.clone()), Arc::clone(&self.snapshot)));
        }
        let record = carrier(&self.source, &mark);
        let mut rows = Vec::new();
        for (index, window) in closed {
            if let Some(route) = self.routes.get_mut(index) {
                rows.extend(route.close(window, (pipeline, &record)));
            }
        }
        (!rows.is_empty()).then_some(ClosedRows { record, mark, rows })
    }
}

/// Where an event comes to its outcome.
enum Counted {
    Nowhere,
    /// With the row of its window.
    In(usize, EpochMillis, Windowed),
    /// Its window was delivered before.
    Before,
    /// With a delivery of its own.
    Elsewhere,
}

impl RouteWindows {
    fn place(&mut self, one: &Windowed, arrival: EpochMillis) -> Placed {
        let placed = self.tumbling.place(&one.item, arrival);
        if matches!(placed, Placed::In(_) | Placed::Delivered | Placed::Full(_)) {
            self.touched = Instant::now();
        }
        placed
    }

    fn close(
        &mut self,
        closed: Closed,
        (pipeline, record): (&Pipeline, &SourceRecord),
    ) -> Vec<Delivery> {
        let end = closed.end;
        let rows = pipeline.rows(record, self.route, closed);
        if let Some(waiting) = self.waiting.get_mut(&end) {
            waiting.waits += rows.len();
            waiting.closed = true;
        }
        self.advance();
        rows
    }

    /// Lets go of the windows that are delivered, and all before them.
    fn advance(&mut self) {
        while let Some(first) = self.waiting.first_entry() {
            if !first.get().closed || first.get().waits > 0 {
                return;
            }
            first.remove();
        }
    }
}

/// The record that rows are delivered with: what closed their windows, without its bytes.
fn carrier(source: &Arc<Source>, (position, arrival): &Mark) -> Arc<SourceRecord> {
    let record = UserRecord {
        position: position.clone(),
        partition_key: Arc::from(""),
        explicit_hash_key: None,
        aggregated: false,
        data: Bytes::new(),
        arrival: *arrival,
    };
    Arc::new(SourceRecord::new(Arc::clone(source), record))
}

#[cfg(test)]
#[path = "windows_tests.rs"]
mod tests;
