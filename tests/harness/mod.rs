//! What the scenarios of `servers` and `interop` share: servers and daemons as child processes, a
//! producer that remembers what it put, and the books that hold this against what lies on disk.

mod books;
mod daemon;
pub(crate) mod process;
mod producer;
mod results;
mod server;
mod stream;
mod world;

use std::time::Duration;

use tokio::time::{Instant, sleep};

pub(crate) use books::{Books, Replay};
pub(crate) use daemon::Daemon;
pub(crate) use producer::Producer;
pub(crate) use results::{Results, lines};
pub(crate) use server::{Installed, Server};
pub(crate) use stream::Stream;
pub(crate) use world::World;

/// Far more than anything here takes, on a machine with much else to do.
const DEADLINE: Duration = Duration::from_mins(5);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Asks until it is so.
pub(crate) async fn wait_until(what: &str, condition: impl AsyncFnMut() -> bool) {
    assert!(in_time(condition).await, "not within {} s: {what}", DEADLINE.as_secs());
}

/// Asks until it is so; `false` when that takes too long.
async fn in_time(mut condition: impl AsyncFnMut() -> bool) -> bool {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        if Instant::now() >= deadline {
            return false;
        }
        sleep(ASK_AGAIN_AFTER).await;
    }
    true
}
