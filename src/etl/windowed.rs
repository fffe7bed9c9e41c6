//! Documents on their way between the pipeline and windows: into them, and out where there is no room.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use smallvec::SmallVec;

use super::{
    DeadLetter, Delivery, Pipeline, SourceRecord, Stage,
    dead_letter::FailedEvent,
    view::EventView,
    window::{Closed, Item, Late, Row, RowPlace, Window},
};
use crate::model::{EpochMillis, LogEvent, OutputEvent, RowId, Share};

/// How a delivery belongs to a window, which is delivered when all its rows are, and the letters of the
/// events that it had no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InWindow {
    /// Index of the route.
    pub route: usize,
    /// The end of the window.
    pub end: EpochMillis,
    /// For a row: the events that come to their outcome with it.
    pub row: Option<u64>,
}

/// A document for the window of its route.
#[derive(Clone, Debug)]
pub struct Windowed {
    /// Index of the route.
    pub route: usize,
    /// Index of the event within its record.
    pub event: u32,
    /// See [`Delivery::document`].
    pub document: Option<u32>,
    /// What the window needs to know of it.
    pub item: Item,
    /// The document itself, if late ones are delivered.
    pub json: Option<Bytes>,
}

/// Why a document is in no window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unplaced {
    /// Its window is closed.
    Late,
    /// It is replayed: its window was closed long ago.
    Replayed,
    /// It claims to have happened after it arrived.
    Ahead,
    /// The window has room for no more groups or bytes.
    Full,
}

impl Unplaced {
    /// Why, for a person.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Late => "late: its window is closed",
            Self::Replayed => "late: its window was closed before it is replayed",
            Self::Ahead => "its time is after the arrival of its record (window_ahead)",
            Self::Full => "its window is full (window_max_groups, window_max_bytes)",
        }
    }
}

impl Pipeline {
    /// What becomes of documents that are in no window: dead letters of their events, or, of late
    /// ones, deliveries, if their route says so. The events are decoded again, for all of them at once.
    pub fn unplaced(
        &self,
        record: &SourceRecord,
        unplaced: Vec<(Windowed, Unplaced)>,
    ) -> Vec<Delivery> {
        if unplaced.is_empty() {
            return Vec::new();
        }
        let events: BTreeMap<u32, LogEvent> = self.events(record).into_iter().collect();
        let delivery = |(windowed, why): (Windowed, Unplaced)| {
            let Windowed { route: number, event: index, document, json, .. } = windowed;
            let route = self.parts.routes.get(number)?;
            let late = route.window.as_ref().map(|window| window.late);
            if let (Some(Late::Sink(sink)), Some(json), Unplaced::Late | Unplaced::Replayed) =
                (late, json, why)
            {
                return Some(self.document(record, (sink, number, index), document, json));
            }
            let why = self.failure(Stage::Window, why.reason().to_owned());
            let letter = match events.get(&index) {
                Some(event) => {
                    let failed = FailedEvent { event, index, route: &route.name, document };
                    DeadLetter::of_event(record, &failed, why)
                }
                // It was decoded before, so this does not happen; the record's bytes hold the event.
                None => DeadLetter::of_record(record, why),
            };
            Some(self.letter(letter, record, Some(index)))
        };
        unplaced.into_iter().filter_map(delivery).collect()
    }

    /// The rows of a window of a route, for its sink; `record` is the one that closed it.
    pub fn rows(&self, record: &SourceRecord, route: usize, closed: Closed) -> Vec<Delivery> {
        let found = self.windows().find(|(number, ..)| *number == route);
        let Some((_, name, window, sink)) = found else { return Vec::new() };
        let Closed { end, rows } = closed;
        let source = &record.source;
        let place = RowPlace { stream: &source.stream, shard: &source.shard, route: name, end };
        let delivery = |(group, row): (_, Row)| {
            let share = Share::Window(RowId {
                name: Arc::clone(name),
                end,
                size: window.millis(),
                group: RowPlace::group_id(window, &group).into(),
            });
            let mut output = OutputEvent {
                id: record.event_id(u32::MAX),
                share,
                partition_key: Arc::clone(&record.record.partition_key),
                arrival: record.record.arrival,
                json: Bytes::new(),
            };
            let id = output.delivery_id();
            output.json = place.json(window, &group, &row, &id);
            // Rows that replace each other go the same way.
            output.partition_key = id.into();
            let window = Some(InWindow { route, end, row: Some(row.events) });
            let (route, event) = (Some(route), None);
            Delivery { sink, event, route, failed: None, document: None, window, output }
        };
        rows.into_iter().map(delivery).collect()
    }

    /// Whether a route has windows.
    pub fn has_windows(&self) -> bool {
        self.windows().next().is_some()
    }

    /// The routes that have windows, by their indices, with their names and sinks.
    pub fn windows(&self) -> impl Iterator<Item = (usize, &Arc<str>, &Arc<Window>, usize)> {
        let routes = self.parts.routes.iter().zip(&self.route_names).enumerate();
        routes.filter_map(|(number, (route, name))| {
            Some((number, name, route.window.as_ref()?, route.sink))
        })
    }
}

/// What a window needs of each document, with the document if it may be delivered after all.
pub(super) type Items = SmallVec<[(Item, Option<Bytes>); 1]>;

/// When an event happened, as far as its window is concerned.
fn time(view: &EventView<'_>) -> EpochMillis {
    view.event.timestamp.unwrap_or(view.record.record.arrival)
}

/// An event as it is, for a window.
pub(super) fn whole_item(window: &Window, view: &EventView<'_>) -> Result<Item, String> {
    Item::read(window, &view.whole().to_string(), time(view))
}

/// What a program has made, for a window.
pub(super) fn items(
    window: &Window,
    view: &EventView<'_>,
    documents: SmallVec<[Bytes; 1]>,
) -> Result<Items, String> {
    let late = matches!(window.late, Late::Sink(_));
    let item = |json: Bytes| {
        let text = std::str::from_utf8(&json).map_err(|error| error.to_string())?;
        let item = Item::read(window, text, time(view))?;
        Ok((item, late.then_some(json)))
    };
    documents.into_iter().map(item).collect()
}
