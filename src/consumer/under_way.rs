//! Work under way, answered in an order that does not depend on who is woken first.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;

/// Futures of one task. Of several that are done at the same time the one that was begun first is
/// answered first. A `FuturesUnordered` answers in the order of wakings, and a `tokio::sync::watch` wakes
/// those who wait for the same news (a renewal) in a random order: no simulation would replay.
///
/// Each of them is polled whenever one is woken, so this is for a few.
pub(super) struct UnderWay<T>(Vec<BoxFuture<'static, T>>);

impl<T> UnderWay<T> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn push(&mut self, work: BoxFuture<'static, T>) {
        self.0.push(work);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next that is done. Waits for ever when there is none.
    ///
    /// # Cancel safety
    /// Safe: all of it stays under way.
    pub(super) async fn next(&mut self) -> T {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<T> {
        for (index, work) in self.0.iter_mut().enumerate() {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                drop(self.0.remove(index));
                return Poll::Ready(done);
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;

    /// With a `FuturesUnordered` in its place it fails nearly each time.
    #[tokio::test]
    async fn whoever_was_begun_first_is_answered_first() {
        let news = watch::Sender::new(false);
        let mut under_way = UnderWay::new();
        for number in 0..20 {
            let mut news = news.subscribe();
            under_way.push(Box::pin(async move {
                news.wait_for(|come| *come).await.unwrap();
                number
            }));
        }
        // All of them wait.
        assert!(poll_fn(|context| Poll::Ready(under_way.poll(context).is_pending())).await);
        news.send_replace(true);
        for number in 0..20 {
            assert_eq!(under_way.next().await, number);
        }
        assert!(under_way.is_empty());
    }
}
