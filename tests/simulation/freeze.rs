//! A worker that stops for a while, all its tasks at a time, and comes back as if nothing had been.

use std::{
    sync::{Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use rand::{Rng, seq::SliceRandom};
use shardwright::worker::Gate;

/// The gate in front of one worker's tasks.
#[derive(Default)]
pub(crate) struct Freezer(Mutex<Tasks>);

#[derive(Default)]
struct Tasks {
    frozen: bool,
    waiting: Vec<Waker>,
}

impl Freezer {
    pub(crate) fn freeze(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).frozen = true;
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).frozen
    }

    /// Lets the tasks go on, in any order: who runs first on a machine of many threads is chance.
    pub(crate) fn thaw(&self, rng: &mut impl Rng) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.frozen = false;
        let mut waiting = std::mem::take(&mut tasks.waiting);
        drop(tasks);
        waiting.shuffle(rng);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Gate for Freezer {
    fn poll_open(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !tasks.frozen {
            return Poll::Ready(());
        }
        if !tasks.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            tasks.waiting.push(context.waker().clone());
        }
        Poll::Pending
    }
}
