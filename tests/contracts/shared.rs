//! Servers as child processes, for one test or for several at the same time.

use std::{
    path::Path,
    sync::{Arc, Weak},
};

use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::harness::{Installed, Server};

/// A server that runs until the last test that uses it has ended.
pub(crate) struct Running {
    pub(crate) server: Server,
    // After the server, whose log is in it.
    _dir: TempDir,
}

impl Running {
    /// A server of one's own; `None` when it is not installed, and nobody insists.
    pub(crate) async fn alone(
        start: impl AsyncFnOnce(&Installed, &Path) -> Server,
    ) -> Option<Arc<Self>> {
        let installed = Installed::find()?;
        let dir = TempDir::new().unwrap();
        Some(Arc::new(Self { server: start(&installed, dir.path()).await, _dir: dir }))
    }
}

/// At most one process of a kind, for tests that keep to streams and tables of their own.
pub(crate) struct Shared(Mutex<Weak<Running>>);

impl Shared {
    pub(crate) const fn new() -> Self {
        Self(Mutex::const_new(Weak::new()))
    }

    /// The server that is running, or one that is started; `None` as in [`Running::alone`].
    pub(crate) async fn get(
        &self,
        start: impl AsyncFnOnce(&Installed, &Path) -> Server,
    ) -> Option<Arc<Running>> {
        let mut shared = self.0.lock().await;
        if let Some(running) = shared.upgrade() {
            return Some(running);
        }
        let running = Running::alone(start).await?;
        *shared = Arc::downgrade(&running);
        Some(running)
    }
}
