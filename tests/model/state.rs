//! The world of the model: one lease, two workers, and time as ages.
//!
//! Nothing here is absolute, so that the states are finitely many however long a history is: a counter
//! is kept as how far it is behind the row's, a time as how many ticks it is ago. Both stop growing
//! where nothing depends on them any more.

use shardwright::model::Invariant;

/// A worker.
pub(crate) type Id = usize;

/// Ticks without renewal after which others take a lease; a grant is valid for as many. Three are the
/// least with which a lease can be renewed, and renewed again after a lost answer, while it is valid.
pub(crate) const FAILOVER: u8 = 3;
/// Ticks that an owner has to hand a lease over.
pub(crate) const TIME_OUT: u8 = 1;
/// Records of the shard.
pub(crate) const RECORDS: u8 = 2;
/// Behind by so many or more: no condition holds for it.
pub(crate) const OLD: u8 = 3;

/// The row, without its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Row {
    pub(crate) owner: Option<Id>,
    pub(crate) checkpoint_owner: Option<Id>,
    /// 0 is `TRIM_HORIZON`.
    pub(crate) checkpoint: u8,
}

impl Row {
    pub(crate) fn holder(self) -> Option<Id> {
        self.checkpoint_owner.or(self.owner)
    }
}

/// The row as it was some counters ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Image {
    pub(crate) behind: u8,
    pub(crate) row: Row,
}

/// A write to the lease, but for its counter and its author. `Some(number)` is a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Renew(Option<u8>),
    /// `forced`: from an owner that may live, so the thief waits.
    Take {
        from: Option<Id>,
        forced: bool,
    },
    Ask,
    Withdraw,
    Finish(Option<u8>),
    Release(Option<u8>),
}

/// How far a write has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Stage {
    OnTheWay,
    /// Its answer is on the way.
    Applied(Image),
    Refused(Image),
    /// No answer will come. It may have arrived already.
    Unheard {
        arrived: bool,
    },
    /// The worker knows that there is no answer.
    Unanswered,
}

/// A write that its worker waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Flight {
    pub(crate) kind: Kind,
    /// The counter that it names.
    pub(crate) behind: u8,
    pub(crate) sent: u8,
    /// When the first of the writes was sent whose answers were lost.
    pub(crate) unsure: Option<u8>,
    pub(crate) stage: Stage,
}

/// What a worker knows of a lease that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Held {
    /// The counter it last knew.
    pub(crate) behind: u8,
    /// A hand-over was asked for.
    pub(crate) wanted: bool,
    /// When the last renewal that succeeded was sent.
    pub(crate) sent: u8,
    /// Ticks until it may deliver.
    pub(crate) wait: u8,
    /// Its consumer has drained.
    pub(crate) finished: bool,
    pub(crate) unsure: Option<u8>,
    /// How far it has processed, and how far the row says that it has.
    pub(crate) done: u8,
    pub(crate) checkpoint: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Life {
    Working,
    /// Told to drain.
    Leaving,
    /// Crashed.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Worker {
    pub(crate) life: Life,
    pub(crate) held: Option<Held>,
    pub(crate) flight: Option<Flight>,
    /// For how long it has seen the counter and the holder that the row has now, of a lease that it
    /// does not hold.
    pub(crate) seen: Option<u8>,
    /// Since when it waits for a hand-over that it asked for.
    pub(crate) asked: Option<u8>,
    /// For how long an old owner may believe in its lease: it may have been taken by force.
    pub(crate) wary: u8,
}

impl Worker {
    /// A worker that knows nothing.
    pub(crate) fn new(life: Life) -> Self {
        Self { life, held: None, flight: None, seen: None, asked: None, wary: 0 }
    }
}

/// A write that nobody waits for any more, and that may arrive yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Late {
    pub(crate) by: Id,
    pub(crate) kind: Kind,
    pub(crate) behind: u8,
}

/// What may still go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Faults {
    pub(crate) crashes: u8,
    /// Writes that take their time: they arrive, and are answered, whenever. All others do at once.
    pub(crate) delays: u8,
    /// Writes that are never answered: they arrive in time, or when nobody waits any more, or never.
    pub(crate) losses: u8,
    /// Workers that are told to drain.
    pub(crate) departures: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct State {
    pub(crate) row: Row,
    pub(crate) workers: [Worker; 2],
    pub(crate) late: Vec<Late>,
    pub(crate) faults: Faults,
    /// An invariant of single writes that was broken.
    pub(crate) broken: Option<Invariant>,
}

impl State {
    pub(crate) fn start(faults: Faults) -> Self {
        Self {
            row: Row { owner: None, checkpoint_owner: None, checkpoint: 0 },
            workers: [Worker::new(Life::Working); 2],
            late: Vec::new(),
            faults,
            broken: None,
        }
    }

    /// The row as it is.
    pub(crate) fn image(&self) -> Image {
        Image { behind: 0, row: self.row }
    }

    /// A write was applied and has left `row` behind, with a higher counter if it is `counted`.
    pub(crate) fn changes(&mut self, row: Row, counted: bool) {
        if counted || row.holder() != self.row.holder() {
            self.workers.iter_mut().for_each(|worker| worker.seen = None);
        }
        self.row = row;
        if counted {
            self.fall_behind();
        }
    }

    /// The row's counter grows: everything known of it is further behind.
    fn fall_behind(&mut self) {
        let fall = |behind: &mut u8| *behind = (*behind + 1).min(OLD);
        for worker in &mut self.workers {
            if let Some(held) = &mut worker.held {
                fall(&mut held.behind);
            }
            if let Some(flight) = &mut worker.flight {
                fall(&mut flight.behind);
                if let Stage::Applied(image) | Stage::Refused(image) = &mut flight.stage {
                    fall(&mut image.behind);
                }
            }
        }
        for late in &mut self.late {
            fall(&mut late.behind);
        }
        // What can never be applied is of no account.
        self.late.retain(|late| late.behind < OLD);
    }

    /// Time passes.
    pub(crate) fn tick(&mut self) {
        let older = |age: &mut u8| *age = (*age + 1).min(FAILOVER);
        for worker in &mut self.workers {
            if let Some(held) = &mut worker.held {
                older(&mut held.sent);
                held.wait = held.wait.saturating_sub(1);
                held.unsure.iter_mut().for_each(older);
            }
            if let Some(flight) = &mut worker.flight {
                older(&mut flight.sent);
                flight.unsure.iter_mut().for_each(older);
            }
            worker.seen.iter_mut().for_each(older);
            worker.wary = worker.wary.saturating_sub(1);
            worker.asked.iter_mut().for_each(|age| *age = (*age + 1).min(TIME_OUT));
        }
    }
}
