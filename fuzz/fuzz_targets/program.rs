//! Whatever the message: what a program leaves is one line of JSON, and the same whether the program
//! reads its event piece by piece or as a whole. Messages that are no JSON are read as Python literals.
#![no_main]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use shardwright::{
    codec::DecodeLimits,
    etl::{Pipeline, PipelineParts, Program, Route, Source, SourceRecord},
    model::{EpochMillis, Format, Position, ShardId, StreamName, UserRecord},
};

const PROGRAM: &str = r#"
.python = parse_python_literal(.message) ?? null
.cut = cut_marker(.message, "|") ?? null
.message.b = .message.a
.message.c.d = del(.message.c.a)
.at = format_millis!(.timestamp)
del(.owner)
if .message.a == "abort" { abort "as it says" }
"#;

static PIPELINES: LazyLock<[Pipeline; 2]> =
    LazyLock::new(|| [pipeline(PROGRAM), pipeline(&format!("whole = .\n{PROGRAM}\nwhole"))]);

fn pipeline(source: &str) -> Pipeline {
    let program = Program::compile(source).unwrap_or_else(|error| panic!("{error}"));
    Pipeline::new(PipelineParts {
        routes: vec![Route { transform: Some(program), ..Route::new("all", 0) }],
        sinks: vec!["out".to_owned(), "parked".to_owned()],
        dead_letters: 1,
        limits: DecodeLimits::default(),
        configuration: String::new(),
    })
}

fuzz_target!(|text: &str| {
    let source = Source {
        stream: StreamName::new("logs"),
        shard: ShardId::new("shardId-000000000000"),
        format: Format::Text,
    };
    let record = UserRecord {
        position: Position { sequence: "1".parse().expect("digits"), sub_sequence: 0 },
        partition_key: "key".into(),
        explicit_hash_key: None,
        aggregated: false,
        data: Bytes::copy_from_slice(text.as_bytes()),
        arrival: EpochMillis(0),
    };
    let record = SourceRecord::new(Arc::new(source), record);
    let made = PIPELINES.each_ref().map(|pipeline| {
        let made = pipeline.process(&record);
        made.deliveries.into_iter().map(|delivery| delivery.output.json).collect::<Vec<_>>()
    });
    assert_eq!(made[0], made[1]);
    for line in &made[0] {
        assert!(!line.contains(&b'\n'));
        serde_json::from_slice::<serde_json::Value>(line).expect("JSON");
    }
});
