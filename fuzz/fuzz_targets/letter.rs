//! Whatever stands in a file of dead letters: a line is refused, or goes through the pipeline again; and
//! if it fails again, that makes one letter, about the same thing.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use shardwright::{
    codec::DecodeLimits,
    etl::{DeadLetter, Pipeline, PipelineParts, Program, Route, filter::FilterPattern},
    model::Format,
};

const LETTERS: usize = 1;

static PIPELINE: LazyLock<Pipeline> = LazyLock::new(|| {
    let program = Program::compile(". = object!(.message)").expect("a program");
    let copies = Route {
        filter: Some(FilterPattern::parse("copy").expect("a pattern")),
        also: true,
        ..Route::new("copies", 0)
    };
    Pipeline::new(PipelineParts {
        routes: vec![copies, Route { transform: Some(program), ..Route::new("all", 0) }],
        sinks: vec!["out".to_owned(), "parked".to_owned()],
        dead_letters: LETTERS,
        limits: DecodeLimits { max_decompressed: 1 << 20, max_events: 100 },
        configuration: String::new(),
    })
});

fuzz_target!(|line: &[u8]| {
    let Ok(letter) = DeadLetter::parse(line) else { return };
    let (id, attempts, data) = (letter.id(), letter.attempts, letter.data.is_some());
    let event = letter.event.is_some();
    let Ok(record) = PIPELINE.revive(letter, |_| Some(Format::CloudwatchLogs), false) else {
        return;
    };
    let letters: Vec<DeadLetter> = PIPELINE
        .process(&record)
        .deliveries
        .iter()
        .filter(|delivery| delivery.sink == LETTERS)
        .map(|delivery| DeadLetter::parse(&delivery.output.json).expect("a letter that we wrote"))
        .collect();
    for again in &letters {
        assert_eq!(again.attempts, attempts.saturating_add(1));
    }
    if event {
        assert!(letters.len() <= 1);
        assert!(letters.iter().all(|again| again.id() == id));
    } else {
        assert!(data);
    }
});
