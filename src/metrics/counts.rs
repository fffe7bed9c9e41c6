//! What became of records and events, per stream.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{etl::Tally, model::StreamName};

/// The counts of a process.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<BTreeMap<StreamName, Tally>>);

impl Counts {
    pub(super) fn add(&self, stream: &StreamName, tally: Tally) {
        let mut streams = self.lock();
        match streams.get_mut(stream) {
            Some(sum) => *sum += tally,
            None => drop(streams.insert(stream.clone(), tally)),
        }
    }

    pub(super) fn all(&self) -> Tally {
        let mut all = Tally::default();
        self.lock().values().for_each(|tally| all += tally.clone());
        all
    }

    pub(super) fn each(&self) -> BTreeMap<StreamName, Tally> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<StreamName, Tally>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
