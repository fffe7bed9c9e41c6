//! What the tests of several files share.

use std::{collections::BTreeMap, sync::Mutex};

use async_trait::async_trait;

use super::effect::{Reading, Unread};
use crate::{
    model::{Checkpoint, EpochMillis, Lease, LeaseKey, LeaseWrite, Position},
    ports::{LeaseStore, StoreError, Swap},
};

/// `20@21`: the checkpoint 20, whose first unread record is 21; `20@` when there is none;
/// `LATEST@21` one that a worker has begun with.
pub(super) fn reading(text: &str) -> Reading {
    let (checkpoint, unread) = text.split_once('@').unwrap();
    let position = |number: &str| {
        let (sequence, sub_sequence) = number.split_once(':').unwrap_or((number, "0"));
        Position {
            sequence: sequence.parse().unwrap(),
            sub_sequence: sub_sequence.parse().unwrap(),
        }
    };
    let (text, sub_sequence) = checkpoint.split_once(':').unwrap_or((checkpoint, "0"));
    Reading {
        checkpoint: Checkpoint::parse(text, sub_sequence.parse().unwrap()).unwrap(),
        unread: (!unread.is_empty())
            .then(|| Unread { position: position(unread), arrival: EpochMillis(0) }),
        open: text == "LATEST" && unread.is_empty(),
    }
}

/// A lease table in memory. `meanwhile` is done to it before each write by somebody
/// else, the last first.
pub(super) struct FakeTable {
    rows: Mutex<BTreeMap<LeaseKey, Lease>>,
    pub(super) meanwhile: Mutex<Vec<LeaseWrite>>,
    pub(super) answers_are_lost: bool,
}

impl FakeTable {
    pub(super) fn new(rows: impl IntoIterator<Item = Lease>) -> Self {
        let rows = rows.into_iter().map(|row| (row.key.clone(), row)).collect();
        Self { rows: Mutex::new(rows), meanwhile: Mutex::default(), answers_are_lost: false }
    }

    pub(super) fn row(&self, key: &LeaseKey) -> Option<Lease> {
        self.rows.lock().unwrap().get(key).cloned()
    }

    fn swap(&self, key: &LeaseKey, write: &LeaseWrite) -> Swap {
        let mut rows = self.rows.lock().unwrap();
        let row = rows.get(key).cloned();
        match row.as_ref().and_then(|row| write.apply(row)) {
            Some(next) => {
                rows.insert(key.clone(), next.clone());
                Swap::Applied(next)
            }
            None => Swap::Refused(row),
        }
    }

    fn interfere(&self, key: &LeaseKey) {
        if let Some(write) = self.meanwhile.lock().unwrap().pop() {
            assert!(matches!(self.swap(key, &write), Swap::Applied(_)), "{write:?}");
        }
    }
}

#[async_trait]
impl LeaseStore for FakeTable {
    async fn scan(&self) -> Result<Vec<Lease>, StoreError> {
        Ok(self.rows.lock().unwrap().values().cloned().collect())
    }

    async fn read(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        Ok(self.row(key))
    }

    async fn create(&self, _lease: &Lease) -> Result<bool, StoreError> {
        panic!("nothing here creates leases")
    }

    async fn write(&self, key: &LeaseKey, write: &LeaseWrite) -> Result<Swap, StoreError> {
        self.interfere(key);
        let swap = self.swap(key, write);
        if self.answers_are_lost { Err(StoreError::Unknown("lost".to_owned())) } else { Ok(swap) }
    }

    async fn delete(&self, lease: &Lease) -> Result<bool, StoreError> {
        self.interfere(&lease.key);
        let mut rows = self.rows.lock().unwrap();
        let fine = rows.get(&lease.key).is_none_or(|row| row.is_as(lease));
        if fine {
            rows.remove(&lease.key);
        }
        Ok(fine)
    }
}
