//! Delivering one batch until every event in it has a verdict.

use std::{sync::Arc, time::Duration};

use rand::{SeedableRng, rngs::StdRng};
use tokio::time::Instant;
use tracing::{Instrument, info, warn};

use super::{permit::Permit, queue::Queued, retry_policy::RetryPolicy};
use crate::{
    metrics::{Metrics, ShardMeter, spans},
    model::{OutputEvent, rounded},
    ports::{Sink, SinkError, Verdict, WallClock},
};

/// A sink that takes longer is worth a line in the log.
const SLOW_SINK: Duration = Duration::from_secs(10);

/// Delivers a batch of one shard to one sink.
pub(super) struct BatchDelivery {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) name: Arc<str>,
    pub(super) permit: Permit,
    pub(super) policy: RetryPolicy,
    /// For the age of records.
    pub(super) clock: Arc<dyn WallClock>,
    pub(super) metrics: Arc<Metrics>,
    /// The shard's, if the batch is of one.
    pub(super) meter: Option<Arc<ShardMeter>>,
}

/// A part of a batch whose events have had the same attempts.
struct Part {
    /// Indices into the batch, in order.
    open: Vec<usize>,
    /// Attempts that failed.
    failures: u32,
}

impl BatchDelivery {
    /// Delivers a batch. Retries what the sink does not take, for as long as the lease lasts and the
    /// policy says. Never begins an attempt while the lease is not provably valid. `seed` decides
    /// the jitter. Answers each delivery, with the reason if it has to become a dead letter.
    ///
    /// # Cancel safety
    /// Any part of the batch may have been delivered when this future is dropped.
    pub(super) async fn run(self, batch: Vec<Queued>, seed: u64) -> Vec<(Queued, Option<String>)> {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut dead: Vec<Option<String>> = vec![None; batch.len()];
        // The next part is the last: halves come in the order of the batch.
        let mut parts = vec![Part { open: (0..batch.len()).collect(), failures: 0 }];
        while let Some(mut part) = parts.pop() {
            self.permit.valid().await;
            let events: Vec<OutputEvent> = part
                .open
                .iter()
                .filter_map(|index| batch.get(*index))
                .map(|queued| queued.delivery.output.clone())
                .collect();
            let mut asked = None;
            let not_taken = match self.deliver(&events).await {
                Ok(verdicts) => take_in(&verdicts, &batch, &part.open, &mut dead),
                Err(error) if self.policy.splits(&error, part.open.len()) => {
                    warn!(sink = %self.name, lease = %self.permit, events = events.len(),
                        reason = %error, "batch refused, its halves are tried apart");
                    parts.extend(part.halves());
                    continue;
                }
                Err(error) => {
                    asked = error.retry_after();
                    part.open.iter().map(|index| (*index, error.to_string())).collect()
                }
            };
            let reason = not_taken.first().map(|(_, reason)| reason.clone());
            let Some(reason) = reason else {
                self.say_delivered(part.failures);
                continue;
            };
            part.failures += 1;
            part.open = self.still_open(not_taken, part.failures, &batch, &mut dead);
            if part.open.is_empty() {
                continue;
            }
            let wait = self.policy.pause(part.failures, asked, &mut rng);
            self.say_failed(&part, &reason, wait);
            tokio::time::sleep(wait).await;
            parts.push(part);
        }
        batch.into_iter().zip(dead).collect()
    }

    /// One attempt, which is counted.
    async fn deliver(&self, events: &[OutputEvent]) -> Result<Vec<Verdict>, SinkError> {
        let began = Instant::now();
        let lease = self.permit.lease();
        let pages = lease.map(|lease| self.metrics.traces(lease, events)).unwrap_or_default();
        let lease = lease.map_or("replay", |lease| lease.key.as_str());
        let span = spans::deliver(&pages, &self.name, lease, events.len());
        let answer = self.patiently(self.sink.deliver(events)).instrument(span.clone()).await;
        match &answer {
            Ok(verdicts) => {
                let accepted = verdicts.iter().filter(|verdict| **verdict == Verdict::Accepted);
                span.record("accepted", accepted.count());
            }
            Err(problem) => drop(span.record("problem", problem.to_string())),
        }
        self.metrics.delivered(&self.name, events.len(), began.elapsed(), &answer);
        answer
    }

    /// Gives up what the policy says after a failed attempt; answers what is to be sent again. A
    /// dead letter has nowhere else to go: it is never given up.
    fn still_open(
        &self,
        not_taken: Vec<(usize, String)>,
        failures: u32,
        batch: &[Queued],
        dead: &mut [Option<String>],
    ) -> Vec<usize> {
        let now = self.clock.now();
        let mut open = Vec::with_capacity(not_taken.len());
        for (index, reason) in not_taken {
            let event = batch.get(index).filter(|queued| !queued.is_letter());
            let gives_up = event.and_then(|queued| {
                let age = now.millis_since(queued.delivery.output.arrival);
                self.policy.gives_up(failures, Duration::from_millis(age))
            });
            match (gives_up, dead.get_mut(index)) {
                (Some(limit), Some(slot)) => *slot = Some(format!("{limit}: {reason}")),
                _ => open.push(index),
            }
        }
        open
    }

    /// Waits for a sink, and says so when it takes long: a sink that hangs looks like an idle shard.
    async fn patiently<T>(&self, answer: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let mut say_after = SLOW_SINK;
        tokio::pin!(answer);
        loop {
            tokio::select! { biased;
                answer = &mut answer => return answer,
                () = tokio::time::sleep_until(began + say_after) => {
                    warn!(sink = %self.name, lease = %self.permit,
                        seconds = say_after.as_secs(),
                        "the sink has not answered yet, the shard waits");
                    say_after *= 2;
                }
            }
        }
    }

    /// The first of a row of failures is said, then each time the row doubles.
    fn say_failed(&self, part: &Part, reason: &str, wait: Duration) {
        if let Some(meter) = &self.meter {
            meter.delivered(&self.name, Some(format!("{}: {reason}", self.name)));
        }
        if part.failures.is_power_of_two() {
            warn!(sink = %self.name, lease = %self.permit, events = part.open.len(),
                attempt = part.failures, %reason, retry_in = ?rounded(wait),
                "delivery failed, will retry");
        }
    }

    fn say_delivered(&self, failures: u32) {
        if let Some(meter) = &self.meter {
            meter.delivered(&self.name, None);
        }
        if failures > 0 {
            info!(sink = %self.name, lease = %self.permit, attempts = failures + 1,
                "delivered again");
        }
    }
}

impl Part {
    /// Two parts of half the events each, the first half last. The attempt that led here does not
    /// count: its failure was the batch's, not each event's.
    fn halves(mut self) -> [Self; 2] {
        let second = self.open.split_off(self.open.len().div_ceil(2));
        [Self { open: second, failures: self.failures }, self]
    }
}

/// Notes what the sink refused for good; answers what it did not take, and why.
///
/// A sink that answers for fewer events than it was given has said nothing of the rest. A refused
/// dead letter is offered again, and the shard waits.
fn take_in(
    verdicts: &[Verdict],
    batch: &[Queued],
    open: &[usize],
    dead: &mut [Option<String>],
) -> Vec<(usize, String)> {
    let mut not_taken = Vec::new();
    for (place, index) in open.iter().enumerate() {
        match verdicts.get(place) {
            Some(Verdict::Accepted) => {}
            Some(Verdict::Refused(why)) if batch.get(*index).is_some_and(Queued::is_letter) => {
                not_taken.push((*index, format!("a dead letter was refused: {why}")));
            }
            Some(Verdict::Refused(why)) => {
                if let Some(slot) = dead.get_mut(*index) {
                    *slot = Some(why.clone());
                }
            }
            Some(Verdict::Retry(why)) => not_taken.push((*index, why.clone())),
            None => not_taken.push((*index, "the sink did not answer for it".to_owned())),
        }
    }
    not_taken
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
