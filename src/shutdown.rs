//! Signals: the first one drains, the second one ends at once.

use std::{convert::Infallible, io};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How a process is asked to end.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Finish what is in flight, then end.
    pub drain: CancellationToken,
    /// End now.
    pub abort: CancellationToken,
}

/// SIGTERM and SIGINT, caught from the moment this is made.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Starts to catch both signals.
    ///
    /// # Errors
    /// When the operating system does not allow it.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Turns signals into a shutdown, for as long as it is polled.
    ///
    /// # Cancel safety
    /// Safe; a signal that has arrived is not forgotten.
    pub async fn drive(mut self, shutdown: Shutdown) -> Infallible {
        let name = self.next().await;
        info!(signal = name, "asked to stop: draining; a second signal stops at once");
        shutdown.drain.cancel();
        let name = self.next().await;
        warn!(signal = name, "asked again: stopping at once");
        shutdown.abort.cancel();
        std::future::pending().await
    }

    /// Waits for the first signal.
    ///
    /// # Cancel safety
    /// Safe; a signal that has arrived is not forgotten.
    pub async fn first(mut self) {
        self.next().await;
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! { biased;
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
