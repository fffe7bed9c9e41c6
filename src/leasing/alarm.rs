//! Broken invariants, seen in a running worker: logged and counted under their names.
//!
//! None can break while only workers of this kind and KCLs write to the table. One that does is a
//! bug, or somebody's hand: a table restored from a backup, a row edited or deleted while it was in
//! use, a server that answers records out of order. The worker refuses what would make it worse and
//! goes on.

use std::sync::atomic::{AtomicU64, Ordering};

use tracing::error;

use crate::model::{Breach, Invariant};

static RAISED: [AtomicU64; Invariant::ALL.len()] =
    [const { AtomicU64::new(0) }; Invariant::ALL.len()];

/// Says that an invariant does not hold.
pub fn raise(breach: &Breach) {
    if let Some(count) = RAISED.get(breach.invariant as usize) {
        count.fetch_add(1, Ordering::Relaxed);
    }
    error!(invariant = %breach.invariant, "{}: a bug, or another hand in the lease table", breach.what);
}

/// How often an invariant was found broken in this process.
pub fn raised(invariant: Invariant) -> u64 {
    RAISED.get(invariant as usize).map_or(0, |count| count.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_invariant_has_its_count() {
        for (index, invariant) in Invariant::ALL.into_iter().enumerate() {
            assert_eq!(invariant as usize, index, "{invariant} is out of place");
        }
        let before = raised(Invariant::ReachesTip);
        raise(&Invariant::ReachesTip.broken("a test"));
        assert_eq!(raised(Invariant::ReachesTip), before + 1);
    }
}
