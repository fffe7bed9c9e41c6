//! The program as its users run it, as real processes against real servers.
//!
//! `tests/servers/install.sh` installs them below `target/`; without them the tests are skipped,
//! unless `SHARDWRIGHT_REQUIRE_SERVERS=1` says that they must run.
//!
//! | Scenario | Kinesis | DynamoDB | What it proves |
//! |---|---|---|---|
//! | fleet | kinesis-local | dynoxide | two workers, a split, a merge, drains: everything once |
//! | fleet | kinesalite | moto | the same without child shards, ARNs and shard filters |
//! | crash | kinesis-local | dynoxide | SIGKILL: nothing lost, twice only what was beyond the checkpoint |
//! | crash, lifecycle | embedded | embedded | the same; deadlines, second signals, health |
//! | fan-out | embedded, kinesis-local | dynoxide | the fleet's scenario by enhanced fan-out |
//! | fan-out | embedded | embedded | broken streams, hidden ends, polling and fan-out by turns, deregistration |
//! | fan-out | kinesis-local, ministack | dynoxide | five minutes pass; a reshard by another server's rules |
//! | subscription | moto | moto | CloudWatch Logs itself feeds the stream |
#![cfg(feature = "embedded")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may panic and say why"
)]

mod crash;
mod fan_out;
mod fleet;
#[path = "../harness/mod.rs"]
mod harness;
mod lifecycle;
mod subscription;
