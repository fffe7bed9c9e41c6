//! The workers of a simulation.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use shardwright::{
    codec::DecodeLimits,
    consumer::{
        BatchLimits, Budget, ConsumerContext, ConsumerParams, ConsumerStream, FailureLog,
        NamedSink, PacingParams, RetryPause, SharedTally,
    },
    etl::{Pipeline, PipelineParts, Route, filter::FilterPattern},
    leasing::{LeaseParams, LeaseStatus, LeasedStream, plan::BalanceLimits},
    model::{Format, InitialPosition, Invariant, LeaseKey, StreamName, WorkerId},
    ports::{Sink, StreamReader},
    worker::Worker,
};
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    lease_table::SimTable,
    sink::SimSink,
    stream::SimStream,
    world::{WorkerNo, World},
};

pub(crate) struct Fleet {
    world: World,
    seed: u64,
    next: WorkerNo,
    healed: bool,
    pub(crate) working: BTreeMap<WorkerNo, Member>,
    pub(crate) draining: BTreeMap<WorkerNo, Member>,
}

pub(crate) struct Member {
    drain: CancellationToken,
    task: JoinSet<Result<Vec<LeaseKey>, JoinError>>,
}

pub(crate) fn params() -> LeaseParams {
    LeaseParams {
        failover_time: Duration::from_secs(10),
        hand_over_timeout: Duration::from_secs(15),
        scan_interval: Duration::from_secs(1),
        limits: BalanceLimits { max_leases: 1000, max_hand_overs: 4 },
    }
}

impl Fleet {
    pub(crate) fn new(world: World, seed: u64) -> Self {
        Self {
            world,
            seed,
            next: 0,
            healed: false,
            working: BTreeMap::new(),
            draining: BTreeMap::new(),
        }
    }

    pub(crate) fn join(&mut self) {
        let number = self.next;
        self.next += 1;
        let drain = CancellationToken::new();
        let mut task = JoinSet::new();
        let seed = self.seed.wrapping_mul(1000).wrapping_add(number as u64);
        task.spawn(worker(&self.world, number, seed).run(drain.clone()));
        self.world.lock().note(format!("w{number} joins"));
        self.working.insert(number, Member { drain, task });
    }

    /// Ends one worker as a kill would.
    pub(crate) async fn crash(&mut self, number: WorkerNo) {
        let member = self.working.remove(&number).or_else(|| self.draining.remove(&number));
        let Some(mut member) = member else { return };
        member.task.shutdown().await;
        let mut state = self.world.lock();
        state.audit.crashed(number);
        state.count("crash");
        state.note(format!("w{number} crashes"));
    }

    pub(crate) fn drain(&mut self, number: WorkerNo) {
        let Some(member) = self.working.remove(&number) else { return };
        member.drain.cancel();
        self.draining.insert(number, member);
        let mut state = self.world.lock();
        state.count("drain");
        state.note(format!("w{number} drains"));
    }

    /// Sees which drains are done.
    pub(crate) fn reap(&mut self) {
        let world = &self.world;
        let healed = self.healed;
        self.draining.retain(|number, member| {
            let Some(done) = member.task.try_join_next() else { return true };
            let mut state = world.lock();
            state.note(format!("w{number} has drained"));
            if !matches!(done, Ok(Ok(_))) {
                state.audit.broken(Invariant::ReachesTip, format!("w{number} broke"));
            }
            // A worker that is cut off from the table cannot release; its leases expire.
            if healed {
                let rows = state.table.rows.clone();
                state.audit.drained(*number, &rows);
            }
            state.audit.crashed(*number);
            false
        });
    }

    /// Drains everyone and waits for it, in a world without faults.
    pub(crate) async fn end(&mut self) {
        self.healed = true;
        let numbers: Vec<WorkerNo> = self.working.keys().copied().collect();
        for number in numbers {
            self.drain(number);
        }
        for _ in 0..600 {
            self.reap();
            if self.draining.is_empty() {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        let stuck: Vec<WorkerNo> = self.draining.keys().copied().collect();
        let what = format!("{stuck:?} do not drain");
        self.world.lock().audit.broken(Invariant::DrainReleases, what);
    }
}

fn worker(world: &World, number: WorkerNo, seed: u64) -> Worker {
    let name = StreamName::new("stream");
    let reader: Arc<dyn StreamReader> =
        Arc::new(SimStream { world: world.clone(), worker: number });
    let sink = |label: &str, dead_letters, window: u64| NamedSink {
        name: Arc::from(label),
        sink: Arc::new(SimSink { world: world.clone(), worker: number, dead_letters })
            as Arc<dyn Sink>,
        batch: BatchLimits { events: 7, bytes: 4096, window: Duration::from_millis(window) },
    };
    let route = Route {
        name: "all".to_owned(),
        filter: Some(FilterPattern::parse("-drop").unwrap()),
        log_groups: Vec::new(),
        also: false,
        validate: None,
        transform: None,
        sink: 0,
    };
    let context = ConsumerContext {
        streams: vec![ConsumerStream {
            name: name.clone(),
            format: Format::Text,
            initial_position: InitialPosition::TrimHorizon,
            reader: Arc::clone(&reader),
        }],
        pipeline: Arc::new(Pipeline::new(PipelineParts {
            routes: vec![route],
            dead_letters: 1,
            limits: DecodeLimits::default(),
            configuration: "sim".to_owned(),
        })),
        sinks: vec![sink("out", false, seed % 2 * 300), sink("parked", true, 0)],
        budget: Budget::new(4 << 20),
        params: ConsumerParams {
            pacing: PacingParams {
                poll_interval: Duration::from_millis(250),
                idle_poll_interval: Duration::from_secs(1),
            },
            queue_bytes: 2048,
            retry: RetryPause { min: Duration::from_millis(100), max: Duration::from_secs(2) },
        },
        tally: SharedTally::default(),
        failures: FailureLog::default(),
    };
    let stream = LeasedStream {
        name,
        identifier: None,
        initial_position: InitialPosition::TrimHorizon,
        reader,
    };
    let table = Arc::new(SimTable { world: world.clone(), worker: number });
    Worker::new(
        WorkerId::new(format!("w{number}")),
        params(),
        table,
        vec![stream],
        Arc::new(context),
        watch::Sender::new(LeaseStatus::default()),
        seed,
    )
}
