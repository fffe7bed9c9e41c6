//! What is asked of a stream beside its records: who it is, and how long it keeps them.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::time::sleep;
use tracing::{debug, warn};

use super::START_RETRY;
use crate::{aws::KinesisStream, metrics::Metrics, model::StreamName};

/// How often a stream's retention is looked up: people change it seldom, and in need.
const RETENTION_EVERY: Duration = Duration::from_mins(5);

/// Keeps an eye on how long a stream keeps its records, for the time that is left before unread ones
/// are trimmed. Without permission there is no such metric.
pub(super) async fn retention(name: StreamName, reader: Arc<KinesisStream>, metrics: Arc<Metrics>) {
    loop {
        match reader.describe().await {
            Ok(summary) => metrics.retention(&name, summary.retention),
            Err(problem) => debug!(stream = %name, %problem, "cannot look up the retention"),
        }
        sleep(RETENTION_EVERY).await;
    }
}

/// Finds out a stream's identifier `account:name:epoch` (KCL `StreamIdentifier`).
pub(super) async fn identify(
    name: StreamName,
    reader: Arc<KinesisStream>,
    identifier: Arc<OnceLock<Arc<str>>>,
) {
    let mut pause = START_RETRY.0;
    loop {
        match reader.describe().await {
            Ok(summary) => {
                let account = summary.arn.split(':').nth(4).unwrap_or_default();
                let created = summary.created.0 / 1000;
                let _ = identifier.set(Arc::from(format!("{account}:{name}:{created}")));
                return;
            }
            Err(problem) => {
                warn!(stream = %name, %problem, retry_in = ?pause,
                    "cannot describe the stream yet, will retry; the other streams go on");
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(START_RETRY.1);
    }
}
