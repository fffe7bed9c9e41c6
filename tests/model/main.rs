//! An exhaustive model of one lease and two workers: take, renew, hand over, release, expire; with one
//! crash, one departure, two slow writes and the loss of one answer at any moment, and time that may
//! pass at any moment too (so workers stand still and come back).
//!
//! With a crash and a departure every history is looked at, however long (some 24,000 states); with slow
//! writes and a lost answer too, every history of [`STEPS`] steps (some 160,000 states).
//!
//! The table is the real one (`LeaseWrite::apply`), and so are the words for what was lost
//! (`shows_in`) and the invariants. The workers' rules are written down again in `rules.rs`: with any
//! switch of [`Rule`] off the model finds a history that breaks an invariant. Three rules have no
//! switch, since nothing that is so small breaks without them: a thief that waits does not release (that
//! takes a third worker), and what is inferred counts from the first write that was lost, and never is
//! a take of one's own (that takes longer histories). The simulation's found seeds are theirs.

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

use std::time::Instant;

use protocol::{Protocol, Rule};
use shardwright::model::Invariant;
use state::Faults;
use stateright::{Checker, HasDiscoveries, Model};

/// Everything that may go wrong in one history.
const FAULTS: Faults = Faults { crashes: 1, delays: 2, losses: 1, departures: 1 };
/// Steps of the histories in which everything may go wrong: so many that each rule is needed.
const STEPS: usize = 10;

fn check(faults: Faults, steps: Option<usize>) {
    let start = Instant::now();
    let mut checker = Protocol::new(faults, None).checker().threads(2);
    if let Some(steps) = steps {
        checker = checker.target_max_depth(steps);
    }
    let checker = checker.spawn_bfs().join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    println!("{states} states, {depth} steps, {:?}", start.elapsed());
    for invariant in Protocol::INVARIANTS {
        checker.assert_no_discovery(invariant.id());
    }
}

#[test]
fn a_crash_and_a_departure_break_nothing_however_long_the_history() {
    check(Faults { delays: 0, losses: 0, ..FAULTS }, None);
}

#[test]
fn whatever_goes_wrong_breaks_nothing() {
    check(FAULTS, Some(STEPS));
}

/// The invariant that each rule is there for.
const NEEDED: [(Rule, Invariant); 8] = [
    (Rule::ThiefWaits, Invariant::OneValidGrant),
    (Rule::ValidFromSending, Invariant::OneValidGrant),
    (Rule::ExpiryIsPatient, Invariant::OneValidGrant),
    (Rule::DoubtfulTakeIsKept, Invariant::OneValidGrant),
    (Rule::DrainsFirst, Invariant::OneValidGrant),
    (Rule::ExpiredIsTaken, Invariant::ReachesTip),
    (Rule::CounterFences, Invariant::ChangesByCondition),
    (Rule::CounterGrows, Invariant::CounterGrows),
];

#[test]
fn each_rule_of_the_protocol_is_needed() {
    for (rule, invariant) in NEEDED {
        let broken = HasDiscoveries::AnyOf([invariant.id()].into());
        let model = Protocol::new(FAULTS, Some(rule)).checker().threads(2);
        let checker = model.target_max_depth(STEPS).finish_when(broken).spawn_bfs().join();
        let path = checker.discovery(invariant.id());
        let path = path.unwrap_or_else(|| panic!("{invariant} holds without {rule:?}"));
        println!("without {rule:?} {invariant} is broken: {:?}", path.into_actions());
    }
}
