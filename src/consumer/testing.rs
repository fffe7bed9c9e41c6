//! A sink, a stream and a clock for the consumer's tests, all on virtual time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::{
    Budget, ConsumerContext, ConsumerParams, ConsumerStream, PacingParams, Pause, RetryPause,
};
use crate::{
    codec::DecodeLimits,
    etl::{Delivery, Pipeline, PipelineParts, Source, SourceRecord},
    model::{
        EpochMillis, Format, OutputEvent, Position, RawRecord, RecordPage, Shard, ShardId, Share,
        StreamName, UserRecord,
    },
    ports::{
        ShardIterator, Sink, SinkError, StartAt, StreamError, StreamReader, Verdict, WallClock,
    },
};

/// The time of day at the start of a test.
pub(super) const START: i64 = 1_700_000_000_000;

/// A wall clock that goes with virtual time.
pub(super) struct VirtualClock(Instant);

impl VirtualClock {
    pub(super) fn start() -> Arc<Self> {
        Arc::new(Self(Instant::now()))
    }
}

impl WallClock for VirtualClock {
    fn now(&self) -> EpochMillis {
        EpochMillis(START + i64::try_from(self.0.elapsed().as_millis()).unwrap())
    }
}

pub(super) type Answer = Result<Vec<Verdict>, SinkError>;

/// What a sink says of a batch, given as texts.
type Script = dyn Fn(&[String]) -> Answer + Send + Sync;

/// A sink that answers as it is told and remembers each call.
pub(super) struct ScriptedSink {
    answer: Box<Script>,
    /// How long each call takes.
    takes: Duration,
    calls: Mutex<Vec<Vec<String>>>,
    /// What was accepted, in order.
    taken: Mutex<Vec<String>>,
    under_way: Mutex<(usize, usize)>,
    prepares: bool,
}

impl ScriptedSink {
    pub(super) fn new(answer: impl Fn(&[String]) -> Answer + Send + Sync + 'static) -> Arc<Self> {
        // A moment, so that nothing can be tried for ever within no time.
        Self::slow(Duration::from_millis(1), answer)
    }

    pub(super) fn slow(
        takes: Duration,
        answer: impl Fn(&[String]) -> Answer + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            answer: Box::new(answer),
            takes,
            calls: Mutex::default(),
            taken: Mutex::default(),
            under_way: Mutex::default(),
            prepares: false,
        })
    }

    /// One that prepares.
    pub(super) fn preparing(
        answer: impl Fn(&[String]) -> Answer + Send + Sync + 'static,
    ) -> Arc<Self> {
        let sink = Arc::into_inner(Self::new(answer)).unwrap();
        Arc::new(Self { prepares: true, ..sink })
    }

    pub(super) fn calls(&self) -> Vec<Vec<String>> {
        self.calls.lock().unwrap().clone()
    }

    pub(super) fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }

    /// Attempts per event.
    pub(super) fn attempts(&self) -> BTreeMap<String, usize> {
        let mut attempts = BTreeMap::new();
        for text in self.calls().into_iter().flatten() {
            *attempts.entry(text).or_default() += 1;
        }
        attempts
    }

    /// Most calls that were under way at a time.
    pub(super) fn most_under_way(&self) -> usize {
        self.under_way.lock().unwrap().1
    }
}

#[async_trait]
impl Sink for ScriptedSink {
    async fn deliver(&self, events: &[OutputEvent]) -> Answer {
        let texts: Vec<String> = events.iter().map(text).collect();
        self.calls.lock().unwrap().push(texts.clone());
        {
            let mut under_way = self.under_way.lock().unwrap();
            under_way.0 += 1;
            under_way.1 = under_way.1.max(under_way.0);
        }
        sleep(self.takes).await;
        self.under_way.lock().unwrap().0 -= 1;
        let answer = (self.answer)(&texts);
        let accepted = texts.into_iter().zip(answer.iter().flatten());
        let accepted = accepted.filter(|(_, verdict)| **verdict == Verdict::Accepted);
        self.taken.lock().unwrap().extend(accepted.map(|(text, _)| text));
        answer
    }

    fn prepares(&self) -> bool {
        self.prepares
    }

    async fn check(&self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// The message of an event as the `text` format renders it, else the whole document.
fn text(event: &OutputEvent) -> String {
    let parsed: Result<serde_json::Value, _> = serde_json::from_slice(&event.json);
    let message = parsed.as_ref().ok().and_then(|json| json.get("message")?.as_str());
    message.map_or_else(|| String::from_utf8_lossy(&event.json).into_owned(), str::to_owned)
}

#[expect(clippy::unnecessary_wraps, reason = "it is what a sink answers")]
pub(super) fn accept(texts: &[String]) -> Answer {
    Ok(vec![Verdict::Accepted; texts.len()])
}

pub(super) fn down() -> Answer {
    Err(SinkError::Unavailable("down".to_owned()))
}

/// Refuses batches with a text that begins so.
pub(super) fn refuse_batches_with(texts: &[String], start: &str) -> Answer {
    match texts.iter().any(|text| text.starts_with(start)) {
        true => Err(SinkError::BatchRefused("one of them is bad".to_owned())),
        false => accept(texts),
    }
}

/// What a reader of one stream needs, with a budget of so many bytes; nothing is delivered.
pub(super) fn context(stream: ConsumerStream, budget: u64) -> ConsumerContext {
    ConsumerContext {
        streams: vec![stream],
        pipeline: Arc::new(Pipeline::new(PipelineParts {
            routes: vec![],
            sinks: Vec::new(),
            dead_letters: 0,
            limits: DecodeLimits::default(),
            configuration: "test".to_owned(),
        })),
        sinks: vec![],
        budget: Budget::new(budget),
        params: ConsumerParams {
            pacing: PacingParams {
                poll_interval: Duration::from_millis(250),
                idle_poll_interval: Duration::from_secs(1),
            },
            queue_bytes: 1 << 20,
            retry: RetryPause { min: Duration::from_secs(1), max: Duration::from_secs(1) },
        },
        clock: VirtualClock::start(),
        pause: Pause::default(),
        metrics: Arc::default(),
    }
}

/// A closed shard with one page of records.
pub(super) struct OnePage(pub(super) Vec<RawRecord>);

#[async_trait]
impl StreamReader for OnePage {
    async fn shards(&self) -> Result<Vec<Shard>, StreamError> {
        Ok(Vec::new())
    }

    async fn iterator(&self, _: &ShardId, _: &StartAt) -> Result<ShardIterator, StreamError> {
        Ok(ShardIterator("first".to_owned()))
    }

    async fn records(
        &self,
        iterator: &ShardIterator,
        _: u32,
    ) -> Result<RecordPage<ShardIterator>, StreamError> {
        let first = iterator.0 == "first";
        Ok(RecordPage {
            records: if first { self.0.clone() } else { Vec::new() },
            next: first.then(|| ShardIterator("end".to_owned())),
            behind_latest: Duration::ZERO,
            children: Vec::new(),
        })
    }
}

pub(super) fn source() -> Source {
    Source {
        stream: StreamName::new("logs"),
        shard: ShardId::new("shardId-000000000000"),
        format: Format::Text,
    }
}

pub(super) fn position(number: usize) -> Position {
    Position { sequence: number.to_string().parse().unwrap(), sub_sequence: 0 }
}

/// Record `number` of the shard.
pub(super) fn record(
    number: usize,
    key: &str,
    text: &str,
    arrival: EpochMillis,
) -> Arc<SourceRecord> {
    let record = UserRecord {
        position: position(number),
        partition_key: Arc::from(key),
        explicit_hash_key: None,
        aggregated: false,
        data: Bytes::copy_from_slice(text.as_bytes()),
        arrival,
    };
    Arc::new(SourceRecord::new(Arc::new(source()), record))
}

/// The delivery of a record, as it is, to the first sink.
pub(super) fn delivery(record: &SourceRecord) -> Delivery {
    let UserRecord { partition_key, arrival, data, .. } = &record.record;
    let output = OutputEvent {
        id: record.event_id(0),
        share: Share::whole(),
        partition_key: Arc::clone(partition_key),
        arrival: *arrival,
        json: data.clone(),
    };
    Delivery {
        sink: 0,
        event: Some(0),
        route: Some(0),
        failed: None,
        document: None,
        window: None,
        output,
    }
}
