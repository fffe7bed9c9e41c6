//! What should not happen: broken invariants, and records that were trimmed before they were read.
//!
//! No invariant can break while only workers of this kind and KCLs write to the table. One that does
//! is a bug, or somebody's hand: a table restored from a backup, a row edited or deleted while it was
//! in use, a server that answers records out of order. The worker refuses what would make it worse
//! and goes on.

use std::sync::atomic::{AtomicU64, Ordering};

use tracing::error;

use crate::model::{Breach, Invariant};

/// How records were lost to the stream's retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// A shard left the stream before it was read to its end.
    Shard,
    /// A position was trimmed before a reader came back to it.
    Gap,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Shard, Self::Gap];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shard => "shard",
            Self::Gap => "gap",
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Alarms {
    raised: [AtomicU64; Invariant::ALL.len()],
    lost: [AtomicU64; Loss::ALL.len()],
}

impl Alarms {
    pub(super) fn raise(&self, breach: &Breach) {
        add_one(self.raised.get(breach.invariant as usize));
        error!(invariant = %breach.invariant, "{}: a bug, or another hand in the lease table", breach.what);
    }

    pub(super) fn raised(&self, invariant: Invariant) -> u64 {
        read(self.raised.get(invariant as usize))
    }

    pub(super) fn lost(&self, loss: Loss) {
        add_one(self.lost.get(loss as usize));
    }

    pub(super) fn losses(&self, loss: Loss) -> u64 {
        read(self.lost.get(loss as usize))
    }
}

fn add_one(count: Option<&AtomicU64>) {
    count.map(|count| count.fetch_add(1, Ordering::Relaxed));
}

fn read(count: Option<&AtomicU64>) -> u64 {
    count.map_or(0, |count| count.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_invariant_and_each_loss_has_its_count() {
        let alarms = Alarms::default();
        for (index, invariant) in Invariant::ALL.into_iter().enumerate() {
            assert_eq!(invariant as usize, index, "{invariant} is out of place");
            assert_eq!(alarms.raised(invariant), 0);
            alarms.raise(&invariant.broken("a test"));
            assert_eq!(alarms.raised(invariant), 1);
        }
        for loss in Loss::ALL {
            alarms.lost(loss);
            assert_eq!(alarms.losses(loss), 1, "{}", loss.name());
        }
    }
}
