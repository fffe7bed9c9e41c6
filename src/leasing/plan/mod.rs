//! The decisions of the lease engine as pure functions: leases in, wishes out.
//!
//! Time and chance are arguments, so every rule is tested as a table and replayed by a simulation.

mod balance;
mod cleanup;
mod coverage;
mod expiry;
mod latest;
mod lineage;
mod shard_graph;

pub use balance::{Balance, BalanceLimits, balance};
pub use cleanup::{garbage, may_be_garbage, retirable};
pub use coverage::{first_hole, missing_ranges};
pub use expiry::Observations;
pub use latest::{carried_on, latest_since, line_before};
pub use lineage::Lineage;
pub use shard_graph::{ByShard, by_shard, missing_leases, ready, successors};
