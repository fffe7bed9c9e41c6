//! Dead letters in the place of a shard: the same pipeline, batches and retries, without a lease.

use std::{collections::BTreeMap, sync::Arc};

use rand::{SeedableRng, rngs::StdRng};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    ConsumerContext, Ticket,
    outbox::{Outbox, SettledEvent},
    permit::Permit,
};
use crate::etl::{Processed, SourceRecord, Stage, Unplaced};

/// A dead letter on its way back into the pipeline.
#[derive(Debug)]
pub struct Letter {
    /// The caller's number for it.
    pub number: u64,
    /// What it is about.
    pub record: SourceRecord,
}

/// What became of a replayed letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LetterOutcome {
    /// All that failed is with its sinks now, except what was filtered.
    Delivered,
    /// No route wants it any more, or its program drops it.
    Filtered,
    /// It failed again, or a part of it did, and is with the dead-letter sink: where and why.
    DeadLettered(Stage, String),
}

/// Replays letters one after the other.
pub struct Replayer<F> {
    context: Arc<ConsumerContext>,
    outbox: Outbox,
    open: BTreeMap<Ticket, OpenLetter>,
    done: F,
}

/// A letter that is under way.
struct OpenLetter {
    number: u64,
    /// Events that have deliveries under way.
    events: usize,
    delivered: bool,
    failure: Option<(Stage, String)>,
}

enum Action {
    Drain,
    Settled(Vec<SettledEvent>),
    Take(Letter),
    End,
}

impl<F: FnMut(u64, LetterOutcome)> Replayer<F> {
    /// A replayer that tells `done` the number and the outcome of each letter, once the sinks have it.
    /// `seed` decides its jitter. Of the context it uses what lies behind the fetcher.
    pub fn new(context: Arc<ConsumerContext>, done: F, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        let outbox = Outbox::new(Permit::Replay, Arc::clone(&context), rng);
        Self { context, outbox, open: BTreeMap::new(), done }
    }

    /// Replays letters until there are no more, or until it is asked to drain: then letters of which
    /// no sink has seen anything are given up, and the others are finished.
    ///
    /// # Cancel safety
    /// A letter that is not done may have been delivered when this future is dropped.
    pub async fn run(mut self, mut letters: mpsc::Receiver<Letter>, drain: CancellationToken) {
        let mut taking = true;
        loop {
            self.outbox.send(!taking);
            if !taking && self.outbox.idle() {
                return;
            }
            let room = taking && !self.outbox.full();
            let action = tokio::select! { biased;
                () = drain.cancelled(), if taking => Action::Drain,
                settled = self.outbox.turn() => Action::Settled(settled),
                letter = letters.recv(), if room => letter.map_or(Action::End, Action::Take),
            };
            match action {
                Action::Drain => {
                    taking = false;
                    letters.close();
                    self.outbox.forget_rest();
                }
                Action::Settled(settled) => settled.into_iter().for_each(|one| self.settle(one)),
                Action::Take(letter) => self.take(letter),
                Action::End => taking = false,
            }
        }
    }

    fn take(&mut self, Letter { number, record }: Letter) {
        let record = Arc::new(record);
        let position = record.record.position.clone();
        let Processed { mut deliveries, windowed, mut tally, failures, .. } =
            self.context.pipeline.process(&record);
        tally.late += windowed.len() as u64;
        let late = windowed.into_iter().map(|one| (one, Unplaced::Replayed)).collect();
        let late = self.context.pipeline.unplaced(&record, late);
        let refused = late.iter().any(|delivery| delivery.failed.is_some());
        deliveries.extend(late);
        tally.records = 1;
        tally.bytes = record.record.data.len() as u64;
        self.context.metrics.count(&record.source.stream, tally);
        for (stage, reason) in &failures {
            self.context.metrics.failed(&record.source, &position, *stage, reason);
        }
        let mut events: Vec<_> = deliveries.iter().map(|delivery| delivery.event).collect();
        events.sort_unstable();
        events.dedup();
        let letter = OpenLetter {
            number,
            events: events.len(),
            delivered: false,
            failure: failures.into_iter().next().or(refused.then(in_no_window)),
        };
        let mark = (position, record.record.arrival);
        let ticket = self.outbox.enter(mark, deliveries, Some(&record), None);
        match letter.events {
            0 => self.finish(letter),
            _ => drop(self.open.insert(ticket, letter)),
        }
    }

    fn settle(&mut self, settled: SettledEvent) {
        let Some(letter) = self.open.get_mut(&settled.ticket) else { return };
        letter.events -= 1;
        letter.delivered |= !settled.dead;
        if let Some(reason) = settled.refused {
            letter.failure.get_or_insert((Stage::Deliver, reason));
        }
        if letter.events == 0
            && let Some(letter) = self.open.remove(&settled.ticket)
        {
            self.finish(letter);
        }
    }

    fn finish(&mut self, letter: OpenLetter) {
        let outcome = match (letter.failure, letter.delivered) {
            (Some((stage, reason)), _) => LetterOutcome::DeadLettered(stage, reason),
            (None, true) => LetterOutcome::Delivered,
            (None, false) => LetterOutcome::Filtered,
        };
        (self.done)(letter.number, outcome);
    }
}

fn in_no_window() -> (Stage, String) {
    (Stage::Window, Unplaced::Replayed.reason().to_owned())
}

#[cfg(test)]
#[path = "replayer_tests.rs"]
mod tests;
