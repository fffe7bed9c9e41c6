//! What the workers do: the rules of `shardwright::leasing`, as far as two workers on one lease go.

use crate::{
    protocol::{Protocol, Rule},
    state::{FAILOVER, Flight, Held, Id, Image, Kind, Late, Life, Stage, State, TIME_OUT},
};

impl State {
    /// A worker looks at the row.
    pub(crate) fn scan(&mut self, id: Id) {
        let row = self.row;
        let worker = &mut self.workers[id];
        match &mut worker.held {
            // What it writes itself may have done it: then the answer tells.
            Some(held)
                if held.behind > 0 && row.holder() != Some(id) && worker.flight.is_none() =>
            {
                worker.held = None;
            }
            Some(held) => held.wanted |= row.checkpoint_owner == Some(id),
            None => worker.seen = worker.seen.or(Some(0)),
        }
        // Whoever finds its own request standing follows it; one that does not stand is forgotten.
        if row.owner != Some(id) {
            worker.asked = None;
        } else if row.checkpoint_owner.is_some() && worker.held.is_none() {
            worker.asked = worker.asked.or(Some(0));
        }
    }

    /// A worker sends a write with the counter that it knows.
    pub(crate) fn send(&mut self, id: Id, kind: Kind) {
        let worker = &mut self.workers[id];
        let (behind, unsure) = worker.held.map_or((0, None), |held| (held.behind, held.unsure));
        worker.flight = Some(Flight { kind, behind, sent: 0, unsure, stage: Stage::OnTheWay });
    }

    /// A worker takes the lease as this image shows it.
    fn take(&mut self, id: Id, image: Image, forced: bool) {
        let kind = Kind::Take { from: image.row.owner, forced };
        let flight =
            Flight { kind, behind: image.behind, sent: 0, unsure: None, stage: Stage::OnTheWay };
        self.workers[id].flight = Some(flight);
    }

    /// Nobody waits for a worker's write any more; if it has not arrived yet, it may.
    pub(crate) fn abandon(&mut self, id: Id) {
        let Some(Flight { kind, behind, stage, .. }) = self.workers[id].flight else { return };
        if matches!(stage, Stage::OnTheWay | Stage::Unheard { arrived: false }) {
            self.late.push(Late { by: id, kind, behind });
        }
    }
}

impl Protocol {
    /// What a worker without a write under way may send.
    pub(crate) fn next_write(&self, state: &State, id: Id) -> Option<Kind> {
        let worker = &state.workers[id];
        match (worker.held, worker.life) {
            (_, Life::Gone) => None,
            (Some(held), _) => self.to_keep(held),
            // It takes nothing, but for what is handed to it before it can say no.
            (None, Life::Leaving) => worker.asked.map(|_| Kind::Withdraw),
            (None, Life::Working) => self.to_get(state, id),
        }
    }

    /// What the holder owes the table.
    fn to_keep(&self, held: Held) -> Option<Kind> {
        if held.sent >= FAILOVER {
            return None;
        }
        let news = (held.done > held.checkpoint).then_some(held.done);
        let may_go = held.wait == 0;
        let drained = held.finished || (held.wanted && !self.keeps(Rule::DrainsFirst));
        if drained && may_go {
            Some(if held.wanted { Kind::Finish(news) } else { Kind::Release(news) })
        } else {
            (held.sent > 0).then_some(Kind::Renew(news.filter(|_| !held.finished)))
        }
    }

    /// How a worker comes to a lease that it does not hold.
    fn to_get(&self, state: &State, id: Id) -> Option<Kind> {
        let worker = &state.workers[id];
        let row = state.row;
        let patience = if self.keeps(Rule::ExpiryIsPatient) { FAILOVER } else { 0 };
        let expired = worker.seen.is_some_and(|age| age >= patience) && row.owner.is_some();
        let mine = row.owner == Some(id);
        let takes = row.owner.is_none()
            || (expired && self.keeps(Rule::ExpiredIsTaken))
            || (mine && row.checkpoint_owner.is_none());
        let timed_out = worker.asked.is_some_and(|age| age >= TIME_OUT);
        if takes {
            Some(Kind::Take { from: row.owner, forced: false })
        } else if mine && timed_out {
            Some(Kind::Take { from: row.owner, forced: true })
        } else {
            (!mine && row.checkpoint_owner.is_none()).then_some(Kind::Ask)
        }
    }

    /// A write is known to have been applied, and left this row behind.
    pub(crate) fn applied(&self, state: &mut State, id: Id, flight: Flight, image: Image) {
        let worker = &mut state.workers[id];
        let sent = if self.keeps(Rule::ValidFromSending) { flight.sent } else { 0 };
        match flight.kind {
            Kind::Renew(_) => {
                if let Some(held) = &mut worker.held {
                    held.renewed(id, image, sent);
                }
            }
            Kind::Take { .. } => {
                worker.asked = None;
                let wait = self.wait_of(flight).max(worker.wary);
                worker.wary = 0;
                worker.seen = None;
                worker.held = Some(Held {
                    behind: image.behind,
                    wanted: false,
                    sent,
                    wait,
                    // Whoever leaves releases it at once, or when the other one's time is over.
                    finished: worker.life == Life::Leaving,
                    unsure: None,
                    done: image.row.checkpoint,
                    checkpoint: image.row.checkpoint,
                });
            }
            Kind::Ask => worker.asked = Some(0),
            Kind::Withdraw => worker.asked = None,
            Kind::Finish(_) | Kind::Release(_) => worker.held = None,
        }
    }

    /// A write was refused, or its answer was lost and the row reads like this.
    pub(crate) fn refused(&self, state: &mut State, id: Id, flight: Flight, image: Image) {
        if let Some(first) = flight.unsure
            && self.shows(id, flight, image)
        {
            let sent = if self.keeps(Rule::FirstLostCounts) { first } else { flight.sent };
            return self.applied(state, id, Flight { sent, ..flight }, image);
        }
        let ours = image.row.holder() == Some(id);
        let worker = &mut state.workers[id];
        match flight.kind {
            Kind::Take { .. } => {
                if flight.unsure.is_some() && self.keeps(Rule::DoubtfulTakeIsKept) {
                    worker.wary = worker.wary.max(self.wait_of(flight));
                }
                if ours {
                    state.take(id, image, false);
                }
            }
            // Handed over in the meantime: a worker that leaves takes it to release it.
            Kind::Ask | Kind::Withdraw if ours => {
                worker.asked = None;
                state.take(id, image, false);
            }
            // What the row says, whatever became of the write.
            Kind::Ask | Kind::Withdraw => {
                worker.asked = (image.row.owner == Some(id)).then_some(0);
            }
            Kind::Renew(_) | Kind::Finish(_) | Kind::Release(_) => {
                let Some(held) = &mut worker.held else { return };
                if ours && image.behind == held.behind {
                    // Still ours: somebody asked for it in between, or a lost write never arrived.
                    held.wanted = image.row.owner != Some(id);
                    held.unsure = flight.unsure;
                } else if let Some(first) = flight.unsure
                    && ours
                    && image.behind + 1 == held.behind
                {
                    // The write that was lost has arrived after all.
                    let sent = if self.keeps(Rule::FirstLostCounts) { first } else { flight.sent };
                    held.renewed(id, image, sent);
                } else {
                    worker.held = None;
                }
            }
        }
    }

    /// Whether the row shows that a write was applied whose answer was lost.
    fn shows(&self, id: Id, flight: Flight, image: Image) -> bool {
        let write = self.words.write(id, flight.kind, flight.behind);
        write.shows_in(&self.words.lease(image))
    }

    /// How long a take makes its worker wait, from now on.
    fn wait_of(&self, flight: Flight) -> u8 {
        let forced = matches!(flight.kind, Kind::Take { forced: true, .. });
        let waits = forced && self.keeps(Rule::ThiefWaits);
        if waits { FAILOVER - flight.sent } else { 0 }
    }
}

impl Held {
    fn renewed(&mut self, id: Id, image: Image, sent: u8) {
        (self.behind, self.checkpoint) = (image.behind, image.row.checkpoint);
        (self.sent, self.unsure) = (sent, None);
        self.wanted = image.row.owner != Some(id);
    }
}
