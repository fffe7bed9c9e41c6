//! The world of the model: one lease, two workers, and time as ages.
//!
//! Nothing here is absolute, so that the states are finitely many however long a history is: a counter
//! is kept as how far it is behind the row's, a time as how many ticks it is ago. Both stop growing
//! where nothing depends on them any more.

use shardwright::model::{Checkpoint, Lease, LeaseKey, LeaseWrite, Progress, ShardId, WorkerId};

/// A worker.
pub(crate) type Id = usize;

/// Behind by so many or more: no condition holds for it.
const OLD: u8 = 4;
/// The row's counter in the real [`Lease`].
const COUNTER: u64 = 100;

/// What is too old to be told from what is older still is equal to nothing.
fn counter(behind: u8) -> u64 {
    if behind < OLD { COUNTER - u64::from(behind) } else { 0 }
}

/// The row, without its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Image {
    pub(crate) behind: u8,
    pub(crate) row: Row,
}

/// A write to the lease, but for its counter and its author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    OnTheWay,
    Applied(Image),
    Refused(Image),
    /// The answer was lost.
    Unanswered,
}

/// A write that its worker waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    /// The counter it last knew.
    pub(crate) behind: u8,
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

/// What a worker last saw of the row, and for how long it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    pub(crate) behind: u8,
    pub(crate) holder: Option<Id>,
    pub(crate) age: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Life {
    Working,
    /// Told to drain.
    Leaving,
    /// Crashed.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) life: Life,
    pub(crate) held: Option<Held>,
    pub(crate) flight: Option<Flight>,
    pub(crate) seen: Option<Seen>,
    /// Since when it waits for a hand-over that it asked for.
    pub(crate) asked: Option<u8>,
}

/// A write that nobody waits for any more, and that may arrive yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Late {
    pub(crate) by: Id,
    pub(crate) kind: Kind,
    pub(crate) behind: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) row: Row,
    pub(crate) nodes: [Node; 2],
    pub(crate) late: Vec<Late>,
    /// Crashes, lost answers and departures that may still happen.
    pub(crate) crashes: u8,
    pub(crate) losses: u8,
    pub(crate) departures: u8,
    /// An invariant of single writes that was broken.
    pub(crate) breach: Option<&'static str>,
}

impl State {
    pub(crate) fn start() -> Self {
        let node = Node { life: Life::Working, held: None, flight: None, seen: None, asked: None };
        Self {
            row: Row { owner: None, checkpoint_owner: None, checkpoint: 0 },
            nodes: [node; 2],
            late: Vec::new(),
            crashes: 1,
            losses: 1,
            departures: 1,
            breach: None,
        }
    }

    /// The row's counter grows: everything known of it is further behind.
    pub(crate) fn fall_behind(&mut self) {
        let fall = |behind: &mut u8| *behind = (*behind + 1).min(OLD);
        for node in &mut self.nodes {
            if let Some(held) = &mut node.held {
                fall(&mut held.behind);
            }
            if let Some(seen) = &mut node.seen {
                fall(&mut seen.behind);
            }
            if let Some(flight) = &mut node.flight {
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
}

/// The words of the real table.
pub(crate) struct Words {
    names: [WorkerId; 2],
    checkpoints: Vec<Checkpoint>,
    lease: Lease,
}

impl Words {
    pub(crate) fn new() -> Self {
        let mut checkpoints = vec![Checkpoint::TrimHorizon];
        for number in 1..8 {
            checkpoints.push(Checkpoint::parse(&number.to_string(), 0).unwrap());
        }
        let (key, shard) = (LeaseKey::new("shard"), ShardId::new("shard"));
        Self {
            names: [WorkerId::new("a"), WorkerId::new("b")],
            lease: Lease::new(key, None, shard, checkpoints[0].clone()),
            checkpoints,
        }
    }

    pub(crate) fn key(&self) -> &LeaseKey {
        &self.lease.key
    }

    fn name(&self, id: Option<Id>) -> Option<WorkerId> {
        id.map(|id| self.names[id].clone())
    }

    pub(crate) fn lease(&self, image: Image) -> Lease {
        Lease {
            counter: counter(image.behind),
            owner: self.name(image.row.owner),
            checkpoint_owner: self.name(image.row.checkpoint_owner),
            checkpoint: self.checkpoints[usize::from(image.row.checkpoint)].clone(),
            ..self.lease.clone()
        }
    }

    pub(crate) fn row(&self, lease: &Lease) -> Row {
        let id = |name: &Option<WorkerId>| {
            name.as_ref().and_then(|name| self.names.iter().position(|one| one == name))
        };
        let number = self.checkpoints.iter().position(|one| *one == lease.checkpoint);
        Row {
            owner: id(&lease.owner),
            checkpoint_owner: id(&lease.checkpoint_owner),
            checkpoint: number.and_then(|number| u8::try_from(number).ok()).unwrap(),
        }
    }

    pub(crate) fn write(&self, by: Id, kind: Kind, behind: u8) -> LeaseWrite {
        let counter = counter(behind);
        let progress =
            |to: Option<u8>| to.map(|to| Progress::from(self.checkpoints[usize::from(to)].clone()));
        let (me, other) = (self.names[by].clone(), self.names[1 - by].clone());
        match kind {
            Kind::Renew(to) => LeaseWrite::Renew { by: me, counter, checkpoint: progress(to) },
            Kind::Take { from, .. } => {
                LeaseWrite::Take { by: me, counter, from: self.name(from), latest_since: None }
            }
            Kind::Ask => LeaseWrite::RequestHandOver { from: other, to: me },
            Kind::Withdraw => LeaseWrite::WithdrawRequest { from: other, by: me },
            Kind::Finish(to) => {
                let checkpoint = progress(to);
                LeaseWrite::FinishHandOver { by: me, to: other, counter, checkpoint }
            }
            Kind::Release(to) => LeaseWrite::Release { by: me, counter, checkpoint: progress(to) },
        }
    }
}
