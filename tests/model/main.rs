//! An exhaustive model of one lease and two workers: take, renew, hand over, release, expire; with one
//! crash, one lost answer and one departure at any moment, and time that may pass at any moment too (so
//! workers stand still and come back).
//!
//! The table is the real one (`LeaseWrite::apply`), and so are the words for what was lost
//! (`shows_in`) and the invariants. The workers' rules are written down again in `protocol.rs`, one
//! switch each: with any of them off the model finds a history that breaks an invariant.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a model may panic on its own mistakes, and says how much it has looked at"
)]

mod protocol;
mod state;

use std::time::Instant;

use protocol::Protocol;
use stateright::{Checker, HasDiscoveries, Model};

#[test]
fn the_protocol_keeps_its_invariants_in_every_history() {
    let start = Instant::now();
    let checker = Protocol::new().checker().threads(2).spawn_bfs().join();
    println!(
        "{} states ({} visited), depth {}, {:?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        start.elapsed()
    );
    checker.assert_properties();
}

#[test]
fn each_rule_of_the_protocol_is_needed() {
    let without: [(&str, fn(&mut Protocol)); 7] = [
        ("thief_waits", |protocol| protocol.thief_waits = false),
        ("waiting_is_kept", |protocol| protocol.waiting_is_kept = false),
        ("valid_from_sending", |protocol| protocol.valid_from_sending = false),
        ("inferred_from_first", |protocol| protocol.inferred_from_first = false),
        ("own_take_is_certain", |protocol| protocol.own_take_is_certain = false),
        ("patient", |protocol| protocol.patient = false),
        ("drains_first", |protocol| protocol.drains_first = false),
    ];
    for (rule, leave_out) in without {
        let mut protocol = Protocol::new();
        leave_out(&mut protocol);
        let failure = HasDiscoveries::AnyFailures;
        let checker = protocol.checker().threads(2).finish_when(failure).spawn_bfs().join();
        let broken: Vec<_> = checker.discoveries().into_iter().collect();
        println!("{rule}: {} states", checker.unique_state_count());
        for (name, path) in broken {
            println!("{name}: {:?}", path.into_actions());
        }
    }
}
