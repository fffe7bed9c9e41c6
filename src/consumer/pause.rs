//! An operator's hand on the reading.

use tokio::sync::watch;

/// Whether shards are read. Leases are renewed and what was read is delivered all the same.
#[derive(Debug)]
pub struct Pause(watch::Sender<bool>);

impl Default for Pause {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Pause {
    /// Stops or resumes the reading; `true` when that is news.
    pub fn set(&self, paused: bool) -> bool {
        self.0.send_replace(paused) != paused
    }

    /// Whether the reading is stopped.
    pub fn is_paused(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits while the reading is stopped.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub(super) async fn over(&self) {
        // The sender is ours: it cannot be gone.
        let _ = self.0.subscribe().wait_for(|paused| !paused).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_until_it_is_over() {
        let pause = Pause::default();
        pause.over().await;
        assert!(pause.set(true) && !pause.set(true) && pause.is_paused());
        let second = Duration::from_secs(1);
        assert!(timeout(second, pause.over()).await.is_err());
        assert!(pause.set(false));
        pause.over().await;
    }
}
