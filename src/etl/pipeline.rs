//! The pipeline: one user record in, deliveries and counts out.

use std::sync::Arc;

use bytes::Bytes;

use super::{DeadLetter, Route, Stage, Tally, Transformed, view::EventView};
use crate::{
    codec::{DecodeLimits, decode_user_record, render_event},
    model::{EventId, Format, LogEvent, OutputEvent, ShardId, StreamName, UserRecord},
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRecord {
    /// Its shard.
    pub source: Arc<Source>,
    /// The record.
    pub record: UserRecord,
}

impl SourceRecord {
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
    /// What the sink gets.
    pub output: OutputEvent,
}

/// What became of one user record.
#[derive(Debug, Default)]
pub struct Processed {
    /// What is to be delivered, in order.
    pub deliveries: Vec<Delivery>,
    /// What is known already: `delivered`, `dead_lettered` and `undecodable` are counted once their
    /// sinks have said so.
    pub tally: Tally,
    /// Why records and events went to the dead letters, for the log.
    pub failures: Vec<(Stage, String)>,
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
    parts: PipelineParts,
}

impl Pipeline {
    /// A pipeline of these parts.
    pub fn new(parts: PipelineParts) -> Self {
        Self { parts }
    }

    /// Takes one user record through all stages.
    pub fn process(&self, record: &SourceRecord) -> Processed {
        let mut processed = Processed::default();
        processed.tally.user_records = 1;
        match decode_user_record(record.source.format, &record.record, &self.parts.limits) {
            Ok(decoded) => {
                processed.tally.decoded = 1;
                processed.tally.control = decoded.control;
                for (index, event) in (0u32..).zip(&decoded.events) {
                    self.route(record, index, event, &mut processed);
                }
            }
            Err(error) => self.undecodable(record, error.to_string(), &mut processed),
        }
        processed
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
        let letter = DeadLetter::of_record(record, &self.parts.configuration, reason);
        out.deliveries.push(self.letter(letter, record, None));
    }

    /// The dead letter for a delivery that its sink will never take. The event is decoded again
    /// from its record, so that the letter holds what came in, not what a program made of it.
    pub fn refused(&self, record: &SourceRecord, refused: &Delivery, reason: String) -> Delivery {
        let configuration = &self.parts.configuration;
        let route = refused.route.and_then(|route| self.parts.routes.get(route));
        let decoded = decode_user_record(record.source.format, &record.record, &self.parts.limits);
        let event = decoded.ok().and_then(|decoded| {
            decoded.events.into_iter().nth(usize::try_from(refused.event?).ok()?)
        });
        let letter = match (route, event) {
            (Some(route), Some(event)) => {
                let failure = (Stage::Deliver, reason);
                DeadLetter::of_event(record, configuration, &event, &route.name, failure)
            }
            // It was decoded before, so this does not happen; the record's bytes hold the event.
            _ => DeadLetter::of_record(record, configuration, reason),
        };
        self.letter(letter, record, refused.event)
    }

    fn route(&self, record: &SourceRecord, index: u32, event: &LogEvent, out: &mut Processed) {
        out.tally.events += 1;
        let before = out.deliveries.len();
        let view = EventView::new(record, event, index);
        let mut taken = false;
        for (number, route) in self.parts.routes.iter().enumerate() {
            if !route.takes(&view, taken) {
                continue;
            }
            taken = true;
            match self.apply(route, &view, out) {
                Ok((sink, documents)) => {
                    out.deliveries.extend(documents.into_iter().map(|json| Delivery {
                        sink,
                        event: Some(index),
                        route: Some(number),
                        output: OutputEvent {
                            id: record.event_id(index),
                            partition_key: Arc::clone(&record.record.partition_key),
                            arrival: record.record.arrival,
                            json,
                        },
                    }));
                }
                Err(failure) => {
                    out.failures.push(failure.clone());
                    let configuration = &self.parts.configuration;
                    let letter =
                        DeadLetter::of_event(record, configuration, event, &route.name, failure);
                    out.deliveries.push(self.letter(letter, record, Some(index)));
                }
            }
            if !route.also {
                break;
            }
        }
        // No route wanted it, or every program aborted it or left nothing.
        out.tally.filtered += u64::from(out.deliveries.len() == before);
    }

    /// Validates and transforms one event: where it goes, and as what. An empty list is an event that
    /// the program aborted or left nothing of.
    fn apply(
        &self,
        route: &Route,
        view: &EventView<'_>,
        out: &mut Processed,
    ) -> Result<(usize, Vec<Bytes>), (Stage, String)> {
        route.validation.check(view).map_err(|reason| (Stage::Validate, reason))?;
        let Some(program) = &route.transform else {
            let mut json = Vec::with_capacity(view.event.message.len() + 256);
            render_event(view.event, &mut json);
            return Ok((route.sink, vec![Bytes::from(json)]));
        };
        let failed = |reason| Err((Stage::Transform, reason));
        match program.run(view, !route.also) {
            Transformed::Events { documents, sink: None } => Ok((route.sink, documents)),
            Transformed::Events { documents, sink: Some(name) } => {
                match self.parts.sinks.iter().position(|sink| *sink == name) {
                    Some(sink) => Ok((sink, documents)),
                    None => failed("%sink names no sink of the configuration".to_owned()),
                }
            }
            Transformed::Aborted(reason) => {
                out.tally.aborts.count(reason.as_deref());
                Ok((route.sink, Vec::new()))
            }
            Transformed::Failed(reason) => failed(reason),
        }
    }

    fn letter(&self, letter: DeadLetter, record: &SourceRecord, event: Option<u32>) -> Delivery {
        let output = letter.into_output(record, event.unwrap_or(0));
        Delivery { sink: self.parts.dead_letters, event, route: None, output }
    }
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
pub(super) mod tests;
