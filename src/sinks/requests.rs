//! Batches cut into requests by a service's limits, and the verdicts of what was sent.

use crate::ports::{SinkError, Verdict};

/// Requests in the making: which events go together.
pub(super) struct Requests<T> {
    done: Vec<Vec<(usize, T)>>,
    size: u64,
    most_bytes: u64,
    most_entries: usize,
}

impl<T> Requests<T> {
    pub(super) fn new(most_entries: usize, most_bytes: u64) -> Self {
        Self { done: Vec::new(), size: 0, most_bytes, most_entries }
    }

    /// Adds the event at `index`: to the last request if it fits there. One that is larger than a
    /// request has one of its own.
    pub(super) fn add(&mut self, index: usize, size: u64, entry: T) {
        let fits = self.size.saturating_add(size) <= self.most_bytes;
        match self.done.last_mut() {
            Some(request) if fits && request.len() < self.most_entries => {
                request.push((index, entry));
                self.size += size;
            }
            _ => {
                self.done.push(vec![(index, entry)]);
                self.size = size;
            }
        }
    }

    /// The requests, each with the indices of its events.
    pub(super) fn finish(self) -> impl Iterator<Item = (Vec<usize>, Vec<T>)> {
        self.done.into_iter().map(|request| request.into_iter().unzip())
    }
}

/// What became of the events of a batch, request by request.
pub(super) struct Verdicts {
    each: Vec<Verdict>,
    sent_any: bool,
}

impl Verdicts {
    /// Each event has a verdict by the end; until then it is to be sent again.
    pub(super) fn new(events: usize) -> Self {
        Self { each: vec![Verdict::Retry("not sent yet".to_owned()); events], sent_any: false }
    }

    /// What is known of one event.
    pub(super) fn set(&mut self, index: usize, verdict: Verdict) {
        if let Some(slot) = self.each.get_mut(index) {
            *slot = verdict;
        }
    }

    /// The answer to one request.
    ///
    /// # Errors
    /// The request's own, as long as nothing was sent before it; later it is that of its events only,
    /// for what an earlier request took must not be sent again.
    pub(super) fn take(
        &mut self,
        indices: &[usize],
        answer: Result<Vec<Verdict>, SinkError>,
    ) -> Result<(), SinkError> {
        let found = match answer {
            Ok(found) => found,
            // Alone in its request, it is what was refused.
            Err(SinkError::BatchRefused(why)) if indices.len() == 1 => vec![Verdict::Refused(why)],
            Err(error) if !self.sent_any => return Err(error),
            Err(error) => vec![Verdict::Retry(error.to_string()); indices.len()],
        };
        self.sent_any = true;
        for (index, verdict) in indices.iter().zip(found) {
            self.set(*index, verdict);
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<Verdict> {
        self.each
    }
}
