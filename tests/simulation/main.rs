//! A deterministic simulation of a fleet: the real engines on fakes, virtual time, one seed a
//! history.
//!
//! Workers crash, drain, join, freeze and come back as zombies, are cut off from the table, the
//! stream, their sinks or several of them; answers get lost, writes arrive late or after their
//! worker's end, scans are stale or slow, calls are throttled, iterators expire, sinks are slow, down
//! or refuse, shards split and merge, for generations while nobody works; records are poison or
//! aggregates, and sometimes large for the budget; sinks have lanes and limits of retries, or prepare
//! what they put. Each seed has a mix of its own. The invariants of
//! `shardwright::model::invariant` are checked as things happen; at the end the faults stop and
//! everything put must have its outcome.
//!
//! `SIM_SEEDS=100000 cargo test --release --test simulation` sweeps more seeds,
//! `SIM_SEED=17 cargo test --test simulation sweep` replays one with its history.
//!
//! On the same fakes, without faults: how a fleet settles and moves its leases (`balance`,
//! `hand_over`, `reshard`).

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a simulation may panic on its own mistakes, and a replay is read by a person"
)]

mod audit;
mod balance;
mod beliefs;
mod bounded;
mod budget;
mod by_hand;
mod calm;
mod contracts;
mod faults;
mod fleet;
mod flight;
mod freeze;
mod hand_over;
mod known;
mod latest;
mod lease_table;
mod leaving;
mod limits;
mod log;
mod member;
mod objects;
mod order;
mod prepared;
mod reader;
mod reshard;
mod schedule;
mod sink;
mod stream;
mod sweep;
mod unsure;
mod windows;
mod world;
