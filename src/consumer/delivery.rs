//! Delivering one batch until every event in it has a verdict.

use std::{sync::Arc, time::Duration};

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use tokio::time::Instant;
use tracing::{info, warn};

use super::queue::Queued;
use crate::{
    leasing::LeaseGrant,
    model::{OutputEvent, rounded},
    ports::{Sink, Verdict},
};

/// The pauses between attempts on a sink that does not take a batch.
#[derive(Clone, Copy, Debug)]
pub struct RetryPause {
    /// First pause, doubled up to `max`; each is shortened by up to half at random.
    pub min: Duration,
    /// Longest pause.
    pub max: Duration,
}

/// A sink that takes longer is worth a line in the log.
const SLOW_SINK: Duration = Duration::from_secs(10);

/// A batch that is through.
pub(super) struct Delivered {
    /// Index of the sink.
    pub(super) sink: usize,
    /// Each delivery, with the reason if the sink will never take it.
    pub(super) verdicts: Vec<(Queued, Option<String>)>,
}

/// Delivers a batch. Retries what the sink puts off, for as long as the lease lasts: nothing is
/// skipped. Never begins an attempt while the lease is not provably valid. `seed` decides the jitter.
///
/// # Cancel safety
/// Any part of the batch may have been delivered when this future is dropped.
pub(super) async fn deliver(
    sink: usize,
    to: Arc<dyn Sink>,
    name: Arc<str>,
    batch: Vec<Queued>,
    grant: Arc<LeaseGrant>,
    pause: RetryPause,
    seed: u64,
) -> Delivered {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut open: Vec<usize> = (0..batch.len()).collect();
    let mut refused: Vec<Option<String>> = vec![None; batch.len()];
    let mut attempt = 0u32;
    while !open.is_empty() {
        grant.valid().await;
        let events: Vec<OutputEvent> = open
            .iter()
            .filter_map(|index| batch.get(*index))
            .map(|queued| queued.delivery.output.clone())
            .collect();
        let answer = patiently(to.deliver(&events), &name, &grant).await;
        let reason = match answer {
            Ok(verdicts) => {
                let reason = take_in(&verdicts, &batch, &mut open, &mut refused);
                if open.is_empty() { None } else { reason }
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(reason) = reason {
            let wait = next_pause(pause, attempt, &mut rng);
            // The first of a row of failures is said, then each time the row doubles.
            attempt += 1;
            if attempt.is_power_of_two() {
                warn!(sink = %name, lease = %grant.lease.key, events = open.len(), attempt,
                    %reason, retry_in = ?rounded(wait), "delivery failed, will retry");
            }
            tokio::time::sleep(wait).await;
        }
    }
    if attempt > 0 {
        info!(sink = %name, lease = %grant.lease.key, attempts = attempt + 1, "delivered again");
    }
    Delivered { sink, verdicts: batch.into_iter().zip(refused).collect() }
}

/// Waits for a sink, and says so when it takes long: a sink that hangs looks like an idle shard.
async fn patiently<T>(answer: impl Future<Output = T>, sink: &str, grant: &LeaseGrant) -> T {
    let began = Instant::now();
    let mut say_after = SLOW_SINK;
    tokio::pin!(answer);
    loop {
        tokio::select! { biased;
            answer = &mut answer => return answer,
            () = tokio::time::sleep_until(began + say_after) => {
                warn!(%sink, lease = %grant.lease.key, seconds = say_after.as_secs(),
                    "the sink has not answered yet, the shard waits");
                say_after *= 2;
            }
        }
    }
}

/// Keeps in `open` what is to be sent again; answers why.
///
/// A sink that answers for fewer events than it was given has said nothing of the rest. A refused
/// dead letter has nowhere else to go: it is offered again, and the shard waits.
fn take_in(
    verdicts: &[Verdict],
    batch: &[Queued],
    open: &mut Vec<usize>,
    refused: &mut [Option<String>],
) -> Option<String> {
    let mut reason = None;
    let mut again = Vec::new();
    for (place, index) in open.iter().enumerate() {
        match verdicts.get(place) {
            Some(Verdict::Accepted) => {}
            Some(Verdict::Refused(why)) if is_letter(batch, *index) => {
                reason.get_or_insert_with(|| format!("a dead letter was refused: {why}"));
                again.push(*index);
            }
            Some(Verdict::Refused(why)) => {
                if let Some(slot) = refused.get_mut(*index) {
                    *slot = Some(why.clone());
                }
            }
            Some(Verdict::Retry(why)) => {
                reason.get_or_insert_with(|| why.clone());
                again.push(*index);
            }
            None => {
                reason.get_or_insert_with(|| "the sink did not answer for it".to_owned());
                again.push(*index);
            }
        }
    }
    *open = again;
    reason
}

fn is_letter(batch: &[Queued], index: usize) -> bool {
    batch.get(index).is_some_and(|queued| queued.delivery.route.is_none())
}

fn next_pause(pause: RetryPause, attempt: u32, rng: &mut impl Rng) -> Duration {
    let full = pause.min.saturating_mul(2u32.saturating_pow(attempt)).min(pause.max);
    full.mul_f64(rng.random_range(0.5..1.0))
}
