//! Keeping the set of leases right: shard syncs, and leases that are done with.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rand::RngExt;
use tokio::time::Instant;
use tracing::warn;

use super::Coordinator;
use crate::{
    leasing::{
        LeasedStream, operations, plan,
        shard_sync::{SyncError, Synced},
    },
    model::{HashKeyRange, Lease, ShardId, rounded},
};

/// First pause after a listing of shards that failed or changed nothing, doubled up to
/// [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_mins(1);
/// Scans in a row that must show a hole before shards are listed: a scan is no snapshot, and a single
/// one may miss a row that was just put.
const SCANS_BEFORE_SYNC: u32 = 2;
/// How often shards are listed for leases of which only the stream can say what they are worth (KCL
/// `LeaseCleanupConfig.garbageLeaseCleanupIntervalMillis`).
const AUDIT_INTERVAL: Duration = Duration::from_mins(30);

/// What is known of the leases that a stream lacks, and what is done about it.
#[derive(Clone, Debug)]
pub(super) struct SyncState {
    /// A part of the key space without a lease.
    hole: Option<HashKeyRange>,
    /// Scans in a row that showed a hole.
    scans: u32,
    /// A shard cannot be ended before a lease is created.
    asked: bool,
    running: bool,
    /// Listings in a row that failed, or left the hole where it was.
    in_vain: u32,
    /// Shards are not listed again before this.
    not_before: Instant,
    /// When leases without a hash range or without children are looked into again.
    next_audit: Instant,
}

impl SyncState {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            hole: None,
            scans: 0,
            asked: false,
            running: false,
            in_vain: 0,
            not_before: now,
            next_audit: now,
        }
    }

    /// Takes in a scan; `true` when the stream's shards should be listed.
    fn see(&mut self, own: &[&Lease], now: Instant) -> bool {
        self.hole = plan::first_hole(own.iter().copied());
        self.scans = if self.hole.is_some() { self.scans + 1 } else { 0 };
        let lacking = self.scans > 0 && (own.is_empty() || self.scans >= SCANS_BEFORE_SYNC);
        let unclear = now >= self.next_audit && any_unclear(own);
        !self.running && now >= self.not_before && (lacking || unclear || self.asked)
    }

    /// Pauses for longer each time; answers for how long.
    fn pause(&mut self, jitter: f64) -> Duration {
        let pause = (RETRY_MIN * 2u32.saturating_pow(self.in_vain)).min(RETRY_MAX);
        self.in_vain = (self.in_vain + 1).min(12);
        self.not_before = Instant::now() + pause.mul_f64(jitter);
        pause
    }
}

/// Whether there is a lease of which only the stream can say what it is worth.
fn any_unclear(own: &[&Lease]) -> bool {
    let leased: BTreeSet<&ShardId> = own.iter().map(|lease| &lease.shard).collect();
    let unclear = |lease: &&Lease| {
        plan::may_be_garbage(lease, &leased) || (!lease.ended() && lease.hash_range.is_none())
    };
    own.iter().any(unclear)
}

impl Coordinator {
    pub(super) fn start_syncs(&mut self, leases: &[Lease]) {
        let now = Instant::now();
        for (index, stream) in self.streams.iter().enumerate() {
            let Some(sync) = self.syncs.get_mut(index).filter(|_| stream.identifier.known()) else {
                continue;
            };
            let own: Vec<&Lease> =
                leases.iter().filter(|lease| stream.identifier.owns(lease)).collect();
            if sync.see(&own, now) {
                sync.running = true;
                sync.asked = false;
                let own = own.into_iter().cloned().collect();
                let store = Arc::clone(&self.store);
                self.operations.push(operations::sync(store, index, stream.clone(), own));
            }
        }
    }

    /// Has the shards listed with the next scan: an end waits for a lease that the key space does not
    /// miss.
    pub(super) fn ask_for_sync(&mut self, stream: usize) {
        if let Some(sync) = self.syncs.get_mut(stream) {
            sync.asked = true;
        }
    }

    pub(super) fn synced(&mut self, stream: usize, result: Result<Synced, SyncError>) {
        let jitter = self.rng.random_range(0.5..1.0);
        let (Some(sync), Some(LeasedStream { name: stream, .. })) =
            (self.syncs.get_mut(stream), self.streams.get(stream))
        else {
            return;
        };
        sync.running = false;
        match result {
            Ok(Synced { created, mended }) => {
                sync.next_audit = Instant::now() + AUDIT_INTERVAL.mul_f64(jitter);
                if created + mended > 0 {
                    sync.in_vain = 0;
                    self.next_scan = Instant::now();
                } else if let Some(hole) = sync.hole {
                    let retry_in = rounded(sync.pause(jitter));
                    warn!(%stream, first = hole.start.0, last = hole.end.0, ?retry_in,
                        "no lease covers these hash keys, and the stream lists no shard for them");
                }
            }
            Err(error) => {
                let retry_in = rounded(sync.pause(jitter));
                warn!(%stream, %error, ?retry_in,
                    "cannot create leases for the stream, will retry");
            }
        }
    }

    pub(super) fn start_deletes(&mut self, leases: &[Lease]) {
        for key in plan::retirable(leases) {
            let Some(lease) = leases.iter().find(|lease| lease.key == key) else { continue };
            if self.pending.insert(key) {
                let store = Arc::clone(&self.store);
                self.operations.push(operations::delete(store, lease.clone()));
            }
        }
    }
}
