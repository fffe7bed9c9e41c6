//! The stages one by one, on the payloads, texts and messages of a corpus.

use std::hint::black_box;

use shardwright::{
    codec::{Envelope, gunzip, parse_envelopes, render_event},
    etl::{SchemaCheck, filter::FilterPattern},
    model::LogEvent,
};

use crate::corpus::Corpus;

/// Each kind of filter pattern, as people write them.
const FILTERS: [(&str, &str); 5] = [
    ("filter, term", "ERROR"),
    ("filter, terms", r#"?ERROR ?Exception ?"timed out""#),
    ("filter, regex", r"%timed? ?out|[A-Z][a-z]+Exception%"),
    ("filter, JSON selector", r#"{ $.level = "ERROR" && $.latency_ms > 1000 }"#),
    ("filter, space-delimited", "[ip, user, name, time, request, status=5*, bytes]"),
];

const SCHEMA: &str = r#"{
    "type": "object",
    "required": ["level", "service", "latency_ms"],
    "properties": {
        "level": {"enum": ["DEBUG", "INFO", "WARN", "ERROR"]},
        "requestId": {"type": "string", "pattern": "^[0-9a-f-]{36}$"},
        "service": {"type": "string", "minLength": 1},
        "latency_ms": {"type": "integer", "minimum": 0},
        "user": {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}
    }
}"#;

/// A stage: its name, and one pass of it over the corpus.
pub(crate) type Stage<'c> = (&'static str, Box<dyn FnMut() + 'c>);

/// What the stages work on, made once.
pub(crate) struct Stages<'c> {
    corpus: &'c Corpus,
    texts: Vec<String>,
    events: Vec<LogEvent>,
    documents: Vec<serde_json::Value>,
}

impl<'c> Stages<'c> {
    pub(crate) fn new(corpus: &'c Corpus) -> Self {
        let inflate = |data: &[u8]| String::from_utf8(gunzip(data, usize::MAX).unwrap()).unwrap();
        let texts: Vec<String> = corpus.payloads().map(|payload| inflate(payload)).collect();
        let envelopes = texts.iter().flat_map(|text| parse_envelopes(text, usize::MAX).unwrap());
        let events = envelopes.flat_map(|envelope| match envelope {
            Envelope::Data { events, .. } => events,
            Envelope::Control => Vec::new(),
        });
        let events: Vec<LogEvent> = events.collect();
        let parsed =
            events.iter().filter_map(|event| serde_json::from_str(event.message.as_str()).ok());
        Self { corpus, documents: parsed.collect(), texts, events }
    }

    /// All of them. What is said for an event is what the corpus costs by its events, whether or not
    /// all of them are JSON.
    pub(crate) fn all(&self) -> Vec<Stage<'_>> {
        let mut stages: Vec<Stage<'_>> = vec![
            ("gunzip", Box::new(|| self.gunzip())),
            ("envelope", Box::new(|| self.envelopes())),
            ("line", Box::new(|| self.lines())),
        ];
        for (name, pattern) in FILTERS {
            let filter = FilterPattern::parse(pattern).unwrap();
            stages.push((name, Box::new(move || self.filter(&filter))));
        }
        let schema = SchemaCheck::compile(SCHEMA).unwrap();
        stages.push(("message as a document", Box::new(|| self.parse())));
        stages.push(("schema", Box::new(move || self.schema(&schema))));
        stages
    }

    fn gunzip(&self) {
        for payload in self.corpus.payloads() {
            black_box(gunzip(payload, usize::MAX).unwrap());
        }
    }

    fn envelopes(&self) {
        for text in &self.texts {
            black_box(parse_envelopes(text, usize::MAX).unwrap());
        }
    }

    fn lines(&self) {
        let mut line = Vec::new();
        for event in &self.events {
            line.clear();
            render_event(event, &mut line);
            black_box(&line);
        }
    }

    fn filter(&self, filter: &FilterPattern) {
        for event in &self.events {
            black_box(filter.matches(event.message.as_str()));
        }
    }

    fn parse(&self) {
        for event in &self.events {
            black_box(serde_json::from_str::<serde_json::Value>(event.message.as_str()).ok());
        }
    }

    fn schema(&self, schema: &SchemaCheck) {
        for document in &self.documents {
            let _ = black_box(schema.check(document));
        }
    }
}
