//! The shards that this worker reads: how far behind, what is in flight, what is wrong.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::model::{EpochMillis, Lease, LeaseKey, ShardId, StreamName};

/// A shard that was not read for so long counts the time since then as lag. Longer than the pause
/// between two reads, and than the five seconds between two events of enhanced fan-out.
const STALLED: Duration = Duration::from_secs(10);

/// One shard that is being read.
#[derive(Debug)]
pub struct ShardMeter {
    stream: StreamName,
    shard: ShardId,
    since: Instant,
    state: Mutex<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// What the last page said, and when.
    behind: Option<(Duration, Instant)>,
    records: u64,
    bytes: u64,
    open: usize,
    oldest_open: Option<EpochMillis>,
    windows: usize,
    oldest_in_window: Option<EpochMillis>,
    read_error: Option<(Instant, String)>,
    /// Of each sink that did not take its last batch.
    sink_errors: BTreeMap<Arc<str>, (Instant, String)>,
}

/// A shard as it is now.
#[derive(Clone, Debug)]
pub struct ShardReading {
    /// Its stream.
    pub stream: StreamName,
    /// Its id.
    pub shard: ShardId,
    /// How far its reader is behind its tip: what Kinesis said last, and the time since then if that
    /// is long ago. `None` when nothing has been read yet, for a short while.
    pub behind: Option<Duration>,
    /// Records read since this worker has the lease.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// User records that have no outcome yet.
    pub open: usize,
    /// When Kinesis took the oldest of them. What only a window waits with is none of them.
    pub oldest_open: Option<EpochMillis>,
    /// Windows that are open.
    pub windows: usize,
    /// When Kinesis took the oldest record that the checkpoint waits for because of a window.
    pub oldest_in_window: Option<EpochMillis>,
    /// Why it could not be read, and when, if it still cannot.
    pub read_error: Option<(Instant, String)>,
    /// What a sink said when it did not take a batch, and when, if it has taken none since; of several
    /// the latest.
    pub sink_error: Option<(Instant, String)>,
}

impl ShardReading {
    /// How old the oldest record is that has no outcome yet; zero when clocks disagree.
    pub fn oldest_unsettled(&self, now: EpochMillis) -> Option<Duration> {
        Some(Duration::from_millis(now.millis_since(self.oldest_open?)))
    }
}

impl ShardMeter {
    fn new(stream: &StreamName, shard: &ShardId) -> Self {
        let (stream, shard, state) = (stream.clone(), shard.clone(), Mutex::default());
        Self { stream, shard, since: Instant::now(), state }
    }

    /// A page was read.
    pub fn page(&self, records: usize, bytes: u64, behind: Duration) {
        let mut state = self.lock();
        state.behind = Some((behind, Instant::now()));
        state.records += records as u64;
        state.bytes += bytes;
        state.read_error = None;
    }

    /// The shard cannot be read, and why. Not for what passes by itself, such as throttling.
    pub fn not_read(&self, why: &str) {
        self.lock().read_error = Some((Instant::now(), why.to_owned()));
    }

    /// What is under way now: user records, and when Kinesis took the oldest.
    pub fn under_way(&self, open: usize, oldest: Option<EpochMillis>) {
        let mut state = self.lock();
        (state.open, state.oldest_open) = (open, oldest);
    }

    /// Windows that are open now, and when Kinesis took the oldest record that one waits with.
    pub fn windows(&self, open: usize, oldest: Option<EpochMillis>) {
        let mut state = self.lock();
        (state.windows, state.oldest_in_window) = (open, oldest);
    }

    /// A sink took a batch of this shard, or said why not. What one takes says nothing of another.
    pub fn delivered(&self, sink: &Arc<str>, problem: Option<String>) {
        let mut state = self.lock();
        match problem {
            Some(problem) => {
                state.sink_errors.insert(Arc::clone(sink), (Instant::now(), problem));
            }
            None => drop(state.sink_errors.remove(sink)),
        }
    }

    fn reading(&self) -> ShardReading {
        let state = self.lock().clone();
        let (behind, at) = state.behind.map_or((None, self.since), |(b, at)| (Some(b), at));
        let silent = Some(at.elapsed()).filter(|silent| *silent > STALLED);
        let behind = match (behind, silent) {
            (Some(behind), silent) => Some(behind + silent.unwrap_or_default()),
            (None, silent) => silent,
        };
        ShardReading {
            stream: self.stream.clone(),
            shard: self.shard.clone(),
            behind,
            records: state.records,
            bytes: state.bytes,
            open: state.open,
            oldest_open: state.oldest_open,
            windows: state.windows,
            oldest_in_window: state.oldest_in_window,
            read_error: state.read_error,
            sink_error: state.sink_errors.into_values().max_by_key(|(at, _)| *at),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shards that are being read, and how long their streams keep records.
#[derive(Debug, Default)]
pub(super) struct Shards {
    open: Mutex<BTreeMap<LeaseKey, Arc<ShardMeter>>>,
    retention: Mutex<BTreeMap<StreamName, Duration>>,
}

/// While it lives, a shard is being read.
#[derive(Debug)]
pub struct ShardGuard {
    shards: Arc<Shards>,
    lease: LeaseKey,
    meter: Arc<ShardMeter>,
}

impl Drop for ShardGuard {
    fn drop(&mut self) {
        let mut open = self.shards.lock();
        // The next consumer of the same lease may have begun before this one is gone.
        if open.get(&self.lease).is_some_and(|meter| Arc::ptr_eq(meter, &self.meter)) {
            open.remove(&self.lease);
        }
    }
}

impl Shards {
    pub(super) fn open(shards: &Arc<Self>, stream: &StreamName, lease: &Lease) -> ShardGuard {
        let meter = Arc::new(ShardMeter::new(stream, &lease.shard));
        shards.lock().insert(lease.key.clone(), Arc::clone(&meter));
        ShardGuard { shards: Arc::clone(shards), lease: lease.key.clone(), meter }
    }

    pub(super) fn get(&self, lease: &LeaseKey) -> Arc<ShardMeter> {
        let known = self.lock().get(lease).cloned();
        let (stream, shard) = (StreamName::new(""), ShardId::new(lease.as_str()));
        known.unwrap_or_else(|| Arc::new(ShardMeter::new(&stream, &shard)))
    }

    pub(super) fn readings(&self) -> BTreeMap<LeaseKey, ShardReading> {
        self.lock().iter().map(|(key, meter)| (key.clone(), meter.reading())).collect()
    }

    pub(super) fn set_retention(&self, stream: &StreamName, retention: Duration) {
        let mut retentions = self.retention.lock().unwrap_or_else(PoisonError::into_inner);
        retentions.insert(stream.clone(), retention);
    }

    pub(super) fn retentions(&self) -> BTreeMap<StreamName, Duration> {
        self.retention.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<LeaseKey, Arc<ShardMeter>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Checkpoint;

    const TIP: Duration = Duration::ZERO;

    fn lease() -> Lease {
        let (key, shard) = (LeaseKey::new("k"), ShardId::new("shardId-0"));
        Lease::new(key, None, shard, Checkpoint::TrimHorizon)
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_that_is_not_read_falls_behind() {
        let shards = Arc::new(Shards::default());
        let _guard = Shards::open(&shards, &StreamName::new("s"), &lease());
        let meter = shards.get(&lease().key);
        let behind = || shards.readings().get(&lease().key).unwrap().behind;
        assert_eq!(behind(), None, "nobody knows yet");
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(behind(), Some(Duration::from_secs(30)), "never read: at least since then");
        meter.page(1, 10, Duration::from_secs(7));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(behind(), Some(Duration::from_secs(7)), "the next read is not due yet");
        tokio::time::advance(Duration::from_secs(55)).await;
        assert_eq!(behind(), Some(Duration::from_secs(67)));
        meter.page(0, 0, TIP);
        assert_eq!(behind(), Some(TIP));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_is_there_for_as_long_as_it_is_read() {
        let shards = Arc::new(Shards::default());
        let stream = StreamName::new("s");
        let first = Shards::open(&shards, &stream, &lease());
        let second = Shards::open(&shards, &stream, &lease());
        drop(first);
        assert_eq!(shards.readings().len(), 1, "the second consumer reads it");
        drop(second);
        assert!(shards.readings().is_empty());
        shards.get(&lease().key).page(1, 1, TIP);
        assert!(shards.readings().is_empty(), "nobody sees a meter without a guard");
    }

    #[tokio::test(start_paused = true)]
    async fn errors_last_until_it_works_again() {
        let shards = Arc::new(Shards::default());
        let _guard = Shards::open(&shards, &StreamName::new("s"), &lease());
        let meter = shards.get(&lease().key);
        let reading = || shards.readings().remove(&lease().key).unwrap();
        meter.not_read("not allowed: KMS says no");
        let (disk, web) = (Arc::from("disk"), Arc::from("web"));
        meter.delivered(&disk, Some("disk full".to_owned()));
        let now = reading();
        assert_eq!(now.read_error.unwrap().1, "not allowed: KMS says no");
        assert_eq!(now.sink_error.unwrap().1, "disk full");
        meter.page(0, 0, TIP);
        meter.delivered(&web, None);
        assert_eq!(reading().sink_error.unwrap().1, "disk full", "what web takes helps no disk");
        meter.delivered(&disk, None);
        assert!(reading().read_error.is_none() && reading().sink_error.is_none());
    }
}
