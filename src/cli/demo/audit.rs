//! The audit: what was put, held against what lies on disk.
//!
//! What must become of each event is worked out from the configuration the moment it is put, by a
//! pipeline of the audit's own. What did become of it is read from the sinks' files, so a worker
//! cannot talk itself out of a lost event.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{fleet::Fleet, servers::STREAM, setup::Setup, tail::Tail};
use crate::{
    aws::{AwsConnection, StreamTarget},
    cli::producer::Producer,
    codec::deaggregate,
    etl::{Pipeline, PipelineParts, Source, SourceRecord},
    generate::{Generator, Profile},
    model::{EpochMillis, Format, RawRecord, ShardId, StreamName},
    ports::{SystemClock, WallClock},
};

/// What was put and what was seen, so far.
#[derive(Default)]
struct Books {
    /// Each event by its id, each undecodable record by its bytes.
    items: HashMap<String, Item>,
    records: u64,
    /// Milliseconds from put to delivery.
    latencies: Vec<u64>,
    /// Things on disk that nobody put.
    strangers: u64,
    producing_done: bool,
    counts: Counts,
}

/// What must become of something, and how often it was seen where.
struct Item {
    must: Fate,
    delivered: u32,
    parked: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Deliver,
    Filter,
    DeadLetter,
}

/// The sums that the progress line and the summary show.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) put: u64,
    pub(super) delivered: u64,
    pub(super) filtered: u64,
    pub(super) dead_lettered: u64,
    pub(super) duplicates: u64,
}

/// Looks at the books.
#[derive(Clone)]
pub(super) struct View(Arc<Mutex<Books>>);

/// The producer and the auditor.
pub(super) struct Audit {
    books: Arc<Mutex<Books>>,
    producer: JoinSet<anyhow::Result<()>>,
    reader: JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
    stop_reading: CancellationToken,
}

/// How often files are read: the resolution of the latency figures.
const READ_EVERY: Duration = Duration::from_millis(10);
const PUT_EVERY: Duration = Duration::from_millis(50);

impl Audit {
    /// Starts to put records, and to read what comes out.
    pub(super) fn start(
        setup: &Setup,
        aws: &AwsConnection,
        rate: u32,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let books = Arc::new(Mutex::new(Books::default()));
        let (stop, stop_reading) = (CancellationToken::new(), CancellationToken::new());
        let compiled = setup.compile("audit")?;
        let oracle = Pipeline::new(PipelineParts {
            routes: compiled.routes,
            dead_letters: compiled.dead_letters,
            limits: compiled.limits,
            configuration: compiled.hash,
        });
        let put = Putter {
            generator: Generator::new(seed, Profile::default()),
            oracle,
            producer: Producer::new(StreamTarget::Name(StreamName::new(STREAM)), aws),
            books: Arc::clone(&books),
            per_tick: f64::from(rate) * PUT_EVERY.as_secs_f64(),
        };
        let mut producer = JoinSet::new();
        producer.spawn(put.run(stop.clone()));
        let mut reader = JoinSet::new();
        let tails =
            [Tail::new(&setup.dir.join("delivered")), Tail::new(&setup.dir.join("dead-letters"))];
        reader.spawn(read(tails, Arc::clone(&books), stop_reading.clone()));
        Ok(Self { books, producer, reader, stop, stop_reading })
    }

    pub(super) fn view(&self) -> View {
        View(Arc::clone(&self.books))
    }

    /// Ends the producing; every record that was begun is put.
    pub(super) async fn stop_producing(&mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        if let Some(done) = self.producer.join_next().await {
            done?.context("the producer failed")?;
        }
        lock(&self.books).producing_done = true;
        Ok(())
    }

    /// Reads what is left on disk and closes the books.
    pub(super) async fn finish(mut self) -> anyhow::Result<Report> {
        self.stop_reading.cancel();
        if let Some(done) = self.reader.join_next().await {
            done?.context("cannot read the results")?;
        }
        Ok(Report::of(&mut lock(&self.books)))
    }
}

impl View {
    pub(super) fn counts(&self) -> Counts {
        lock(&self.0).counts
    }

    /// Whether everything that must appear on disk has.
    pub(super) fn is_settled(&self) -> bool {
        let books = lock(&self.0);
        let Counts { put, delivered, filtered, dead_lettered, .. } = books.counts;
        books.producing_done && put == delivered + filtered + dead_lettered
    }
}

fn lock(books: &Mutex<Books>) -> std::sync::MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

// === Putting ===

struct Putter {
    generator: Generator,
    oracle: Pipeline,
    producer: Producer,
    books: Arc<Mutex<Books>>,
    per_tick: f64,
}

impl Putter {
    async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut tick = interval(PUT_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut owed = 0.0;
        while !stop.is_cancelled() {
            tick.tick().await;
            owed += self.per_tick;
            let mut batch = Vec::new();
            while owed >= 1.0 {
                owed -= 1.0;
                let record = self.generator.next_record(SystemClock.now());
                self.enter(&record.partition_key, &record.data);
                batch.push((record.partition_key, record.data));
            }
            if !batch.is_empty() {
                self.producer.put(batch).await?;
            }
        }
        Ok(())
    }

    /// Works out what must become of a record, before it is put.
    fn enter(&self, key: &str, data: &bytes::Bytes) {
        let raw = RawRecord {
            sequence: "0".parse().expect("zero is a number"),
            partition_key: key.to_owned(),
            data: data.clone(),
            arrival: EpochMillis(0),
        };
        let source = Arc::new(Source {
            stream: StreamName::new(STREAM),
            shard: ShardId::new("unknown"),
            format: Format::CloudwatchLogs,
        });
        for user in deaggregate(&raw).records {
            let record = SourceRecord { source: Arc::clone(&source), record: user };
            self.enter_user_record(&record);
        }
        lock(&self.books).records += 1;
    }

    fn enter_user_record(&self, record: &SourceRecord) {
        let processed = self.oracle.process(record);
        let mut fates: HashMap<u32, (String, Fate)> = HashMap::new();
        let decoded = crate::codec::decode_user_record(
            record.source.format,
            &record.record,
            &crate::codec::DecodeLimits::default(),
        );
        for (index, event) in
            (0u32..).zip(decoded.map(|decoded| decoded.events).unwrap_or_default())
        {
            fates.insert(index, (event.id, Fate::Filter));
        }
        let mut books = lock(&self.books);
        for delivery in &processed.deliveries {
            let fate = if delivery.route.is_some() { Fate::Deliver } else { Fate::DeadLetter };
            match delivery.event.and_then(|event| fates.get_mut(&event)) {
                Some((_, must)) => *must = fate,
                None => books.must(letter_key(&delivery.output.json), Fate::DeadLetter),
            }
        }
        for (id, fate) in fates.into_values() {
            books.must(id, fate);
        }
    }
}

// === Reading ===

async fn read(
    mut tails: [Tail; 2],
    books: Arc<Mutex<Books>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let last = stop.is_cancelled();
        let [delivered, letters] = &mut tails;
        let now = SystemClock.now();
        for line in delivered.lines()? {
            lock(&books).saw_delivered(&line, now);
        }
        for line in letters.lines()? {
            lock(&books).saw_letter(&line);
        }
        if last {
            return Ok(());
        }
        sleep(READ_EVERY).await;
    }
}

/// What a letter is about: the event's id, or the record's bytes.
fn letter_key(json: &[u8]) -> String {
    let letter: Value = serde_json::from_slice(json).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match letter.get("event") {
        Some(event) => text(event.get("id").unwrap_or(&Value::Null)),
        None => text(letter.get("data").unwrap_or(&Value::Null)),
    }
}

impl Books {
    fn must(&mut self, key: String, must: Fate) {
        self.counts.put += 1;
        self.counts.filtered += u64::from(must == Fate::Filter);
        self.items.insert(key, Item { must, delivered: 0, parked: 0 });
    }

    fn saw_delivered(&mut self, line: &[u8], now: EpochMillis) {
        let event: Value = serde_json::from_slice(line).unwrap_or_default();
        let id = event.get("id").and_then(Value::as_str).unwrap_or_default();
        let Some(item) = self.items.get_mut(id) else {
            self.strangers += 1;
            return;
        };
        item.delivered += 1;
        if item.delivered > 1 {
            self.counts.duplicates += 1;
            return;
        }
        self.counts.delivered += 1;
        if let Some(put) = event.get("timestamp").and_then(Value::as_i64) {
            self.latencies.push(now.millis_since(EpochMillis(put)));
        }
    }

    fn saw_letter(&mut self, line: &[u8]) {
        match self.items.get_mut(&letter_key(line)) {
            Some(item) => {
                item.parked += 1;
                let again = u64::from(item.parked > 1);
                self.counts.duplicates += again;
                self.counts.dead_lettered += 1 - again;
            }
            None => self.strangers += 1,
        }
    }
}

// === The summary ===

/// The closed books.
pub(super) struct Report {
    records: u64,
    counts: Counts,
    /// Items without the outcome that they must have.
    lost: u64,
    /// Items with an outcome that they must not have.
    wrong: u64,
    strangers: u64,
    latencies: Vec<u64>,
}

impl Report {
    fn of(books: &mut Books) -> Self {
        let (mut lost, mut wrong) = (0, 0);
        for item in books.items.values() {
            let (seen, unwanted) = match item.must {
                Fate::Deliver => (item.delivered > 0, item.parked > 0),
                Fate::DeadLetter => (item.parked > 0, item.delivered > 0),
                Fate::Filter => (true, item.parked + item.delivered > 0),
            };
            lost += u64::from(!seen);
            wrong += u64::from(unwanted);
        }
        books.latencies.sort_unstable();
        Self {
            records: books.records,
            counts: books.counts,
            lost,
            wrong,
            strangers: books.strangers,
            latencies: std::mem::take(&mut books.latencies),
        }
    }

    /// Whether every event has exactly one outcome, and the right one.
    pub(super) fn is_sound(&self) -> bool {
        self.lost == 0 && self.wrong == 0 && self.strangers == 0 && self.counts.put > 0
    }

    pub(super) fn print(&self, setup: &Setup, fleet: &Fleet) {
        let Counts { put, delivered, filtered, dead_lettered, duplicates } = self.counts;
        let outcomes = delivered + filtered + dead_lettered;
        println!("records put     {:>9}", self.records);
        println!("events put      {put:>9}   (a record that cannot be read counts as one)");
        println!("  delivered     {delivered:>9}");
        println!("  filtered      {filtered:>9}");
        println!("  dead-lettered {dead_lettered:>9}");
        println!("  sum           {outcomes:>9}");
        println!("duplicates      {duplicates:>9}   (delivered again after a worker stopped)");
        if let (Some(p50), Some(p99)) = (self.percentile(50), self.percentile(99)) {
            println!("put to delivery {p50:>6} ms p50, {p99} ms p99");
        }
        println!("workers         {}", fleet.summary());
        println!("results         {}", setup.dir.display());
        if self.is_sound() {
            println!("every event has exactly one outcome");
        } else {
            let Self { lost, wrong, strangers, .. } = self;
            println!(
                "NOT SOUND: {lost} without their outcome, {wrong} with a wrong one, {strangers} that nobody put"
            );
        }
    }

    fn percentile(&self, percent: usize) -> Option<u64> {
        let index = (self.latencies.len() * percent).div_ceil(100).saturating_sub(1);
        self.latencies.get(index).copied()
    }
}
