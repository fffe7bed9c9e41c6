//! Our worker and the Java KCL on one lease table, at the same time.
//!
//! `tests/interop/install.sh` installs the KCL below `target/`, and it needs Java; without them the
//! tests are skipped, unless `SHARDWRIGHT_REQUIRE_SERVERS=1` says that they must run. The servers are
//! the embedded ones.
//!
//! | Scenario | Who comes and goes |
//! |---|---|
//! | `ours_joins` | Java alone; ours joins, drains, joins again; Java is killed |
//! | `java_joins` | ours alone; Java joins; two shards are split; ours is killed and joins again; Java drains |
//!
//! A scenario is cut into parts. At the end of each everything has come out and the checkpoints are at
//! the last records, so a part may repeat nothing of the parts before it; what it may repeat of its own
//! depends on how the leases moved.
#![cfg(feature = "embedded")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may panic and say why"
)]

mod fleet;
#[expect(dead_code, unused_imports, reason = "the target `servers` has more servers and reshards")]
#[path = "../harness/mod.rs"]
mod harness;
mod java;
mod java_joins;
mod ours_joins;
mod part;
