//! What waits for one lane of a sink: batches by count, bytes and age.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::Ticket;
use crate::{
    etl::{Delivery, SourceRecord},
    model::Place,
};

/// When a batch is closed, whichever comes first. Lambda's names.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Most events in a batch (`batch_size`).
    pub events: usize,
    /// Most bytes in a batch (`batch_bytes`); a single larger event is a batch of its own.
    pub bytes: usize,
    /// How long the first event of a batch waits for more (`maximum_batching_window`). Zero sends
    /// what is there as soon as the sink is free.
    pub window: Duration,
}

/// One delivery on its way.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) delivery: Delivery,
    /// The user record that it belongs to.
    pub(super) ticket: Ticket,
    /// For the dead letter, should the sink refuse it.
    pub(super) record: Arc<SourceRecord>,
    /// For a dead letter: the sink that prepares, and whose batch is through only with this letter.
    pub(super) holds: Option<usize>,
}

impl Queued {
    /// Whether it is a dead letter, which is never given up.
    pub(super) fn is_letter(&self) -> bool {
        self.delivery.route.is_none()
    }
}

/// The queue of one shard for one lane of a sink.
#[derive(Debug)]
pub(super) struct SinkQueue {
    limits: BatchLimits,
    waiting: VecDeque<Queued>,
    bytes: usize,
    /// Since when the first one waits.
    since: Option<Instant>,
    /// Where the next batch must end, whatever the limits say: it is the batch of a former owner.
    ends_at: Option<End>,
}

/// Where a batch must end.
#[derive(Debug)]
struct End {
    last: Place,
    /// All of the batch is there.
    complete: bool,
}

impl SinkQueue {
    pub(super) fn new(limits: BatchLimits) -> Self {
        Self { limits, waiting: VecDeque::new(), bytes: 0, since: None, ends_at: None }
    }

    /// A queue whose first batch ends with this place; it is due when it is [complete](Self::complete).
    pub(super) fn ending_at(limits: BatchLimits, last: Option<Place>) -> Self {
        let ends_at = last.map(|last| End { last, complete: false });
        Self { ends_at, ..Self::new(limits) }
    }

    /// All of the batch is there that must end at a certain place. Answers whether there is anything in
    /// it.
    pub(super) fn complete(&mut self) -> bool {
        let Some(end) = &mut self.ends_at else { return false };
        end.complete = true;
        let any = self.waiting.front().is_some_and(|first| end.holds(first));
        if !any {
            self.ends_at = None;
        }
        any
    }

    pub(super) fn push(&mut self, queued: Queued, now: Instant) {
        self.bytes += queued.delivery.output.json.len();
        self.waiting.push_back(queued);
        self.since.get_or_insert(now);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the batch that waits is due; `None` when nothing waits.
    pub(super) fn due(&self) -> Option<Instant> {
        let since = self.since?;
        if let Some(end) = &self.ends_at {
            return end.complete.then_some(since);
        }
        let full = self.waiting.len() >= self.limits.events || self.bytes >= self.limits.bytes;
        Some(if full { since } else { since + self.limits.window })
    }

    /// Forgets what belongs to records after `last`: they will be read again. A batch that must end at a
    /// certain place is forgotten as a whole: a part of it is another batch.
    pub(super) fn forget_after(&mut self, last: Option<Ticket>) {
        let last = last.filter(|_| self.ends_at.is_none());
        self.waiting.retain(|queued| Some(queued.ticket) <= last);
        self.bytes = self.waiting.iter().map(|queued| queued.delivery.output.json.len()).sum();
        if self.waiting.is_empty() {
            self.since = None;
        }
    }

    /// Takes the next batch, in order: at least one, and no more than the limits allow; or just what
    /// must be in it.
    pub(super) fn take(&mut self, now: Instant) -> Vec<Queued> {
        let end = self.ends_at.take();
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.waiting.front() {
            let size = next.delivery.output.json.len();
            let full = match &end {
                Some(end) => !end.holds(next),
                None => batch.len() >= self.limits.events || bytes + size > self.limits.bytes,
            };
            if !batch.is_empty() && full {
                break;
            }
            bytes += size;
            batch.extend(self.waiting.pop_front());
        }
        self.bytes -= bytes;
        self.since = if self.waiting.is_empty() { None } else { Some(now) };
        batch
    }
}

impl End {
    fn holds(&self, queued: &Queued) -> bool {
        Place::of(&queued.delivery.output).is_some_and(|place| place <= self.last)
    }
}
