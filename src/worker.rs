//! A worker: the lease engine and one consumer for each lease it holds.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};
use tokio_util::{sync::CancellationToken, task::JoinMap};
use tracing::{error, info};

use crate::{
    consumer::{ConsumerContext, ShardConsumer},
    leasing::{
        Command, ConsumerExit, Coordinator, CoordinatorHandle, LeaseParams, LeaseStatus,
        LeasedStream, Watched,
    },
    metrics::Levels,
    model::{LeaseKey, WorkerId},
    ports::LeaseStore,
};

/// One member of the fleet.
pub struct Worker {
    coordinator: Coordinator,
    handle: CoordinatorHandle,
    context: Arc<ConsumerContext>,
    rng: StdRng,
    gate: Option<Arc<dyn Gate>>,
}

/// What is read of a worker when somebody asks for its metrics.
pub fn levels(status: &LeaseStatus, context: &ConsumerContext) -> Levels {
    let unowned = status.leases.iter().filter(|lease| lease.holder().is_none());
    Levels {
        in_flight_bytes: context.budget.in_flight(),
        leases_held: status.held.len(),
        leases_unowned: unowned.filter(|lease| !lease.ended()).count(),
        paused: context.pause.is_paused(),
    }
}

/// Holds all tasks of a worker back at a time, as a machine does that is paused. The simulation has
/// one; a daemon has none.
pub trait Gate: Send + Sync {
    /// Ready while tasks may go on; else the task is woken when they may.
    fn poll_open(&self, context: &mut Context<'_>) -> Poll<()>;
}

/// A consumer's name among the tasks: the lease and its acquisition.
type ConsumerKey = (LeaseKey, u64);

impl Worker {
    /// A worker that holds no leases yet. It tells `status` how it is doing; `seed` decides its jitter
    /// and its choices.
    pub fn new(
        id: WorkerId,
        params: LeaseParams,
        store: Arc<dyn LeaseStore>,
        streams: Vec<LeasedStream>,
        context: Arc<ConsumerContext>,
        status: watch::Sender<LeaseStatus>,
        seed: u64,
    ) -> Self {
        let clock = Arc::clone(&context.clock);
        let watched = Watched { status, metrics: Arc::clone(&context.metrics) };
        let (coordinator, handle) =
            Coordinator::new(id, params, store, clock, streams, watched, seed);
        Self { coordinator, handle, context, rng: StdRng::seed_from_u64(!seed), gate: None }
    }

    /// The same worker behind a gate.
    #[must_use]
    pub fn behind(self, gate: Arc<dyn Gate>) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// Works until `drain` is cancelled and everything in flight is delivered, checkpointed and
    /// released. Answers the leases for which that did not succeed.
    ///
    /// # Errors
    /// When the lease engine broke, which is a bug.
    ///
    /// # Cancel safety
    /// Dropping it ends all its tasks at once, as a crash would: leases stay owned until they
    /// expire, and what was not checkpointed is processed again.
    pub async fn run(self, drain: CancellationToken) -> Result<Vec<LeaseKey>, JoinError> {
        let gate = self.gate.clone();
        gated(gate, self.work(drain)).await
    }

    async fn work(self, drain: CancellationToken) -> Result<Vec<LeaseKey>, JoinError> {
        let Self { coordinator, mut handle, context, mut rng, gate } = self;
        let mut engine = JoinSet::new();
        engine.spawn(gated(gate.clone(), coordinator.run()));
        let mut consumers: JoinMap<ConsumerKey, ConsumerExit> = JoinMap::new();
        let mut draining = false;
        loop {
            tokio::select! { biased;
                () = drain.cancelled(), if !draining => {
                    draining = true;
                    info!("draining: no new leases, finishing what is in flight");
                    tell(&handle, Command::Drain);
                }
                Some((key, exit)) = consumers.join_next() => {
                    finished(&handle, key, exit.unwrap_or_else(|problem| broken(&problem)));
                }
                grant = handle.grants.recv() => match grant {
                    Some(grant) => {
                        let key = (grant.lease.key.clone(), grant.acquisition);
                        let consumer = ShardConsumer::new(grant, Arc::clone(&context), rng.random());
                        consumers.spawn(key, gated(gate.clone(), consumer.run()));
                    }
                    None => break,
                },
            }
        }
        engine.join_next().await.unwrap_or(Ok(Vec::new()))
    }
}

/// Runs a task whenever its gate, if there is one, is open.
async fn gated<T>(gate: Option<Arc<dyn Gate>>, task: impl Future<Output = T>) -> T {
    let Some(gate) = gate else { return task.await };
    let mut task = pin!(task);
    std::future::poll_fn(|context| {
        ready!(gate.poll_open(context));
        task.as_mut().poll(context)
    })
    .await
}

fn finished(handle: &CoordinatorHandle, (key, acquisition): ConsumerKey, exit: ConsumerExit) {
    tell(handle, Command::Finished { key, acquisition, exit });
}

/// A consumer that panicked leaves its shard where its last checkpoint was.
fn broken(problem: &JoinError) -> ConsumerExit {
    error!(%problem, "a consumer broke, this is a bug; its lease is released");
    ConsumerExit::Drained(None)
}

fn tell(handle: &CoordinatorHandle, command: Command) {
    // The coordinator is gone only when the worker is ending; then its grants close too.
    let _ = handle.commands.send(command);
}
