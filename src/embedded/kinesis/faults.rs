//! Faults on demand: rules that make chosen calls fail, wait or lose their connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::error::ApiError;
use super::operation::Operation;

/// What happens to a call that a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Refused for its rate: `ProvisionedThroughputExceededException` of the calls that read and
    /// write records, `LimitExceededException` of all others.
    Throttle,
    /// HTTP 500 `InternalFailure`.
    InternalFailure,
    /// `ExpiredIteratorException`, before the five minutes are over.
    ExpiredIterator,
    /// Answered after this much longer (in tokio's time). Adds to whatever else matches.
    Delay(Duration),
    /// The connection is closed without an answer and nothing is done.
    CutConnection,
    /// The work is done, then the connection is closed without an answer.
    LoseResponse,
    /// The subscription begins as it should, and suffers this later. Calls other than
    /// `SubscribeToShard` go through.
    Stream(StreamFault),
}

/// What happens to a subscription, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamFault {
    pub(super) kind: StreamFaultKind,
    /// Once so many events were sent; `None` in place of the shard's end.
    after: Option<u64>,
}

/// What can happen to a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamFaultKind {
    /// The connection is closed in the middle of the stream.
    Cut,
    /// The stream ends as if its time were over.
    End,
    /// Nothing more is sent, not even empty events, and the connection stays open.
    Stall,
    /// Only empty events come from now on.
    Idle,
    /// An exception of this name in the stream, which ends it.
    Fail(&'static str),
}

impl StreamFault {
    /// Once so many events were sent, empty ones included.
    pub fn after(events: u64, kind: StreamFaultKind) -> Self {
        Self { kind, after: Some(events) }
    }

    /// In place of the event that tells the end of the shard.
    pub fn at_end(kind: StreamFaultKind) -> Self {
        Self { kind, after: None }
    }

    pub(super) fn is_due(self, sent: u64) -> bool {
        self.after.is_some_and(|events| sent >= events)
    }

    pub(super) fn is_at_end(self) -> bool {
        self.after.is_none()
    }

    /// The end is there.
    pub(super) fn make_due(&mut self) {
        self.after = Some(0);
    }
}

/// Which calls fail, how, and how often.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultRule {
    operation: Option<Operation>,
    shard_id: Option<String>,
    kind: FaultKind,
    times: Option<u64>,
    probability: f64,
}

impl FaultRule {
    /// Every call of one operation.
    pub fn on(operation: Operation, kind: FaultKind) -> Self {
        Self { operation: Some(operation), ..Self::on_every_call(kind) }
    }

    /// Every call of every operation.
    pub fn on_every_call(kind: FaultKind) -> Self {
        Self { operation: None, shard_id: None, kind, times: None, probability: 1.0 }
    }

    /// Only calls about this shard. Of `PutRecords` it is the entries for the shard that fail, one
    /// by one, as in a partial failure; `Throttle` and `InternalFailure` only, the other kinds
    /// need a connection and do not apply to an entry.
    #[must_use]
    pub fn shard(self, shard_id: impl Into<String>) -> Self {
        Self { shard_id: Some(shard_id.into()), ..self }
    }

    /// At most this many times; after that the rule is spent.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Each match only with this probability, 0 to 1.
    #[must_use]
    pub fn probability(self, probability: f64) -> Self {
        // NaN, which `clamp` would keep, counts as never.
        let probability = if probability.is_nan() { 0.0 } else { probability.clamp(0.0, 1.0) };
        Self { probability, ..self }
    }
}

/// Names a rule that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FaultId(usize);

/// The switchboard of a server's faults: clones share the same rules.
#[derive(Debug, Clone)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    rules: Vec<Armed>,
    rng: StdRng,
}

#[derive(Debug)]
struct Armed {
    rule: FaultRule,
    fired: u64,
    removed: bool,
}

/// What a call has to suffer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) delay: Duration,
    /// The first matching kind other than a delay.
    pub(super) outcome: Option<FaultKind>,
}

impl Faults {
    /// No rules yet; `seed` decides the dice of rules with a probability.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State { rules: Vec::new(), rng: StdRng::seed_from_u64(seed) })))
    }

    /// Adds a rule. Rules are tried in the order of their adding.
    pub fn add(&self, rule: FaultRule) -> FaultId {
        let mut state = self.lock();
        state.rules.push(Armed { rule, fired: 0, removed: false });
        FaultId(state.rules.len() - 1)
    }

    /// Ends a rule; its count stays readable.
    pub fn remove(&self, id: FaultId) {
        if let Some(armed) = self.lock().rules.get_mut(id.0) {
            armed.removed = true;
        }
    }

    /// Ends all rules; their counts stay readable.
    pub fn clear(&self) {
        self.lock().rules.iter_mut().for_each(|armed| armed.removed = true);
    }

    /// How often a rule has fired.
    pub fn fired(&self, id: FaultId) -> u64 {
        self.lock().rules.get(id.0).map_or(0, |armed| armed.fired)
    }

    /// How often any rule has fired.
    pub fn fired_in_all(&self) -> u64 {
        self.lock().rules.iter().map(|armed| armed.fired).sum()
    }

    /// Whether a call's shard has to be known before its verdict.
    pub(super) fn need_shard(&self) -> bool {
        self.lock().rules.iter().any(|armed| armed.is_live() && armed.rule.shard_id.is_some())
    }

    pub(super) fn judge(&self, operation: Operation, shard_id: Option<&str>) -> Verdict {
        let mut state = self.lock();
        let State { rules, rng } = &mut *state;
        let mut verdict = Verdict::default();
        for armed in rules.iter_mut() {
            let is_delay = matches!(armed.rule.kind, FaultKind::Delay(_));
            // A call fails once: a second failing rule is kept for the next call.
            if (verdict.outcome.is_some() && !is_delay)
                || !armed.matches(operation, shard_id)
                || !armed.fire(rng)
            {
                continue;
            }
            match armed.rule.kind {
                FaultKind::Delay(delay) => verdict.delay = verdict.delay.saturating_add(delay),
                kind => verdict.outcome = Some(kind),
            }
        }
        verdict
    }

    /// The failure of one entry of a put, by rules that name its shard.
    pub(super) fn judge_entry(&self, operation: Operation, shard_id: &str) -> Option<ApiError> {
        let mut state = self.lock();
        let State { rules, rng } = &mut *state;
        let kind = rules.iter_mut().find_map(|armed| {
            let kind = armed.rule.kind;
            let is_refusal = matches!(kind, FaultKind::Throttle | FaultKind::InternalFailure);
            let is_meant = is_refusal
                && armed.rule.shard_id.is_some()
                && armed.matches(operation, Some(shard_id));
            (is_meant && armed.fire(rng)).then_some(kind)
        })?;
        refusal(kind, operation)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::seeded(0)
    }
}

impl Armed {
    fn is_live(&self) -> bool {
        !self.removed && self.rule.times.is_none_or(|times| self.fired < times)
    }

    fn matches(&self, operation: Operation, shard_id: Option<&str>) -> bool {
        self.is_live()
            && self.rule.operation.is_none_or(|wanted| wanted == operation)
            && self.rule.shard_id.as_deref().is_none_or(|wanted| shard_id == Some(wanted))
    }

    fn fire(&mut self, rng: &mut StdRng) -> bool {
        let fires = rng.random_bool(self.rule.probability);
        self.fired += u64::from(fires);
        fires
    }
}

/// The answer of a kind that is an answer.
pub(super) fn refusal(kind: FaultKind, operation: Operation) -> Option<ApiError> {
    match kind {
        FaultKind::Throttle if operation.is_throttled_by_shard() => {
            Some(ApiError::throughput_exceeded("rate exceeded: injected fault"))
        }
        FaultKind::Throttle => Some(ApiError::limit_exceeded("rate exceeded: injected fault")),
        FaultKind::InternalFailure => Some(ApiError::internal("injected fault")),
        FaultKind::ExpiredIterator => Some(ApiError::expired_iterator("injected fault")),
        FaultKind::Delay(_)
        | FaultKind::CutConnection
        | FaultKind::LoseResponse
        | FaultKind::Stream(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Operation = Operation::GetRecords;

    fn failures(faults: &Faults, operation: Operation, shard: Option<&str>) -> usize {
        (0..1000).filter(|_| faults.judge(operation, shard).outcome.is_some()).count()
    }

    #[test]
    fn a_rule_fires_for_its_operation_and_shard_as_often_as_it_may() {
        let faults = Faults::default();
        let rule = FaultRule::on(READ, FaultKind::Throttle).shard("shardId-000000000001").times(3);
        let id = faults.add(rule);
        assert_eq!(failures(&faults, Operation::ListShards, None), 0);
        assert_eq!(failures(&faults, READ, Some("shardId-000000000000")), 0);
        assert_eq!(failures(&faults, READ, Some("shardId-000000000001")), 3);
        assert_eq!((faults.fired(id), faults.need_shard()), (3, false));
    }

    #[test]
    fn probability_follows_the_seed() {
        let count = |seed, probability| {
            let faults = Faults::seeded(seed);
            let rule = FaultRule::on_every_call(FaultKind::CutConnection);
            faults.add(rule.probability(probability));
            failures(&faults, READ, None)
        };
        assert_eq!((count(1, 0.0), count(1, f64::NAN), count(1, 7.0)), (0, 0, 1000));
        assert!((200..400).contains(&count(1, 0.3)));
        assert_eq!(count(9, 0.3), count(9, 0.3));
    }

    #[test]
    fn delays_add_up_and_a_call_fails_once() {
        let faults = Faults::default();
        let delay = FaultKind::Delay(Duration::from_secs(1));
        for kind in [delay, FaultKind::Throttle, delay, FaultKind::LoseResponse] {
            faults.add(FaultRule::on(READ, kind).times(1));
        }
        let expect = Verdict { delay: Duration::from_secs(2), outcome: Some(FaultKind::Throttle) };
        assert_eq!(faults.judge(READ, None), expect);
        let then = faults.judge(READ, None);
        assert_eq!(then, Verdict { outcome: Some(FaultKind::LoseResponse), ..Verdict::default() });
        assert_eq!(faults.judge(READ, None), Verdict::default());
        assert_eq!(faults.fired_in_all(), 4);
    }

    #[test]
    fn a_cleared_rule_is_silent() {
        let faults = Faults::default();
        let id = faults.add(FaultRule::on_every_call(FaultKind::InternalFailure));
        faults.judge(READ, None);
        faults.clear();
        assert_eq!((failures(&faults, READ, None), faults.fired(id)), (0, 1));
    }
}
