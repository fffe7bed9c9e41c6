//! Where events go: adapters of the [`crate::ports::Sink`] port, chosen by `type` in the
//! configuration.
//!
//! | `type` | order | a second delivery of the same event |
//! |---|---|---|
//! | `stdout` | kept | prints it again |
//! | `file` | kept within a batch, batches of several shards interleave | writes it again |
//! | `firehose`, `kinesis` | not kept within a batch | puts it again |
//! | `http` | kept, except that `_bulk` may take some of a batch | sends it again; `_bulk` and Loki know it |
//! | `s3`, `azure`, `gcs`, `folder` | kept | after a crash the same objects again |
//! | `postgres` | kept | changes nothing |
//! | `sqs` | within a message group of a FIFO queue | sends it again; a FIFO queue knows it for five minutes |
//!
//! Each sink's own documentation says what it does to order, its limits, and what a replay leaves behind.

mod build;
mod client;
mod digest;
mod fallback;
mod file;
mod firehose;
mod http;
mod kinesis;
mod lines;
mod moment;
mod object;
mod postgres;
pub(crate) mod private;
mod requests;
mod secret;
mod sqs;
mod stdout;
mod tls;
mod value;

pub use build::{SinkConfig, SinkSite, build};
pub use fallback::LetterFallback;
pub use file::{Compression, FileConfig, FileSink, Fsync, Line, LineFile, written_files};
pub use firehose::FirehoseConfig;
#[cfg(feature = "firehose")]
pub use firehose::FirehoseSink;
pub use http::{BodyFormat, BulkAction, HttpCompression, HttpConfig, HttpSink, Preset};
pub use kinesis::{KinesisSink, KinesisSinkConfig, PartitionKey};
#[cfg(feature = "objects")]
pub use object::ObjectSink;
pub use object::{
    Column, ColumnType, KeyTemplate, ObjectCompression, ObjectConfig, ObjectFormat, ObjectPlace,
    ScalarType, columns_of_schema,
};
pub use postgres::PostgresConfig;
#[cfg(feature = "postgres")]
pub use postgres::PostgresSink;
pub use sqs::SqsConfig;
#[cfg(feature = "sqs")]
pub use sqs::SqsSink;
pub use stdout::{StdoutConfig, StdoutSink};
pub use value::{Known, ValueSource};

#[cfg(test)]
mod testing;
