//! What the pipeline does to a record, event by event, for a person or a test to read.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{DeadLetter, Delivery, Dropped, Pipeline, Processed, SourceRecord, Stage, WhyDropped};

/// What became of one event on one route, or of a record without events. Printed as one JSON line.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The event's message, or the beginning of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The beginning of the record in base64, when it gave no events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// The route; none took it if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Where it is delivered to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink: Option<String>,
    /// Where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// Why it was filtered or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<RawValue>>,
}

/// One of the ends that an event can come to. Whether a sink takes it is not known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is for a sink.
    Delivered,
    /// No route takes it, or the route's program leaves nothing of it.
    Filtered,
    /// It is in a window, whose row says more.
    Windowed,
    /// It becomes a dead letter.
    DeadLettered,
    /// A control message, which holds no events.
    Control,
}

/// Most characters that are shown of a message.
const LONGEST: usize = 100;

impl Explanation {
    pub(super) fn new(outcome: Outcome) -> Self {
        Self {
            event: None,
            record: None,
            outcome,
            route: None,
            sink: None,
            stage: None,
            reason: None,
            output: None,
        }
    }
}

impl Pipeline {
    /// Processes a record and explains what came of it, in the order of its events and their routes.
    /// Windows begin and end elsewhere: [`super::Explainer`].
    pub fn explain(&self, record: &SourceRecord) -> Vec<Explanation> {
        self.explained(record, self.process(record), &[])
    }

    /// Explains what came of a record; `windowed` says it of the documents that are for windows: the
    /// event of each, the place of its route, and what is said of it.
    pub(super) fn explained(
        &self,
        record: &SourceRecord,
        processed: Processed,
        windowed: &[(u32, usize, Explanation)],
    ) -> Vec<Explanation> {
        let Processed { deliveries, dropped, tally, .. } = processed;
        let shown = || Some(excerpt(&BASE64_STANDARD.encode(&record.record.data)));
        let mut found = Vec::new();
        let of_record = deliveries.iter().filter(|delivery| delivery.event.is_none());
        found.extend(
            of_record.map(|letter| Explanation { record: shown(), ..self.delivery(letter).1 }),
        );
        found.extend(
            (0..tally.control)
                .map(|_| Explanation { record: shown(), ..Explanation::new(Outcome::Control) }),
        );
        for (index, event) in self.events(record) {
            let mine = deliveries.iter().filter(|delivery| delivery.event == Some(index));
            let none = dropped.iter().filter(|dropped| dropped.event == index);
            let windows = windowed.iter().filter(|(event, ..)| *event == index);
            let windows = windows.map(|(_, route, one)| (Some(*route), one.clone()));
            let mut routes: Vec<_> = mine
                .map(|one| self.delivery(one))
                .chain(none.map(|one| self.drop(one)))
                .chain(windows)
                .collect();
            routes.sort_by_key(|(route, _)| *route);
            if routes.is_empty() {
                routes.push((None, self.unwanted(record)));
            }
            let event = Some(excerpt(event.message.as_str()));
            found.extend(
                routes.into_iter().map(|(_, one)| Explanation { event: event.clone(), ..one }),
            );
        }
        found
    }

    /// The place of its route among the routes, and what is said of it.
    pub(super) fn delivery(&self, delivery: &Delivery) -> (Option<usize>, Explanation) {
        if delivery.route.is_some() {
            let explained = Explanation {
                route: self.route_name(delivery.route),
                sink: self.sink_name(delivery.sink),
                output: serde_json::from_slice(&delivery.output.json).ok(),
                ..Explanation::new(Outcome::Delivered)
            };
            return (delivery.route, explained);
        }
        let dead = Explanation::new(Outcome::DeadLettered);
        let Ok(letter) = DeadLetter::parse(&delivery.output.json) else { return (None, dead) };
        let place = letter.route.as_deref().and_then(|name| self.route_index(name));
        let DeadLetter { route, stage, reason, .. } = letter;
        (place, Explanation { route, stage: Some(stage), reason: Some(reason), ..dead })
    }

    fn drop(&self, dropped: &Dropped) -> (Option<usize>, Explanation) {
        let reason = match &dropped.why {
            WhyDropped::Aborted(None) => "aborted".to_owned(),
            WhyDropped::Aborted(Some(message)) => format!("aborted: {message}"),
            WhyDropped::Nothing => "the program left nothing of it".to_owned(),
            WhyDropped::NotMade => {
                "the program does not make this document of it any more".to_owned()
            }
        };
        let explained = Explanation {
            route: self.route_name(Some(dropped.route)),
            reason: Some(reason),
            ..Explanation::new(Outcome::Filtered)
        };
        (Some(dropped.route), explained)
    }

    fn unwanted(&self, record: &SourceRecord) -> Explanation {
        let only = record.part().and_then(|part| part.route);
        let reason = match self.route_name(only.map(|(route, _)| route)) {
            Some(route) => format!("route {route} does not take it any more"),
            None => "no route takes it".to_owned(),
        };
        Explanation { reason: Some(reason), ..Explanation::new(Outcome::Filtered) }
    }
}

fn excerpt(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::{DecodeLimits, control_envelope},
        etl::{
            PipelineParts, Program, Route,
            filter::FilterPattern,
            pipeline::tests::{envelope, source_record},
        },
        model::EpochMillis,
    };

    fn pipeline() -> Pipeline {
        let filter = |text| Some(FilterPattern::parse(text).unwrap());
        let program = |source| Some(Program::compile(source).unwrap());
        let routes = vec![
            Route { filter: filter("copy"), also: true, ..Route::new("copies", 1) },
            Route {
                filter: filter("x"),
                transform: program(
                    "if contains!(.message, \"no\") { abort \"not wanted\" }
                     if contains!(.message, \"two\") { . = [{\"n\": 1}, {\"n\": 2}] }
                     else if contains!(.message, \"none\") { . = [] }
                     else { . = parse_json!(.message) }",
                ),
                ..Route::new("xs", 0)
            },
        ];
        Pipeline::new(PipelineParts {
            routes,
            sinks: ["a", "b", "parked"].map(str::to_owned).to_vec(),
            dead_letters: 2,
            limits: DecodeLimits::default(),
            configuration: "c".to_owned(),
        })
    }

    fn explained(record: &SourceRecord) -> Vec<String> {
        let lines = pipeline().explain(record);
        lines.iter().map(|line| serde_json::to_string(line).unwrap()).collect()
    }

    #[test]
    fn each_event_and_route_has_its_line() {
        let found = explained(&envelope(&["x no", "noise", "x two", "x", "copy x no"]));
        let copy =
            r#"{"event":"copy x no","outcome":"delivered","route":"copies","sink":"b","output":{"#;
        assert!(found[5].starts_with(copy), "{found:#?}");
        let failed =
            r#"{"event":"x","outcome":"dead-lettered","route":"xs","stage":"transform","reason":"#;
        assert!(found[4].starts_with(failed), "{found:#?}");
        assert_eq!(
            [&found[..4], &found[6..]].concat(),
            [
                r#"{"event":"x no","outcome":"filtered","route":"xs","reason":"aborted: not wanted"}"#,
                r#"{"event":"noise","outcome":"filtered","reason":"no route takes it"}"#,
                r#"{"event":"x two","outcome":"delivered","route":"xs","sink":"a","output":{"n":1}}"#,
                r#"{"event":"x two","outcome":"delivered","route":"xs","sink":"a","output":{"n":2}}"#,
                r#"{"event":"copy x no","outcome":"filtered","route":"xs","reason":"aborted: not wanted"}"#,
            ]
        );
    }

    #[test]
    fn records_without_events_are_explained_too() {
        assert_eq!(
            explained(&source_record(b"{")),
            [
                r#"{"record":"ew==","outcome":"dead-lettered","stage":"decode","reason":"document 1: not json: EOF while parsing an object (line 1, column 1)"}"#
            ]
        );
        let control = explained(&source_record(&control_envelope(EpochMillis(0))));
        assert!(matches!(&control[..], [one] if one.ends_with(r#"…","outcome":"control"}"#)));
    }

    #[test]
    fn long_messages_are_cut() {
        let found = pipeline().explain(&envelope(&["é".repeat(101).as_str()]));
        assert_eq!(found[0].event.as_deref(), Some(&*format!("{}…", "é".repeat(100))));
    }
}
