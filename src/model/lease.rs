//! Leases: rows of the KCL's table.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use super::{Checkpoint, EpochMillis, HashKeyRange, Position, ShardId, shard::name};

/// The key of a lease: the shard id in a table of one stream, or
/// `account:stream:epoch:shardId` in a table of several (KCL `MultiStreamLease`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseKey(Arc<str>);

/// The name of a worker of the fleet, unique among all that live.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(Arc<str>);

name!(LeaseKey);
name!(WorkerId);

/// One row of the lease table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// `leaseKey`.
    pub key: LeaseKey,
    /// `streamName`: the stream identifier `account:stream:epoch`, in a table of several streams.
    pub stream: Option<Arc<str>>,
    /// `shardId`, or the key itself in a table of one stream.
    pub shard: ShardId,
    /// `leaseCounter`: the fencing token; every change of owner or checkpoint raises it.
    pub counter: u64,
    /// `leaseOwner`: who owns the lease, or will once the hand-over is done.
    pub owner: Option<WorkerId>,
    /// `checkpointOwner`: who still reads and checkpoints while a hand-over is going on.
    pub checkpoint_owner: Option<WorkerId>,
    /// `checkpoint` and `checkpointSubSequenceNumber`.
    pub checkpoint: Checkpoint,
    /// `checkpointArrival`, an attribute of ours: when Kinesis took the record of the last checkpoint
    /// that a worker of ours wrote. One by a Java worker leaves it as it was, so it may be too old.
    pub arrival: Option<EpochMillis>,
    /// `checkpointWatermarks`, an attribute of ours: how far the windows of routes had come at a
    /// checkpoint. It names the position, so that one which a Java worker left behind is recognised.
    pub watermarks: Option<Arc<str>>,
    /// `pendingCheckpoint…`: what the holder has prepared and not checkpointed yet.
    pub pending: Option<PendingCheckpoint>,
    /// `latestSince`, an attribute of ours: when a shard was first taken that is read from `LATEST`, or
    /// the one from which it descends. While it has no checkpoint a later reader begins there, so that
    /// what came in between is read.
    pub latest_since: Option<EpochMillis>,
    /// `ownerSwitchesSinceCheckpoint`.
    pub owner_switches: u64,
    /// `parentShardId`: bare shard ids.
    pub parents: Vec<ShardId>,
    /// `childShardIds`: bare shard ids, known once the shard has ended.
    pub children: Vec<ShardId>,
    /// `startingHashKey` and `endingHashKey`.
    pub hash_range: Option<HashKeyRange>,
}

/// How far a shard is processed, as one write tells the table (KCL `DynamoDBLeaseSerializer`, the
/// update of a checkpoint).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// When Kinesis took the record of the checkpoint, if that is known.
    pub arrival: Option<EpochMillis>,
    /// How far the windows of routes have come there; without them the row keeps what it has.
    pub watermarks: Option<Arc<str>>,
    /// What is prepared beyond the checkpoint. A write without it clears what was prepared before.
    pub pending: Option<PendingCheckpoint>,
}

/// A checkpoint that was announced before the work up to it was made visible, with what its next
/// owner needs to finish it (KCL `prepareCheckpoint`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingCheckpoint {
    /// `pendingCheckpoint` and `pendingCheckpointSubSequenceNumber`.
    pub position: Position,
    /// `pendingCheckpointState`: whatever the one who prepared it wants to find again.
    pub state: Option<Bytes>,
}

impl Lease {
    /// A lease that nobody has held yet; `stream` in a table of several streams.
    pub fn new(
        key: LeaseKey,
        stream: Option<Arc<str>>,
        shard: ShardId,
        checkpoint: Checkpoint,
    ) -> Self {
        Self {
            key,
            stream,
            shard,
            counter: 0,
            owner: None,
            checkpoint_owner: None,
            checkpoint,
            arrival: None,
            watermarks: None,
            pending: None,
            latest_since: None,
            owner_switches: 0,
            parents: Vec::new(),
            children: Vec::new(),
            hash_range: None,
        }
    }

    /// Who may read and checkpoint now (KCL `Lease.actualOwner`).
    pub fn holder(&self) -> Option<&WorkerId> {
        self.checkpoint_owner.as_ref().or(self.owner.as_ref())
    }

    /// Whether nobody has held this lease since it was created.
    pub fn never_held(&self) -> bool {
        self.counter == 0 && self.holder().is_none() && self.checkpoint.is_start()
    }

    /// Whether reading of the shard has begun: it has a checkpoint of a position, or a worker of ours took
    /// it to read it from `LATEST`, which leaves no checkpoint while nothing comes.
    pub fn begun(&self) -> bool {
        let from_latest = self.checkpoint == Checkpoint::Latest && self.latest_since.is_some();
        from_latest || !self.checkpoint.is_start()
    }

    /// Whether the shard is to be read from `LATEST`, and no worker of ours has begun: it stands for
    /// "from now on".
    pub fn awaits_latest(&self) -> bool {
        self.checkpoint == Checkpoint::Latest && self.latest_since.is_none()
    }

    /// Whether the shard has been processed to its end.
    pub fn ended(&self) -> bool {
        self.checkpoint == Checkpoint::ShardEnd
    }

    /// The condition of a delete: whether the row is as it was when it was `seen`. One that was deleted and
    /// created again begins at the same counter.
    pub fn is_as(&self, seen: &Self) -> bool {
        self.counter == seen.counter && self.checkpoint == seen.checkpoint
    }

    /// Takes in what a write tells of the shard's progress.
    pub(super) fn set_checkpoint(&mut self, progress: Option<&Progress>) {
        if let Some(Progress { checkpoint, arrival, watermarks, pending }) = progress {
            self.checkpoint = checkpoint.clone();
            self.arrival = arrival.or(self.arrival);
            self.watermarks = watermarks.clone().or(self.watermarks.take());
            self.pending.clone_from(pending);
            self.owner_switches = 0;
        }
    }
}

impl From<Checkpoint> for Progress {
    fn from(checkpoint: Checkpoint) -> Self {
        Self { checkpoint, arrival: None, watermarks: None, pending: None }
    }
}
