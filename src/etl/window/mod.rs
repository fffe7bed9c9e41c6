//! Tumbling windows on event time: a route's documents in, one row a window and group out.
//!
//! ```text
//! document ─▶ Item (time, group, values) ─▶ Tumbling ─▶ Closed window ─▶ a row for each group
//!                                             │
//!                                             └▶ late, ahead of its time, or no room: not aggregated
//! ```
//!
//! # Guarantees
//! - What becomes of an item is decided by the records of the shard before it and by nothing else: no
//!   clock, no chance, no batch. A shard that is read again gives the same rows.
//! - A [`Watermark`] is all that must be kept of the records up to a checkpoint: with it, the windows
//!   that have an item at or before the checkpoint are recognised as delivered, and those behind it
//!   are built whole. `tumbling_tests` holds this against readings that break off anywhere.
//! - Memory is bounded: a window has room for so many groups and bytes, and what finds no room is
//!   said so.

mod aggregate;
mod item;
mod number;
mod row;
mod tumbling;

use std::time::Duration;

use super::FieldPath;

pub use aggregate::{Aggregate, AggregateError};
pub use item::Item;
pub use row::{RESERVED, RowPlace};
pub use tumbling::{Closed, Placed, Row, Tumbling, Watermark};

use aggregate::Accumulator;
use number::Number;

/// A window of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// How long each window is. They begin at whole multiples of it since 1970.
    pub size: Duration,
    /// How long events may come out of order: a window is closed once an event was seen that
    /// happened so long after its end.
    pub lateness: Duration,
    /// A window that got nothing for so long is closed, by the arrival of the shard's records.
    pub idle: Duration,
    /// How far after the arrival of its record an event's time may be.
    pub ahead: Duration,
    /// The field that holds the time; `None` for the time of the event itself, or the arrival of its
    /// record if it has none.
    pub time: Option<FieldPath>,
    /// Names and paths of the fields that make the groups.
    pub group_by: Vec<(String, FieldPath)>,
    /// What is computed of each group, by name.
    pub aggregates: Vec<(String, Aggregate)>,
    /// What becomes of late documents.
    pub late: Late,
    /// Most groups of a window.
    pub max_groups: usize,
    /// Most bytes that a window takes in memory.
    pub max_bytes: usize,
}

/// What becomes of documents that come after their window was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// Their events become dead letters.
    DeadLetter,
    /// They are delivered to the sink of this index, each by itself.
    Sink(usize),
}

/// Shortest window.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// Longest window: its records are read again after a crash, and the checkpoint waits for it.
pub const LONGEST: Duration = Duration::from_mins(15);

impl Window {
    /// How long each is, in milliseconds.
    pub fn millis(&self) -> u64 {
        u64::try_from(self.size.as_millis()).unwrap_or(u64::MAX)
    }

    fn size(&self) -> i64 {
        millis(self.size).max(1)
    }

    /// The end of the window that a time is in. The start is in it, the end is not.
    fn end_of(&self, time: i64) -> i64 {
        time.saturating_sub(time.rem_euclid(self.size())).saturating_add(self.size())
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
