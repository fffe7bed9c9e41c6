//! `produce`: CloudWatch Logs envelopes into a stream, for load and tests.

use std::{
    io::{self, BufRead},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use bytes::Bytes;
use clap::{ValueEnum, builder::NonEmptyStringValueParser};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    FOUND, block_on, input,
    producer::Producer,
    refuse,
    talk::{complain, say},
};
use crate::{
    aws::{AwsConnection, AwsSettings, StreamTarget},
    generate::{EnvelopeSize, Generator, Profile},
    model::{LogSource, StreamName},
    ports::{SystemClock, WallClock},
    shutdown::Signals,
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The stream's name or ARN
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    stream: String,
    /// Where Kinesis answers, for emulators
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// The AWS region; the SDK's usual sources are asked for it by default
    #[arg(long)]
    region: Option<String>,
    /// Records a second; 0 is as fast as the stream takes them
    #[arg(long, default_value_t = 10)]
    rate: u32,
    /// Stop after so many records
    #[arg(long)]
    count: Option<u64>,
    /// Stop after so many seconds, a year at most
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    seconds: Option<u64>,
    /// Events in each envelope
    #[arg(long, value_enum, default_value_t = Size::Medium)]
    size: Size,
    /// Only envelopes with events: no control messages, KPL aggregates or broken records
    #[arg(long)]
    plain: bool,
    /// The same seed makes the same records; another one by default each time
    #[arg(long)]
    seed: Option<u64>,
    /// Put the lines of these files instead, as messages; `-` is standard input
    #[arg(long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Messages in each envelope made from files
    #[arg(long, default_value = "100")]
    lines: NonZeroUsize,
    /// The log group of envelopes made from files
    #[arg(long, default_value = "/shardwright/produce")]
    log_group: String,
}

/// How many log events an envelope holds.
#[derive(Clone, Copy, ValueEnum)]
enum Size {
    /// 1 or 2
    Small,
    /// About 30
    Medium,
    /// About 1,000
    Large,
}

/// Records of one request.
const BATCH: usize = 100;

pub(super) fn run(args: &Args) -> ExitCode {
    match block_on(produce(args)) {
        Ok(Ok(summary)) => {
            say(summary);
            ExitCode::SUCCESS
        }
        Ok(Err(Problem::Usage(message))) => refuse(message),
        Ok(Err(Problem::World(message))) => failed(&message),
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(message: &str) -> ExitCode {
    complain(message);
    ExitCode::from(FOUND)
}

enum Problem {
    Usage(String),
    World(String),
}

async fn produce(args: &Args) -> Result<String, Problem> {
    let usage = |error: &dyn std::fmt::Display| Problem::Usage(error.to_string());
    let settings = AwsSettings {
        region: args.region.clone(),
        endpoint_url: args.endpoint_url.clone(),
        ..AwsSettings::default()
    };
    let aws = AwsConnection::open(&settings).await.map_err(|error| usage(&error))?;
    let target = match args.stream.starts_with("arn:") {
        true => StreamTarget::arn(&args.stream).map_err(|error| usage(&error))?,
        false => StreamTarget::Name(StreamName::new(&args.stream)),
    };
    let producer = Producer::new(target, &aws);
    let mut source = Source::open(args).map_err(Problem::Usage)?;
    let started = Instant::now();
    let until = args.seconds.map(|seconds| started + Duration::from_secs(seconds));
    let mut totals = (0u64, 0u64, 0u64);
    let mut pace = Pace::new(args.rate);
    // As the first process of a container nobody else ends it on a signal.
    let signals = Signals::catch().map_err(|error| Problem::World(error.to_string()))?;
    let interrupted = signals.first();
    tokio::pin!(interrupted);
    while until.is_none_or(|until| Instant::now() < until) {
        let left = args.count.map_or(u64::MAX, |count| count - totals.0);
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(pace.batch());
        let batch = source.take(wanted);
        if batch.is_empty() {
            break;
        }
        tokio::select! { biased;
            () = &mut interrupted => break,
            () = pace.wait(batch.len()) => {}
        }
        totals.0 += batch.len() as u64;
        totals.1 += batch.iter().map(|(_, _, events)| events).sum::<u64>();
        let records = batch.into_iter().map(|(key, data, _)| (key, data)).collect();
        let put = producer.put(records).await;
        totals.2 += put.map_err(|error| Problem::World(error.to_string()))?;
    }
    let (records, events, again) = totals;
    let seconds = started.elapsed().as_secs_f64();
    Ok(format!("put {records} records with {events} events in {seconds:.1} s, {again} put again"))
}

/// Where records come from, each with its number of events.
enum Source {
    Generated(Box<Generator>),
    Files(std::vec::IntoIter<(String, Bytes, u64)>),
}

impl Source {
    fn open(args: &Args) -> Result<Self, String> {
        let size = match args.size {
            Size::Small => EnvelopeSize::Small,
            Size::Medium => EnvelopeSize::Medium,
            Size::Large => EnvelopeSize::Large,
        };
        let profile = match args.plain {
            true => Profile::plain(size),
            false => Profile { size, ..Profile::default() },
        };
        let mut generator = Generator::new(args.seed.unwrap_or_else(rand::random), profile);
        if args.files.is_empty() {
            if args.count.is_none() && args.seconds.is_none() {
                return Err("say when to stop: --count or --seconds".to_owned());
            }
            return Ok(Self::Generated(Box::new(generator)));
        }
        let source = LogSource {
            owner: "000000000000".to_owned(),
            log_group: args.log_group.clone(),
            log_stream: "produce".to_owned(),
            subscription_filters: vec!["produce".to_owned()],
            ..LogSource::default()
        };
        let mut records = Vec::new();
        for file in &args.files {
            let lines =
                read_lines(file).map_err(|error| format!("{}: {error}", input::name(file)))?;
            for chunk in lines.chunks(args.lines.get()) {
                let record = generator.wrap(&source, chunk.iter().cloned(), SystemClock.now());
                records.push((record.partition_key, record.data, chunk.len() as u64));
            }
        }
        Ok(Self::Files(records.into_iter()))
    }

    fn take(&mut self, wanted: usize) -> Vec<(String, Bytes, u64)> {
        match self {
            Self::Files(records) => records.take(wanted).collect(),
            Self::Generated(generator) => (0..wanted)
                .map(|_| {
                    let record = generator.next_record(SystemClock.now());
                    let events = record.expect.event_ids.len() as u64;
                    (record.partition_key, record.data, events)
                })
                .collect(),
        }
    }
}

fn read_lines(file: &Path) -> io::Result<Vec<String>> {
    input::open(file)?.lines().collect()
}

/// Keeps to a number of records a second, in ticks of a tenth of one.
struct Pace {
    rate: u32,
    tick: tokio::time::Interval,
    started: Instant,
    put: u64,
}

impl Pace {
    fn new(rate: u32) -> Self {
        let mut tick = interval(Duration::from_millis(100));
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self { rate, tick, started: Instant::now(), put: 0 }
    }

    fn batch(&self) -> usize {
        match self.rate {
            0 => BATCH,
            rate => usize::try_from(rate.div_ceil(10)).unwrap_or(BATCH).min(BATCH),
        }
    }

    /// Waits until so many more records may be put.
    async fn wait(&mut self, records: usize) {
        self.put += records as u64;
        while self.rate > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a count of records put by hand")]
            let due = self.put as f64 / f64::from(self.rate);
            if self.started.elapsed().as_secs_f64() + 0.1 >= due {
                return;
            }
            self.tick.tick().await;
        }
    }
}
