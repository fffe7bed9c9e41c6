//! An exhaustive model of one lease and two workers: take, renew, hand over, release, expire; with
//! crashes, departures, slow writes and answers that get lost at any moment, and time that may pass at
//! any moment too (so workers stand still and come back).
//!
//! Every history is looked at, however long, of a fleet of which
//! - one worker crashes, one is told to leave, and one write is never answered: it arrives in time, or
//!   when nobody waits for it any more, or never;
//! - one worker crashes, one is told to leave, and one write and its answer take any time.
//!
//! The states are finitely many because nothing in them is absolute (`state.rs`), and fewer because
//! those that go on alike are one (`canon.rs`). Where that leaves something out: a write whose answer is
//! under way knows of the two last changes of the row, what is older is old; the consistent read after
//! a lost answer is not slow itself; a worker looks at the row as it is, scans are not stale. The
//! simulation has all that.
//!
//! The table is the real one (`LeaseWrite::apply`), and so are the words for what was lost
//! (`shows_in`) and the invariants. The workers' rules are written down again in `rules.rs`: with any
//! switch of [`Rule`] off the model finds a history that breaks an invariant. Two rules have no switch,
//! since nothing that is so small breaks without them: a thief that waits does not release (that takes a
//! third worker), and no row shows that a lease was taken (that takes a stale scan). Scenarios
//! of the simulation are theirs (`tests/simulation/unsure.rs`).
//!
//! `MODEL_FAULTS=1,1,1,0 cargo test --release --test model by_hand -- --nocapture` looks at other
//! fleets: crashes, slow writes, lost answers, departures.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a model may panic on its own mistakes, and says how much it has looked at"
)]

mod canon;
mod protocol;
mod rules;
mod state;
mod words;

use std::{env, time::Instant};

use protocol::{Protocol, Rule};
use shardwright::model::Invariant;
use state::Faults;
use stateright::{Checker, HasDiscoveries, Model};

const NONE: Faults = Faults { crashes: 0, delays: 0, losses: 0, departures: 0 };

/// Looks at every history.
fn check(faults: Faults) {
    let start = Instant::now();
    let checker = Protocol::new(faults, None).checker().threads(2).spawn_bfs().join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    println!("{faults:?}: {states} states, {depth} steps, {:?}", start.elapsed());
    checker.assert_properties();
}

#[test]
fn a_crash_a_departure_and_a_lost_answer_break_nothing() {
    check(Faults { crashes: 1, losses: 1, departures: 1, ..NONE });
}

#[test]
fn a_crash_a_departure_and_a_slow_write_break_nothing() {
    check(Faults { crashes: 1, delays: 1, departures: 1, ..NONE });
}

#[test]
fn a_fleet_by_hand_breaks_nothing() {
    let by_hand = env::var("MODEL_FAULTS").unwrap_or_else(|_| "0,0,0,0".to_owned());
    let numbers: Vec<u8> = by_hand.split(',').map(|number| number.parse().unwrap()).collect();
    let [crashes, delays, losses, departures] = numbers.try_into().unwrap();
    check(Faults { crashes, delays, losses, departures });
}

/// The invariant that each rule is there for, and what must go wrong for it.
const NEEDED: [(Rule, Invariant, Faults); 9] = [
    (Rule::ThiefWaits, Invariant::OneValidGrant, NONE),
    (Rule::DrainsFirst, Invariant::OneValidGrant, Faults { losses: 1, ..NONE }),
    (Rule::ExpiryIsPatient, Invariant::OneValidGrant, NONE),
    (Rule::CounterGrows, Invariant::CounterGrows, NONE),
    (Rule::ExpiredIsTaken, Invariant::ReachesTip, Faults { crashes: 1, ..NONE }),
    (Rule::ValidFromSending, Invariant::OneValidGrant, Faults { delays: 1, ..NONE }),
    (Rule::CounterFences, Invariant::ChangesByCondition, Faults { losses: 1, ..NONE }),
    (Rule::DoubtfulTakeIsKept, Invariant::OneValidGrant, Faults { losses: 1, ..NONE }),
    (Rule::FirstLostCounts, Invariant::OneValidGrant, Faults { losses: 1, ..NONE }),
];

#[test]
fn each_rule_of_the_protocol_is_needed() {
    for (rule, invariant, faults) in NEEDED {
        let broken = HasDiscoveries::AnyOf([invariant.id()].into());
        let model = Protocol::new(faults, Some(rule)).checker().threads(2);
        let checker = model.finish_when(broken).spawn_bfs().join();
        let path = checker.discovery(invariant.id());
        let path = path.unwrap_or_else(|| panic!("{invariant} holds without {rule:?}"));
        println!("without {rule:?} {invariant} is broken: {:?}", path.into_actions());
    }
}
