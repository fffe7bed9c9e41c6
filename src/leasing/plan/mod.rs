//! The decisions of the lease engine as pure functions: leases in, wishes out.
//!
//! Time and chance are arguments, so every rule is tested as a table and replayed by a simulation.

mod balance;
mod cleanup;
mod coverage;
mod expiry;
mod ghosts;
mod shard_graph;

pub use balance::{Balance, BalanceLimits, balance};
pub use cleanup::{garbage, may_be_garbage, retirable};
pub use coverage::{first_hole, missing_ranges};
pub use expiry::Observations;
pub use ghosts::{descends, ghosts, gone_on, line_before, rivals, sharing_keys};
pub use shard_graph::{
    ByShard, by_shard, carried_on, latest_since, missing_leases, ready, successors,
};
