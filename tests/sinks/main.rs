//! The sinks against what they deliver to: real servers, ended by their process ids.
//!
//! `contract` says what any sink promises and `counterparts` what the sinks deliver to; `suites` puts
//! the two together. Beside them stands what one sink alone has:
//!
//! | Sink | Server | What it proves |
//! |---|---|---|
//! | `postgres` | PostgreSQL (Debian's package) | types, upserts, bad rows; exactly once under stale owners, replays and cut deliveries; TLS |
//! | `http` | of our own | HTTPS with a private authority |
//! | `s3`, `folder` | moto's S3, a server that fails as it is told | each event in one object under `kill -9`, drains and hand-overs; parts; errors |
//! | `azure` | Azurite | credentials, blocks |
//! | `gcs` | moto's S3, whose requests are those of Google's XML API | tokens, parts |
//! | Parquet | pyarrow | another reader finds the types and values |
//! | `sqs`, `firehose` | moto | requests and groups |
//!
//! The `kinesis` sink has `tests/kinesis_adapters.rs` too. `tests/servers/install.sh` installs the
//! servers; without them the tests are skipped, unless `SHARDWRIGHT_REQUIRE_SERVERS=1` says that they
//! must run.
#![cfg(all(
    unix,
    feature = "embedded",
    feature = "firehose",
    feature = "postgres",
    feature = "sqs"
))]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may panic and say why"
)]

mod aws;
mod certificates;
mod contract;
mod counterparts;
mod events;
mod faults;
#[path = "../harness/mod.rs"]
#[expect(dead_code, reason = "not all of it is needed here")]
mod harness;
mod https;
#[cfg(feature = "s3")]
mod objects;
mod postgres;
mod proxy;
mod suites;
mod wire;
