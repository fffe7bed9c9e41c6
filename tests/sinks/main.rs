//! The sinks against what they deliver to: real servers, ended by their process ids.
//!
//! | Sink | Server | What it proves |
//! |---|---|---|
//! | `postgres` | PostgreSQL (Debian's package) | the contract of a sink; exactly once under `kill -9`, stale owners and replays |
//! | `s3`, `folder` | moto's S3, a server that fails as it is told | each event in one object under `kill -9`, drains and hand-overs; parts; errors |
//! | `sqs`, `firehose` | moto | every event is taken, partial refusals, a FIFO queue knows a replay |
//!
//! The `kinesis` sink has `tests/kinesis_adapters.rs`; `http`, `file` and `stdout` are tested beside
//! their code. `tests/servers/install.sh` installs the servers; without them the tests are skipped,
//! unless `SHARDWRIGHT_REQUIRE_SERVERS=1` says that they must run.
#![cfg(feature = "embedded")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may panic and say why"
)]

#[cfg(all(feature = "sqs", feature = "firehose"))]
mod aws;
mod events;
#[path = "../harness/mod.rs"]
#[expect(dead_code, reason = "not all of it is needed here")]
mod harness;
#[cfg(feature = "s3")]
mod objects;
#[cfg(feature = "postgres")]
mod postgres;
