//! The configuration: what people write, and what the program runs with.
//!
//! 1. `source`: the layers become one tree of values: `config/default.toml` (compiled in), the files
//!    named by `--config`, the environment (`SHARDWRIGHT__LEASE__FAILOVER_TIME=20s`). Later ones
//!    win. `place` remembers the line or variable of each key.
//! 2. `typing`: [`Settings`] and a list of all effective values. `schema` says which keys there are
//!    and what `kind` each is. A bad value is reported and its default stands in, so that all that
//!    is wrong is found at once.
//! 3. [`compile`]: `checks` looks at names and relations; patterns, schemas and programs are
//!    compiled, names of sinks resolved. What comes out runs.
//!
//! [`reference()`] makes `docs/configuration.md` of the default file.

mod checks;
mod compile;
mod kind;
mod log_level;
mod place;
mod problem;
mod provenance;
mod redact;
mod reference;
mod route_settings;
mod schema;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod typing;
mod windows;

pub use compile::{Compiled, compile, load};
pub use place::Place;
pub use problem::{ConfigProblem, ConfigProblems};
pub use provenance::Setting;
pub use reference::reference;
pub use route_settings::{FieldSetting, RouteSettings, ValidateOn};
pub use settings::{
    AdminSettings, BatchSettings, ConsumerSettings, DeadLetterSettings, EmfSettings, LeaseSettings,
    LogFormat, LogSettings, OtlpSettings, Retrieval, RetrySettings, Secret, Settings,
    ShutdownSettings, SinkEntry, StreamSettings,
};
pub use source::{DEFAULTS, Layers};
