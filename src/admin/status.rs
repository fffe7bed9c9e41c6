//! `/shards` and `/status`: the worker as JSON.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{
    Subject, Watched,
    history::{EVERY, Sample},
};
use crate::{
    etl::{Stage, Tally},
    leasing::LeaseStatus,
    metrics::{Loss, Metrics, ShardReading, seconds_since},
    model::{Invariant, Lease, LeaseKey},
    ports::{SystemClock, WallClock},
};

/// A shard of one of the streams, whoever reads it.
#[derive(Debug, Serialize)]
struct ShardView {
    stream: String,
    shard: String,
    /// Who may process it now.
    owner: Option<String>,
    /// Who gets it next, while it is handed over.
    next_owner: Option<String>,
    checkpoint: String,
    /// When Kinesis took the record of the checkpoint, if a worker of this kind wrote it.
    processed_until: Option<String>,
    state: &'static str,
    /// Whether this worker reads it. What follows is known of such shards only.
    here: bool,
    behind_seconds: Option<f64>,
    /// Age of the oldest record read that has no outcome yet: what a sink holds up.
    oldest_unsettled_seconds: Option<f64>,
    /// Age of the oldest record that a window waits with.
    oldest_in_window_seconds: Option<f64>,
    in_flight_records: Option<usize>,
    records: Option<u64>,
    bytes: Option<u64>,
    last_error: Option<ErrorView>,
}

#[derive(Debug, Serialize)]
struct ErrorView {
    seconds_ago: u64,
    text: String,
}

/// What the page shows.
#[derive(Debug, Serialize)]
struct StatusView {
    application: String,
    worker: String,
    version: &'static str,
    configuration: String,
    state: &'static str,
    uptime_seconds: f64,
    in_flight_bytes: u64,
    in_flight_limit_bytes: u64,
    streams: Vec<StreamView>,
    shards: Vec<ShardView>,
    /// Leases of shards that are processed to their end, and still listed.
    ended: usize,
    sinks: Vec<SinkView>,
    dead_letters: BTreeMap<String, u64>,
    failures: Vec<FailureView>,
    /// What programs aborted, by their own words.
    aborted: BTreeMap<String, u64>,
    lease_news: Vec<NewsView>,
    losses: u64,
    broken_invariants: BTreeMap<&'static str, u64>,
    sample_seconds: u64,
    samples: Vec<Sample>,
}

#[derive(Debug, Serialize)]
struct StreamView {
    stream: String,
    records: u64,
    bytes: u64,
    user_records: u64,
    undecodable: u64,
    events: u64,
    delivered: u64,
    filtered: u64,
    dead_lettered: u64,
    retention_seconds: Option<u64>,
}

#[derive(Debug, Serialize)]
struct SinkView {
    sink: String,
    outcome: &'static str,
    events: u64,
}

#[derive(Debug, Serialize)]
struct FailureView {
    stage: String,
    reason: String,
    count: u64,
    seconds_ago: u64,
    stream: String,
    shard: String,
    position: String,
}

#[derive(Debug, Serialize)]
struct NewsView {
    seconds_ago: u64,
    change: &'static str,
    stream: String,
    shard: String,
    why: String,
}

/// A reader that is less far behind is at the tip.
const AT_THE_TIP: Duration = Duration::from_secs(5);

pub(super) async fn shards(State(watched): State<Arc<Watched>>) -> Response {
    json(&watched.subject.shards())
}

pub(super) async fn status(State(watched): State<Arc<Watched>>) -> Response {
    json(&watched.view())
}

fn json(view: &impl Serialize) -> Response {
    let text = serde_json::to_string(view).expect("these views have only texts as keys");
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

impl Watched {
    fn view(&self) -> StatusView {
        let subject = &self.subject;
        let metrics = &subject.context.metrics;
        let leases = Arc::clone(&subject.status.borrow().leases);
        StatusView {
            application: subject.application.clone(),
            worker: subject.worker.to_string(),
            version: env!("CARGO_PKG_VERSION"),
            configuration: subject.configuration.clone(),
            state: subject.state(),
            uptime_seconds: self.started.elapsed().as_secs_f64(),
            in_flight_bytes: subject.context.budget.in_flight(),
            in_flight_limit_bytes: subject.context.budget.limit(),
            streams: streams(metrics),
            shards: subject.shards(),
            ended: leases.iter().filter(|lease| lease.ended()).count(),
            sinks: subject.sinks(),
            dead_letters: letters(&metrics.tally()),
            failures: failures(metrics),
            aborted: metrics.tally().aborts.iter().map(|(r, n)| (r.to_owned(), n)).collect(),
            lease_news: news(metrics),
            losses: Loss::ALL.into_iter().map(|loss| metrics.losses(loss)).sum(),
            broken_invariants: broken(metrics),
            sample_seconds: EVERY.as_secs(),
            samples: self.history.samples(),
        }
    }
}

impl Subject {
    fn state(&self) -> &'static str {
        let status = self.status.borrow();
        if status.draining {
            "draining"
        } else if !status.table_reached {
            "waiting for the lease table"
        } else if self.context.pause.is_paused() {
            "paused"
        } else {
            "running"
        }
    }

    /// The shards that are not ended, by stream and shard.
    fn shards(&self) -> Vec<ShardView> {
        let status = self.status.borrow();
        let mut readings = self.context.metrics.shards();
        let open: BTreeSet<_> = status
            .leases
            .iter()
            .filter(|lease| !lease.ended())
            .map(|lease| (lease.stream.clone(), lease.shard.clone()))
            .collect();
        let waits = |lease: &Lease| {
            let mut parents = lease.parents.iter();
            parents.any(|parent| open.contains(&(lease.stream.clone(), parent.clone())))
        };
        let mut shards: Vec<ShardView> = status
            .leases
            .iter()
            .filter(|lease| !lease.ended())
            .map(|lease| {
                let reading = readings.remove(&lease.key);
                self.shard(lease, reading.as_ref(), &status, waits(lease))
            })
            .collect();
        shards.sort_by(|a, b| (&a.stream, &a.shard).cmp(&(&b.stream, &b.shard)));
        shards
    }

    fn shard(
        &self,
        lease: &Lease,
        reading: Option<&ShardReading>,
        status: &LeaseStatus,
        waits: bool,
    ) -> ShardView {
        let here = reading.filter(|_| status.held.contains(&lease.key));
        let stream = self.streams.iter().find(|(_, identifier)| identifier.owns(lease));
        let stream = stream.map(|(name, _)| name.to_string());
        // The scan is up to a second old; what this worker holds, it knows itself.
        let owner =
            here.map(|_| &self.worker).or(lease.holder().filter(|_| !self.left(lease, status)));
        ShardView {
            stream: stream.unwrap_or_else(|| lease.stream.as_deref().unwrap_or("").to_owned()),
            shard: lease.shard.to_string(),
            owner: owner.map(ToString::to_string),
            next_owner: lease
                .checkpoint_owner
                .as_ref()
                .and(lease.owner.as_ref())
                .map(ToString::to_string),
            checkpoint: lease.checkpoint.to_string(),
            processed_until: lease.arrival.map(|arrival| arrival.to_string()),
            state: match here {
                Some(reading) => self.state_of(reading, status),
                None if owner.is_some() => "read elsewhere",
                None if waits => "waits for its parent",
                None => "nobody reads it",
            },
            here: here.is_some(),
            behind_seconds: here.and_then(|here| here.behind).map(|behind| behind.as_secs_f64()),
            oldest_unsettled_seconds: here
                .and_then(|here| here.oldest_unsettled(SystemClock.now()))
                .map(|age| age.as_secs_f64()),
            oldest_in_window_seconds: here
                .and_then(|here| here.oldest_in_window)
                .map(|arrival| seconds_since(arrival, SystemClock.now())),
            in_flight_records: here.map(|here| here.open),
            records: here.map(|here| here.records),
            bytes: here.map(|here| here.bytes),
            last_error: here.and_then(error),
        }
    }

    /// Whether the scan shows this worker as owner of a lease that it has given away since.
    fn left(&self, lease: &Lease, status: &LeaseStatus) -> bool {
        lease.holder() == Some(&self.worker) && !status.held.contains::<LeaseKey>(&lease.key)
    }

    fn state_of(&self, reading: &ShardReading, status: &LeaseStatus) -> &'static str {
        match reading {
            _ if status.draining => "draining",
            ShardReading { sink_error: Some(_), .. } => "waits for a sink",
            ShardReading { read_error: Some(_), .. } => "cannot be read",
            _ if self.context.pause.is_paused() => "paused",
            ShardReading { behind: None, .. } => "starting",
            ShardReading { behind: Some(behind), .. } if *behind < AT_THE_TIP => "at the tip",
            _ => "catching up",
        }
    }

    fn sinks(&self) -> Vec<SinkView> {
        let names: Vec<Arc<str>> =
            self.context.sinks.iter().map(|sink| Arc::clone(&sink.name)).collect();
        let counts = self.context.metrics.sinks(&names).into_iter();
        counts
            .map(|(sink, outcome, events)| SinkView { sink: sink.to_string(), outcome, events })
            .collect()
    }
}

/// The latest error of a shard that still counts.
fn error(reading: &ShardReading) -> Option<ErrorView> {
    let errors = reading.read_error.iter().chain(&reading.sink_error);
    let (at, text) = errors.max_by_key(|(at, _)| *at)?;
    Some(ErrorView { seconds_ago: at.elapsed().as_secs(), text: text.clone() })
}

fn streams(metrics: &Metrics) -> Vec<StreamView> {
    let retentions = metrics.retentions();
    let view = |(stream, tally): (_, Tally)| StreamView {
        retention_seconds: retentions.get(&stream).map(Duration::as_secs),
        stream: stream.to_string(),
        records: tally.records,
        bytes: tally.bytes,
        user_records: tally.user_records,
        undecodable: tally.undecodable,
        events: tally.events,
        delivered: tally.delivered,
        filtered: tally.filtered,
        dead_lettered: tally.dead_lettered,
    };
    metrics.tallies().into_iter().map(view).collect()
}

fn letters(tally: &Tally) -> BTreeMap<String, u64> {
    let counts = Stage::ALL.map(|stage| (stage.to_string(), tally.letters.of(stage)));
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn failures(metrics: &Metrics) -> Vec<FailureView> {
    let view = |failure: crate::metrics::FailureReason| FailureView {
        stage: failure.stage.to_string(),
        reason: failure.reason,
        count: failure.count,
        seconds_ago: failure.last.elapsed().as_secs(),
        stream: failure.stream.to_string(),
        shard: failure.shard.to_string(),
        position: failure.position.to_string(),
    };
    metrics.failures().into_iter().map(view).collect()
}

fn news(metrics: &Metrics) -> Vec<NewsView> {
    let view = |news: crate::metrics::LeaseNews| NewsView {
        seconds_ago: news.at.elapsed().as_secs(),
        change: news.change.name(),
        stream: news.stream,
        shard: news.shard.to_string(),
        why: news.why,
    };
    metrics.lease_news().into_iter().map(view).collect()
}

fn broken(metrics: &Metrics) -> BTreeMap<&'static str, u64> {
    let counts = Invariant::ALL.map(|invariant| (invariant.id(), metrics.raised(invariant)));
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}
