//! The contracts of the ports to AWS, held by every counterpart that the other tests build on: one
//! suite, several servers, so that what is shown on one of them means something on the others.
//!
//! | Contract | Held by |
//! |---|---|
//! | `lease_store::contract`: any [`shardwright::ports::LeaseStore`] | dynoxide (embedded), moto, the simulation's table |
//! | `lease_store::table`: what only DynamoDB has | dynoxide (embedded), moto |
//! | `stream::contract`: any [`shardwright::ports::StreamReader`] | the embedded Kinesis, kinesis-local, kinesalite, the simulation's stream |
//!
//! The simulation's fakes are held to the same functions within their own test target,
//! `tests/simulation/contracts.rs`. Where a counterpart is known not to do what AWS does stands in
//! one table, `stream::contract::DEVIATIONS`, and is asserted.
//!
//! `tests/servers/install.sh` installs the servers that are processes; without them their suites are
//! skipped, unless `SHARDWRIGHT_REQUIRE_SERVERS=1` says that they must run.
#![cfg(feature = "embedded")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

#[path = "../harness/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    clippy::print_stderr,
    reason = "what starts servers is needed here, the rest by the scenarios"
)]
mod harness;
mod lease_store;
mod shared;
mod stream;
