//! Transforms: programs in the Vector Remap Language, compiled once at the start.
//!
//! The program's target `.` is the event:
//!
//! | Field | Value |
//! |---|---|
//! | `.message` | the parsed message if it is a JSON object or array, else the text |
//! | `.owner`, `.log_group`, `.log_stream`, `.subscription_filters` | where it was logged |
//! | `.id`, `.timestamp` | CloudWatch's id; milliseconds since 1970, or null |
//! | further fields | what the envelope held beside these (`policyLevel`, `extractedFields`, …); one whose name is taken is `."header.…"` or `."event.…"` |
//!
//! and its metadata `%` is the record: `%stream`, `%shard`, `%sequence_number`,
//! `%sub_sequence_number`, `%partition_key`, `%arrival` (milliseconds since 1970). `%message` is the
//! message as it was logged. `%event_id` is a text that no other event has and that is the same
//! however often this one is delivered: what [`LogEvent::identity`] says, or the event's place in its
//! shard where there is no id.
//!
//! | What the program leaves | What becomes of the event |
//! |---|---|
//! | an object in `.` | that is delivered |
//! | an array of objects in `.` | several events; none when it is empty |
//! | the name of a sink in `%sink` | it goes there instead of to the route's sink |
//! | `abort` | it is filtered; the message of `abort` is counted as the reason |
//! | a run-time error | a dead letter, with the event as it came |
//!
//! # Functions
//! The standard library of VRL (<https://vrl.dev>), without those that would wait for the network or
//! read the process's environment, and:
//!
//! | Function | |
//! |---|---|
//! | `parse_python_literal(value)` | what Python prints of a dict, list, tuple, set, string, number, `True`, `False` or `None`; `true`, `false`, `null` too. Tuples and sets are arrays. Fails on anything else (`nan`, `Decimal('1')`), and says where |
//! | `format_millis(value)` | milliseconds since 1970 as RFC 3339 in UTC, at a tenth of the cost of `format_timestamp` |
//! | `cut_marker(value, marker, [end], [before])` | the part of a text behind the first `marker`, up to `end` if given; with `before: true` the part in front of it. Fails when a marker is not there |
//!
//! ```coffee
//! # 2026-01-31 INFO |312F14DS|{'dot_type': 'order', 'paid': True}
//! . = object!(parse_python_literal!(cut_marker!(.message, "|312F14DS|")))
//! %sink = if .dot_type == "order" { "orders" } else { "rest" }
//! ```

mod fields;
mod target;
mod value;

use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use smallvec::SmallVec;
use target::EventTarget;
use value::text;
use vrl::{
    compiler::{Context, ExpressionError, Function, ProgramInfo, TimeZone, state::RuntimeState},
    diagnostic::Formatter,
    path,
    path::{OwnedSegment, PathPrefix},
    value::{KeyString, ObjectMap, Value},
};

use super::{functions, lines::Lines, view::EventView};
#[cfg(doc)]
use crate::model::LogEvent;

/// A compiled program.
pub struct Program {
    compiled: vrl::compiler::Program,
    timezone: TimeZone,
    /// What it may read of [`METADATA`].
    metadata: Vec<(KeyString, Metadata)>,
}

/// A program that does not compile, as VRL's own diagnostics: line, caret, hint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProgramError(String);

/// What a program made of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Transformed {
    /// These events. May be none.
    Events {
        /// Each one JSON document in one line.
        documents: SmallVec<[Bytes; 1]>,
        /// The sink that the program has chosen for them.
        sink: Option<String>,
    },
    /// The program said `abort`, with this message.
    Aborted(Option<String>),
    /// The program failed.
    Failed(String),
}

/// Functions that would wait for the network or read the process's environment: a program must be
/// a function of its event, or a replay is not a replay.
const IMPURE: [&str; 5] =
    ["dns_lookup", "reverse_dns", "http_request", "get_env_var", "get_hostname"];

/// Functions whose result may be a thousand times as large as what they are given: a small record
/// must not fill the memory. Payloads are inflated, with a cap, before a program sees them.
const UNBOUNDED: [&str; 5] =
    ["decode_gzip", "decode_zlib", "decode_zstd", "decode_snappy", "decode_lz4"];

impl Program {
    /// Compiles a program.
    ///
    /// # Errors
    /// VRL's diagnostics for the whole source.
    pub fn compile(source: &str) -> Result<Self, ProgramError> {
        match vrl::compiler::compile(source, &library()) {
            Ok(compiled) => {
                // Times without a zone are UTC, whatever the machine's zone is.
                let timezone = TimeZone::parse("UTC").unwrap_or_default();
                let metadata = wanted(compiled.program.info());
                Ok(Self { compiled: compiled.program, timezone, metadata })
            }
            Err(diagnostics) => {
                Err(ProgramError(Formatter::new(source, diagnostics).to_string().trim().to_owned()))
            }
        }
    }

    /// Runs the program on one event.
    pub(super) fn run(&self, view: &EventView<'_>, lines: &mut Lines) -> Transformed {
        self.run_on(EventTarget::new(view.fields(), self.metadata(view)), lines)
    }

    fn run_on(&self, mut target: EventTarget<'_>, lines: &mut Lines) -> Transformed {
        let mut state = RuntimeState::default();
        let mut context = Context::new(&mut target, &mut state, &self.timezone);
        // A function of the library that panics on some input must not take the shard with it: the
        // event is parked, as after any other failure of the program.
        let run = AssertUnwindSafe(|| self.compiled.resolve(&mut context));
        match std::panic::catch_unwind(run) {
            Ok(Ok(_) | Err(ExpressionError::Return { .. })) => output(&target, lines),
            Ok(Err(ExpressionError::Abort { message, .. })) => Transformed::Aborted(message),
            Ok(Err(error)) => Transformed::Failed(error.to_string()),
            Err(_) => Transformed::Failed("the program panicked, which is a bug".to_owned()),
        }
    }

    fn metadata(&self, view: &EventView<'_>) -> ObjectMap {
        self.metadata.iter().map(|(name, read)| (name.clone(), read(view))).collect()
    }
}

fn library() -> Vec<Box<dyn Function>> {
    let mut library = vrl::stdlib::all();
    let refused = |name: &str| IMPURE.contains(&name) || UNBOUNDED.contains(&name);
    library.retain(|function| !refused(function.identifier()));
    library.extend(functions::all());
    library
}

fn output(target: &EventTarget<'_>, lines: &mut Lines) -> Transformed {
    let sink = match target.metadata().get(path!("sink")) {
        None | Some(Value::Null) => None,
        Some(name) => {
            let Some(name) = name.to_str_lossy() else {
                let kind = name.kind_str();
                return Transformed::Failed(format!(
                    "%sink is {kind}, expected the name of a sink"
                ));
            };
            Some(name.into_owned())
        }
    };
    let left = target.left();
    let mut documents = SmallVec::with_capacity(left.len());
    for document in left {
        if let Some(kind) = document.other_kind() {
            return Transformed::Failed(format!("the program leaves {kind}, expected an object"));
        }
        match lines.line(|line| document.write(line)) {
            Ok(json) => documents.push(json),
            Err(error) => return Transformed::Failed(format!("result is not JSON: {error}")),
        }
    }
    Transformed::Events { documents, sink }
}

/// Reads one field of the metadata.
type Metadata = fn(&EventView<'_>) -> Value;

/// What a program may read of the record.
const METADATA: [(&str, Metadata); 8] = [
    ("stream", |view| text(view.record.source.stream.as_str())),
    ("shard", |view| text(view.record.source.shard.as_str())),
    ("sequence_number", |view| text(view.record.record.position.sequence.as_str())),
    ("sub_sequence_number", |view| {
        let sub_sequence = view.record.record.position.sub_sequence;
        Value::Integer(i64::try_from(sub_sequence).unwrap_or(i64::MAX))
    }),
    ("partition_key", |view| text(&view.record.record.partition_key)),
    ("arrival", |view| Value::Integer(view.record.record.arrival.0)),
    ("message", |view| text(view.event.message.as_str())),
    ("event_id", |view| {
        let identity = view.event.identity();
        text(&identity.unwrap_or_else(|| view.record.event_id(view.index).to_string()))
    }),
];

/// The metadata that a program mentions: most programs mention none, and each costs an allocation.
fn wanted(program: &ProgramInfo) -> Vec<(KeyString, Metadata)> {
    let read = program.target_queries.iter().map(|path| (path, path.path.segments.as_slice()));
    // What is assigned replaces what was there; only what it stands in must be there.
    let written = program
        .target_assignments
        .iter()
        .filter_map(|path| Some((path, path.path.segments.split_last()?.1)))
        .filter(|(_, parents)| !parents.is_empty());
    let mentioned: Vec<&[OwnedSegment]> = read
        .chain(written)
        .filter(|(path, _)| path.prefix == PathPrefix::Metadata)
        .map(|(_, segments)| segments)
        .collect();
    let wants = |name: &str| {
        mentioned.iter().any(|segments| match segments.first() {
            Some(OwnedSegment::Field(field)) => **field == *name,
            Some(OwnedSegment::Index(_)) | None => true,
        })
    };
    let wanted = METADATA.into_iter().filter(|(name, _)| wants(name));
    wanted.map(|(name, read)| (name.into(), read)).collect()
}

#[cfg(test)]
mod tests;
