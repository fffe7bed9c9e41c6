//! Reading what came out, from the sinks' files.

use std::{path::PathBuf, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::SharedBooks;
use crate::{
    cli::demo::tail::Tail,
    ports::{SystemClock, WallClock},
};

/// How often files are read: the resolution of the latency figures.
const READ_EVERY: Duration = Duration::from_millis(10);

/// Reads until told to stop, and then once more to the end.
pub(super) async fn read(
    dir: PathBuf,
    books: SharedBooks,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut delivered = Tail::new(&dir.join("delivered"));
    let mut letters = Tail::new(&dir.join("dead-letters"));
    loop {
        let last = stop.is_cancelled();
        let now = SystemClock.now();
        for line in delivered.lines()? {
            books.open().saw_delivered(&line, now);
        }
        for line in letters.lines()? {
            books.open().saw_letter(&line);
        }
        if last {
            return Ok(());
        }
        sleep(READ_EVERY).await;
    }
}
