//! What workers and the network may do, step by step. The meaning of the writes is the real one
//! (`LeaseWrite::apply`, `shows_in`); the rules of the workers are those of `shardwright::leasing`.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Mutex,
};

use shardwright::model::invariant;
use stateright::{Model, Property};

use crate::state::{Flight, Held, Id, Image, Kind, Late, Life, Node, Seen, Stage, State, Words};

/// Ticks without renewal after which others take a lease; a grant is valid for as many.
const FAILOVER: u8 = 2;
/// Ticks that an owner has to hand a lease over.
const TIME_OUT: u8 = 2;
/// Beyond this an age makes no difference.
const AGES: u8 = 4;
/// Records of the shard.
const RECORDS: u8 = 2;

/// The protocol. Each rule can be left out, to see that the model notices.
pub(crate) struct Protocol {
    pub(crate) words: Words,
    /// A thief does not deliver while the old owner may believe in its lease.
    pub(crate) thief_waits: bool,
    /// A thief that still waits does not release.
    pub(crate) waiting_is_kept: bool,
    /// A lease is valid from the sending of a renewal, not from its answer.
    pub(crate) valid_from_sending: bool,
    /// A renewal that is inferred counts from the first write that was lost.
    pub(crate) inferred_from_first: bool,
    /// A take of what names its taker is never inferred.
    pub(crate) own_take_is_certain: bool,
    /// A lease expires only when its counter stood still for as long as a grant is valid.
    pub(crate) patient: bool,
    /// An owner hands over only when its consumer has drained.
    pub(crate) drains_first: bool,
    /// States from which a fair schedule leads to a live worker.
    healing: Mutex<HashSet<u64>>,
}

impl Protocol {
    pub(crate) fn new() -> Self {
        Self {
            words: Words::new(),
            thief_waits: true,
            waiting_is_kept: true,
            valid_from_sending: true,
            inferred_from_first: true,
            own_take_is_certain: true,
            patient: true,
            drains_first: true,
            healing: Mutex::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// Time passes.
    Tick,
    /// A worker looks at the row.
    Scan(Id),
    /// A worker sends a write.
    Send(Id, Kind),
    /// A write reaches the table.
    Arrive(Id),
    /// A worker hears of its write.
    Hear(Id),
    /// The answer to a write is lost; it may have been applied, or may be yet.
    Lose(Id),
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
        vec![State::start()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.push(Action::Tick);
        for index in 0..state.late.len() {
            actions.push(Action::ArriveLate(index));
        }
        for id in 0..2 {
            if state.nodes[id].life != Life::Gone {
                self.actions_of(state, id, actions);
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        self.act(&mut state, action);
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("LS-3", |protocol: &Self, state: &State| {
                let valid: Vec<Id> = (0..2).filter(|id| is_valid(&state.nodes[*id])).collect();
                invariant::check_grants(protocol.words.key(), None, &valid).is_ok()
            }),
            Property::always("LS-1, LS-2, CP-1, CP-3", |_, state: &State| state.breach.is_none()),
            Property::always("LV-1", Self::comes_to_a_live_worker),
            Property::sometimes("a lease is taken by force", |_, state: &State| {
                state.nodes.iter().any(|node| node.held.is_some_and(|held| held.wait > 0))
            }),
            Property::sometimes("a late write changes the row", |_, state: &State| {
                state.crashes == 0 && state.losses == 0 && state.row.checkpoint == RECORDS
            }),
        ]
    }
}

/// Rounds of a fair schedule within which a live worker must have the lease: what was asked for times
/// out, what is lost expires, and the thief's wait is over.
const PATIENCE: usize = 30;

/// Whether a worker may begin a delivery now.
fn is_valid(node: &Node) -> bool {
    let may = |held: Held| held.sent < FAILOVER && held.wait == 0 && !held.finished;
    node.life != Life::Gone && node.held.is_some_and(may)
}

impl Protocol {
    fn actions_of(&self, state: &State, id: Id, actions: &mut Vec<Action>) {
        let node = &state.nodes[id];
        if node.life == Life::Working {
            actions.push(Action::Scan(id));
        }
        if state.crashes > 0 {
            actions.push(Action::Crash(id));
        }
        if state.departures > 0 && node.life == Life::Working {
            actions.push(Action::Leave(id));
        }
        match node.flight {
            Some(Flight { stage, .. }) => {
                actions.push(match stage {
                    Stage::OnTheWay => Action::Arrive(id),
                    Stage::Applied(_) | Stage::Refused(_) => Action::Hear(id),
                    Stage::Unanswered => Action::Reconcile(id),
                });
                if state.losses > 0 && stage != Stage::Unanswered {
                    actions.push(Action::Lose(id));
                }
            }
            None => actions.extend(self.to_send(state, id).map(|kind| Action::Send(id, kind))),
        }
        let Some(held) = node.held else { return };
        if is_valid(node) && held.done < RECORDS {
            actions.push(Action::Process(id));
        }
        if !held.finished && (held.wanted || node.life == Life::Leaving) {
            actions.push(Action::Drained(id));
        }
        if held.sent >= FAILOVER {
            actions.push(Action::GiveUp(id));
        }
    }

    /// Whether a worker that lives comes to a valid grant, when nothing goes wrong any more and
    /// everyone has its turn.
    fn comes_to_a_live_worker(&self, state: &State) -> bool {
        let works = |node: &Node| node.life == Life::Working;
        if !state.nodes.iter().any(works) {
            return true;
        }
        let mut state = state.clone();
        let mut seen = Vec::new();
        for _ in 0..PATIENCE {
            let mut hasher = DefaultHasher::new();
            state.hash(&mut hasher);
            seen.push(hasher.finish());
            let valid = state.nodes.iter().any(|node| works(node) && is_valid(node));
            let mut healing = self.healing.lock().unwrap();
            if valid || healing.contains(&hasher.finish()) {
                healing.extend(seen);
                return true;
            }
            drop(healing);
            self.fair_round(&mut state);
        }
        false
    }

    fn fair_round(&self, state: &mut State) {
        while !state.late.is_empty() {
            self.act(state, Action::ArriveLate(0));
        }
        for id in 0..2 {
            // Hear of what is under way, look, act, and hear of that.
            for _ in 0..4 {
                let mut actions = Vec::new();
                if state.nodes[id].life != Life::Gone {
                    self.actions_of(state, id, &mut actions);
                }
                for action in actions {
                    let fault = matches!(
                        action,
                        Action::Crash(_) | Action::Leave(_) | Action::Lose(_) | Action::Process(_)
                    );
                    if !fault {
                        self.act(state, action);
                    }
                }
            }
        }
        self.act(state, Action::Tick);
    }

    /// What a worker without a write under way may send.
    fn to_send(&self, state: &State, id: Id) -> impl Iterator<Item = Kind> {
        let node = &state.nodes[id];
        let leaving = node.life == Life::Leaving;
        let mut kinds = Vec::new();
        if let Some(held) = node.held {
            let news = (held.done > held.checkpoint).then_some(held.done);
            let may_go = held.wait == 0 || !self.waiting_is_kept;
            let drained = held.finished || (held.wanted && !self.drains_first);
            if held.sent < FAILOVER && drained && may_go {
                kinds.push(if held.wanted { Kind::Finish(news) } else { Kind::Release(news) });
            } else if held.sent < FAILOVER && held.sent > 0 {
                kinds.push(Kind::Renew(if held.finished { None } else { news }));
            }
            return kinds.into_iter();
        }
        let row = state.row;
        let patience = if self.patient { FAILOVER } else { 0 };
        let seen = |seen: &Seen| seen.behind == 0 && seen.holder == row.holder();
        let expired = node.seen.is_some_and(|one| seen(&one) && one.age > patience);
        let mine = row.owner == Some(id);
        if leaving {
            // It takes nothing, but for what is handed to it before it can say no.
            if node.asked.is_some() {
                kinds.push(Kind::Withdraw);
            }
        } else if row.owner.is_none() || expired || (mine && row.checkpoint_owner.is_none()) {
            kinds.push(Kind::Take { from: row.owner, forced: false });
        } else if mine && node.asked.is_some_and(|age| age > TIME_OUT) {
            kinds.push(Kind::Take { from: row.owner, forced: self.thief_waits });
        } else if !mine && row.checkpoint_owner.is_none() {
            kinds.push(Kind::Ask);
        }
        kinds.into_iter()
    }

    fn act(&self, state: &mut State, action: Action) {
        match action {
            Action::Tick => tick(state),
            Action::Scan(id) => scan(state, id),
            Action::Send(id, kind) => send(state, id, kind),
            Action::Arrive(id) => {
                let Some(flight) = state.nodes[id].flight else { return };
                let applied = self.apply(state, id, flight.kind, flight.behind);
                let image = Image { behind: 0, row: state.row };
                if let Some(flight) = &mut state.nodes[id].flight {
                    let stage = if applied { Stage::Applied } else { Stage::Refused };
                    flight.stage = stage(image);
                }
            }
            Action::ArriveLate(index) => {
                let Late { by, kind, behind } = state.late.remove(index);
                self.apply(state, by, kind, behind);
            }
            Action::Hear(id) => {
                let Some(flight) = state.nodes[id].flight.take() else { return };
                match flight.stage {
                    Stage::Applied(image) => self.applied(state, id, flight, image),
                    Stage::Refused(image) => self.refused(state, id, flight, image),
                    _ => {}
                }
            }
            Action::Lose(id) => {
                state.losses -= 1;
                let Some(flight) = &mut state.nodes[id].flight else { return };
                if flight.stage == Stage::OnTheWay {
                    let Flight { kind, behind, .. } = *flight;
                    state.late.push(Late { by: id, kind, behind });
                }
                flight.stage = Stage::Unanswered;
                flight.unsure = flight.unsure.or(Some(flight.sent));
            }
            Action::Reconcile(id) => {
                let Some(flight) = state.nodes[id].flight.take() else { return };
                let image = Image { behind: 0, row: state.row };
                self.refused(state, id, flight, image);
            }
            Action::Process(id) => {
                if let Some(held) = &mut state.nodes[id].held {
                    held.done += 1;
                }
            }
            Action::Drained(id) => {
                if let Some(held) = &mut state.nodes[id].held {
                    held.finished = true;
                }
            }
            Action::GiveUp(id) => state.nodes[id].held = None,
            Action::Leave(id) => {
                state.departures -= 1;
                state.nodes[id].life = Life::Leaving;
            }
            Action::Crash(id) => {
                state.crashes -= 1;
                let gone = std::mem::replace(&mut state.nodes[id], State::start().nodes[id]);
                state.nodes[id].life = Life::Gone;
                if let Some(Flight { kind, behind, stage: Stage::OnTheWay, .. }) = gone.flight {
                    state.late.push(Late { by: id, kind, behind });
                }
            }
        }
    }

    /// One write reaches the table.
    fn apply(&self, state: &mut State, by: Id, kind: Kind, behind: u8) -> bool {
        let before = self.words.lease(Image { behind: 0, row: state.row });
        let write = self.words.write(by, kind, behind);
        let Some(after) = write.apply(&before) else { return false };
        if let Err(breach) = invariant::check_write(&before, &write, &after) {
            state.breach = Some(breach.invariant.id());
        }
        if after.counter > before.counter {
            state.fall_behind();
        }
        state.row = self.words.row(&after);
        true
    }

    /// A write is known to have been applied, and left this row behind.
    fn applied(&self, state: &mut State, id: Id, flight: Flight, image: Image) {
        let node = &mut state.nodes[id];
        let row = image.row;
        let sent = if self.valid_from_sending { flight.sent } else { 0 };
        match flight.kind {
            Kind::Renew(_) => {
                if let Some(held) = &mut node.held {
                    (held.behind, held.checkpoint) = (image.behind, row.checkpoint);
                    (held.sent, held.unsure) = (sent, None);
                    held.wanted = row.owner != Some(id);
                }
            }
            Kind::Take { forced, .. } => {
                node.asked = None;
                let wait = if forced { FAILOVER.saturating_sub(flight.sent) } else { 0 };
                if node.life == Life::Leaving && forced && self.waiting_is_kept {
                    return;
                }
                node.held = Some(Held {
                    behind: image.behind,
                    wanted: false,
                    sent,
                    wait,
                    finished: node.life == Life::Leaving,
                    unsure: None,
                    done: row.checkpoint,
                    checkpoint: row.checkpoint,
                });
            }
            Kind::Ask => node.asked = Some(0),
            Kind::Withdraw => node.asked = None,
            Kind::Finish(_) | Kind::Release(_) => node.held = None,
        }
    }

    /// A write was refused, or its answer was lost and the row reads like this.
    fn refused(&self, state: &mut State, id: Id, flight: Flight, image: Image) {
        let write = self.words.write(id, flight.kind, flight.behind);
        let row = image.row;
        let ours = row.holder() == Some(id);
        let own_take = matches!(flight.kind, Kind::Take { from, .. } if from == Some(id));
        if let Some(first) = flight.unsure {
            let shows = write.shows_in(&self.words.lease(image));
            // What `shows_in` would say of any other take.
            let next = image.behind + 1 == flight.behind && ours && row.owner == Some(id);
            if shows || (own_take && next && !self.own_take_is_certain) {
                let sent = if self.inferred_from_first { first } else { flight.sent };
                return self.applied(state, id, Flight { sent, ..flight }, image);
            }
        }
        match flight.kind {
            Kind::Take { forced, .. } => {
                if ours {
                    let kind = Kind::Take { from: row.owner, forced };
                    send(state, id, kind);
                    if let Some(flight) = &mut state.nodes[id].flight {
                        flight.behind = image.behind;
                    }
                }
            }
            Kind::Ask => {
                if flight.unsure.is_some() {
                    state.nodes[id].asked = Some(0);
                }
            }
            Kind::Withdraw => {
                let node = &mut state.nodes[id];
                node.asked = None;
                if ours {
                    send(state, id, Kind::Take { from: row.owner, forced: false });
                    if let Some(flight) = &mut state.nodes[id].flight {
                        flight.behind = image.behind;
                    }
                } else if row.owner == Some(id) {
                    node.asked = Some(0);
                }
            }
            Kind::Renew(_) | Kind::Finish(_) | Kind::Release(_) => {
                let Some(held) = &mut state.nodes[id].held else { return };
                if ours && image.behind == held.behind {
                    // Still ours: somebody asked for it in between, or a lost write never arrived.
                    held.wanted = row.owner != Some(id);
                    held.unsure = flight.unsure;
                } else if let Some(first) = flight.unsure
                    && ours
                    && image.behind + 1 == held.behind
                {
                    (held.behind, held.checkpoint) = (image.behind, row.checkpoint);
                    (held.sent, held.unsure) = (first, None);
                    held.wanted = row.owner != Some(id);
                } else {
                    state.nodes[id].held = None;
                }
            }
        }
    }
}

fn tick(state: &mut State) {
    let grow = |age: &mut u8| *age = (*age + 1).min(AGES);
    for node in &mut state.nodes {
        if let Some(held) = &mut node.held {
            grow(&mut held.sent);
            held.wait = held.wait.saturating_sub(1);
            held.unsure.iter_mut().for_each(grow);
        }
        if let Some(flight) = &mut node.flight {
            grow(&mut flight.sent);
            flight.unsure.iter_mut().for_each(grow);
        }
        if let Some(seen) = &mut node.seen {
            grow(&mut seen.age);
        }
        node.asked.iter_mut().for_each(grow);
    }
}

fn scan(state: &mut State, id: Id) {
    let row = state.row;
    let node = &mut state.nodes[id];
    let news = !node.seen.is_some_and(|seen| seen.behind == 0 && seen.holder == row.holder());
    if news {
        node.seen = Some(Seen { behind: 0, holder: row.holder(), age: 0 });
    }
    if let Some(held) = &mut node.held {
        if held.behind > 0 && row.holder() != Some(id) {
            node.held = None;
        } else if row.checkpoint_owner == Some(id) {
            held.wanted = true;
        }
    }
    // Whoever finds its own request standing follows it; one that does not stand is forgotten.
    if row.owner != Some(id) {
        node.asked = None;
    } else if row.checkpoint_owner.is_some() && node.held.is_none() {
        node.asked = node.asked.or(Some(0));
    }
}

fn send(state: &mut State, id: Id, kind: Kind) {
    let node = &mut state.nodes[id];
    let (behind, unsure) = node.held.map_or((0, None), |held| (held.behind, held.unsure));
    node.flight = Some(Flight { kind, behind, sent: 0, unsure, stage: Stage::OnTheWay });
}
