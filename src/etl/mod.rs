//! What is done to events: filter, validate, transform, route. Pure: values in, values out.
//!
//! A [`Pipeline`] takes one user record and answers with what is to be delivered where, and with
//! what was filtered. Nothing is lost in between: each decoded event is sent to a route, counted as
//! filtered, or turned into a dead letter that holds it whole.

mod dead_letter;
pub mod filter;
mod outcome;
mod pipeline;
mod program;
mod route;
mod schema;

pub use dead_letter::{DeadLetter, Stage};
pub use outcome::Tally;
pub use pipeline::{Delivery, Pipeline, PipelineParts, Processed, Source, SourceRecord};
pub use program::{Program, ProgramError, Transformed};
pub use route::Route;
pub use schema::{SchemaCheck, SchemaError};
