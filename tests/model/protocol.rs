//! The world as a `stateright` model: what may happen next, and what must never be otherwise.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Mutex,
};

use shardwright::model::{Invariant, invariant};
use stateright::{Model, Property};

use crate::{
    state::{FAILOVER, Faults, Flight, Id, Kind, Late, Life, RECORDS, Stage, State, Worker},
    words::Words,
};

/// A rule of the protocol. One of them can be left out, to see that the model notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A thief does not deliver while the old owner may believe in its lease.
    ThiefWaits,
    /// A lease is valid from the sending of a renewal, not from its answer.
    ValidFromSending,
    /// A lease expires only when its counter stood still for as long as a grant is valid.
    ExpiryIsPatient,
    /// A lease that has expired is taken.
    ExpiredIsTaken,
    /// A thief that does not know whether its take was applied waits all the same.
    DoubtfulTakeIsKept,
    /// What is inferred from the row counts from the first of the writes that were lost.
    FirstLostCounts,
    /// An owner hands over only when its consumer has drained.
    DrainsFirst,
    /// A write names the counter that its worker last knew.
    CounterFences,
    /// A write raises the counter.
    CounterGrows,
}

/// Two workers, their lease, and the network between them.
pub(crate) struct Protocol {
    pub(crate) words: Words,
    faults: Faults,
    without: Option<Rule>,
    /// States from which a fair schedule leads to a live worker, whatever might still go wrong.
    healing: Mutex<HashSet<u64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// Time passes.
    Tick,
    /// A worker looks at the row.
    Scan(Id),
    /// A worker makes a write, and hears of it at once.
    Write(Id, Kind),
    /// A worker sends a write that takes its time.
    Send(Id, Kind),
    /// A write reaches the table.
    Arrive(Id),
    /// A worker hears of its write.
    Hear(Id),
    /// A worker sends a write that will not be answered; it arrives in time, or late, or never.
    SendInVain(Id, Kind),
    /// A write under way will not be answered.
    Lose(Id),
    /// A worker waits for the answer to its write no longer.
    TimeOut(Id),
    /// A worker reads the row consistently, for it has no answer.
    Reconcile(Id),
    /// A write that nobody waits for arrives after all.
    ArriveLate(usize),
    /// A worker has processed a record.
    Process(Id),
    /// A consumer has finished what was under way, for its worker leaves or hands over.
    Drained(Id),
    /// A worker notices that it could not renew in time.
    GiveUp(Id),
    Crash(Id),
    Leave(Id),
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::start(self.faults)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.push(Action::Tick);
        actions.extend((0..state.late.len()).map(Action::ArriveLate));
        for id in 0..2 {
            self.actions_of(state, id, actions);
            self.faults_of(state, id, actions);
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        self.act(&mut state, action);
        let state = state.canonical(self.keeps(Rule::CounterFences));
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(Invariant::OneValidGrant.id(), |protocol: &Self, state: &State| {
                let valid: Vec<Id> = (0..2).filter(|id| is_valid(&state.workers[*id])).collect();
                invariant::check_grants(protocol.words.key(), None, &valid).is_ok()
            }),
            Property::always(Invariant::CounterGrows.id(), |_, state: &State| {
                state.broken != Some(Invariant::CounterGrows)
            }),
            Property::always(Invariant::ChangesByCondition.id(), |_, state: &State| {
                state.broken != Some(Invariant::ChangesByCondition)
            }),
            Property::always(Invariant::CheckpointAdvances.id(), |_, state: &State| {
                state.broken != Some(Invariant::CheckpointAdvances)
            }),
            Property::always(Invariant::HolderCheckpoints.id(), |_, state: &State| {
                state.broken != Some(Invariant::HolderCheckpoints)
            }),
            Property::always(Invariant::ReachesTip.id(), Self::comes_to_a_live_worker),
            // What must happen somewhere, or the model has looked at less than it says.
            Property::sometimes("a lease is taken by force", |_, state: &State| {
                state.workers.iter().any(|worker| worker.held.is_some_and(|held| held.wait > 0))
            }),
            Property::sometimes(
                "a shard is processed though everything failed",
                |_, state: &State| {
                    let Faults { crashes, delays, losses, departures } = state.faults;
                    crashes + delays + losses + departures == 0 && state.row.checkpoint == RECORDS
                },
            ),
        ]
    }
}

/// Rounds of a fair schedule within which a live worker must have the lease: what was asked for times
/// out, what is lost expires, and the thief's wait is over.
const PATIENCE: usize = 30;

/// Whether a worker may begin a delivery now.
fn is_valid(worker: &Worker) -> bool {
    worker.held.is_some_and(|held| held.sent < FAILOVER && held.wait == 0 && !held.finished)
}

impl Protocol {
    pub(crate) fn new(faults: Faults, without: Option<Rule>) -> Self {
        Self { words: Words::new(), faults, without, healing: Mutex::default() }
    }

    pub(crate) fn keeps(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// What a worker may do.
    fn actions_of(&self, state: &State, id: Id, actions: &mut Vec<Action>) {
        let worker = &state.workers[id];
        if worker.life == Life::Working {
            actions.push(Action::Scan(id));
        }
        match worker.flight {
            Some(Flight { stage, .. }) => actions.push(match stage {
                Stage::OnTheWay => Action::Arrive(id),
                Stage::Applied(_) | Stage::Refused(_) => Action::Hear(id),
                Stage::Unheard { .. } => Action::TimeOut(id),
                Stage::Unanswered => Action::Reconcile(id),
            }),
            None => actions.extend(self.next_write(state, id).map(|kind| Action::Write(id, kind))),
        }
        let Some(held) = worker.held else { return };
        if is_valid(worker) && held.done < RECORDS {
            actions.push(Action::Process(id));
        }
        if !held.finished && (held.wanted || worker.life == Life::Leaving) {
            actions.push(Action::Drained(id));
        }
        if held.sent >= FAILOVER {
            actions.push(Action::GiveUp(id));
        }
    }

    /// What may go wrong with a worker.
    fn faults_of(&self, state: &State, id: Id, actions: &mut Vec<Action>) {
        let Worker { life, flight, .. } = state.workers[id];
        let Faults { crashes, delays, losses, departures } = state.faults;
        if life != Life::Gone && crashes > 0 {
            actions.push(Action::Crash(id));
        }
        if life == Life::Working && departures > 0 {
            actions.push(Action::Leave(id));
        }
        match flight {
            Some(Flight { stage: Stage::OnTheWay, .. }) if losses > 0 => {
                actions.push(Action::Lose(id));
            }
            Some(Flight { stage: Stage::Unheard { arrived: false }, .. }) => {
                actions.push(Action::Arrive(id));
            }
            Some(_) => {}
            None => {
                let next = self.next_write(state, id);
                let slow = next.filter(|_| delays > 0).map(|kind| Action::Send(id, kind));
                let in_vain = next.filter(|_| losses > 0).map(|kind| Action::SendInVain(id, kind));
                actions.extend(slow.into_iter().chain(in_vain));
            }
        }
    }

    /// LV-1: whether a worker that lives comes to a valid grant, when nothing goes wrong any more and
    /// everyone has its turn.
    fn comes_to_a_live_worker(&self, state: &State) -> bool {
        if state.workers.iter().all(|worker| worker.life != Life::Working) {
            return true;
        }
        let mut state = state.clone();
        let mut passed = Vec::new();
        for _ in 0..PATIENCE {
            let mut hasher = DefaultHasher::new();
            (state.row, state.workers, &state.late).hash(&mut hasher);
            passed.push(hasher.finish());
            let healed = self.healing.lock().unwrap().contains(&hasher.finish());
            let alive = healed || self.fair_round(&mut state);
            state = state.canonical(self.keeps(Rule::CounterFences));
            if alive {
                self.healing.lock().unwrap().extend(passed);
                return true;
            }
        }
        false
    }

    /// Everyone has its turn. Answers whether a worker that lives had a valid grant.
    fn fair_round(&self, state: &mut State) -> bool {
        let works = |worker: &Worker| worker.life == Life::Working && is_valid(worker);
        let mut valid = state.workers.iter().any(works);
        while !state.late.is_empty() {
            self.act(state, Action::ArriveLate(0));
        }
        for id in 0..2 {
            // Hear of what is under way, look, act, and hear of that.
            for _ in 0..4 {
                for action in self.own_actions(state, id) {
                    // What came before may have changed what there is to do.
                    if self.own_actions(state, id).contains(&action) {
                        self.act(state, action);
                        valid |= state.workers.iter().any(works);
                    }
                }
            }
        }
        state.tick();
        valid
    }

    /// What a worker may do while the fleet is in balance, so that nobody asks for more.
    fn own_actions(&self, state: &State, id: Id) -> Vec<Action> {
        let mut actions = Vec::new();
        self.actions_of(state, id, &mut actions);
        actions.retain(|action| !matches!(action, Action::Write(_, Kind::Ask)));
        actions
    }

    fn act(&self, state: &mut State, action: Action) {
        match action {
            Action::Tick => state.tick(),
            Action::Scan(id) => state.scan(id),
            Action::Write(id, kind) => {
                state.send(id, kind);
                self.arrive(state, id);
                self.hear(state, id);
            }
            Action::Send(id, kind) => {
                state.faults.delays -= 1;
                state.send(id, kind);
            }
            Action::Arrive(id) => self.arrive(state, id),
            Action::Hear(id) => self.hear(state, id),
            Action::ArriveLate(index) => {
                let Late { by, kind, behind } = state.late.remove(index);
                self.write(state, by, kind, behind);
            }
            Action::SendInVain(id, kind) => {
                state.send(id, kind);
                self.act(state, Action::Lose(id));
            }
            Action::Lose(id) => {
                state.faults.losses -= 1;
                if let Some(flight) = &mut state.workers[id].flight {
                    flight.stage = Stage::Unheard { arrived: false };
                }
            }
            Action::TimeOut(id) => {
                state.abandon(id);
                if let Some(flight) = &mut state.workers[id].flight {
                    flight.stage = Stage::Unanswered;
                    flight.unsure = flight.unsure.or(Some(flight.sent));
                }
            }
            Action::Reconcile(id) => {
                let Some(flight) = state.workers[id].flight.take() else { return };
                self.refused(state, id, flight, state.image());
            }
            Action::Process(id) => {
                if let Some(held) = &mut state.workers[id].held {
                    held.done += 1;
                }
            }
            Action::Drained(id) => {
                if let Some(held) = &mut state.workers[id].held {
                    held.finished = true;
                }
            }
            Action::GiveUp(id) => state.workers[id].held = None,
            Action::Leave(id) => {
                state.faults.departures -= 1;
                state.workers[id].life = Life::Leaving;
            }
            Action::Crash(id) => {
                state.faults.crashes -= 1;
                state.abandon(id);
                state.workers[id] = Worker::new(Life::Gone);
            }
        }
    }

    fn arrive(&self, state: &mut State, id: Id) {
        let Some(Flight { kind, behind, .. }) = state.workers[id].flight else { return };
        let applied = self.write(state, id, kind, behind);
        let image = state.image();
        if let Some(flight) = &mut state.workers[id].flight {
            flight.stage = match flight.stage {
                Stage::Unheard { .. } => Stage::Unheard { arrived: true },
                _ if applied => Stage::Applied(image),
                _ => Stage::Refused(image),
            };
        }
    }

    fn hear(&self, state: &mut State, id: Id) {
        let Some(flight) = state.workers[id].flight.take() else { return };
        match flight.stage {
            Stage::Applied(image) => self.applied(state, id, flight, image),
            Stage::Refused(image) => self.refused(state, id, flight, image),
            Stage::OnTheWay | Stage::Unheard { .. } | Stage::Unanswered => {}
        }
    }

    /// A write reaches the table.
    fn write(&self, state: &mut State, by: Id, kind: Kind, behind: u8) -> bool {
        // That a write names its author guards a second time: whoever knows the counter is the holder.
        let by_holder = matches!(kind, Kind::Renew(_) | Kind::Finish(_) | Kind::Release(_));
        let knows = by_holder && behind == 0 && self.without.is_none();
        assert!(!knows || state.row.holder() == Some(by), "{kind:?} by another than the holder");
        let before = self.words.lease(state.image());
        let write = self.words.write(by, kind, behind);
        let stands = if self.keeps(Rule::CounterFences) { behind } else { 0 };
        let Some(mut after) = self.words.write(by, kind, stands).apply(&before) else {
            return false;
        };
        if !self.keeps(Rule::CounterGrows) {
            after.counter = before.counter;
        }
        if let Err(breach) = invariant::check_write(&before, &write, &after) {
            state.broken = Some(breach.invariant);
        }
        state.changes(self.words.row(&after), after.counter > before.counter);
        true
    }
}
