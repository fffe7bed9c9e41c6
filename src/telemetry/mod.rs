//! Metrics to where nobody scrapes: exporters that send, at intervals, what `/metrics` shows.
//!
//! | Exporter | To |
//! |---|---|
//! | [`Emf`] | CloudWatch, by way of the log: the embedded metric format on standard output |

mod emf;

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

pub use emf::Emf;

use crate::metrics::MetricFamily;

/// Reads all metrics as they are now.
pub type Scrape = Arc<dyn Fn() -> Vec<MetricFamily> + Send + Sync>;

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
