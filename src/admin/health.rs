//! `/livez` and `/readyz`.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, http::StatusCode};
use tokio::time::Instant;

use super::Watched;

pub(super) async fn livez(State(watched): State<Arc<Watched>>) -> (StatusCode, String) {
    // A process that waits for its lease table is alive, and a restart would not help it.
    let turned = watched.subject.status.borrow().turned;
    let still = turned.map_or(Duration::ZERO, |turned| Instant::now().duration_since(turned));
    if still > watched.subject.stuck_after {
        let text = format!("the lease engine has not turned for {} s\n", still.as_secs());
        return (StatusCode::SERVICE_UNAVAILABLE, text);
    }
    (StatusCode::OK, "alive\n".to_owned())
}

pub(super) async fn readyz(State(watched): State<Arc<Watched>>) -> (StatusCode, String) {
    let status = watched.subject.status.borrow();
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
