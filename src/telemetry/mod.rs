//! Metrics to where nobody scrapes: exporters that send, at intervals, what `/metrics` shows.
//!
//! | Exporter | To |
//! |---|---|
//! | [`Emf`] | CloudWatch, by way of the log: the embedded metric format on standard output |
//! | [`Otlp`] | an OpenTelemetry collector, with traces; behind the cargo feature `otlp` |

mod emf;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(not(feature = "otlp"))]
mod without_otlp;

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{Layer, Registry};

pub use emf::Emf;
#[cfg(feature = "otlp")]
pub use otlp::Otlp;
#[cfg(not(feature = "otlp"))]
pub use without_otlp::Otlp;

use crate::metrics::MetricFamily;

/// Reads all metrics as they are now.
pub type Scrape = Arc<dyn Fn() -> Vec<MetricFamily> + Send + Sync>;

/// What sees spans beside the log.
pub type SpanLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Why nothing can be sent by OTLP.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("otlp.endpoint: {0}")]
pub struct OtlpError(String);

/// What an endpoint says in a build that cannot send.
pub const NOT_BUILT_IN: &str =
    "this build cannot send by OTLP: build it with the cargo feature `otlp`, or leave the key out";

/// What the last values may take at the end.
const LAST: Duration = Duration::from_secs(2);

/// The exporters of a process, each a task of its own beside the work.
#[derive(Default)]
pub struct Exporters {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Exporters {
    /// Runs an exporter: it sends at its intervals, and once more when `finished` is cancelled.
    pub fn spawn<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        exporter: impl FnOnce(CancellationToken) -> F,
    ) {
        self.tasks.spawn(exporter(self.stop.clone()));
    }

    /// Lets all of them send the last values, for two seconds at most.
    pub async fn finish(mut self) {
        self.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // Values that nobody takes any more are not worth the wait.
        let _ = timeout(LAST, all).await;
    }
}
