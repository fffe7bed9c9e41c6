//! The pipeline: one user record in, deliveries and counts out.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};

use super::{
    DeadLetter, Failure, LetterError, Part, Replayed, Route, Stage, Tally, Transformed,
    dead_letter::FailedEvent,
    header::Header,
    lines::Lines,
    replayed::Readers,
    view::EventView,
    window::Late,
    windowed::{InWindow, Items, Windowed, items, whole_item},
};
use crate::{
    codec::{DecodeLimits, decode_unread, decode_user_record, has_unreadable_members},
    model::{EventId, Format, LogEvent, OutputEvent, ShardId, Share, StreamName, UserRecord},
};

/// Where records come from: a shard, and what its stream's records hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The stream.
    pub stream: StreamName,
    /// The shard.
    pub shard: ShardId,
    /// What its records hold.
    pub format: Format,
}

/// A user record together with where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceRecord {
    /// Its shard.
    pub source: Arc<Source>,
    /// The record. It has no data when only one event of it is replayed.
    pub record: UserRecord,
    /// What its dead letter says, when it comes from there and not from the stream.
    pub replayed: Option<Arc<Replayed>>,
}

impl SourceRecord {
    /// A record as it was read from its stream.
    pub fn new(source: Arc<Source>, record: UserRecord) -> Self {
        Self { source, record, replayed: None }
    }

    pub(super) fn part(&self) -> Option<&Part> {
        self.replayed.as_ref()?.part.as_ref()
    }

    /// The identity of one of its events.
    pub fn event_id(&self, index: u32) -> EventId {
        EventId {
            stream: self.source.stream.clone(),
            shard: self.source.shard.clone(),
            position: self.record.position.clone(),
            index,
        }
    }
}

/// One thing to be delivered.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Index of the sink.
    pub sink: usize,
    /// Index of the event within its record; several deliveries may belong to one event. `None` for
    /// the dead letter of a record that holds no readable event.
    pub event: Option<u32>,
    /// Index of the route; `None` for a dead letter.
    pub route: Option<usize>,
    /// For a dead letter: where it failed.
    pub failed: Option<Stage>,
    /// Which of the documents that the route's program made of the event, when it made several.
    pub document: Option<u32>,
    /// The window that it belongs to, if it does.
    pub window: Option<InWindow>,
    /// What the sink gets.
    pub output: OutputEvent,
}

/// An event that a route took and that gave nothing to deliver there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Index of the event within its record.
    pub event: u32,
    /// Index of the route.
    pub route: usize,
    /// Why.
    pub why: WhyDropped,
}

/// Why a route had nothing to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyDropped {
    /// The program said `abort`, with this message.
    Aborted(Option<String>),
    /// The program left an empty array.
    Nothing,
    /// Only one document is replayed, and the program does not make it any more.
    NotMade,
}

/// What became of one user record.
#[derive(Debug, Default)]
pub struct Processed {
    /// What is to be delivered, in order.
    pub deliveries: Vec<Delivery>,
    /// What is to be aggregated, in order.
    pub windowed: Vec<Windowed>,
    /// What is known already: `delivered`, `dead_lettered` and `undecodable` are counted once their
    /// sinks have said so.
    pub tally: Tally,
    /// Why records and events went to the dead letters, for the log.
    pub failures: Vec<(Stage, String)>,
    /// What routes had nothing to deliver of. An event is filtered if that is all of its routes, or
    /// if it has none.
    pub dropped: Vec<Dropped>,
    lines: Lines,
}

/// What a pipeline is made of.
pub struct PipelineParts {
    /// The routes, in the order of the configuration.
    pub routes: Vec<Route>,
    /// The names of the sinks, by index: programs may choose one.
    pub sinks: Vec<String>,
    /// Index of the sink that dead letters go to.
    pub dead_letters: usize,
    /// Caps on decompression and on events.
    pub limits: DecodeLimits,
    /// Hash of the configuration, for dead letters.
    pub configuration: String,
}

/// Decodes, filters, validates, transforms and routes. Shared by all shards; holds no state.
pub struct Pipeline {
    pub(super) parts: PipelineParts,
    /// The names of the routes, which each event carries.
    pub(super) route_names: Vec<Arc<str>>,
    /// Whether any route looks into messages.
    reads: bool,
}

impl Pipeline {
    /// A pipeline of these parts.
    pub fn new(parts: PipelineParts) -> Self {
        let route_names = parts.routes.iter().map(|route| Arc::from(&*route.name)).collect();
        let reads = parts.routes.iter().any(Route::reads_messages);
        Self { parts, route_names, reads }
    }

    /// Takes one user record through all stages; of one that is replayed only what failed.
    pub fn process(&self, record: &SourceRecord) -> Processed {
        let mut processed = Processed::default();
        processed.tally.user_records = 1;
        if let Some(part) = record.part() {
            processed.tally.decoded = 1;
            let header = Header::new(&part.event.source);
            let view = EventView::new(record, &header, &part.event, part.index);
            self.route(&view, &mut processed);
            return processed;
        }
        if let Some(replayed) = &record.replayed
            && has_unreadable_members(&record.record.data)
        {
            // The other members of the aggregate were processed.
            self.undecodable(record, replayed.first_failure.reason.clone(), &mut processed);
            return processed;
        }
        let decode = if self.reads { decode_user_record } else { decode_unread };
        match decode(record.source.format, &record.record, &self.parts.limits) {
            Ok(decoded) => {
                processed.tally.decoded = 1;
                processed.tally.control = decoded.control;
                self.route_all(record, &decoded.events, &mut processed);
            }
            Err(error) => self.undecodable(record, error.to_string(), &mut processed),
        }
        processed
    }

    /// The record that a dead letter is about, to be processed again: its event on its route, on all
    /// routes if `all_routes`, or the whole record if it could not be decoded. `format` knows the
    /// streams.
    ///
    /// # Errors
    /// [`LetterError`] when the letter is damaged, or when its stream or route is not known.
    pub fn revive(
        &self,
        letter: DeadLetter,
        format: impl Fn(&str) -> Option<Format>,
        all_routes: bool,
    ) -> Result<SourceRecord, LetterError> {
        let route = |name: &str| self.route_index(name);
        letter.revive(&Readers { format: &format, route: &route, all_routes })
    }

    pub(super) fn route_index(&self, name: &str) -> Option<usize> {
        self.parts.routes.iter().position(|route| route.name == name)
    }

    pub(super) fn route_name(&self, index: Option<usize>) -> Option<String> {
        Some(self.parts.routes.get(index?)?.name.clone())
    }

    pub(super) fn sink_name(&self, index: usize) -> Option<String> {
        self.parts.sinks.get(index).cloned()
    }

    /// A record that gives no events: its bytes go to the dead letters.
    pub fn park(&self, record: &SourceRecord, reason: String) -> Processed {
        let mut processed = Processed::default();
        processed.tally.user_records = 1;
        self.undecodable(record, reason, &mut processed);
        processed
    }

    fn undecodable(&self, record: &SourceRecord, reason: String, out: &mut Processed) {
        out.failures.push((Stage::Decode, reason.clone()));
        let letter = DeadLetter::of_record(record, self.failure(Stage::Decode, reason));
        out.deliveries.push(self.letter(letter, record, None));
    }

    /// The dead letter for a delivery that its sink will never take. The event is decoded again
    /// from its record, so that the letter holds what came in, not what a program made of it.
    pub fn refused(&self, record: &SourceRecord, refused: &Delivery, reason: String) -> Delivery {
        let route = refused.route.and_then(|route| self.parts.routes.get(route));
        if let (Some(route), Some(InWindow { row: Some(_), .. })) = (route, refused.window) {
            let why = self.failure(Stage::Deliver, reason);
            let letter = DeadLetter::of_row(record, &route.name, &refused.output, why);
            let mut letter = self.letter(letter, record, None);
            // Many rows may come with one record.
            if let Share::Window(row) = &refused.output.share {
                letter.output.share = Share::RowLetter(row.clone());
            }
            return Delivery { window: refused.window, ..letter };
        }
        let event =
            self.events(record).into_iter().find(|(index, _)| refused.event == Some(*index));
        let letter = match (route, event) {
            (Some(route), Some((index, event))) => {
                let (route, document) = (&*route.name, refused.document);
                let failed = FailedEvent { event: &event, index, route, document };
                DeadLetter::of_event(record, &failed, self.failure(Stage::Deliver, reason))
            }
            // It was decoded before, so this does not happen; the record's bytes hold the event.
            _ => DeadLetter::of_record(record, self.failure(Stage::Decode, reason)),
        };
        Delivery { window: refused.window, ..self.letter(letter, record, refused.event) }
    }

    /// The events of a record, or what is replayed of it, with their indices; none if it cannot be
    /// decoded.
    pub(super) fn events(&self, record: &SourceRecord) -> Vec<(u32, LogEvent)> {
        if let Some(part) = record.part() {
            return vec![(part.index, part.event.clone())];
        }
        let decoded = decode_user_record(record.source.format, &record.record, &self.parts.limits);
        (0u32..).zip(decoded.map(|decoded| decoded.events).unwrap_or_default()).collect()
    }

    fn route_all(&self, record: &SourceRecord, events: &[LogEvent], out: &mut Processed) {
        out.deliveries.reserve(events.len());
        out.lines.expect(events.len());
        let Some(first) = events.first() else { return };
        let mut header = Header::new(&first.source);
        for (index, event) in (0u32..).zip(events) {
            if !header.is_of(&event.source) {
                header = Header::new(&event.source);
            }
            self.route(&EventView::new(record, &header, event, index), out);
        }
    }

    fn route(&self, view: &EventView<'_>, out: &mut Processed) {
        let EventView { record, event, index, .. } = *view;
        out.tally.events += 1;
        let before = (out.deliveries.len(), out.windowed.len());
        let only = record.part().and_then(|part| part.route);
        let mut taken = false;
        for (number, route) in self.parts.routes.iter().enumerate() {
            let replayed = only.is_none_or(|(only, _)| only == number);
            if !replayed || !route.takes(view, taken) {
                continue;
            }
            taken = true;
            let document = only.and_then(|(_, document)| document);
            match self.apply(route, view, out) {
                Ok(Made::Documents { sink, json }) => {
                    let several = json.len() > 1;
                    let before = out.deliveries.len();
                    let at = (sink, number, index);
                    for (place, json) in (0u32..).zip(json) {
                        if document.is_none_or(|only| only == place) {
                            let place = several.then_some(place);
                            out.deliveries.push(self.document(record, at, place, json));
                        }
                    }
                    if out.deliveries.len() == before {
                        let why = WhyDropped::NotMade;
                        out.dropped.push(Dropped { event: index, route: number, why });
                    }
                }
                Ok(Made::Items(items)) => {
                    let several = items.len() > 1;
                    let before = out.windowed.len();
                    let made = (0u32..).zip(items).map(|(place, (item, json))| {
                        let document = several.then_some(place);
                        Windowed { route: number, event: index, document, item, json }
                    });
                    out.windowed.extend(made.filter(|made| {
                        document.is_none_or(|only| made.document.unwrap_or(0) == only)
                    }));
                    if out.windowed.len() == before {
                        let why = WhyDropped::NotMade;
                        out.dropped.push(Dropped { event: index, route: number, why });
                    }
                }
                Ok(Made::Nothing(why)) => {
                    out.dropped.push(Dropped { event: index, route: number, why });
                }
                Err((stage, reason)) => {
                    out.failures.push((stage, reason.clone()));
                    let route = &*route.name;
                    let failed = FailedEvent { event, index, route, document };
                    let letter = DeadLetter::of_event(record, &failed, self.failure(stage, reason));
                    out.deliveries.push(self.letter(letter, record, Some(index)));
                }
            }
            if !route.also {
                break;
            }
        }
        // No route wanted it, or every program aborted it or left nothing.
        let nothing = before == (out.deliveries.len(), out.windowed.len());
        out.tally.filtered += u64::from(nothing);
    }

    /// A document of a route, for a sink.
    pub(super) fn document(
        &self,
        record: &SourceRecord,
        (sink, route, event): (usize, usize, u32),
        document: Option<u32>,
        json: Bytes,
    ) -> Delivery {
        let name = self.route_names.get(route).cloned().unwrap_or_else(|| Arc::from(""));
        let share = Share::Document {
            route: u32::try_from(route).unwrap_or(u32::MAX),
            name,
            document: document.unwrap_or(0),
        };
        let output = OutputEvent {
            id: record.event_id(event),
            share,
            partition_key: Arc::clone(&record.record.partition_key),
            arrival: record.record.arrival,
            json,
        };
        let (event, route) = (Some(event), Some(route));
        Delivery { sink, event, route, failed: None, document, window: None, output }
    }

    pub(super) fn failure(&self, stage: Stage, reason: String) -> Failure {
        Failure { stage, reason, configuration: self.parts.configuration.clone() }
    }

    /// Validates and transforms one event: where it goes, and as what.
    fn apply(
        &self,
        route: &Route,
        view: &EventView<'_>,
        out: &mut Processed,
    ) -> Result<Made, (Stage, String)> {
        route.validation.check(view).map_err(|reason| (Stage::Validate, reason))?;
        let Some(program) = &route.transform else {
            if let Some(window) = &route.window {
                let item = whole_item(window, view).map_err(|reason| (Stage::Window, reason))?;
                let late = matches!(window.late, Late::Sink(_));
                let json = late.then(|| out.lines.event(view.header, view.event));
                return Ok(Made::Items(smallvec![(item, json)]));
            }
            let json = smallvec![out.lines.event(view.header, view.event)];
            return Ok(Made::Documents { sink: route.sink, json });
        };
        let failed = |reason| Err((Stage::Transform, reason));
        match program.run(view, &mut out.lines) {
            Transformed::Events { documents, .. } if documents.is_empty() => {
                Ok(Made::Nothing(WhyDropped::Nothing))
            }
            Transformed::Events { sink: Some(_), .. } if route.window.is_some() => {
                failed("%sink is set, and the route delivers rows of windows only".to_owned())
            }
            Transformed::Events { documents, sink: None } => match &route.window {
                None => Ok(Made::Documents { sink: route.sink, json: documents }),
                Some(window) => items(window, view, documents)
                    .map(Made::Items)
                    .map_err(|reason| (Stage::Window, reason)),
            },
            Transformed::Events { documents, sink: Some(name) } => {
                match self.parts.sinks.iter().position(|sink| *sink == name) {
                    Some(sink) => Ok(Made::Documents { sink, json: documents }),
                    None => failed("%sink names no sink of the configuration".to_owned()),
                }
            }
            Transformed::Aborted(reason) => {
                out.tally.aborts.count(reason.as_deref());
                Ok(Made::Nothing(WhyDropped::Aborted(reason)))
            }
            Transformed::Failed(reason) => failed(reason),
        }
    }

    pub(super) fn letter(
        &self,
        letter: DeadLetter,
        record: &SourceRecord,
        event: Option<u32>,
    ) -> Delivery {
        let failed = Some(letter.stage);
        let output = letter.into_output(record, event.unwrap_or(0));
        let sink = self.parts.dead_letters;
        Delivery { sink, event, route: None, failed, document: None, window: None, output }
    }
}

/// What a route makes of an event.
enum Made {
    /// Documents for a sink.
    Documents { sink: usize, json: SmallVec<[Bytes; 1]> },
    /// What its window needs of each document, with the document if it may be delivered after all.
    Items(Items),
    /// Nothing to deliver.
    Nothing(WhyDropped),
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
pub(super) mod tests;
