//! Shardwright: a long-running, KCL-compatible Kinesis consumer.
//!
//! It is a member of a KCL fleet: it leases the shards of Kinesis data streams through a DynamoDB
//! table, reads each leased shard in a task of its own, unpacks KPL aggregates and CloudWatch Logs
//! subscription envelopes, filters, validates and transforms the events, delivers them to sinks,
//! parks what cannot be processed with its original bytes, and only then checkpoints.
//!
//! ```text
//!              ┌───────────────────────── worker ─────────────────────────┐
//!  DynamoDB ◀──┤ leasing: who processes which shard      (one coordinator)│
//!              │    │ grant                     ▲ checkpoint              │
//!              │    ▼                           │                         │
//!  Kinesis ────┤▶ consumer: fetch ▶ codec ▶ etl ▶ queue ▶ deliver ▶ ledger│──▶ sinks
//!              │            (one task a shard)                            │──▶ dead letters
//!              └──────────────────────────────────────────────────────────┘
//! ```
//!
//! # The floors
//! A module uses those above it in this table, never those below; `tests/architecture.rs` holds it
//! to that.
//!
//! | Floor | Modules | What |
//! |---|---|---|
//! | words | [`model`] | plain values: shard, sequence number, checkpoint, lease, record, event |
//! | pure work | [`codec`], [`etl`] | bytes to events, events to deliveries; no I/O, no clock |
//! | ports | [`ports`] | traits: a stream, a lease table, a sink, the time of day |
//! | metrics | [`metrics`] | what a worker counts and measures |
//! | engines | [`leasing`], [`consumer`] | the lease engine and the shard consumer, on the ports only |
//! | worker | [`worker`] | one lease engine with a consumer for each lease |
//! | adapters | [`aws`], [`sinks`] | the ports on real systems; the only places that name the SDK |
//! | program | [`config`], [`admin`], [`logging`], [`telemetry`], [`shutdown`], [`app`], [`cli`] | what a person meets |
//!
//! Beside them stand [`generate`], which makes realistic records, and `embedded`, the servers that
//! the demo and the tests run on.
//!
//! # Where to begin
//! The path of a record is [`consumer`]'s documentation; the life of a lease is [`leasing`]'s; the
//! only wiring is [`app`].

pub mod model;

pub mod codec;
pub mod etl;

pub mod ports;

pub mod metrics;

pub mod consumer;
pub mod leasing;
pub mod worker;

pub mod aws;
pub mod sinks;

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod logging;
pub mod shutdown;
pub mod telemetry;

#[cfg(feature = "embedded")]
pub mod embedded;
pub mod generate;
