//! Why records and events failed: said in the log without flooding it, and kept folded for people.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    etl::{Source, Stage},
    model::{Position, ShardId, StreamName},
};

/// Failures of one kind.
#[derive(Clone, Debug)]
pub struct FailureReason {
    /// Where on its way it failed.
    pub stage: Stage,
    /// Why; holds no payload.
    pub reason: String,
    /// How often.
    pub count: u64,
    /// When the last time.
    pub last: Instant,
    /// The stream of the last one.
    pub stream: StreamName,
    /// The shard of the last one.
    pub shard: ShardId,
    /// The position of the last one.
    pub position: Position,
}

/// Logs failures of records and events: the first of each minute, with the count of those between.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    said: Option<Instant>,
    since: u64,
    /// The latest last.
    reasons: Vec<FailureReason>,
}

const EVERY: Duration = Duration::from_mins(1);
/// Reasons that are kept: the least recent goes for a new one.
const MOST: usize = 20;
/// Most characters of a reason that is kept.
const LONGEST: usize = 200;

impl Failures {
    pub(super) fn record(&self, source: &Source, position: &Position, stage: Stage, reason: &str) {
        let now = Instant::now();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.keep(source, position, stage, reason, now);
        kept.since += 1;
        if kept.said.is_some_and(|said| now.duration_since(said) < EVERY) {
            return;
        }
        tracing::warn!(stream = %source.stream, shard = %source.shard, %position, %stage, %reason,
            failures = kept.since, "could not be processed, sent to the dead letters");
        (kept.said, kept.since) = (Some(now), 0);
    }

    pub(super) fn list(&self) -> Vec<FailureReason> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.reasons.iter().rev().cloned().collect()
    }
}

impl State {
    fn keep(&mut self, source: &Source, at: &Position, stage: Stage, reason: &str, now: Instant) {
        let reason: String = reason.chars().take(LONGEST).collect();
        let known =
            self.reasons.iter().position(|kept| kept.stage == stage && kept.reason == reason);
        let count = known.map_or(0, |index| self.reasons.remove(index).count);
        if self.reasons.len() == MOST {
            self.reasons.remove(0);
        }
        self.reasons.push(FailureReason {
            stage,
            reason,
            count: count + 1,
            last: now,
            stream: source.stream.clone(),
            shard: source.shard.clone(),
            position: at.clone(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Format;

    #[tokio::test]
    async fn the_same_reason_is_one_line_and_old_ones_go() {
        let failures = Failures::default();
        let (stream, shard) = (StreamName::new("s"), ShardId::new("0"));
        let source = Source { stream, shard, format: Format::Text };
        let at = |n: usize| Position { sequence: n.to_string().parse().unwrap(), sub_sequence: 0 };
        for number in 0..MOST {
            let reason = format!("reason {number}");
            failures.record(&source, &at(number), Stage::Validate, &reason);
        }
        failures.record(&source, &at(77), Stage::Validate, "reason 0");
        let list = failures.list();
        assert_eq!(list.len(), MOST);
        let latest = list.first().unwrap();
        assert_eq!((latest.reason.as_str(), latest.count), ("reason 0", 2));
        assert_eq!(latest.position, at(77));
        failures.record(&source, &at(1), Stage::Decode, &"x".repeat(1000));
        let list = failures.list();
        assert_eq!(list.len(), MOST);
        assert!(list.iter().all(|kept| kept.reason != "reason 1"), "the least recent goes");
        assert_eq!(list.first().unwrap().reason.len(), LONGEST);
    }
}
