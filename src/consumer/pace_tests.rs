//! Polled shards that are written to all the time, on virtual time: how long records wait, and whose
//! bytes they are.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use rand::{SeedableRng, rngs::StdRng};
use tokio::time::{Instant, sleep};

use super::{
    ConsumerStream, Reservation,
    fetcher::Fetcher,
    fetcher_tests::{Answer, fetcher, page, record},
    pages::{Fetched, PageSource},
    testing::{START, VirtualClock},
};
use crate::{
    leasing::fixtures::{grant, lease},
    model::{EpochMillis, RawRecord, Shard, ShardId},
    ports::{ShardIterator, StartAt, StreamError, StreamReader, WallClock},
};

const SECOND: Duration = Duration::from_secs(1);

/// A shard that is written to all the time, with the limits of Kinesis.
struct Written {
    clock: Arc<VirtualClock>,
    /// Milliseconds between two records, and their size.
    every: u64,
    size: u32,
    state: Mutex<WrittenState>,
}

#[derive(Default)]
struct WrittenState {
    read: u64,
    calls: u64,
    refused: u64,
    free_at: Option<Instant>,
}

impl Written {
    fn record(&self, number: u64) -> RawRecord {
        let arrival = START + i64::try_from(number * self.every).unwrap();
        RawRecord {
            data: vec![0; self.size as usize].into(),
            arrival: EpochMillis(arrival),
            ..record(number)
        }
    }

    fn new(every: u64, size: u32) -> Arc<Self> {
        Arc::new(Self { clock: VirtualClock::start(), every, size, state: Mutex::default() })
    }
}

#[async_trait]
impl StreamReader for Written {
    async fn shards(&self) -> Result<Vec<Shard>, StreamError> {
        Ok(Vec::new())
    }

    async fn iterator(&self, _: &ShardId, _: &StartAt) -> Result<ShardIterator, StreamError> {
        Ok(ShardIterator("next".to_owned()))
    }

    async fn records(&self, _: &ShardIterator, limit: u32) -> Answer {
        sleep(Duration::from_millis(10)).await;
        let mut state = self.state.lock().unwrap();
        state.calls += 1;
        let now = Instant::now();
        if state.free_at.is_some_and(|free| now < free) {
            state.refused += 1;
            return Err(StreamError::Throttled);
        }
        let put = self.clock.now().millis_since(EpochMillis(START)) / self.every;
        let most = u64::from(limit).min((10 << 20) / u64::from(self.size));
        let last = put.min(state.read + most);
        let records: Vec<RawRecord> =
            (state.read..last).map(|read| self.record(read + 1)).collect();
        state.read = last;
        let read = u32::try_from(records.len()).unwrap();
        let paid = f64::from(read) * f64::from(self.size) / 2.2e6;
        state.free_at = Some(now + Duration::from_secs_f64(paid));
        let behind = Duration::from_millis(self.every * (put - last));
        Ok(page(records, behind))
    }
}

/// How long each record had to wait until its page was there.
async fn waits(shard: &Arc<Written>, fetcher: &mut Fetcher, time: Duration) -> Vec<Duration> {
    let end = Instant::now() + time;
    let mut waits = Vec::new();
    while let Ok(Fetched::Page(records, _)) = tokio::time::timeout_at(end, fetcher.next()).await {
        let now = shard.clock.now();
        waits.extend(records.iter().map(|r| Duration::from_millis(now.millis_since(r.arrival))));
    }
    waits.sort_unstable();
    waits
}

#[tokio::test(start_paused = true)]
async fn at_the_tip_half_of_the_records_wait_less_than_300_ms() {
    for every in [20, 900, 7_000] {
        let shard = Written::new(every, 100);
        let reader = Arc::clone(&shard) as Arc<dyn StreamReader>;
        let (mut fetcher, _) = fetcher(lease("s").build(), reader, None, 64 << 20);
        let waits = waits(&shard, &mut fetcher, 300 * SECOND).await;
        let median = waits[waits.len() / 2];
        assert!(median < Duration::from_millis(300), "one every {every} ms waits {median:?}");
        let state = shard.state.lock().unwrap();
        assert_eq!(state.refused, 0);
        assert!(state.calls <= 4 * 300 + 1, "{} calls", state.calls);
    }
}

#[tokio::test(start_paused = true)]
async fn behind_the_shards_two_megabytes_a_second_are_used_up() {
    // Half a minute of 20 MB a second lies there already, and more comes than can be read.
    let shard = Written::new(1, 20_000);
    sleep(30 * SECOND).await;
    let reader = Arc::clone(&shard) as Arc<dyn StreamReader>;
    let (mut fetcher, _) = fetcher(lease("s").build(), reader, None, 64 << 20);
    let read = waits(&shard, &mut fetcher, 120 * SECOND).await.len() * 20_000;
    assert!(read > 110 * 2_000_000, "{read} bytes in two minutes");
    let state = shard.state.lock().unwrap();
    assert_eq!(state.refused, 0);
    assert!(state.calls < 120, "pages are full: {} calls", state.calls);
}

#[tokio::test(start_paused = true)]
async fn records_of_ten_mebibytes_are_read_within_a_small_budget() {
    let shard = Written::new(5_000, 10 << 20);
    let reader = Arc::clone(&shard) as Arc<dyn StreamReader>;
    let (mut fetcher, _) = fetcher(lease("s").build(), reader, None, 1 << 20);
    assert!(waits(&shard, &mut fetcher, 60 * SECOND).await.len() >= 8);
}

#[tokio::test(start_paused = true)]
async fn shards_that_are_stuck_do_not_starve_the_others() {
    const SHARDS: usize = 20;
    let shards: Vec<_> = (0..SHARDS).map(|_| Written::new(10, 5_000)).collect();
    let reader = Arc::clone(&shards[0]) as Arc<dyn StreamReader>;
    let (first, context) = fetcher(lease("s").build(), reader, None, 64 << 20);
    let mut fetchers = vec![first];
    for shard in &shards[1..] {
        let reader = Arc::clone(shard) as Arc<dyn StreamReader>;
        let stream = ConsumerStream { reader, ..context.streams[0].clone() };
        let (grant, _) = grant(lease("s").build());
        let rng = StdRng::seed_from_u64(1);
        fetchers.push(Fetcher::new(Arc::new(grant), Arc::clone(&context), &stream, rng));
    }
    let mut last = fetchers.pop().unwrap();
    // All others read what they can, and settle nothing.
    let mut held: Vec<Reservation> = Vec::new();
    for fetcher in &mut fetchers {
        while let Ok(Fetched::Page(_, reservation)) =
            tokio::time::timeout(10 * SECOND, fetcher.next()).await
        {
            held.push(reservation);
        }
    }
    assert!(held.len() > SHARDS, "they have read something");
    let read = waits(&shards[SHARDS - 1], &mut last, 60 * SECOND).await.len();
    assert!(read > 6_000, "{read} records: it does not even keep up");
}
