//! The configuration: what people write, and what the program runs with.
//!
//! 1. [`layers`](load): `config/default.toml` (compiled in), the files named by `--config`, the
//!    environment (`SHARDWRIGHT__LEASE__FAILOVER_TIME=20s`). Later ones win.
//! 2. [`Settings`]: the values, typed. Unknown keys and bad values are collected, all at once, with
//!    the file and line they stand in.
//! 3. [`compile`]: patterns, schemas and programs are compiled, names are resolved, relations are
//!    checked. What comes out runs.

mod compile;
mod locate;
mod problem;
mod provenance;
mod settings;
mod source;

pub use compile::{Compiled, compile};
pub use problem::{ConfigProblem, ConfigProblems};
pub use provenance::{Setting, effective};
pub use settings::{
    AdminSettings, BatchSettings, ConsumerSettings, DeadLetterSettings, LeaseSettings, LogFormat,
    LogSettings, Retrieval, RouteSettings, Settings, ShutdownSettings, SinkEntry, StreamSettings,
};
pub use source::{DEFAULTS, Layers, load};
