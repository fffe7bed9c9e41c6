//! The bytes of records that a worker has fetched and not settled, as far as they can be known from
//! the outside: never more than it has.

use std::collections::BTreeMap;

use shardwright::model::{Breach, Invariant, Position};

use crate::{stream::Place, world::WorkerNo};

#[derive(Default)]
pub(crate) struct Flight {
    /// The budget of every worker.
    pub(crate) budget: u64,
    fetched: BTreeMap<(WorkerNo, Place), Fetched>,
}

/// Records by where they end.
type Records = BTreeMap<Position, u64>;

#[derive(Default)]
struct Fetched {
    kept: Records,
    /// The last page. What a worker has no bytes for it lets go, and reads it again.
    last: Records,
}

impl Flight {
    pub(crate) fn add(
        &mut self,
        worker: WorkerNo,
        place: &Place,
        records: impl Iterator<Item = (Position, u64)>,
    ) {
        let page: Records = records.collect();
        let Some((first, _)) = page.first_key_value() else { return };
        let Fetched { kept, last } = self.fetched.entry((worker, place.clone())).or_default();
        last.retain(|position, _| position < first);
        kept.append(last);
        *last = page;
    }

    /// A lease changes hands: whoever held it (or one worker alone) throws away what it fetched.
    pub(crate) fn left(&mut self, place: &Place, worker: Option<WorkerNo>) {
        self.fetched.retain(|(who, of), _| of != place || worker.is_some_and(|one| one != *who));
    }

    pub(crate) fn gone(&mut self, worker: WorkerNo) {
        self.fetched.retain(|(who, _), _| *who != worker);
    }

    /// BD-1 for one worker: `open` answers the first record of a shard without an outcome, `sure`
    /// whether the worker certainly still works on it.
    pub(crate) fn check(
        &mut self,
        worker: WorkerNo,
        open: impl Fn(&Place) -> Option<Position>,
        sure: impl Fn(&Place) -> bool,
    ) -> Result<(), Breach> {
        let mut bytes = 0;
        for ((who, place), Fetched { kept, .. }) in &mut self.fetched {
            if *who != worker {
                continue;
            }
            match open(place) {
                Some(open) => kept.retain(|position, _| *position >= open),
                None => kept.clear(),
            }
            // A record that is larger than a shard's part of the budget is read alone.
            if sure(place) && kept.len() > 1 {
                bytes += kept.values().sum::<u64>();
            }
        }
        if bytes <= self.budget {
            return Ok(());
        }
        let what = format!("w{worker} holds {bytes} bytes, its budget is {}", self.budget);
        Err(Invariant::WithinBudget.broken(what))
    }
}
