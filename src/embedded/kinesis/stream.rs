//! One stream: settings, status, and its shards with their lineage.

use std::collections::BTreeMap;

use super::consumer::Consumers;
use super::error::ApiError;
use super::hash_range::HashRange;
use super::shard::Shard;
use super::tags::Tags;

const HOUR_MS: u64 = 3_600_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Provisioned,
    OnDemand,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Creating,
    Active,
    Updating,
    Deleting,
}

/// A change that has been accepted and takes effect at the end of its status window.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    Create {
        shards: u32,
    },
    Delete,
    Split {
        shard: u32,
        at: u128,
    },
    Merge {
        shard: u32,
        adjacent: u32,
    },
    Resize {
        target: u32,
    },
    /// The setting itself has changed already.
    Setting,
}

#[derive(Debug)]
struct Pending {
    due_ms: u64,
    change: Change,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) name: String,
    pub(super) arn: String,
    /// Tells a stream from an earlier one of the same name.
    pub(super) id: u128,
    pub(super) created_ms: u64,
    pub(super) mode: Mode,
    pub(super) retention_hours: u64,
    pub(super) max_record_kib: u64,
    /// The KMS key that its records are said to be encrypted with.
    pub(super) encryption_key: Option<String>,
    pub(super) tags: Tags,
    pub(super) shards: BTreeMap<u32, Shard>,
    pub(super) consumers: Consumers,
    /// The start of each open shard's hash range, for routing.
    open: BTreeMap<u128, u32>,
    next_shard: u32,
    pending: Option<Pending>,
    deleted: bool,
}

impl Stream {
    pub(super) fn new(
        name: String,
        arn: String,
        mode: Mode,
        max_record_kib: u64,
        now_ms: u64,
    ) -> Self {
        Self {
            name,
            arn,
            id: uuid::Uuid::new_v4().as_u128(),
            created_ms: now_ms,
            mode,
            retention_hours: 24,
            max_record_kib,
            encryption_key: None,
            tags: Tags::default(),
            shards: BTreeMap::new(),
            consumers: Consumers::default(),
            open: BTreeMap::new(),
            next_shard: 0,
            pending: None,
            deleted: false,
        }
    }

    pub(super) fn status(&self) -> Status {
        match self.pending.as_ref().map(|pending| &pending.change) {
            None => Status::Active,
            Some(Change::Create { .. }) => Status::Creating,
            Some(Change::Delete) => Status::Deleting,
            Some(_) => Status::Updating,
        }
    }

    /// Whether a deletion has taken effect.
    pub(super) fn is_deleted(&self) -> bool {
        self.deleted
    }

    /// Accepts a change that takes effect `window_ms` from now; at once if that is zero.
    pub(super) fn begin(&mut self, change: Change, now_ms: u64, window_ms: u64) {
        self.pending = Some(Pending { due_ms: now_ms.saturating_add(window_ms), change });
        self.settle(now_ms);
    }

    /// Brings the stream up to date: changes that are due, records and shards past retention.
    /// Every call settles the stream first, so nothing has to run in the background.
    pub(super) fn settle(&mut self, now_ms: u64) {
        if let Some(pending) = self.pending.take_if(|pending| pending.due_ms <= now_ms) {
            self.apply(pending.change, pending.due_ms);
        }
        self.consumers.settle(now_ms);
        let horizon_ms = self.horizon_ms(now_ms);
        self.shards.retain(|_, shard| {
            shard.trim(horizon_ms);
            shard.closed.is_none_or(|closed| closed.at_ms >= horizon_ms)
        });
    }

    /// When a change takes effect that somebody may wait for.
    pub(super) fn due_ms(&self) -> Option<u64> {
        self.pending.as_ref().map(|pending| pending.due_ms)
    }

    /// Wakes all subscriptions.
    pub(super) fn wake(&self) {
        self.shards.values().for_each(|shard| shard.news.send_replace(()));
    }

    fn apply(&mut self, change: Change, at_ms: u64) {
        match change {
            Change::Create { shards } => {
                for range in HashRange::even(shards) {
                    self.add_shard(range, &[], at_ms);
                }
                // The trim horizon starts with the first shards, or nothing was open at it.
                self.created_ms = at_ms;
            }
            Change::Delete => self.deleted = true,
            Change::Split { shard, at } => self.split(shard, at, at_ms),
            Change::Merge { shard, adjacent } => self.merge(shard, adjacent, at_ms),
            Change::Resize { target } => self.resize(target, at_ms),
            Change::Setting => {}
        }
    }

    /// Records that arrived before this instant are gone.
    pub(super) fn horizon_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.retention_hours.saturating_mul(HOUR_MS)).max(self.created_ms)
    }

    /// The open shards in the order of their hash ranges.
    #[cfg(test)]
    pub(super) fn open_shards(&self) -> impl Iterator<Item = &Shard> {
        self.open.values().filter_map(|number| self.shards.get(number))
    }

    pub(super) fn open_count(&self) -> usize {
        self.open.len()
    }

    /// The open shard that owns a hash key.
    pub(super) fn route(&mut self, hash: u128) -> Result<&mut Shard, ApiError> {
        let owner = self.open.range(..=hash).next_back().map(|(_, number)| *number);
        owner
            .and_then(|number| self.shards.get_mut(&number))
            .ok_or_else(|| ApiError::internal("no open shard owns the hash key"))
    }

    /// Adds an open shard and returns its number.
    pub(super) fn add_shard(&mut self, range: HashRange, parents: &[u32], at_ms: u64) -> u32 {
        let number = self.next_shard;
        self.next_shard += 1;
        let above_parents = parents
            .iter()
            .filter_map(|parent| self.shards.get(parent))
            .map(|parent| parent.epoch_second + 1)
            .max();
        let epoch_second = (at_ms / 1000).max(above_parents.unwrap_or(0));
        let shard = Shard::new(number, range, parents.to_vec(), epoch_second, at_ms);
        self.shards.insert(number, shard);
        self.open.insert(range.start, number);
        number
    }

    /// Closes a shard in favour of children that exist already and cover its range.
    pub(super) fn close_shard(&mut self, number: u32, children: &[u32], at_ms: u64) {
        let Some(shard) = self.shards.get_mut(&number) else {
            return;
        };
        shard.close(at_ms, children.to_vec());
        let start = shard.range.start;
        // A child may have taken the parent's place at the same start.
        if self.open.get(&start) == Some(&number) {
            self.open.remove(&start);
        }
    }
}
