//! Where events go: adapters of the [`crate::ports::Sink`] port, chosen by `type` in the
//! configuration.
//!
//! | `type` | order | a second delivery of the same event |
//! |---|---|---|
//! | `stdout` | kept | prints it again |
//! | `file` | kept within a batch, batches of several shards interleave | writes it again |
//! | `kinesis` | not kept within a batch | puts it again |
//!
//! None of these recognises an event that it has seen: they deliver at least once. Each sink's own
//! documentation says what it does to order, its limits, and what a replay leaves behind.

mod build;
mod digest;
mod fallback;
mod file;
mod http;
mod kinesis;
mod lines;
mod postgres;
mod secret;
mod stdout;
mod tls;
mod value;

pub use build::{SinkConfig, SinkSite, build};
pub use fallback::LetterFallback;
pub use file::{Compression, FileConfig, FileSink, Fsync, Line, LineFile, written_files};
pub use http::{BodyFormat, BulkAction, HttpCompression, HttpConfig, HttpSink, Preset};
pub use kinesis::{KinesisSink, KinesisSinkConfig, PartitionKey};
pub use postgres::PostgresConfig;
#[cfg(feature = "postgres")]
pub use postgres::PostgresSink;
pub use stdout::{StdoutConfig, StdoutSink};
pub use value::{Known, ValueSource};

#[cfg(test)]
mod testing;
