//! Faults on demand, for servers of our own and for proxies before others.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::watch;

/// What happens to the next request that would write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing is taken: too much at this time.
    Throttle,
    /// Every third event is not taken, the others are.
    Part,
    /// All is taken, and the answer is lost.
    LoseAnswer,
}

/// The switchboard; clones share it.
#[derive(Clone)]
pub(crate) struct Faults(Arc<State>);

struct State {
    /// With how many requests it happens to.
    next: Mutex<Option<(Fault, usize)>>,
    held: watch::Sender<bool>,
    waiting: AtomicUsize,
}

impl Faults {
    pub(crate) fn new() -> Self {
        Self(Arc::new(State {
            next: Mutex::default(),
            held: watch::Sender::new(false),
            waiting: AtomicUsize::new(0),
        }))
    }

    pub(crate) fn fail_next(&self, fault: Fault) {
        self.fail_next_of(1, fault);
    }

    /// As many requests as a client makes for one attempt.
    pub(crate) fn fail_next_of(&self, requests: usize, fault: Fault) {
        *self.next() = Some((fault, requests));
    }

    /// From now on requests that would write wait.
    pub(crate) fn hold(&self) {
        self.0.held.send_replace(true);
    }

    /// Whether a request waits.
    pub(crate) fn is_waiting(&self) -> bool {
        self.0.waiting.load(Ordering::SeqCst) > 0
    }

    pub(crate) fn let_go(&self) {
        self.0.held.send_replace(false);
    }

    /// To be called by a server for each request that would write: waits while it is held, and
    /// answers what else is to happen.
    pub(crate) async fn meet(&self) -> Option<Fault> {
        self.0.waiting.fetch_add(1, Ordering::SeqCst);
        let mut held = self.0.held.subscribe();
        // The sender lives as long as this.
        let _ = held.wait_for(|held| !held).await;
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
        let mut next = self.next();
        let (fault, requests) = next.take()?;
        *next = requests.checked_sub(1).filter(|left| *left > 0).map(|left| (fault, left));
        Some(fault)
    }

    fn next(&self) -> std::sync::MutexGuard<'_, Option<(Fault, usize)>> {
        self.0.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
