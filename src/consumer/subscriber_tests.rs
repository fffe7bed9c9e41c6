//! The subscriber's decisions, on virtual time against a stream that follows a script.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use rand::{SeedableRng, rngs::StdRng};
use tokio::time::{Instant, sleep};

use super::{
    ConsumerContext, ConsumerStream, FanOut,
    pages::{Fetched, PageSource, feed},
    subscriber::Subscriber,
    testing::context,
};
use crate::{
    leasing::{
        ConsumerExit,
        fixtures::{GrantHandle, grant, lease},
    },
    metrics::Loss,
    model::{
        Aggregates, Checkpoint, ChildShard, EpochMillis, Format, InitialPosition, Lease, Position,
        RawRecord, RecordPage, SequenceNumber, Shard, ShardId, StreamName,
    },
    ports::{ShardIterator, ShardSubscriber, StartAt, StreamError, StreamReader, Subscription},
};

type Page = RecordPage<SequenceNumber>;

const SECOND: Duration = Duration::from_secs(1);
const SHARD: &str = "shardId-000000000000";

/// What a subscription does, item by item; it ends after the last one.
enum Item {
    Event(Page),
    Pause(Duration),
    Fail(StreamError),
    /// Nothing any more, for good.
    Silence,
}

/// What becomes of an attempt to subscribe.
type Attempt = Result<Vec<Item>, StreamError>;

/// A stream of one shard that does as it is told. After the last attempt every further one begins a
/// subscription on which nothing happens.
struct Script {
    attempts: Mutex<VecDeque<Attempt>>,
    /// When it was subscribed to, and where.
    calls: Mutex<Vec<(Instant, StartAt)>>,
    /// Whether the shard is listed, and as open.
    listed: Mutex<Option<bool>>,
    listings: Mutex<u32>,
    /// What `GetRecords` answers, and where it was asked.
    polled: Mutex<Option<RecordPage<ShardIterator>>>,
    polls: Mutex<Vec<StartAt>>,
}

#[async_trait]
impl ShardSubscriber for Script {
    async fn subscribe(&self, _: &ShardId, start: &StartAt) -> Result<Subscription, StreamError> {
        self.calls.lock().unwrap().push((Instant::now(), start.clone()));
        let attempt = self.attempts.lock().unwrap().pop_front();
        let items = attempt.unwrap_or_else(|| Ok(vec![Item::Silence]))?;
        let items = stream::unfold(VecDeque::from(items), async |mut items| {
            loop {
                match items.pop_front()? {
                    Item::Event(page) => return Some((Ok(page), items)),
                    Item::Fail(problem) => return Some((Err(problem), VecDeque::new())),
                    Item::Pause(pause) => sleep(pause).await,
                    Item::Silence => std::future::pending().await,
                }
            }
        });
        Ok(items.boxed())
    }
}

#[async_trait]
impl StreamReader for Script {
    async fn shards(&self) -> Result<Vec<Shard>, StreamError> {
        *self.listings.lock().unwrap() += 1;
        let other = Shard {
            id: ShardId::new("shardId-000000000009"),
            parents: vec![],
            hash_range: None,
            open: true,
        };
        let open = *self.listed.lock().unwrap();
        let shard = open.map(|open| Shard { id: ShardId::new(SHARD), open, ..other.clone() });
        Ok(shard.into_iter().chain([other]).collect())
    }

    async fn iterator(&self, _: &ShardId, start: &StartAt) -> Result<ShardIterator, StreamError> {
        if self.listed.lock().unwrap().is_none() {
            return Err(StreamError::NotFound("the shard".to_owned()));
        }
        self.polls.lock().unwrap().push(start.clone());
        Ok(ShardIterator("place".to_owned()))
    }

    async fn records(
        &self,
        _: &ShardIterator,
        _: u32,
    ) -> Result<RecordPage<ShardIterator>, StreamError> {
        let page = self.polled.lock().unwrap().clone();
        page.ok_or_else(|| StreamError::Unavailable("no page".to_owned()))
    }
}

/// A subscriber to a script.
struct Bench {
    script: Arc<Script>,
    fan_out: Arc<FanOut>,
    context: Arc<ConsumerContext>,
    subscriber: Subscriber,
    handle: GrantHandle,
    began: Instant,
}

impl Bench {
    fn new(attempts: Vec<Attempt>) -> Self {
        Self::of(lease(SHARD).build(), attempts)
    }

    fn of(lease: Lease, attempts: Vec<Attempt>) -> Self {
        let script = Arc::new(Script {
            attempts: Mutex::new(attempts.into()),
            calls: Mutex::default(),
            listed: Mutex::new(Some(true)),
            listings: Mutex::default(),
            polled: Mutex::default(),
            polls: Mutex::default(),
        });
        let reader = Arc::clone(&script) as Arc<dyn StreamReader>;
        let subscriber = Arc::clone(&script) as Arc<dyn ShardSubscriber>;
        let fan_out = Arc::new(FanOut::new(subscriber, Arc::clone(&reader)));
        let stream = ConsumerStream {
            name: StreamName::new("s"),
            format: Format::Text,
            initial_position: InitialPosition::TrimHorizon,
            until: None,
            aggregates: Aggregates::default(),
            reader,
            fan_out: Some(Arc::clone(&fan_out)),
        };
        let context = Arc::new(context(stream.clone(), 1 << 20));
        let (grant, handle) = grant(lease);
        let subscriber = Subscriber::new(
            Arc::new(grant),
            Arc::clone(&context),
            &stream,
            Arc::clone(&fan_out),
            StdRng::seed_from_u64(7),
        );
        Self { script, fan_out, context, subscriber, handle, began: Instant::now() }
    }

    /// The payload numbers of the next page.
    async fn page(&mut self) -> Vec<u64> {
        match self.subscriber.next().await {
            Fetched::Page(records, _) => records.iter().map(number_of).collect(),
            Fetched::End(exit) => panic!("{exit:?}"),
            Fetched::Tip(_) => panic!("there are no windows"),
        }
    }

    async fn end(&mut self) -> ConsumerExit {
        match self.subscriber.next().await {
            Fetched::Page(records, _) => panic!("{records:?}"),
            Fetched::End(exit) => exit,
            Fetched::Tip(_) => panic!("there are no windows"),
        }
    }

    /// Lets the subscriber work for a while in which it must not hand anything on.
    async fn idle(&mut self, time: Duration) {
        let next = tokio::time::timeout(time, self.subscriber.next()).await;
        assert!(next.is_err(), "something was read");
    }

    /// Where it subscribed, and how long after the beginning.
    fn calls(&self) -> Vec<(Duration, StartAt)> {
        let calls = self.script.calls.lock().unwrap();
        calls.iter().map(|(at, start)| (*at - self.began, start.clone())).collect()
    }

    fn starts(&self) -> Vec<StartAt> {
        self.calls().into_iter().map(|(_, start)| start).collect()
    }

    fn close_shard(&self, polled: RecordPage<ShardIterator>) {
        *self.script.listed.lock().unwrap() = Some(false);
        *self.script.polled.lock().unwrap() = Some(polled);
    }

    fn listings(&self) -> u32 {
        *self.script.listings.lock().unwrap()
    }
}

fn number(number: u64) -> SequenceNumber {
    number.to_string().parse().unwrap()
}

fn number_of(record: &RawRecord) -> u64 {
    record.sequence.as_str().parse().unwrap()
}

fn records(numbers: &[u64]) -> Vec<RawRecord> {
    let record = |n: &u64| RawRecord {
        sequence: number(*n),
        partition_key: "k".to_owned(),
        data: Bytes::from_static(b"data"),
        arrival: EpochMillis(0),
    };
    numbers.iter().map(record).collect()
}

/// An event with these records and this `ContinuationSequenceNumber`.
fn event(numbers: &[u64], next: u64) -> Item {
    Item::Event(Page {
        records: records(numbers),
        next: Some(number(next)),
        behind_latest: Duration::ZERO,
        children: vec![],
    })
}

fn children() -> Vec<ChildShard> {
    let id = ShardId::new("shardId-000000000001");
    vec![ChildShard { id, parents: vec![ShardId::new(SHARD)], hash_range: None }]
}

/// The last event of a shard.
fn last(numbers: &[u64]) -> Item {
    let (records, children) = (records(numbers), children());
    Item::Event(Page { records, next: None, behind_latest: Duration::ZERO, children })
}

/// What `GetRecords` answers at the end of a closed shard.
fn polled(numbers: &[u64]) -> RecordPage<ShardIterator> {
    let (records, children) = (records(numbers), children());
    RecordPage { records, next: None, behind_latest: Duration::ZERO, children }
}

fn broken() -> StreamError {
    StreamError::Unavailable("connection reset".to_owned())
}

fn taken() -> StreamError {
    StreamError::Taken("another subscription".to_owned())
}

fn after(number_: u64) -> StartAt {
    StartAt::After(number(number_))
}

fn checkpointed(sequence: u64) -> Lease {
    let position = Position { sequence: number(sequence), sub_sequence: 1 };
    lease(SHARD).checkpoint(Checkpoint::After(position)).build()
}

#[tokio::test(start_paused = true)]
async fn events_are_pages_and_children_are_the_end() {
    let items = vec![event(&[1, 2], 2), event(&[], 2), event(&[3], 3), last(&[])];
    let mut bench = Bench::new(vec![Ok(items)]);
    assert_eq!((bench.page().await, bench.page().await), (vec![1, 2], vec![3]));
    assert_eq!(bench.end().await, ConsumerExit::ShardEnded(children()));
    assert_eq!(bench.starts(), [StartAt::TrimHorizon]);

    let mut bench = Bench::new(vec![Ok(vec![last(&[1])])]);
    assert_eq!(bench.page().await, [1], "the last records come with the children");
    assert_eq!(bench.end().await, ConsumerExit::ShardEnded(children()));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_is_renewed_at_once_where_it_ended() {
    let pulse = || [Item::Pause(5 * SECOND), event(&[], 9)];
    let mut first = vec![event(&[1], 1)];
    first.extend((0..60).flat_map(|_| pulse()));
    let mut bench = Bench::new(vec![Ok(first), Ok(vec![event(&[10], 10), Item::Silence])]);
    assert_eq!((bench.page().await, bench.page().await), (vec![1], vec![10]));
    let expect = [(Duration::ZERO, StartAt::TrimHorizon), (300 * SECOND, after(9))];
    assert_eq!(bench.calls(), expect);

    // Some servers break the connection instead.
    let mut first = vec![event(&[1], 1)];
    first.extend((0..60).flat_map(|_| pulse()));
    first.push(Item::Fail(broken()));
    let mut bench = Bench::new(vec![Ok(first), Ok(vec![event(&[10], 10)])]);
    assert_eq!((bench.page().await, bench.page().await), (vec![1], vec![10]));
    assert_eq!(bench.calls().last().unwrap().0, 300 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_continuation_replaces_nothing_that_was_not_read() {
    // Before the first record: the checkpointed record itself is to be read again.
    let items = || Ok(vec![event(&[], 7), event(&[], 99), Item::Fail(broken())]);
    let mut bench = Bench::of(checkpointed(7), vec![items()]);
    bench.idle(20 * SECOND).await;
    assert_eq!(bench.starts(), [StartAt::At(number(7)), StartAt::At(number(7))]);

    // And some servers name zero until they have sent a record.
    let again = vec![event(&[], 0), Item::Fail(broken())];
    let mut bench = Bench::new(vec![Ok(vec![event(&[5], 5), Item::Fail(broken())]), Ok(again)]);
    assert_eq!(bench.page().await, [5]);
    bench.idle(20 * SECOND).await;
    assert_eq!(bench.starts(), [StartAt::TrimHorizon, after(5), after(5)]);
}

#[tokio::test(start_paused = true)]
async fn a_bold_continuation_drops_no_record() {
    let items = vec![event(&[5], 1_000), event(&[6], 6), Item::Silence];
    let mut bench = Bench::new(vec![Ok(items)]);
    assert_eq!((bench.page().await, bench.page().await), (vec![5], vec![6]));
}

#[tokio::test(start_paused = true)]
async fn latest_means_now_only_once() {
    let mut lease = lease(SHARD).checkpoint(Checkpoint::Latest).build();
    lease.latest_since = Some(EpochMillis(1_000));
    let refused = || Err(StreamError::Throttled);
    let mut bench = Bench::of(lease, vec![refused(), Ok(vec![Item::Fail(broken())])]);
    bench.idle(20 * SECOND).await;
    let since = StartAt::Timestamp(EpochMillis(1_000));
    assert_eq!(bench.starts(), [StartAt::Latest, StartAt::Latest, since]);
}

#[tokio::test(start_paused = true)]
async fn records_that_come_twice_are_handed_on_once() {
    let first = vec![event(&[1, 2], 2), Item::Fail(broken())];
    let mut bench = Bench::new(vec![Ok(first), Ok(vec![event(&[1, 2, 3], 3), Item::Silence])]);
    assert_eq!((bench.page().await, bench.page().await), (vec![1, 2], vec![3]));
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_has_just_moved_is_asked_for_until_it_is_free() {
    let mut attempts: Vec<Attempt> = (0..4).map(|_| Err(taken())).collect();
    // Some servers refuse inside the stream.
    attempts.push(Ok(vec![Item::Fail(taken())]));
    attempts.push(Ok(vec![event(&[1], 1), Item::Silence]));
    let mut bench = Bench::new(attempts);
    assert_eq!(bench.page().await, [1]);
    let calls = bench.calls();
    for pair in calls.windows(2) {
        let pause = pair[1].0.saturating_sub(pair[0].0);
        assert!(pause >= SECOND && pause < 2 * SECOND, "one call a second is allowed: {pause:?}");
    }
    assert_eq!((calls.len(), bench.listings()), (6, 0));
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_taken_away_is_not_asked_for_in_vain() {
    let mut items = vec![event(&[1], 1)];
    items.extend((0..12).flat_map(|_| [Item::Pause(5 * SECOND), event(&[], 1)]));
    items.push(Item::Fail(taken()));
    let mut bench = Bench::new(vec![Ok(items)]);
    assert_eq!(bench.page().await, [1]);
    bench.idle(80 * SECOND).await;
    let [_, (again, _)] = bench.calls()[..] else { panic!("{:?}", bench.calls()) };
    assert!(again >= 65 * SECOND && again < 67 * SECOND, "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn an_early_end_of_an_open_shard_is_looked_into_and_mended() {
    for item in [None, Some(Item::Fail(broken()))] {
        let items = [Some(event(&[1], 1)), item].into_iter().flatten().collect();
        let mut bench = Bench::new(vec![Ok(items), Ok(vec![event(&[2], 2), Item::Silence])]);
        assert_eq!((bench.page().await, bench.page().await), (vec![1], vec![2]));
        let [_, (again, ref start)] = bench.calls()[..] else { panic!("{:?}", bench.calls()) };
        assert_eq!((again, start, bench.listings()), (5 * SECOND, &after(1), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn subscriptions_that_end_at_once_are_no_hot_loop() {
    let mut bench = Bench::new((0..1000).map(|_| Ok(vec![])).collect());
    bench.idle(60 * SECOND).await;
    assert!(bench.calls().len() <= 13, "{}", bench.calls().len());
    let mut bench = Bench::new((0..1000).map(|_| Err(broken())).collect());
    bench.idle(60 * SECOND).await;
    assert!(bench.calls().len() <= 16, "{}", bench.calls().len());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_off_at_the_end_of_its_shard_is_at_its_end() {
    let items = vec![event(&[1], 1), Item::Fail(broken())];
    let mut bench = Bench::new(vec![Ok(items)]);
    bench.close_shard(polled(&[]));
    assert_eq!(bench.page().await, [1]);
    assert_eq!(bench.end().await, ConsumerExit::ShardEnded(children()));
    assert_eq!((bench.calls().len(), bench.began.elapsed()), (1, Duration::ZERO));
    assert_eq!(*bench.script.polls.lock().unwrap(), [after(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_says_nothing_at_the_end_of_its_shard_is_found_out() {
    let mut items = vec![event(&[1], 1)];
    items.extend((0..300).flat_map(|_| [Item::Pause(SECOND), event(&[], 1)]));
    let mut bench = Bench::new(vec![Ok(items)]);
    assert_eq!(bench.page().await, [1]);
    bench.idle(25 * SECOND).await;
    // What the subscription has not brought is read first.
    bench.close_shard(polled(&[2, 3]));
    assert_eq!(bench.page().await, [2, 3]);
    assert_eq!(bench.end().await, ConsumerExit::ShardEnded(children()));
    assert!(bench.began.elapsed() <= 45 * SECOND, "{:?}", bench.began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_closed_shard_that_goes_on_is_subscribed_to_again_behind_what_was_polled() {
    let mut bench = Bench::new(vec![Ok(vec![]), Ok(vec![last(&[3])])]);
    let page =
        RecordPage { next: Some(ShardIterator("on".into())), children: vec![], ..polled(&[2]) };
    bench.close_shard(page);
    assert_eq!((bench.page().await, bench.page().await), (vec![2], vec![3]));
    assert_eq!(bench.end().await, ConsumerExit::ShardEnded(children()));
    assert_eq!(bench.starts(), [StartAt::TrimHorizon, after(2)]);
}

#[tokio::test(start_paused = true)]
async fn silent_shards_of_a_stream_share_a_listing() {
    let mut bench = Bench::new(vec![]);
    bench.idle(95 * SECOND).await;
    let listings = bench.listings();
    assert!((3..=12).contains(&listings), "{listings}");
    let now = Instant::now();
    for _ in 0..1000 {
        assert!(bench.fan_out.is_open(&ShardId::new(SHARD), now - 10 * SECOND).await);
    }
    assert!(bench.listings() <= listings + 1);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_stream_is_given_up() {
    let mut bench = Bench::new(vec![
        Ok(vec![event(&[1], 1), Item::Silence]),
        Ok(vec![event(&[2], 2), Item::Silence]),
    ]);
    assert_eq!((bench.page().await, bench.page().await), (vec![1], vec![2]));
    let [_, (again, ref start)] = bench.calls()[..] else { panic!("{:?}", bench.calls()) };
    assert!(again >= 30 * SECOND && again < 31 * SECOND, "{again:?}");
    assert_eq!(*start, after(1));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_pulled_while_the_budget_is_spent() {
    let behind = |item| match item {
        Item::Event(page) => Item::Event(Page { behind_latest: SECOND, ..page }),
        other => other,
    };
    let items = vec![
        behind(event(&[1], 1)),
        Item::Pause(SECOND),
        behind(event(&[2], 2)),
        Item::Pause(SECOND),
        event(&[3], 3),
        Item::Silence,
    ];
    let mut bench = Bench::new(vec![Ok(items)]);
    let share = bench.subscriber.share.clone();
    // The first event comes unannounced and waits until there is room for it; before the second one
    // is pulled, there must be room.
    for expect in [1, 2, 3] {
        let all = share.reserve(1, 1).await.fit(1 << 20);
        let mut next = Box::pin(bench.subscriber.next());
        let early = tokio::time::timeout(600 * SECOND, &mut next).await;
        assert!(early.is_err(), "{expect} came without bytes for it");
        drop(all);
        let Fetched::Page(records, _) = next.await else { panic!("the end") };
        assert_eq!(number_of(&records[0]), expect);
    }
    assert_eq!(bench.calls().len(), 1, "waiting is no stall");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_gone_is_lost_and_said_so() {
    let gone = StreamError::NotFound("shard".to_owned());
    let mut bench = Bench::new(vec![Err(gone.clone()), Err(gone)]);
    *bench.script.listed.lock().unwrap() = None;
    assert_eq!(bench.end().await, ConsumerExit::ShardGone);
    assert_eq!(bench.context.metrics.losses(Loss::Shard), 1);

    // A consumer that is not there is not a shard that is not there.
    let missing = StreamError::NotFound("consumer".to_owned());
    let mut bench = Bench::new(vec![Err(missing), Ok(vec![event(&[1], 1)])]);
    assert_eq!(bench.page().await, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_position_is_read_from_the_oldest_record_kept() {
    let invalid = StreamError::Invalid("sequence number".to_owned());
    let mut bench = Bench::of(checkpointed(7), vec![Err(invalid), Ok(vec![event(&[1], 1)])]);
    *bench.script.polled.lock().unwrap() = Some(polled(&[1]));
    assert_eq!(bench.page().await, [1]);
    assert_eq!(bench.starts(), [StartAt::At(number(7)), StartAt::TrimHorizon]);
}

#[tokio::test(start_paused = true)]
async fn a_time_that_is_not_reached_is_waited_for() {
    let mut lease = checkpointed(7);
    lease.checkpoint = Checkpoint::TrimHorizon;
    lease.latest_since = Some(EpochMillis(1_000));
    let early = StreamError::Invalid("timestampInMillis is in the future".to_owned());
    let mut bench = Bench::of(lease, vec![Err(early), Ok(vec![event(&[1], 1)])]);
    assert_eq!(bench.page().await, [1]);
    assert_eq!(bench.starts(), vec![StartAt::Timestamp(EpochMillis(1_000)); 2]);
}

#[tokio::test(start_paused = true)]
async fn a_trimmed_position_is_a_gap() {
    let mut bench = Bench::of(checkpointed(7), vec![Ok(vec![event(&[9], 9), Item::Silence])]);
    *bench.script.polled.lock().unwrap() = Some(polled(&[9]));
    assert_eq!(bench.page().await, [9]);
    assert_eq!(bench.context.metrics.losses(Loss::Gap), 1);

    let mut bench = Bench::of(checkpointed(7), vec![Ok(vec![event(&[7, 9], 9), Item::Silence])]);
    assert_eq!(bench.page().await, [7, 9]);
    assert_eq!(bench.context.metrics.losses(Loss::Gap), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_has_ended_is_not_read() {
    let mut bench = Bench::of(lease(SHARD).ended().build(), vec![]);
    assert!(bench.subscriber.next().now_or_never().is_some());
    assert_eq!(bench.calls(), []);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_the_subscription() {
    let lease = lease(SHARD).build();
    let bench = Bench::of(lease.clone(), vec![Ok(vec![event(&[1], 1), Item::Silence])]);
    let (of_consumer, handle) = grant(lease);
    let (pages, mut taken) = tokio::sync::mpsc::channel(1);
    let feeding = feed(bench.subscriber, &of_consumer, pages);
    tokio::pin!(feeding);
    tokio::select! { biased;
        () = &mut feeding => panic!("the shard goes on"),
        page = taken.recv() => assert!(matches!(page, Some(Fetched::Page(..)))),
    }
    handle.draining.cancel();
    feeding.await;
    assert!(taken.recv().await.is_none());
    assert!(bench.handle.progress.borrow().is_none());
}
