//! Where a shard is read from, polled or pushed.

use std::sync::Arc;

use tracing::warn;

use crate::{
    leasing::LeaseGrant,
    model::{Checkpoint, InitialPosition, Lease, SequenceNumber},
    ports::{StartAt, StreamReader},
};

/// The line about a place that is [`Refusal::TooEarly`].
pub(super) const TOO_EARLY: &str =
    "the time to begin at is not reached by Kinesis's clock, will retry";

/// What it means that Kinesis does not accept a place.
pub(super) enum Refusal {
    /// Another place is asked for next.
    Moved,
    /// Its time is not reached by the clock of Kinesis ("The timestampInMillis parameter cannot be greater than
    /// the currentTimestampInMillis"): the one of whoever took the shard first is ahead, or a reader is to
    /// begin later. The same place is asked for again, for nothing that is kept belongs to it.
    TooEarly,
    /// It was the last one to try.
    Final,
}

/// The place in a shard where reading goes on.
pub(super) struct Place {
    grant: Arc<LeaseGrant>,
    start: StartAt,
}

impl Place {
    pub(super) fn new(grant: Arc<LeaseGrant>, initial: InitialPosition) -> Self {
        let start = start_at(&grant.lease, grant.first, initial);
        Self { grant, start }
    }

    pub(super) fn start(&self) -> &StartAt {
        &self.start
    }

    /// Kinesis has accepted the place. Should the way there be lost, the next one must not skip what
    /// came in between.
    pub(super) fn accepted(&mut self) {
        if let (StartAt::Latest, Some(since)) = (&self.start, self.grant.lease.latest_since) {
            self.start = StartAt::Timestamp(since);
        }
    }

    /// Everything up to here was read.
    pub(super) fn read(&mut self, last: &SequenceNumber) {
        self.start = StartAt::After(last.clone());
    }

    /// The last record read, if there was any.
    pub(super) fn last_read(&self) -> Option<&SequenceNumber> {
        match &self.start {
            StartAt::After(last) => Some(last),
            _ => None,
        }
    }

    /// Kinesis does not accept the place. A position has been trimmed, or belongs to another stream of
    /// that name: everything kept is read, and what was processed already is recognised by its position.
    pub(super) fn refused(&mut self, reason: &str) -> Refusal {
        match self.start {
            StartAt::TrimHorizon => Refusal::Final,
            StartAt::Timestamp(_) => Refusal::TooEarly,
            StartAt::Latest | StartAt::At(_) | StartAt::After(_) => {
                warn!(lease = %self.grant.lease.key, %reason,
                    "position refused, reading from the oldest record kept");
                self.start = StartAt::TrimHorizon;
                Refusal::Moved
            }
        }
    }

    /// Whether the stream exists but no longer lists this shard.
    pub(super) async fn shard_is_gone(&self, reader: &dyn StreamReader) -> bool {
        let shards = reader.shards().await;
        shards.is_ok_and(|shards| {
            !shards.is_empty() && shards.iter().all(|shard| shard.id != self.grant.lease.shard)
        })
    }
}

/// Where reading begins. A record that was checkpointed is read again, since it may be an aggregate
/// that is half done; what was processed is dropped by its position (KCL `IteratorBuilder`).
///
/// `LATEST` means now only once: a shard on which nothing came before a restart is read from where it
/// was first taken (the KCL skips what came in between), and a shard of that stream whose lease was
/// created later, from when the first of the stream was. `first` is whether this is the first take.
pub fn start_at(lease: &Lease, first: bool, initial: InitialPosition) -> StartAt {
    match (&lease.checkpoint, initial) {
        (Checkpoint::After(position), _) => StartAt::At(position.sequence.clone()),
        (Checkpoint::Latest, _) => match lease.latest_since.filter(|_| !first) {
            Some(since) => StartAt::Timestamp(since),
            None => StartAt::Latest,
        },
        (Checkpoint::AtTimestamp, InitialPosition::AtTimestamp(time)) => StartAt::Timestamp(time),
        _ => lease.latest_since.map_or(StartAt::TrimHorizon, StartAt::Timestamp),
    }
}
