//! What the sinks deliver to, one file each.
//!
//! | Counterpart | What it is |
//! |---|---|
//! | `stdout` | a named pipe, and a process that reads it |
//! | `file` | a directory on disk |
//! | `http`, `search`, `loki` | servers of our own, which act as the protocols' documentation says |
//! | `postgres` | PostgreSQL (Debian's package), and a proxy that can lose the answer to a COMMIT |
//! | `kinesis` | kinesis-local behind a proxy that fails single entries |
//! | `sqs`, `firehose` | moto behind the same proxy |
//! | `objects` | a folder; moto's S3, for Google Cloud Storage too, and Azurite, behind a proxy that fails puts |

mod file;
mod firehose;
mod http;
mod kinesis;
mod loki;
mod moto;
#[cfg(all(feature = "azure", feature = "gcs", feature = "parquet", feature = "s3"))]
mod objects;
mod postgres;
mod search;
mod sqs;
mod stdout;

use serde_json::Value;

pub(crate) use file::File;
pub(crate) use firehose::Firehose;
pub(crate) use http::{Array, Lines};
pub(crate) use kinesis::Kinesis;
pub(crate) use loki::Loki;
pub(crate) use moto::Moto;
#[cfg(all(feature = "azure", feature = "gcs", feature = "parquet", feature = "s3"))]
pub(crate) use objects::{Azure, Folder, Gcs, S3, S3Parquet};
pub(crate) use postgres::{Copied, Upserted};
pub(crate) use search::Search;
pub(crate) use sqs::{Fifo, Queue};
pub(crate) use stdout::Stdout;

/// A document that servers of our own refuse.
const UNWANTED: &str = "refuse me";

/// A document that is larger than this.
fn large(bytes: usize) -> Value {
    serde_json::json!({"large": "x".repeat(bytes)})
}
