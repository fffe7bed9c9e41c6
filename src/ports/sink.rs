//! Where events go.

use std::time::Duration;

use async_trait::async_trait;

use crate::model::OutputEvent;

/// What a sink says of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is there to stay.
    Accepted,
    /// Not now; the same event may be accepted later.
    Retry(String),
    /// Never: the event itself is what the sink cannot take.
    Refused(String),
}

/// Why a sink took nothing of a batch, or cannot be used at all.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SinkError {
    /// A passing fault: nothing of the batch counts as delivered, all of it may be sent again.
    #[error("{0}")]
    Unavailable(String),
    /// As [`Self::Unavailable`], and the sink has said how long to leave it alone.
    #[error("{reason}")]
    Busy {
        /// What it said.
        reason: String,
        /// How long, from now.
        retry_after: Duration,
    },
    /// A human must change the configuration or a policy; sent again all the same.
    #[error("{0}")]
    Misconfigured(String),
    /// The sink was reached and refused the batch as a whole, perhaps for one of its events: a part
    /// of the batch may fare better. A sink that knows which event it is says [`Verdict::Refused`].
    #[error("{0}")]
    BatchRefused(String),
}

impl SinkError {
    /// How long the sink wants to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }
}

/// A place that events are delivered to. Its documentation says what it does to order, and what a
/// second delivery of the same event leaves behind.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Delivers a batch, in order; one verdict for each event, in the order of the batch.
    ///
    /// # Errors
    /// When nothing can be said of single events; the caller sends all of them again, after
    /// [`SinkError::BatchRefused`] perhaps in parts.
    ///
    /// # Cancel safety
    /// Any part of the batch may have been delivered when this future is dropped.
    async fn deliver(&self, events: &[OutputEvent]) -> Result<Vec<Verdict>, SinkError>;

    /// Whether the range of a batch must be in the lease's row before the batch is delivered, because
    /// what the sink writes is named by that range: whoever takes the lease after a crash delivers
    /// exactly the same batch again, and it overwrites itself.
    ///
    /// A sink that says so takes a batch as a whole: it answers accepted or refused for each event, or
    /// an error for all of them.
    fn prepares(&self) -> bool {
        false
    }

    /// Whether the sink could take events now, found out without writing any.
    ///
    /// # Errors
    /// What stands in the way.
    async fn check(&self) -> Result<(), SinkError>;

    /// Finishes what is half done, such as an open file.
    ///
    /// # Errors
    /// When that fails. What [`Self::deliver`] accepted is not in danger.
    async fn close(&self) -> Result<(), SinkError>;
}
