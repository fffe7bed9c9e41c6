//! Loki's push: lines with a time in nanoseconds, grouped by their labels.
//!
//! Loki answers for a request as a whole: with a 400 it has taken the lines that it could, and names
//! the first that it could not (out of order, too old, labels). The batch is split then, and the lines
//! that are sent again are dropped by Loki: same labels, same time, same text.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{HttpConfig, config::label_source};
use crate::{
    model::OutputEvent,
    sinks::{ValueSource, moment::moment},
};

/// A label's value.
enum Label {
    Fixed(String),
    Of(ValueSource),
}

/// How events become lines.
pub(super) struct Lines {
    labels: Vec<(String, Label)>,
    timestamp: ValueSource,
    line: ValueSource,
}

#[derive(Serialize)]
struct Push<'e> {
    streams: Vec<Stream<'e>>,
}

#[derive(Serialize)]
struct Stream<'e> {
    stream: BTreeMap<&'e str, String>,
    /// Nanoseconds, text.
    values: Vec<(String, std::borrow::Cow<'e, str>)>,
}

impl Lines {
    pub(super) fn new(config: &HttpConfig) -> Self {
        let label = |text: &String| match label_source(text) {
            Some(Ok(source)) => Label::Of(source),
            _ => Label::Fixed(text.clone()),
        };
        let labels = config.labels.iter().map(|(name, text)| (name.clone(), label(text)));
        Self {
            labels: labels.collect(),
            timestamp: config.timestamp.clone(),
            line: config.line.clone(),
        }
    }

    /// The body of a push.
    pub(super) fn push(&self, events: &[OutputEvent]) -> Vec<u8> {
        let mut streams: BTreeMap<BTreeMap<&str, String>, Vec<_>> = BTreeMap::new();
        for event in events {
            let line = self
                .line
                .text(event)
                .unwrap_or_else(|| ValueSource::Event.text(event).unwrap_or_default());
            let value = (self.nanoseconds(event).to_string(), line);
            streams.entry(self.labels(event)).or_default().push(value);
        }
        let streams =
            streams.into_iter().map(|(stream, values)| Stream { stream, values }).collect();
        serde_json::to_vec(&Push { streams }).expect("texts are JSON")
    }

    fn labels(&self, event: &OutputEvent) -> BTreeMap<&str, String> {
        let value = |label: &Label| match label {
            Label::Fixed(text) => Some(text.clone()),
            Label::Of(source) => source.text(event).map(String::from),
        };
        let labels = self.labels.iter();
        labels.filter_map(|(name, label)| Some((name.as_str(), value(label)?))).collect()
    }

    fn nanoseconds(&self, event: &OutputEvent) -> i128 {
        let text = self.timestamp.text(event);
        let time = text.as_deref().and_then(moment).map(jiff::Timestamp::as_nanosecond);
        time.unwrap_or_else(|| i128::from(event.arrival.0) * 1_000_000)
    }
}
