//! The server's life: built, bound to loopback, shut down.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::clock::{Clock, SystemClock};
use super::connection::{CuttableListener, Cutter};
use super::error::ApiError;
use super::faults::Faults;
use super::http;
use super::limits::Limits;
use super::operation::Operation;
use super::service::{Service, Settings};
use super::shard::{Record, Shard};

/// How long [`KinesisServer::shutdown`] waits for calls in flight.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// A Kinesis server in this process, reachable by any AWS SDK.
///
/// Dropping it closes the port: calls in flight are still answered, idle connections end.
pub struct KinesisServer {
    address: SocketAddr,
    pub(super) service: Arc<Service>,
    /// Dropping it tells the serving task to stop.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// A record as it lies in a stream, for audits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// The shard it was routed to.
    pub shard_id: String,
    /// Its sequence number there, 56 decimal digits.
    pub sequence_number: String,
    /// The key it was put with.
    pub partition_key: String,
    /// The payload.
    pub data: Bytes,
}

/// Sets a [`KinesisServer`] up.
#[must_use]
pub struct KinesisServerBuilder {
    address: SocketAddr,
    settings: Settings,
}

impl KinesisServer {
    /// A server on a free loopback port, by the wall clock, with all quotas enforced, no faults
    /// and changes that take effect at once, unless the builder is told otherwise.
    pub fn builder() -> KinesisServerBuilder {
        KinesisServerBuilder {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            settings: Settings {
                clock: Arc::new(SystemClock),
                limits: Limits::enforced(),
                faults: Faults::default(),
                region: "us-east-1".to_owned(),
                account: "000000000000".to_owned(),
                status_window: Duration::ZERO,
            },
        }
    }

    /// The endpoint URL for an SDK, such as `http://127.0.0.1:40123`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The switchboard for faults, also while the server runs.
    pub fn faults(&self) -> &Faults {
        &self.service.settings.faults
    }

    /// Performs one call without the network: the request's JSON in, the answer's JSON out (`null`
    /// for an operation without an answer). Faults do not touch it, except those of the entries of
    /// a put.
    ///
    /// # Errors
    /// What the service would answer with a status other than 200.
    pub fn call(
        &self,
        operation: Operation,
        request: &serde_json::Value,
    ) -> Result<serde_json::Value, ApiError> {
        let body = self.service.call(operation, request.to_string().as_bytes())?;
        if body.is_empty() {
            return Ok(serde_json::Value::Null);
        }
        serde_json::from_slice(&body).map_err(|error| ApiError::internal(error.to_string()))
    }

    /// Every record that a stream holds (retention trims it), shard by shard in the order of their
    /// ids, closed shards included; reads past all limits. Empty for a stream that does not exist.
    pub fn records(&self, stream: &str) -> Vec<StoredRecord> {
        let stored = |shard: &Shard, record: &Record| StoredRecord {
            shard_id: shard.id(),
            sequence_number: record.sequence.to_string(),
            partition_key: record.partition_key.clone(),
            data: record.data.clone(),
        };
        let listed = self.service.with_stream(stream, |stream, _| {
            let of_shard = |shard| Shard::records(shard).map(move |record| stored(shard, record));
            Ok(stream.shards.values().flat_map(of_shard).collect())
        });
        listed.unwrap_or_default()
    }

    /// Stops listening, ends subscriptions, lets calls in flight finish (for two seconds at most),
    /// ends connections.
    ///
    /// # Cancel safety
    /// Dropping the future leaves a server that is closing on its own.
    pub async fn shutdown(self) {
        let Self { stop, mut task, .. } = self;
        drop(stop);
        if tokio::time::timeout(SHUTDOWN_GRACE, &mut task).await.is_err() {
            tracing::debug!("calls still in flight at shutdown");
            task.abort();
        }
    }
}

impl fmt::Debug for KinesisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KinesisServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl KinesisServerBuilder {
    /// Where to listen. Port 0 takes a free one.
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// What tells the time.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.settings.clock = clock;
        self
    }

    /// Which quotas are enforced.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Rules for faults, and their dice.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.settings.faults = faults;
        self
    }

    /// How long a stream stays `CREATING`, `UPDATING` or `DELETING` before a change takes effect
    /// (by the server's clock). Zero, the default, changes it at once.
    pub fn status_window(mut self, window: Duration) -> Self {
        self.settings.status_window = window;
        self
    }

    /// The region in the ARNs. Default `us-east-1`.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.settings.region = region.into();
        self
    }

    /// Binds the port and serves in a task of the current tokio runtime.
    ///
    /// # Errors
    /// `InvalidInput` for an address other than loopback: the server checks no signatures and
    /// belongs to this machine only. Otherwise what binding the port says.
    pub async fn start(self) -> io::Result<KinesisServer> {
        if !self.address.ip().is_loopback() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is not a loopback address", self.address),
            ));
        }
        let listener = TcpListener::bind(self.address).await?;
        let address = listener.local_addr()?;
        let service = Arc::new(Service::new(self.settings));
        let app = Router::new().fallback(http::handle).with_state(Arc::clone(&service));
        let (stop, stopped) = oneshot::channel::<()>();
        let closing = service.closing.clone();
        let serving = axum::serve(
            CuttableListener(listener),
            app.into_make_service_with_connect_info::<Cutter>(),
        )
        .with_graceful_shutdown(async move {
            // Both a message and a dropped sender mean stop.
            let _ = stopped.await;
            closing.cancel();
        });
        let task = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "embedded kinesis stopped");
            }
        });
        Ok(KinesisServer { address, service, stop, task })
    }
}
