//! Delivering as the consumer does: again what was not taken, in halves what was refused as a whole.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use shardwright::{
    model::OutputEvent,
    ports::{Sink, SinkError, Verdict},
};

/// Failed attempts, for whoever waits for some.
#[derive(Clone, Default)]
pub(super) struct Failures(Arc<AtomicUsize>);

impl Failures {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Delivers until each event is accepted or refused; answers the refused ones, by index.
pub(super) async fn deliver(
    sink: &dyn Sink,
    events: &[OutputEvent],
    failures: &Failures,
) -> Vec<(usize, String)> {
    let mut refused = Vec::new();
    let mut parts = vec![(0..events.len()).collect::<Vec<_>>()];
    while let Some(mut open) = parts.pop() {
        let batch: Vec<_> = open.iter().map(|index| events[*index].clone()).collect();
        match sink.deliver(&batch).await {
            Ok(verdicts) => {
                assert_eq!(verdicts.len(), open.len(), "a verdict for each event");
                let mut again = Vec::new();
                for (index, verdict) in open.into_iter().zip(verdicts) {
                    match verdict {
                        Verdict::Accepted => {}
                        Verdict::Refused(why) => refused.push((index, why)),
                        Verdict::Retry(_) => again.push(index),
                    }
                }
                if again.is_empty() {
                    continue;
                }
                parts.push(again);
            }
            Err(SinkError::BatchRefused(_)) if open.len() > 1 => {
                let second = open.split_off(open.len().div_ceil(2));
                parts.extend([second, open]);
                continue;
            }
            Err(_) => parts.push(open),
        }
        failures.0.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    refused.sort();
    refused
}
