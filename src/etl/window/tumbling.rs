//! The windows of one route in one shard: what is open, what is closed, what was delivered before.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Accumulator, Item, Window, aggregate::ACCUMULATOR, item::Group, millis};
use crate::model::EpochMillis;

/// How far the windows of a route have come after a record: all that a later reader needs to know of
/// the records up to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    /// The latest time seen; windows that end so much as the lateness before it are closed.
    pub seen: EpochMillis,
    /// The latest end of a window that something was put into.
    pub through: EpochMillis,
    /// When the last record arrived that put something into a window.
    pub arrived: EpochMillis,
}

/// The windows of one route in one shard. For each record of the shard, in order:
/// [`Self::begin`], [`Self::place`] for each of its items, [`Self::end`].
#[derive(Debug)]
pub struct Tumbling {
    window: Arc<Window>,
    mark: Option<Watermark>,
    /// Windows up to this end were delivered before this reader began.
    delivered: Option<i64>,
    /// What the items of the record under way bring: the latest time and the latest end.
    record: Option<(i64, i64)>,
    /// By their ends.
    open: BTreeMap<i64, Open>,
}

#[derive(Debug, Default)]
struct Open {
    rows: BTreeMap<Group, Row>,
    bytes: usize,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It is in the open window of this end.
    In(EpochMillis),
    /// It is in a window that was delivered before this reader began.
    Delivered,
    /// Its window was closed before it came.
    Late,
    /// It claims to have happened after it arrived.
    Ahead,
    /// The open window of this end has no room for it.
    Full(EpochMillis),
}

/// A closed window.
#[derive(Clone, Debug)]
pub struct Closed {
    /// Its end.
    pub end: EpochMillis,
    /// A row for each group, in the order of the groups.
    pub rows: Vec<(Group, Row)>,
}

/// One group of a window.
#[derive(Clone, Debug)]
pub struct Row {
    pub(super) accumulators: Box<[Accumulator]>,
    /// Documents in it.
    pub(super) documents: u64,
    /// Events that are counted as delivered when it is: see [`Tumbling::count`].
    pub events: u64,
}

/// Bytes of memory, about, that a group takes beside its values.
const ROW: usize = 128;

impl Tumbling {
    /// The windows behind a record at which they had come so far; `None` at the beginning.
    pub fn new(window: Arc<Window>, mark: Option<Watermark>) -> Self {
        let delivered = mark.map(|mark| mark.through.0);
        Self { window, mark, delivered, record: None, open: BTreeMap::new() }
    }

    /// How far it has come after the last record.
    pub fn mark(&self) -> Option<Watermark> {
        self.mark
    }

    /// Windows that are open.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// A record that arrived then is next: closes what got nothing for too long.
    pub fn begin(&mut self, arrival: EpochMillis) -> Vec<Closed> {
        let idle = millis(self.window.idle);
        let quiet = |mark: &Watermark| arrival.0.saturating_sub(mark.arrived.0) >= idle;
        if self.mark.as_ref().is_some_and(quiet) { self.finish() } else { Vec::new() }
    }

    /// Puts an item of the record that arrived then into its window. Items of one record do not make
    /// each other late.
    pub fn place(&mut self, item: &Item, arrival: EpochMillis) -> Placed {
        let time = item.time.0;
        let end = self.window.end_of(time);
        if time > arrival.0.saturating_add(millis(self.window.ahead)) {
            return Placed::Ahead;
        }
        if self.watermark().is_some_and(|watermark| end <= watermark) {
            return Placed::Late;
        }
        let (seen, through) = self.record.unwrap_or((time, end));
        self.record = Some((seen.max(time), through.max(end)));
        if self.delivered.is_some_and(|delivered| end <= delivered) {
            return Placed::Delivered;
        }
        let open = self.open.entry(end).or_default();
        match open.add(&self.window, item) {
            true => Placed::In(EpochMillis(end)),
            false => Placed::Full(EpochMillis(end)),
        }
    }

    /// The event of an item that was placed in the window of this end comes to its outcome with that
    /// window's row, and with nothing else; or not, after all.
    pub fn count(&mut self, end: EpochMillis, item: &Item, counted: bool) {
        let row = self.open.get_mut(&end.0).and_then(|open| open.rows.get_mut(&item.group));
        if let Some(row) = row {
            row.events = if counted { row.events + 1 } else { row.events.saturating_sub(1) };
        }
    }

    /// The record that arrived then is through: closes the windows that nothing may come for.
    pub fn end(&mut self, arrival: EpochMillis) -> Vec<Closed> {
        let Some((seen, through)) = self.record.take() else { return Vec::new() };
        let (seen, through) = (EpochMillis(seen), EpochMillis(through));
        let before = self.mark.unwrap_or(Watermark { seen, through, arrived: arrival });
        self.mark = Some(Watermark {
            seen: before.seen.max(seen),
            through: before.through.max(through),
            arrived: arrival,
        });
        self.close()
    }

    /// Nothing comes any more, or not for a long time: closes all windows. What comes for them all the
    /// same is late.
    pub fn finish(&mut self) -> Vec<Closed> {
        let lateness = millis(self.window.lateness);
        if let Some(mark) = &mut self.mark {
            let all = EpochMillis(mark.through.0.saturating_add(lateness));
            mark.seen = mark.seen.max(all);
        }
        self.close()
    }

    /// Windows up to this end are closed.
    fn watermark(&self) -> Option<i64> {
        let seen = self.mark?.seen.0;
        Some(seen.saturating_sub(millis(self.window.lateness)))
    }

    fn close(&mut self) -> Vec<Closed> {
        let Some(watermark) = self.watermark() else { return Vec::new() };
        let mut closed = Vec::new();
        while let Some(first) = self.open.first_entry().filter(|first| *first.key() <= watermark) {
            let (end, open) = first.remove_entry();
            closed.push(Closed { end: EpochMillis(end), rows: open.rows.into_iter().collect() });
        }
        closed
    }
}

impl Open {
    /// Whether there was room.
    fn add(&mut self, window: &Window, item: &Item) -> bool {
        let growth = match self.rows.get(&item.group) {
            Some(row) => row.growth(item),
            None if self.rows.len() >= window.max_groups => return false,
            None => {
                let group: usize = item.group.iter().map(|value| value.len()).sum();
                let row = Row::new(window);
                ROW + group + row.accumulators.len() * ACCUMULATOR + row.growth(item)
            }
        };
        if self.bytes.saturating_add(growth) > window.max_bytes {
            return false;
        }
        self.bytes += growth;
        self.rows.entry(item.group.clone()).or_insert_with(|| Row::new(window)).add(item);
        true
    }
}

impl Row {
    fn new(window: &Window) -> Self {
        let new = |(_, aggregate): &(String, _)| Accumulator::new(aggregate);
        let accumulators = window.aggregates.iter().map(new).collect();
        Self { accumulators, documents: 0, events: 0 }
    }

    fn growth(&self, item: &Item) -> usize {
        let pairs = self.accumulators.iter().zip(&item.inputs);
        pairs.map(|(accumulator, input)| accumulator.growth(input)).sum()
    }

    fn add(&mut self, item: &Item) {
        self.documents += 1;
        let pairs = self.accumulators.iter_mut().zip(&item.inputs);
        pairs.for_each(|(accumulator, input)| accumulator.add(input));
    }
}

#[cfg(test)]
#[path = "tumbling_tests.rs"]
pub(super) mod tests;
