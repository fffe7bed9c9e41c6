//! Realistic CloudWatch Logs records for `produce`, `demo`, benches and tests.
//!
//! A [`Generator`] is seeded and is told the time, so the same seed gives the same records. Each
//! record comes with what a consumer must make of it (an [`Expectation`]), so that a test or the
//! demo can account for every event. [`messages`] writes the log lines, [`broken`] the records that
//! no consumer can read.

pub mod broken;
pub mod generator;
pub mod messages;

pub use broken::Breakage;
pub use generator::{
    Distribution, EnvelopeSize, Expectation, GeneratedRecord, Generator, Profile, RecordKind,
};
