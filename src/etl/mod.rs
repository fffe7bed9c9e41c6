//! What is done to events: filter, validate, transform, route. Pure: values in, values out.
//!
//! A [`Pipeline`] takes one user record and answers with what is to be delivered where, and with
//! what was filtered. Nothing is lost in between: each decoded event is sent to a route, counted as
//! filtered, or turned into a dead letter that holds it whole.
//!
//! | Stage | File | Answer |
//! |---|---|---|
//! | conditions | `route` ([`filter`], `field`) | whether a route takes the event |
//! | checks | `validation` (`schema`) | or why it is a dead letter |
//! | program | `program` (`functions`) | what is delivered; or that it is filtered, or a dead letter |
//! | windows | [`window`] | what is aggregated, on routes that have windows |
//!
//! All of them look at the event through one `view`, which reads its message at most once in each
//! form.

mod dead_letter;
mod document;
mod explain;
mod field;
pub mod filter;
mod functions;
mod header;
mod lines;
mod outcome;
mod pipeline;
mod program;
mod rehearsal;
mod replayed;
mod route;
mod schema;
mod text;
mod validation;
mod view;
pub mod window;
mod windowed;

pub use dead_letter::{DeadLetter, Failure, Stage};
use program::Transformed;

pub use explain::{Explanation, Outcome};
pub use field::{FieldPath, FieldTest, FieldValue, PathError};
pub use outcome::{AbortReasons, LetterCounts, Tally};
pub use pipeline::{
    Delivery, Dropped, Pipeline, PipelineParts, Processed, Source, SourceRecord, WhyDropped,
};
pub use program::{Program, ProgramError};
pub use rehearsal::Explainer;
pub use replayed::{LetterError, LetterId, Part, Replayed};
pub use route::{Route, unreachable};
pub use schema::{SchemaCheck, SchemaError};
pub use validation::{SchemaTarget, Validation};
pub use windowed::{InWindow, Unplaced, Windowed};
