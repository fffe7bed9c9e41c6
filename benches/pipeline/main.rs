//! What a log event costs in the pipeline, against the least that it could cost and against the
//! Lambda function that it takes the place of.
//!
//! `cargo bench --bench pipeline` takes generated envelopes of three sizes through
//!
//! - the *floor*: the best known gunzip, a parser that borrows, lines written into one buffer; with
//!   the message as text, as the pipeline writes it, and with its members parsed and written again;
//! - the pipeline without a program, as the program runs it: caps, checksums, identities, counts;
//! - the pipeline with [`PROGRAM`];
//! - `lambda_handler.py` in Python's own process, if there is a `python3`;
//! - and each stage alone: gunzip, envelope, line, each kind of filter, schema. A program's cost is the
//!   difference of the two rows of the pipeline.
//!
//! All on one core, by turns, in several rounds; the table shows medians in nanoseconds of CPU time
//! for an event, and ratios, which is what to compare: machines differ.
//!
//! For a profiler, one row alone: `cargo bench --bench pipeline -- medium/plain` (`text floor`,
//! `parsed floor`, `program`, or a stage as the table names it).
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a measurement may panic, and is read by a person"
)]

mod corpus;
mod floor;
mod stages;

use std::{
    hint::black_box,
    io::Write as _,
    process::{Command, Stdio},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use corpus::Corpus;
use cpu_time::ThreadTime;
use floor::{Floor, Message};
use mimalloc::MiMalloc;
use shardwright::{
    codec::DecodeLimits,
    etl::{Pipeline, PipelineParts, Program, Route},
};
use stages::{Stage, Stages};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const EVENTS: usize = 20_000;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(400);
/// Of a single stage.
const SHORT_ROUND: Duration = Duration::from_millis(80);

/// What people's functions do: drop debug lines, rename, delete, and write the time for humans.
const PROGRAM: &str = r#"
if .message.level == "DEBUG" { abort }
.group = del(.log_group)
.at = format_millis!(.timestamp)
del(.timestamp)
del(.subscription_filters)
"#;

fn main() {
    // Cargo itself adds `--bench`.
    match std::env::args().skip(1).find(|word| !word.starts_with('-')) {
        Some(row) => measure_alone(&row),
        None => measure_all(),
    }
}

fn measure_all() {
    println!("nanoseconds of one core for an event, median of {ROUNDS} rounds\n");
    for corpus in Corpus::all(EVENTS) {
        let bytes: usize = corpus.payloads().map(Bytes::len).sum();
        println!(
            "{}: {} events, {} compressed bytes each",
            corpus.name,
            corpus.events,
            bytes / corpus.events
        );
        measure(&corpus);
    }
}

/// Nothing but one row.
fn measure_alone(row: &str) {
    for corpus in Corpus::all(EVENTS) {
        let stages = Stages::new(&corpus);
        for (name, mut pass) in rows(&corpus).into_iter().chain(stages.all()) {
            if format!("{}/{name}", corpus.name) == row {
                let costs = (0..ROUNDS).map(|_| cost(&corpus, ROUND, &mut pass));
                println!("{row}: {:.0}", median(costs.collect()));
            }
        }
    }
}

/// The floors, and the pipeline as a whole.
fn rows(corpus: &Corpus) -> [Stage<'_>; 4] {
    let mut text = Floor::new(Message::Text);
    let mut members = Floor::new(Message::Members);
    let (plain, program) = (pipeline(None), pipeline(Some(PROGRAM)));
    [
        ("text floor", Box::new(move || floor(&mut text, corpus))),
        ("plain", Box::new(move || through(&plain, corpus))),
        ("parsed floor", Box::new(move || floor(&mut members, corpus))),
        ("program", Box::new(move || through(&program, corpus))),
    ]
}

fn measure(corpus: &Corpus) {
    let mut rows = rows(corpus);
    let mut costs: [Vec<f64>; 4] = Default::default();
    for _ in 0..ROUNDS {
        for ((_, pass), costs) in rows.iter_mut().zip(&mut costs) {
            costs.push(cost(corpus, ROUND, pass));
        }
    }
    let stages = Stages::new(corpus);
    let mut stages = stages.all();
    let mut of_stages = vec![Vec::new(); stages.len()];
    for _ in 0..ROUNDS {
        for ((_, pass), costs) in stages.iter_mut().zip(&mut of_stages) {
            costs.push(cost(corpus, SHORT_ROUND, pass));
        }
    }
    let [text, plain, members, program] = costs.map(median);
    let python = python(corpus);
    let row = |name: &str, cost: f64, ratios: &str| println!("  {name:<44}{cost:>8.0}  {ratios}");
    row("floor, message as text", text, "");
    row("floor, message parsed", members, "");
    let share = |of: f64| format!("{:.0} % of the floor", 100.0 * of / plain);
    row(
        "pipeline",
        plain,
        &format!("{} ({} with the message parsed)", share(text), share(members)),
    );
    row("pipeline with a program", program, "");
    for ((name, _), costs) in stages.iter().zip(of_stages) {
        row(&format!("  {name}"), median(costs), "");
    }
    let Some([lines, parsed, handler]) = python else {
        println!("  python3 is not there: skipped\n");
        return;
    };
    let times = |cost: f64| format!("pipeline {:.1} times as fast", cost / plain);
    row("Python, message as text", lines, &times(lines));
    row("Python, message parsed", parsed, &times(parsed));
    let faster = handler / program;
    row(
        "Python, what the program does",
        handler,
        &format!("pipeline with the program {faster:.1} times as fast"),
    );
    println!();
}

fn pipeline(program: Option<&str>) -> Pipeline {
    let mut route = Route::new("all", 0);
    route.transform = program.map(|source| Program::compile(source).unwrap());
    Pipeline::new(PipelineParts {
        routes: vec![route],
        sinks: vec!["out".to_owned(), "dead".to_owned()],
        dead_letters: 1,
        limits: DecodeLimits::default(),
        configuration: "bench".to_owned(),
    })
}

/// One pass over the corpus, again and again for a round.
fn cost(corpus: &Corpus, round: Duration, mut pass: impl FnMut()) -> f64 {
    pass();
    // The thread's own time: others use the machine too.
    let start = ThreadTime::now();
    let mut passes = 0;
    while start.elapsed() < round {
        pass();
        passes += 1;
    }
    start.elapsed().as_nanos() as f64 / f64::from(passes) / corpus.events as f64
}

fn floor(floor: &mut Floor, corpus: &Corpus) {
    for payload in corpus.payloads() {
        black_box(floor.process(payload));
    }
}

fn through(pipeline: &Pipeline, corpus: &Corpus) {
    for record in &corpus.records {
        black_box(pipeline.process(record));
    }
}

fn median(mut costs: Vec<f64>) -> f64 {
    costs.sort_by(f64::total_cmp);
    costs[costs.len() / 2]
}

/// What the three handlers cost.
fn python(corpus: &Corpus) -> Option<[f64; 3]> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/pipeline/lambda_handler.py");
    let mut python = Command::new("python3")
        .args([script, &corpus.events.to_string(), "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut events = python.stdin.take().unwrap();
    for payload in corpus.payloads() {
        let data = STANDARD.encode(payload);
        writeln!(events, "{}", serde_json::json!({"kinesis": {"data": data}})).unwrap();
    }
    drop(events);
    let output = python.wait_with_output().unwrap();
    let costs: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    Some(["lines", "parsed", "program"].map(|name| costs[name].as_f64().unwrap()))
}
