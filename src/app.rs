//! The application: the only place where adapters, engines and configuration meet.
//!
//! | Task | Ends when |
//! |---|---|
//! | lease engine | it has drained, or the process aborts |
//! | consumer, one per lease | its shard ends, it has drained, or its lease is lost |
//! | admin port | the process ends |
//! | exporters of metrics | the work has ended, and the last values are sent |
//! | signals | the process ends |

mod asking;
mod check;
mod context;
mod exporters;
mod fan_out;
mod replay;
mod subject;

pub(crate) use self::fan_out::consumer_name;
pub use self::{
    check::{SinkCheck, check_sinks},
    replay::{Replay, ReplayEnd},
};

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
    time::Duration,
};

use rand::RngExt;
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time::sleep,
};
use tracing::{error, info, warn};

use self::context::context;
use crate::{
    admin::{Admin, AdminError, Token},
    aws::{
        AwsConnection, DynamoLeases, FanOutConsumer, FleetMode, KinesisStream, StreamTarget,
        TableReady,
    },
    config::{Compiled, EmfSettings, StreamSettings},
    consumer::{ConsumerContext, ConsumerStream},
    etl::Tally,
    leasing::{LeaseParams, LeaseStatus, LeasedStream, StreamIdentifier, plan::BalanceLimits},
    metrics::{MeteredLeases, MeteredStream, Metrics},
    model::{LeaseKey, StreamName, WorkerId},
    ports::{LeaseStore, SinkError, StoreError, StreamReader, SystemClock, WallClock},
    shutdown::Shutdown,
    telemetry::Otlp,
    worker::Worker,
};

/// Why the application cannot start. Each is for a person to mend: trying again would not help.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A sink cannot work as configured.
    #[error("sinks.{name}: {problem}")]
    Sink {
        /// The sink's name.
        name: String,
        /// What stands in the way.
        problem: SinkError,
    },
    /// A stream's settings name no stream.
    #[error("streams: {0}")]
    Stream(String),
    /// The lease table is not one that this program may work on.
    #[error("lease table: {0}")]
    Table(StoreError),
    /// Another fleet's leader assigns the leases of this table.
    #[error(
        "the lease table {table} is in the KCL 3.x mode {client_version}, where a leader assigns leases; \
         this version takes leases as KCL 1.x and 2.x do: set lease.table to another table, or run the \
         Java workers with CLIENT_VERSION_CONFIG_COMPATIBLE_WITH_2X"
    )]
    LeaderAssigned {
        /// The table.
        table: String,
        /// The mode as its row says it.
        client_version: String,
    },
    /// The admin port cannot be opened.
    #[error(transparent)]
    Admin(#[from] AdminError),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything in flight was delivered, checkpointed and released.
    Drained,
    /// The deadline passed, a second signal came, or the lease table did not answer; these leases
    /// were not released.
    Aborted(Vec<LeaseKey>),
    /// The lease engine broke, which is a bug.
    Broken,
}

/// A configured application.
pub struct App {
    application: String,
    admin: Option<Admin>,
    admin_token: Option<Token>,
    drain_timeout: Duration,
    emf: EmfSettings,
    otlp: Option<Otlp>,
    configuration: String,
    create_table: bool,
    worker_id: WorkerId,
    params: LeaseParams,
    store: Arc<DynamoLeases>,
    streams: Vec<Stream>,
    context: Arc<ConsumerContext>,
}

/// One of its streams.
struct Stream {
    name: StreamName,
    settings: StreamSettings,
    reader: Arc<KinesisStream>,
    /// The registered consumer, if the stream is read with enhanced fan-out.
    consumer: Option<Arc<FanOutConsumer>>,
}

impl Stream {
    /// A reader whose calls are counted.
    fn metered(&self, metrics: &Arc<Metrics>) -> Arc<dyn StreamReader> {
        let reader = Arc::clone(&self.reader) as Arc<dyn StreamReader>;
        Arc::new(MeteredStream::new(reader, self.name.clone(), Arc::clone(metrics)))
    }
}

/// Pauses between attempts to reach the world at the start.
const START_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

impl App {
    /// Puts an application together. Calls AWS for nothing yet, except where a sink does.
    ///
    /// # Errors
    /// What a person must mend in the configuration.
    pub async fn build(compiled: Compiled, aws: &AwsConnection) -> Result<Self, StartError> {
        let mut compiled = compiled;
        let application = compiled.settings.application.clone();
        let mut streams = Vec::with_capacity(compiled.settings.streams.len());
        for settings in std::mem::take(&mut compiled.settings.streams) {
            let target = target(&settings)?;
            let name = target.stream_name().clone();
            let consumer = fan_out::consumer(aws, &settings, &target, &application);
            let reader = Arc::new(KinesisStream::new(aws, target));
            streams.push(Stream { name, settings, reader, consumer });
        }
        let hash = compiled.hash.clone();
        let metrics = Arc::new(Metrics::new());
        let read = streams.iter().map(|stream| consumer_stream(stream, &metrics)).collect();
        let (settings, context) = Box::pin(context(compiled, read, metrics, false)).await?;
        let (admin, admin_token) = subject::open(&settings.admin).await?;
        let lease = settings.lease;
        let table = lease.table.unwrap_or_else(|| application.clone());
        Ok(Self {
            application,
            admin,
            admin_token,
            configuration: hash,
            drain_timeout: settings.shutdown.drain_timeout,
            emf: settings.emf,
            otlp: None,
            create_table: lease.create_table,
            worker_id: WorkerId::new(settings.worker_id.unwrap_or_else(fresh_worker_id)),
            params: LeaseParams {
                failover_time: lease.failover_time,
                hand_over_timeout: lease.hand_over_timeout,
                scan_interval: lease.scan_interval,
                limits: BalanceLimits {
                    max_leases: lease.max_leases_per_worker,
                    max_hand_overs: lease.max_leases_to_steal,
                },
            },
            store: Arc::new(DynamoLeases::new(aws, table)),
            streams,
            context: Arc::new(context),
        })
    }

    /// Sends metrics and spans there too.
    #[must_use]
    pub fn with_otlp(self, otlp: Option<Otlp>) -> Self {
        Self { otlp, ..self }
    }

    /// What became of records and events, now and later.
    pub fn tally(&self) -> impl Fn() -> Tally + Send + Sync + 'static {
        let context = Arc::clone(&self.context);
        move || context.metrics.tally()
    }

    /// Works until it is told to stop.
    ///
    /// # Errors
    /// What a person must mend before it can start.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<Outcome, StartError> {
        self.say_start();
        let admin = self.admin.take();
        let (status, seen) = watch::channel(LeaseStatus::default());
        let mut side = JoinSet::new();
        let streams = self.leased_streams(&mut side);
        if let Some(admin) = admin {
            side.spawn(admin.serve(self.subject(&streams, seen.clone(), shutdown.drain.clone())));
        }
        let exporters = self.exporters(&seen);
        let ready = tokio::select! { biased;
            () = shutdown.drain.cancelled() => None,
            ready = self.reach_the_table() => Some(ready?),
        };
        if ready.is_none() {
            info!("stopped before any lease was taken");
            return Ok(Outcome::Drained);
        }
        let worker = Worker::new(
            self.worker_id.clone(),
            self.params.clone(),
            Arc::new(MeteredLeases::new(
                Arc::clone(&self.store) as Arc<dyn LeaseStore>,
                Arc::clone(&self.context.metrics),
            )),
            streams,
            Arc::clone(&self.context),
            status,
            rand::rng().random(),
        );
        let work = worker.run(shutdown.drain.clone());
        let ended = tokio::select! { biased;
            ended = work => {
                close_sinks(&self.context).await;
                say_counts(&self.context.metrics.tally());
                let outcome = outcome(ended);
                if outcome == Outcome::Drained {
                    self.deregister().await;
                }
                Ok(outcome)
            }
            why = overdue(&shutdown, self.drain_timeout) => {
                let held: Vec<LeaseKey> = seen.borrow().held.iter().cloned().collect();
                say_counts(&self.context.metrics.tally());
                let held_up = held_up(&self.context.metrics);
                error!(why, not_done = names(&held), held_up, "stopped before everything was drained");
                Ok(Outcome::Aborted(held))
            }
        };
        exporters.finish().await;
        ended
    }

    fn say_start(&self) {
        let streams: Vec<&str> = self.streams.iter().map(|stream| stream.name.as_str()).collect();
        info!(
            version = env!("CARGO_PKG_VERSION"),
            worker = %self.worker_id,
            table = self.store.table(),
            streams = streams.join(", "),
            configuration = self.configuration,
            page = self.admin_address().map(|at| tracing::field::display(format!("http://{at}/"))),
            "starting"
        );
    }

    /// The streams as the lease engine sees them. Where there are several, each one says who it is in
    /// its own time: one that is missing does not keep the others waiting.
    fn leased_streams(&self, side: &mut JoinSet<()>) -> Vec<LeasedStream> {
        let several = self.streams.len() > 1;
        let mut leased = Vec::with_capacity(self.streams.len());
        for stream in &self.streams {
            let identifier = if several {
                let identifier = Arc::new(OnceLock::new());
                let reader = Arc::clone(&stream.reader);
                side.spawn(asking::identify(stream.name.clone(), reader, Arc::clone(&identifier)));
                StreamIdentifier::Several(identifier)
            } else {
                StreamIdentifier::Single
            };
            leased.push(LeasedStream {
                name: stream.name.clone(),
                identifier,
                initial_position: stream.settings.initial_position,
                reader: stream.metered(&self.context.metrics),
            });
            let metrics = Arc::clone(&self.context.metrics);
            side.spawn(asking::retention(stream.name.clone(), Arc::clone(&stream.reader), metrics));
        }
        leased
    }

    async fn reach_the_table(&self) -> Result<(), StartError> {
        let mut pause = START_RETRY.0;
        let coordinator_table = format!("{}-CoordinatorState", self.store.table());
        loop {
            let found = async {
                let ready = self.store.ensure_table(self.create_table).await?;
                Ok((ready, self.store.fleet_mode(&coordinator_table).await?))
            };
            match found.await {
                Ok((_, FleetMode::LeaderAssigned { client_version })) => {
                    let table = self.store.table().to_owned();
                    return Err(StartError::LeaderAssigned { table, client_version });
                }
                Ok((TableReady::Created, _)) => {
                    info!(table = self.store.table(), "created the lease table");
                    return Ok(());
                }
                Ok((TableReady::Existing, _)) => return Ok(()),
                Err(problem @ StoreError::Corrupt(_)) => return Err(StartError::Table(problem)),
                Err(problem) => {
                    warn!(%problem, retry_in = ?pause, "cannot use the lease table yet, will retry");
                    sleep(pause).await;
                    pause = (pause * 2).min(START_RETRY.1);
                }
            }
        }
    }
}

/// What became of everything that this process has read.
fn say_counts(tally: &Tally) {
    info!(
        records = tally.records,
        user_records = tally.user_records,
        foreign = tally.foreign,
        undecodable = tally.undecodable,
        control = tally.control,
        events = tally.events,
        delivered = tally.delivered,
        filtered = tally.filtered,
        dead_lettered = tally.dead_lettered,
        aborts = tally.aborts.iter().next().map(|_| tracing::field::display(&tally.aborts)),
        "in all"
    );
}

/// What the end of a worker means.
fn outcome(ended: Result<Vec<LeaseKey>, JoinError>) -> Outcome {
    match ended {
        Ok(abandoned) if abandoned.is_empty() => {
            info!("drained");
            Outcome::Drained
        }
        Ok(abandoned) => {
            error!(not_done = names(&abandoned), "leases were lost while draining");
            Outcome::Aborted(abandoned)
        }
        Err(problem) => {
            error!(%problem, "the lease engine broke, this is a bug");
            Outcome::Broken
        }
    }
}

fn names(leases: &[LeaseKey]) -> String {
    leases.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What stands in the way of shards: each sink's or stream's own words, once.
fn held_up(metrics: &Metrics) -> Option<String> {
    let problems = metrics.shards().into_values().flat_map(|shard| {
        [shard.sink_error, shard.read_error].into_iter().flatten().map(|(_, problem)| problem)
    });
    let problems: BTreeSet<String> = problems.collect();
    (!problems.is_empty()).then(|| problems.into_iter().collect::<Vec<_>>().join("; "))
}

/// Waits until a drain has taken too long, or nobody wants to wait for it.
async fn overdue(shutdown: &Shutdown, drain_timeout: Duration) -> &'static str {
    let deadline = async {
        shutdown.drain.cancelled().await;
        sleep(drain_timeout).await;
    };
    tokio::select! { biased;
        () = shutdown.abort.cancelled() => "a second signal",
        () = deadline => "shutdown.drain_timeout has passed",
    }
}

async fn close_sinks(context: &ConsumerContext) {
    for sink in &context.sinks {
        if let Err(problem) = sink.sink.close().await {
            warn!(sink = %sink.name, %problem, "the sink did not close cleanly");
        }
    }
}

/// How a configured stream is named in requests.
pub(crate) fn target(stream: &StreamSettings) -> Result<StreamTarget, StartError> {
    match (&stream.name, &stream.arn) {
        (_, Some(arn)) => {
            StreamTarget::arn(arn).map_err(|problem| StartError::Stream(problem.to_string()))
        }
        (Some(name), None) => Ok(StreamTarget::Name(StreamName::new(name))),
        (None, None) => Err(StartError::Stream("needs either name or arn".to_owned())),
    }
}

fn consumer_stream(stream: &Stream, metrics: &Arc<Metrics>) -> ConsumerStream {
    ConsumerStream {
        name: stream.name.clone(),
        format: stream.settings.format,
        initial_position: stream.settings.initial_position,
        until: stream.settings.until.map(|until| until.time(SystemClock.now())),
        aggregates: stream.settings.aggregates,
        reader: stream.metered(metrics),
        fan_out: fan_out::of(stream, metrics),
    }
}

/// A name that no other worker has, and that tells an operator where to look.
pub(crate) fn fresh_worker_id() -> String {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host = host.trim();
    let host = if host.is_empty() { "worker" } else { host };
    format!("{host}:{}", uuid::Uuid::new_v4())
}
