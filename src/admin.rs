//! The admin port: is the process alive, and may it get work? Off the data path; never asks AWS.
//!
//! | Path | Answer |
//! |---|---|
//! | `/livez` | 200 while the lease engine's loop turns |
//! | `/readyz` | 200 once the lease table has answered, 503 before that and while draining |

use std::{net::SocketAddr, time::Duration};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use tokio::{net::TcpListener, sync::watch, time::Instant};

use crate::leasing::LeaseStatus;

/// What the port answers from.
#[derive(Clone)]
struct Health {
    status: watch::Receiver<LeaseStatus>,
    /// A loop that has not turned for so long is stuck.
    stuck_after: Duration,
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

impl Admin {
    /// Opens the port.
    ///
    /// # Errors
    /// When the address is taken or not one of this machine.
    pub async fn bind(address: SocketAddr) -> Result<Self, AdminError> {
        let bound = TcpListener::bind(address).await;
        bound.map(Self).map_err(|problem| AdminError { address, problem })
    }

    /// Answers until dropped.
    pub async fn serve(self, status: watch::Receiver<LeaseStatus>, stuck_after: Duration) {
        let router = Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .with_state(Health { status, stuck_after });
        if let Err(error) = axum::serve(self.0, router).await {
            tracing::error!(%error, "the admin port has closed");
        }
    }
}

async fn livez(State(health): State<Health>) -> (StatusCode, String) {
    // A process that waits for its lease table is alive, and a restart would not help it.
    let turned = health.status.borrow().turned;
    let still = turned.map_or(Duration::ZERO, |turned| Instant::now().duration_since(turned));
    if still > health.stuck_after {
        let text = format!("the lease engine has not turned for {} s\n", still.as_secs());
        return (StatusCode::SERVICE_UNAVAILABLE, text);
    }
    (StatusCode::OK, "alive\n".to_owned())
}

async fn readyz(State(health): State<Health>) -> (StatusCode, String) {
    let status = health.status.borrow();
    if status.draining {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
    }
    if !status.table_reached {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "the lease table has not answered yet\n".to_owned(),
        );
    }
    (StatusCode::OK, format!("ready, {} leases held\n", status.held.len()))
}
