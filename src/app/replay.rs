//! The wiring of a replay: the configured pipeline and sinks, without streams and leases.

use std::{sync::Arc, time::Duration};

use rand::RngExt;
use tokio::sync::mpsc;
use tracing::error;

use super::{StartError, close_sinks, context, overdue};
use crate::{
    config::Compiled,
    consumer::{ConsumerContext, Letter, LetterOutcome, Replayer},
    etl::Pipeline,
    shutdown::Shutdown,
};

/// Dead letters, through the pipeline again and to the sinks.
pub struct Replay {
    context: Arc<ConsumerContext>,
    drain_timeout: Duration,
}

/// How a replay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayEnd {
    /// Each letter that was taken is done, or was given up before a sink saw it.
    Drained,
    /// The deadline of a drain passed, or a second signal came: letters that are not done may have
    /// been delivered.
    Aborted,
}

impl Replay {
    /// Makes pipeline and sinks ready.
    ///
    /// The sinks are those of `run`, with one difference: `maximum_record_age` does not count, for
    /// dead letters are old by nature.
    ///
    /// # Errors
    /// What a person must mend in the configuration.
    pub async fn build(compiled: Compiled) -> Result<Self, StartError> {
        let (settings, mut context) = context(compiled, Vec::new(), Arc::default(), true).await?;
        for sink in &mut context.sinks {
            sink.retry.age = None;
        }
        let drain_timeout = settings.shutdown.drain_timeout;
        Ok(Self { context: Arc::new(context), drain_timeout })
    }

    /// What makes letters into records, and what they go through.
    pub fn pipeline(&self) -> Arc<Pipeline> {
        Arc::clone(&self.context.pipeline)
    }

    /// Replays letters until there are no more or it is told to stop; tells `done` the outcome of each
    /// by its number, once the sinks have it.
    ///
    /// # Cancel safety
    /// Letters that are not done may have been delivered.
    pub async fn run(
        self,
        letters: mpsc::Receiver<Letter>,
        done: impl FnMut(u64, LetterOutcome),
        shutdown: Shutdown,
    ) -> ReplayEnd {
        let context = Arc::clone(&self.context);
        let replayer = Replayer::new(self.context, done, rand::rng().random());
        tokio::select! { biased;
            () = replayer.run(letters, shutdown.drain.clone()) => {
                close_sinks(&context).await;
                ReplayEnd::Drained
            }
            why = overdue(&shutdown, self.drain_timeout) => {
                error!(why, "stopped before everything was drained");
                ReplayEnd::Aborted
            }
        }
    }
}
