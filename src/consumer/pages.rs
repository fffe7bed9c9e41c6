//! From a reader of a shard, whichever way it reads, to its processor.

use tokio::{sync::mpsc, time::Instant};

use super::Reservation;
use crate::{
    leasing::{ConsumerExit, LeaseGrant},
    model::RawRecord,
};

/// What a reader hands on.
pub(super) enum Fetched {
    /// Records, with the bytes reserved for them.
    Page(Vec<RawRecord>, Reservation),
    /// Everything that was put before this instant has been handed on.
    Tip(Instant),
    /// There is nothing more to read, for good.
    End(ConsumerExit),
}

/// Reads one shard.
pub(super) trait PageSource {
    /// The next page that holds records, the tip if somebody asks for it, or the end.
    ///
    /// # Cancel safety
    /// None: a page may be lost, so that a reader whose call was broken off is of no use any more.
    fn next(&mut self) -> impl Future<Output = Fetched> + Send;
}

/// Hands pages on until the end of the shard, or until draining begins, or nobody listens any more.
pub(super) async fn feed(
    mut source: impl PageSource,
    grant: &LeaseGrant,
    pages: mpsc::Sender<Fetched>,
) {
    loop {
        let fetched = tokio::select! { biased;
            () = grant.draining().cancelled() => return,
            fetched = source.next() => fetched,
        };
        let end = matches!(fetched, Fetched::End(_));
        let sent = tokio::select! { biased;
            () = grant.draining().cancelled() => return,
            sent = pages.send(fetched) => sent,
        };
        if sent.is_err() || end {
            return;
        }
    }
}
