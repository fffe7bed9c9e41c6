//! The admin port: is the process alive, what is it doing, and a hand on it. Off the data path; never
//! asks AWS.
//!
//! | Path | Answer |
//! |---|---|
//! | `/` | a live page for people |
//! | `/livez` | 200 while the lease engine's loop turns |
//! | `/readyz` | 200 once the lease table has answered, 503 before that and while draining |
//! | `/metrics` | the metrics of `docs/metrics.md`, as `OpenMetrics` text |
//! | `/shards` | JSON: each shard with its owner, checkpoint, lag, what is in flight, its last error |
//! | `/status` | JSON: what the page shows |
//! | `POST /drain` | as SIGTERM: finish what is in flight, release the leases, end |
//! | `POST /pause`, `POST /resume` | stop fetching on this worker, its leases stay; go on |
//!
//! Reading needs no token: keep the port on loopback, or behind the orchestrator's network rules.
//! The three that change something need one as soon as the port is open to more than loopback.
//! `guard` is what browsers are kept from, `listener` what a client may cost.

mod control;
mod guard;
mod health;
mod history;
mod listener;
mod status;

pub use control::Token;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::header,
    middleware::{from_fn_with_state, map_response},
    response::{Html, IntoResponse},
    routing::{get, post},
};
use tokio::{net::TcpListener, sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use self::history::History;
use crate::{
    consumer::ConsumerContext,
    leasing::{LeaseStatus, StreamIdentifier},
    metrics::Levels,
    model::{StreamName, WorkerId},
    worker,
};

/// What the port answers from.
pub struct Subject {
    /// The KCL application.
    pub application: String,
    /// This worker.
    pub worker: WorkerId,
    /// Hash of the configuration.
    pub configuration: String,
    /// The streams, and how their leases are told apart.
    pub streams: Vec<(StreamName, StreamIdentifier)>,
    /// How the lease engine is doing.
    pub status: watch::Receiver<LeaseStatus>,
    /// A loop that has not turned for so long is stuck.
    pub stuck_after: Duration,
    /// What consumers share: metrics, budget, pause.
    pub context: Arc<ConsumerContext>,
    /// Begins a drain.
    pub drain: CancellationToken,
    /// What `drain`, `pause` and `resume` ask for.
    pub token: Option<Token>,
}

/// A subject, and what the port remembers of it.
struct Watched {
    subject: Subject,
    started: Instant,
    history: History,
    /// Whether only this machine can reach the port.
    loopback: bool,
}

/// Why the port cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "admin.listen: cannot listen on {address}: {problem}; set another address, or admin.enabled = false"
)]
pub struct AdminError {
    address: SocketAddr,
    problem: std::io::Error,
}

/// The open port.
pub struct Admin(TcpListener);

/// The page: one file, nothing from elsewhere.
const PAGE: &str = include_str!("page.html");
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl Admin {
    /// Opens the port.
    ///
    /// # Errors
    /// When the address is taken or not one of this machine.
    pub async fn bind(address: SocketAddr) -> Result<Self, AdminError> {
        let bound = TcpListener::bind(address).await;
        bound.map(Self).map_err(|problem| AdminError { address, problem })
    }

    /// Where it listens: the port that was given to it, if any would do.
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.local_addr().ok()
    }

    /// Answers until dropped.
    pub async fn serve(self, subject: Subject) {
        // Who cannot say where it listens is treated as open to everyone.
        let loopback = self.address().is_some_and(|address| address.ip().is_loopback());
        let watched = Arc::new(Watched {
            subject,
            started: Instant::now(),
            history: History::default(),
            loopback,
        });
        let router = Router::new()
            .route("/", get(page))
            .route("/livez", get(health::livez))
            .route("/readyz", get(health::readyz))
            .route("/metrics", get(metrics))
            .route("/shards", get(status::shards))
            .route("/status", get(status::status))
            .route("/drain", post(control::drain))
            .route("/pause", post(control::pause))
            .route("/resume", post(control::resume))
            .layer(from_fn_with_state(Arc::clone(&watched), guard::by_own_name))
            .layer(map_response(guard::harden))
            .with_state(Arc::clone(&watched));
        tokio::select! { biased;
            never = listener::serve(self.0, router) => match never {},
            never = watched.history.keep(&watched.subject.context.metrics) => match never {},
        }
    }
}

impl Watched {
    fn levels(&self) -> Levels {
        let Subject { status, context, .. } = &self.subject;
        worker::levels(&status.borrow(), context)
    }
}

async fn page() -> impl IntoResponse {
    Html(PAGE)
}

async fn metrics(State(watched): State<Arc<Watched>>) -> impl IntoResponse {
    let text = watched.subject.context.metrics.encode(&watched.levels());
    ([(header::CONTENT_TYPE, OPENMETRICS)], text)
}
