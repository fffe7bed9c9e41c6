//! Servers that several tests use at the same time, each with streams and tables of its own.

use std::sync::{Arc, Weak};

use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::harness::{Installed, Server};

/// At most one process of a kind: the first test that needs it starts it, the last one that uses it
/// ends it.
pub(crate) struct Shared(Mutex<Weak<Running>>);

pub(crate) struct Running {
    pub(crate) server: Server,
    // After the server, whose log is in it.
    _dir: TempDir,
}

impl Shared {
    pub(crate) const fn new() -> Self {
        Self(Mutex::const_new(Weak::new()))
    }

    /// The server; `None` when it is not installed, and nobody insists.
    pub(crate) async fn get(
        &self,
        start: impl AsyncFnOnce(&Installed, &std::path::Path) -> Server,
    ) -> Option<Arc<Running>> {
        let installed = Installed::find()?;
        let mut shared = self.0.lock().await;
        if let Some(running) = shared.upgrade() {
            return Some(running);
        }
        let running = Arc::new(Running::start(&installed, start).await);
        *shared = Arc::downgrade(&running);
        Some(running)
    }
}

impl Running {
    pub(crate) async fn start(
        installed: &Installed,
        start: impl AsyncFnOnce(&Installed, &std::path::Path) -> Server,
    ) -> Self {
        let dir = TempDir::new().unwrap();
        Self { server: start(installed, dir.path()).await, _dir: dir }
    }
}
