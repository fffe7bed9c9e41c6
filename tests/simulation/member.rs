//! One worker, on the fakes.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use shardwright::{
    codec::DecodeLimits,
    consumer::{
        BatchLimits, Budget, ConsumerContext, ConsumerParams, ConsumerStream, NamedSink,
        PacingParams, Pause, RetryLimits, RetryPause,
    },
    etl::{Pipeline, PipelineParts, Route, filter::FilterPattern},
    leasing::{LeaseParams, LeaseStatus, LeasedStream, StreamIdentifier},
    metrics::Metrics,
    model::{Aggregates, Format, InitialPosition, WorkerId},
    ports::{Sink, StreamReader},
    worker::Worker,
};
use tokio::sync::watch;

use crate::{
    fleet::{Setup, params},
    lease_table::SimTable,
    limits::BATCH,
    objects::{AGAIN, OUT},
    reader::SimStream,
    sink::SimSink,
    stream,
    windows::{self, WindowSink},
    world::{SimClock, WorkerNo, World},
};

fn reader(world: &World, worker: WorkerNo, stream: usize) -> Arc<dyn StreamReader> {
    Arc::new(SimStream { world: world.clone(), worker, stream })
}

fn streams(world: &World) -> (usize, InitialPosition) {
    let state = world.lock();
    (state.stream.streams, state.initial)
}

pub(crate) fn context(world: &World, worker: WorkerNo, setup: &Setup) -> Arc<ConsumerContext> {
    let (streams, initial_position) = streams(world);
    let consumed = |number| ConsumerStream {
        fan_out: None,
        name: stream::name(number),
        format: Format::Text,
        initial_position,
        until: setup.until,
        aggregates: Aggregates::default(),
        reader: reader(world, worker, number),
    };
    let (routes, sinks) = routes(world, worker, setup);
    let names = sinks.iter().map(|sink| sink.name.to_string()).collect();
    Arc::new(ConsumerContext {
        streams: (0..streams).map(consumed).collect(),
        pipeline: Arc::new(Pipeline::new(PipelineParts {
            routes,
            sinks: names,
            dead_letters: 1,
            limits: DecodeLimits::default(),
            configuration: "sim".to_owned(),
        })),
        sinks,
        budget: Budget::new(setup.budget),
        params: ConsumerParams {
            pacing: PacingParams {
                poll_interval: Duration::from_millis(250),
                idle_poll_interval: Duration::from_secs(1),
            },
            queue_bytes: 2048,
            retry: RetryPause { min: Duration::from_millis(100), max: Duration::from_secs(2) },
        },
        pause: Pause::default(),
        metrics: Arc::new(Metrics::default()),
        clock: Arc::new(SimClock { world: world.clone(), wrong_by: setup.clock_error(worker) }),
    })
}

/// Where a worker's events go.
fn routes(world: &World, worker: WorkerNo, setup: &Setup) -> (Vec<Route>, Vec<NamedSink>) {
    let (lanes, retry, preparing) = {
        let audit = &world.lock().audit;
        (audit.limits.lanes, audit.limits.retry, audit.preparing)
    };
    let sink = |name, dead_letters, window| NamedSink {
        name: Arc::from(name),
        sink: Arc::new(SimSink {
            world: world.clone(),
            worker,
            name,
            dead_letters,
            prepares: preparing.contains(&name),
        }) as Arc<dyn Sink>,
        batch: BatchLimits { events: BATCH, bytes: 4096, window },
        lanes,
        retry,
    };
    let (windowed, copies) = (world.lock().stream.windowed, preparing.contains(&AGAIN));
    let route = |name, to| {
        let filter = Some(FilterPattern::parse("-drop").unwrap());
        Route { filter, also: true, ..Route::new(name, to) }
    };
    let mut routes = vec![route("all", 0)];
    let mut sinks = vec![sink(OUT, false, setup.window), sink("parked", true, Duration::ZERO)];
    if copies {
        routes.push(route("copies", if windowed { windows::LATE + 1 } else { windows::ROWS }));
    }
    if windowed {
        routes.push(windows::route());
        let rows = |name: &str, late| NamedSink {
            name: Arc::from(name),
            sink: Arc::new(WindowSink { world: world.clone(), worker, late }),
            batch: BatchLimits { events: BATCH, bytes: 4096, window: setup.window },
            lanes,
            retry: RetryLimits::default(),
        };
        sinks.extend([rows("rows", false), rows("late", true)]);
    }
    if copies {
        sinks.push(sink(AGAIN, false, setup.window));
    }
    (routes, sinks)
}

pub(crate) fn worker(
    world: &World,
    number: WorkerNo,
    setup: &Setup,
    context: &Arc<ConsumerContext>,
) -> Worker {
    let (streams, initial_position) = streams(world);
    let leased = |stream| LeasedStream {
        name: stream::name(stream),
        identifier: match streams {
            1 => StreamIdentifier::Single,
            _ => StreamIdentifier::Several(Arc::new(OnceLock::from(stream::identifier(stream)))),
        },
        initial_position,
        reader: reader(world, number, stream),
    };
    Worker::new(
        WorkerId::new(format!("w{number}")),
        LeaseParams {
            limits: setup.limits,
            hand_over_timeout: setup.hand_over_timeout,
            ..params()
        },
        Arc::new(SimTable { world: world.clone(), worker: number }),
        (0..streams).map(leased).collect(),
        Arc::clone(context),
        watch::Sender::new(LeaseStatus::default()),
        setup.seed.wrapping_mul(1000).wrapping_add(number as u64),
    )
}
