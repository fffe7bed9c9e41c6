//! One form for states that go on alike, so that they are looked at once.
//!
//! - Nothing is kept that no rule asks for any more: of writes that can never be applied, of workers
//!   that are done, of a lease that is another's already.
//! - The workers have no names: a state and its mirror image are one. (In a printed history the names
//!   may therefore change sides between two steps.)

use crate::state::{FAILOVER, Flight, Id, Image, Kind, Late, Life, Row, Stage, State, Worker};

impl State {
    /// The one form. `fenced`: writes that name an old counter are refused.
    pub(crate) fn canonical(mut self, fenced: bool) -> Self {
        self.forget_late(fenced);
        let row = self.row;
        for worker in &mut self.workers {
            worker.forget(row, fenced);
        }
        let mirrored = self.mirrored();
        if mirrored < self { mirrored } else { self }
    }

    /// Counters only grow: what names an older one is never applied.
    fn forget_late(&mut self, fenced: bool) {
        for Late { kind, behind, .. } in &mut self.late {
            match kind {
                Kind::Ask | Kind::Withdraw => *behind = 0,
                Kind::Take { forced, .. } => *forced = false,
                Kind::Renew(_) | Kind::Finish(_) | Kind::Release(_) => {}
            }
        }
        if fenced {
            self.late.retain(|late| late.behind == 0);
        }
        self.late.sort_unstable();
    }

    fn mirrored(&self) -> Self {
        let mirror = |late: &Late| Late { by: 1 - late.by, kind: late.kind.mirrored(), ..*late };
        let mut late: Vec<Late> = self.late.iter().map(mirror).collect();
        late.sort_unstable();
        let [first, second] = self.workers;
        Self {
            row: self.row.mirrored(),
            workers: [second.mirrored(), first.mirrored()],
            late,
            ..*self
        }
    }
}

impl Worker {
    fn forget(&mut self, row: Row, fenced: bool) {
        match &mut self.flight {
            Some(flight) => flight.forget(),
            None => self.forget_held(row, fenced),
        }
        if row.owner.is_none() {
            // What nobody owns is taken however long it was seen.
            self.seen = None;
        }
        if self.life == Life::Leaving
            && self.held.is_none()
            && self.flight.is_none()
            && self.asked.is_none()
        {
            *self = Self::new(Life::Gone);
        }
    }

    /// What a worker knows of its lease, while nothing is under way.
    fn forget_held(&mut self, row: Row, fenced: bool) {
        let Some(held) = &mut self.held else { return };
        if held.sent >= FAILOVER {
            // It can only give it up, and may do so at once.
            self.held = None;
            return;
        }
        // Its next write is refused, and then it knows; unless it was its own write that was lost.
        held.behind = held.behind.min(if held.unsure.is_some() { 2 } else { 1 });
        let lost = held.behind > 0 && held.unsure.is_none();
        if lost && fenced {
            held.wanted = false;
            (held.done, held.checkpoint) = (row.checkpoint, row.checkpoint);
        }
    }
}

impl Flight {
    fn forget(&mut self) {
        if matches!(self.kind, Kind::Ask | Kind::Withdraw) {
            // They name no counter, and count from their answer.
            (self.sent, self.behind) = (0, 0);
            self.unsure = self.unsure.map(|_| 0);
        }
        if self.stage == Stage::Unanswered {
            // Whether the row has gone on by one or by more.
            self.behind = self.behind.min(2);
        }
    }

    fn mirrored(self) -> Self {
        let stage = match self.stage {
            Stage::Applied(image) => Stage::Applied(image.mirrored()),
            Stage::Refused(image) => Stage::Refused(image.mirrored()),
            stage => stage,
        };
        Self { kind: self.kind.mirrored(), stage, ..self }
    }
}

fn other(id: Id) -> Id {
    1 - id
}

impl Worker {
    fn mirrored(self) -> Self {
        Self { flight: self.flight.map(Flight::mirrored), ..self }
    }
}

impl Row {
    fn mirrored(self) -> Self {
        let (owner, checkpoint_owner) = (self.owner.map(other), self.checkpoint_owner.map(other));
        Self { owner, checkpoint_owner, ..self }
    }
}

impl Image {
    fn mirrored(self) -> Self {
        Self { row: self.row.mirrored(), ..self }
    }
}

impl Kind {
    fn mirrored(self) -> Self {
        match self {
            Self::Take { from, forced } => Self::Take { from: from.map(other), forced },
            kind => kind,
        }
    }
}
