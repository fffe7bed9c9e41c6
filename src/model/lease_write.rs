//! The writes that may change a lease, and what they mean.
//!
//! [`LeaseWrite::apply`] is the meaning as a pure function. The DynamoDB adapter says the same as
//! condition and update expressions; the contract tests hold the two against each other.

use super::{Checkpoint, EpochMillis, HashKeyRange, Lease, Progress, ShardId, WorkerId};

/// One conditional write to an existing lease. It is applied as a whole or refused as a whole.
///
/// The conditions are the KCL's, made stronger by naming the owner; a Java worker reads the results
/// as its own (KCL `DynamoDBLeaseRefresher`, `DynamoDBLeaseSerializer`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseWrite {
    /// The holder keeps the lease, and records what it has done or prepared, if that is news.
    Renew {
        /// The holder.
        by: WorkerId,
        /// The counter it last knew.
        counter: u64,
        /// How far it has come, when that is news.
        checkpoint: Option<Progress>,
    },
    /// A worker takes a lease that is unowned, expired, handed over to it, or taken by force.
    /// Clears the mark of a hand-over.
    Take {
        /// The new owner.
        by: WorkerId,
        /// The counter it saw.
        counter: u64,
        /// The owner it saw.
        from: Option<WorkerId>,
        /// The time of day, for a shard that is read from `LATEST` and was never taken.
        latest_since: Option<EpochMillis>,
    },
    /// A worker asks the owner to hand the lease over. The owner goes on until it has drained, so
    /// the counter stays: the owner's next renewal must not fail.
    RequestHandOver {
        /// The owner.
        from: WorkerId,
        /// Who wants the lease.
        to: WorkerId,
    },
    /// The worker that asked for a hand-over is leaving and does not want the lease any more.
    WithdrawRequest {
        /// The owner, which keeps the lease.
        from: WorkerId,
        /// Who had asked.
        by: WorkerId,
    },
    /// The old owner has drained: the lease is the new owner's.
    FinishHandOver {
        /// The old owner.
        by: WorkerId,
        /// The new owner.
        to: WorkerId,
        /// The counter the old owner last knew.
        counter: u64,
        /// How far it came, when that is news.
        checkpoint: Option<Progress>,
    },
    /// The owner gives the lease up; anyone may take it at once.
    Release {
        /// The owner.
        by: WorkerId,
        /// The counter it last knew.
        counter: u64,
        /// How far it came, when that is news.
        checkpoint: Option<Progress>,
    },
    /// The shard is processed to its end. Its children's leases exist already.
    End {
        /// The holder.
        by: WorkerId,
        /// The counter it last knew.
        counter: u64,
        /// The shards that go on.
        children: Vec<ShardId>,
    },
    /// Anyone fills in the hash range that whoever created the lease left out. The counter stays, so
    /// the owner is not disturbed (KCL `updateLeaseWithMetaInfo`).
    FillHashRange {
        /// The shard's range.
        range: HashKeyRange,
    },
    /// An operator takes the lease from whoever has it; anyone may take it at once. Unlike every
    /// other write it may set the checkpoint back.
    Evict {
        /// The counter that was seen.
        counter: u64,
        /// The owner that was seen.
        owner: Option<WorkerId>,
        /// The mark of a hand-over that was seen.
        checkpoint_owner: Option<WorkerId>,
        /// Where its next owner begins, when that is to change. Then nothing stays that belongs to
        /// the old position: neither its arrival time nor the time of a first take at `LATEST`.
        checkpoint: Option<Box<Progress>>,
        /// The shards that go on, when the shard is declared ended; empty leaves them as they are.
        children: Vec<ShardId>,
    },
}

impl LeaseWrite {
    /// What the row looks like after this write, or `None` when its condition does not hold.
    pub fn apply(&self, row: &Lease) -> Option<Lease> {
        if !self.allowed(row) {
            return None;
        }
        let mut next = row.clone();
        match self {
            Self::Renew { checkpoint, .. } => {
                next.counter = row.counter.saturating_add(1);
                next.set_checkpoint(checkpoint.as_ref());
            }
            Self::Take { by, from, latest_since, .. } => {
                next.counter = row.counter.saturating_add(1);
                next.latest_since = row.latest_since.or(*latest_since);
                next.owner_switches += u64::from(from.as_ref().is_some_and(|owner| owner != by));
                next.owner = Some(by.clone());
                next.checkpoint_owner = None;
            }
            Self::RequestHandOver { from, to } => {
                next.owner = Some(to.clone());
                next.checkpoint_owner = Some(from.clone());
            }
            Self::WithdrawRequest { from, .. } => {
                next.owner = Some(from.clone());
                next.checkpoint_owner = None;
            }
            Self::FinishHandOver { checkpoint, .. } => {
                next.counter = row.counter.saturating_add(1);
                next.checkpoint_owner = None;
                next.set_checkpoint(checkpoint.as_ref());
            }
            Self::Release { checkpoint, .. } => {
                next.counter = row.counter.saturating_add(1);
                next.owner = None;
                next.set_checkpoint(checkpoint.as_ref());
            }
            Self::End { children, .. } => {
                next.counter = row.counter.saturating_add(1);
                next.owner = None;
                next.checkpoint_owner = None;
                next.children.clone_from(children);
                next.set_checkpoint(Some(&Checkpoint::ShardEnd.into()));
            }
            Self::FillHashRange { range } => next.hash_range = Some(*range),
            Self::Evict { checkpoint, children, .. } => {
                next.counter = row.counter.saturating_add(1);
                next.owner = None;
                next.checkpoint_owner = None;
                if !children.is_empty() {
                    next.children.clone_from(children);
                }
                next.set_checkpoint(checkpoint.as_deref());
                if let Some(progress) = checkpoint {
                    next.arrival = progress.arrival;
                    next.watermarks.clone_from(&progress.watermarks);
                    next.latest_since = None;
                }
            }
        }
        Some(next)
    }

    /// The condition of this write.
    fn allowed(&self, row: &Lease) -> bool {
        match self {
            Self::Renew { by, counter, .. } | Self::End { by, counter, .. } => {
                row.counter == *counter && row.holder() == Some(by)
            }
            Self::FillHashRange { .. } => row.hash_range.is_none(),
            Self::Take { counter, from, .. } => row.counter == *counter && row.owner == *from,
            Self::RequestHandOver { from, .. } => {
                row.owner.as_ref() == Some(from) && row.checkpoint_owner.is_none()
            }
            Self::WithdrawRequest { from, by } => {
                row.owner.as_ref() == Some(by) && row.checkpoint_owner.as_ref() == Some(from)
            }
            Self::FinishHandOver { by, to, counter, .. } => {
                row.counter == *counter
                    && row.owner.as_ref() == Some(to)
                    && row.checkpoint_owner.as_ref() == Some(by)
            }
            Self::Release { by, counter, .. } => {
                row.counter == *counter
                    && row.owner.as_ref() == Some(by)
                    && row.checkpoint_owner.is_none()
            }
            Self::Evict { counter, owner, checkpoint_owner, .. } => {
                row.counter == *counter
                    && row.owner == *owner
                    && row.checkpoint_owner == *checkpoint_owner
            }
        }
    }

    /// Whether `row`, read after a write whose answer was lost, shows that the write was applied. No row
    /// shows that a lease was taken: it may have been handed over to the same worker meanwhile, or be the
    /// trace of an earlier take, and the age of a grant counts from the very write that made it.
    pub fn shows_in(&self, row: &Lease) -> bool {
        let (counter, owner, holder) = match self {
            Self::Renew { by, counter, .. } => {
                return row.counter == counter.saturating_add(1) && row.holder() == Some(by);
            }
            Self::FillHashRange { range } => return row.hash_range == Some(*range),
            Self::RequestHandOver { from, to } => {
                return row.owner.as_ref() == Some(to)
                    && row.checkpoint_owner.as_ref() == Some(from);
            }
            Self::WithdrawRequest { from, .. } => return row.holder() == Some(from),
            Self::End { counter, .. } => {
                return row.counter == counter.saturating_add(1) && row.ended();
            }
            Self::Take { .. } => return false,
            Self::FinishHandOver { to, counter, .. } => (counter, Some(to), Some(to)),
            Self::Evict { checkpoint: Some(set), .. } if row.checkpoint != set.checkpoint => {
                return false;
            }
            Self::Release { counter, .. } | Self::Evict { counter, .. } => (counter, None, None),
        };
        row.counter == counter.saturating_add(1)
            && row.owner.as_ref() == owner
            && row.holder() == holder
    }

    /// The time that a take gives to a shard that is read from `LATEST`.
    pub fn latest_since(&self) -> Option<EpochMillis> {
        match self {
            Self::Take { latest_since, .. } => *latest_since,
            _ => None,
        }
    }

    /// The checkpoint that this write carries.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        match self {
            Self::Renew { checkpoint, .. }
            | Self::FinishHandOver { checkpoint, .. }
            | Self::Release { checkpoint, .. } => {
                checkpoint.as_ref().map(|progress| &progress.checkpoint)
            }
            Self::Evict { checkpoint, .. } => {
                checkpoint.as_ref().map(|progress| &progress.checkpoint)
            }
            Self::End { .. } => Some(&Checkpoint::ShardEnd),
            Self::Take { .. }
            | Self::RequestHandOver { .. }
            | Self::WithdrawRequest { .. }
            | Self::FillHashRange { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LeaseKey, PendingCheckpoint, Position};

    fn worker(name: &str) -> WorkerId {
        WorkerId::new(name)
    }

    fn owned_by(owner: Option<&str>) -> Lease {
        let (key, shard) = (LeaseKey::new("shardId-1"), ShardId::new("shardId-1"));
        let lease = Lease::new(key, None, shard, Checkpoint::TrimHorizon);
        Lease { counter: 5, owner: owner.map(worker), ..lease }
    }

    #[test]
    fn a_stale_counter_is_refused() {
        let row = owned_by(Some("a"));
        let renew = |counter| LeaseWrite::Renew { by: worker("a"), counter, checkpoint: None };
        assert_eq!(renew(5).apply(&row).unwrap().counter, 6);
        assert_eq!(renew(4).apply(&row), None);
        assert_eq!(renew(6).apply(&row), None);
    }

    #[test]
    fn a_hand_over_keeps_the_old_owner_until_it_is_done() {
        let row = owned_by(Some("a"));
        let asked =
            LeaseWrite::RequestHandOver { from: worker("a"), to: worker("b") }.apply(&row).unwrap();
        assert_eq!(asked.holder(), Some(&worker("a")));
        assert_eq!(asked.counter, row.counter);

        let withdraw = LeaseWrite::WithdrawRequest { from: worker("a"), by: worker("b") };
        assert_eq!(withdraw.apply(&asked).as_ref(), Some(&row), "as if it had never been asked");

        let renewed = LeaseWrite::Renew { by: worker("a"), counter: 5, checkpoint: None }
            .apply(&asked)
            .unwrap();
        let third = LeaseWrite::RequestHandOver { from: worker("b"), to: worker("c") };
        assert_eq!(third.apply(&renewed), None, "one hand-over at a time");

        let done = LeaseWrite::FinishHandOver {
            by: worker("a"),
            to: worker("b"),
            counter: 6,
            checkpoint: None,
        };
        let handed = done.apply(&renewed).unwrap();
        assert_eq!(handed.holder(), Some(&worker("b")));
        assert!(done.shows_in(&handed));
        let late = LeaseWrite::Renew { by: worker("a"), counter: 7, checkpoint: None };
        assert_eq!(late.apply(&handed), None, "the old owner is out");
    }

    #[test]
    fn a_take_fences_the_old_owner_and_counts_the_switch() {
        let row = owned_by(Some("a"));
        let take = LeaseWrite::Take {
            by: worker("b"),
            counter: 5,
            from: Some(worker("a")),
            latest_since: None,
        };
        let taken = take.apply(&row).unwrap();
        assert_eq!((taken.counter, taken.owner_switches), (6, 1));
        let renew = LeaseWrite::Renew { by: worker("a"), counter: 5, checkpoint: None };
        assert_eq!(renew.apply(&taken), None);
        assert!(!renew.shows_in(&taken));
        assert!(!take.shows_in(&taken), "it may have been handed over by a just as well");
    }

    #[test]
    fn the_time_of_the_first_take_stays() {
        let mut row = owned_by(None);
        row.checkpoint = Checkpoint::Latest;
        let take = |row: &Lease, time| LeaseWrite::Take {
            by: worker("b"),
            counter: row.counter,
            from: row.owner.clone(),
            latest_since: Some(EpochMillis(time)),
        };
        let first = take(&row, 7).apply(&row).unwrap();
        let again = take(&first, 9).apply(&first).unwrap();
        assert_eq!(again.latest_since, Some(EpochMillis(7)));
    }

    #[test]
    fn what_was_prepared_stays_until_a_checkpoint_is_written() {
        let row = owned_by(Some("a"));
        let position = Position { sequence: "12".parse().unwrap(), sub_sequence: 1 };
        let pending = PendingCheckpoint { position: position.clone(), state: None };
        let progress = Progress {
            watermarks: None,
            checkpoint: row.checkpoint.clone(),
            arrival: None,
            pending: Some(pending.clone()),
        };
        let prepare = LeaseWrite::Renew { by: worker("a"), counter: 5, checkpoint: Some(progress) };
        let prepared = prepare.apply(&row).unwrap();
        assert_eq!((prepared.counter, &prepared.checkpoint), (6, &row.checkpoint));

        let take = LeaseWrite::Take {
            by: worker("b"),
            counter: 6,
            from: Some(worker("a")),
            latest_since: None,
        };
        let taken = take.apply(&prepared).unwrap();
        assert_eq!(taken.pending, Some(pending), "the next owner finds it");
        let due = Checkpoint::After(position).into();
        let done = LeaseWrite::Renew { by: worker("b"), counter: 7, checkpoint: Some(due) };
        assert_eq!(done.apply(&taken).unwrap().pending, None);
    }

    #[test]
    fn the_end_frees_the_row_and_names_the_children() {
        let end = LeaseWrite::End {
            by: worker("a"),
            counter: 5,
            children: vec![ShardId::new("shardId-2"), ShardId::new("shardId-3")],
        };
        let ended = end.apply(&owned_by(Some("a"))).unwrap();
        assert!(ended.ended());
        assert_eq!(ended.owner, None);
        assert_eq!(ended.children.len(), 2);
        assert_eq!(end.apply(&owned_by(Some("b"))), None);
    }

    #[test]
    fn an_eviction_frees_the_row_as_it_was_seen_and_may_set_it_back() {
        let mut row = owned_by(Some("b"));
        row.checkpoint_owner = Some(worker("a"));
        row.checkpoint = Checkpoint::parse("77", 3).unwrap();
        row.owner_switches = 2;
        row.arrival = Some(EpochMillis(77_000));
        row.latest_since = Some(EpochMillis(5));
        let evict = |counter, owner: Option<&str>, checkpoint: Option<Checkpoint>| {
            let owner = owner.map(worker);
            let checkpoint = checkpoint.map(|checkpoint| Box::new(checkpoint.into()));
            let checkpoint_owner = Some(worker("a"));
            LeaseWrite::Evict { counter, owner, checkpoint_owner, checkpoint, children: vec![] }
        };
        let freed = evict(5, Some("b"), None).apply(&row).unwrap();
        assert_eq!((freed.holder(), freed.counter, freed.owner_switches), (None, 6, 2));
        assert_eq!((&freed.checkpoint, freed.arrival), (&row.checkpoint, row.arrival));
        let back = evict(5, Some("b"), Some(Checkpoint::Latest));
        let moved = back.apply(&row).unwrap();
        assert_eq!((&moved.checkpoint, moved.owner_switches), (&Checkpoint::Latest, 0));
        assert_eq!((moved.arrival, moved.latest_since), (None, None), "LATEST is found anew");
        assert!(back.shows_in(&moved));
        assert!(!back.shows_in(&freed), "the owner released it at the same moment");
        assert_eq!(evict(4, Some("b"), None).apply(&row), None, "renewed since");
        assert_eq!(evict(5, Some("c"), None).apply(&row), None, "another owner");
        assert_eq!(evict(5, Some("b"), None).apply(&owned_by(Some("b"))), None, "handed over");
    }
}
