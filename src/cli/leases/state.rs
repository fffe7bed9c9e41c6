//! What a lease is doing, in a word.

use std::fmt;

use serde::{Serialize, Serializer};

use super::pulse::Pulse;
use crate::{
    leasing::plan::{ByShard, ready},
    model::Lease,
};

/// The state of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Somebody owns it; only watching tells whether it is renewed.
    Owned,
    /// Its owner renewed nothing while it was watched.
    DeadOwner,
    /// Its owner lives, but did not renew this lease while it was watched.
    NotRenewed,
    /// The old owner drains, the new one waits.
    HandingOver,
    /// Anyone may take it.
    Unowned,
    /// A parent is not read to its end yet.
    Waiting,
    /// The shard is read to its end.
    Ended,
}

impl State {
    /// The state of a lease among the others of its table. `pulse` is what watching has shown, if
    /// anybody watched.
    pub(super) fn of(lease: &Lease, by_shard: &ByShard<'_>, pulse: Option<&Pulse>) -> Self {
        if lease.ended() {
            return Self::Ended;
        }
        let Some(holder) = lease.holder() else {
            return if ready(lease, by_shard) { Self::Unowned } else { Self::Waiting };
        };
        match pulse {
            Some(pulse) if !pulse.renews(&lease.key) => {
                if pulse.lives(holder) {
                    Self::NotRenewed
                } else {
                    Self::DeadOwner
                }
            }
            _ if lease.checkpoint_owner.is_some() => Self::HandingOver,
            _ => Self::Owned,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Owned => "owned",
            Self::DeadOwner => "dead owner",
            Self::NotRenewed => "not renewed",
            Self::HandingOver => "handing over",
            Self::Unowned => "unowned",
            Self::Waiting => "waiting for parents",
            Self::Ended => "ended",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        leasing::{fixtures::lease, plan::by_shard},
        model::{ShardId, WorkerId},
    };

    #[test]
    fn every_stage_of_life_has_its_word() {
        let mut handing = lease("1").owner("b").build();
        handing.checkpoint_owner = Some(WorkerId::new("a"));
        let mut child = lease("4").build();
        child.parents = vec![ShardId::new("0")];
        let mut orphan = lease("5").build();
        orphan.parents = vec![ShardId::new("trimmed")];
        let rows = [
            (lease("0").owner("a").build(), State::Owned),
            (handing, State::HandingOver),
            (lease("2").build(), State::Unowned),
            (lease("3").owner("a").ended().build(), State::Ended),
            (child, State::Waiting),
            (orphan, State::Unowned),
        ];
        let leases: Vec<Lease> = rows.iter().map(|(lease, _)| lease.clone()).collect();
        for (lease, expect) in rows {
            assert_eq!(State::of(&lease, &by_shard(&leases), None), expect, "{lease:?}");
        }
    }

    #[test]
    fn watching_tells_the_dead_from_the_living() {
        let at = |shard: &str, owner: &str, counter| Lease {
            counter,
            ..lease(shard).owner(owner).build()
        };
        let before = [at("0", "a", 1), at("1", "a", 1), at("2", "b", 1)];
        let after = [at("0", "a", 2), at("1", "a", 1), at("2", "b", 1)];
        let mut pulse = Pulse::new(&before);
        pulse.see(&after);
        let states = after.each_ref().map(|row| State::of(row, &by_shard(&after), Some(&pulse)));
        assert_eq!(states, [State::Owned, State::NotRenewed, State::DeadOwner]);
    }
}
