//! The consumers that are registered with a stream, and who is subscribed to which shard.

use std::collections::BTreeMap;

use super::error::ApiError;
use super::limits::{
    CONSUMER_CHANGES, Calls, Limits, MAX_CONSUMERS, MAX_CREATING_CONSUMERS, TAKE_OVER_MS,
};
use super::tags::Tags;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConsumerStatus {
    Creating,
    Active,
    Deleting,
}

/// One registered consumer.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) name: String,
    pub(super) arn: String,
    pub(super) created_ms: u64,
    pub(super) tags: Tags,
    /// `CREATING` until then.
    active_ms: u64,
    /// `DELETING`, and gone from then on.
    gone_ms: Option<u64>,
    /// By shard.
    holders: BTreeMap<u32, Holder>,
}

/// Who is subscribed to a shard.
#[derive(Debug)]
struct Holder {
    since_ms: Option<u64>,
    /// Grows with each subscription.
    turn: u64,
    calls: Calls,
}

impl Consumer {
    pub(super) fn status(&self, now_ms: u64) -> ConsumerStatus {
        match self.gone_ms {
            Some(_) => ConsumerStatus::Deleting,
            None if now_ms < self.active_ms => ConsumerStatus::Creating,
            None => ConsumerStatus::Active,
        }
    }

    /// Counts a call of `SubscribeToShard`.
    pub(super) fn admit_call(
        &mut self,
        shard: u32,
        limits: Limits,
        now_ms: u64,
    ) -> Result<(), ApiError> {
        if !limits.fan_out || self.holder(shard).calls.admit(1, now_ms) {
            return Ok(());
        }
        Err(ApiError::limit_exceeded(format!(
            "rate exceeded for consumer {} and shard {shard}: one SubscribeToShard call a second",
            self.arn
        )))
    }

    /// Makes the caller the shard's subscriber; its turn. Whoever was it before is not any more.
    pub(super) fn subscribe(&mut self, shard: u32, now_ms: u64) -> Result<u64, ApiError> {
        if self.status(now_ms) != ConsumerStatus::Active {
            return Err(ApiError::in_use(format!("consumer {} is not ACTIVE", self.arn)));
        }
        let holder = self.holder(shard);
        let fresh = |since_ms| now_ms.saturating_sub(since_ms) < TAKE_OVER_MS;
        if holder.since_ms.is_some_and(fresh) {
            return Err(taken(&self.arn));
        }
        holder.since_ms = Some(now_ms);
        holder.turn += 1;
        Ok(holder.turn)
    }

    /// Whether this is still the turn of the subscriber that was given it.
    pub(super) fn check_turn(&self, shard: u32, turn: u64) -> Result<(), ApiError> {
        match self.holders.get(&shard) {
            Some(holder) if holder.turn == turn => Ok(()),
            _ => Err(taken(&self.arn)),
        }
    }

    fn holder(&mut self, shard: u32) -> &mut Holder {
        self.holders.entry(shard).or_insert_with(|| Holder {
            since_ms: None,
            turn: 0,
            calls: Calls::default(),
        })
    }
}

fn taken(arn: &str) -> ApiError {
    ApiError::in_use(format!("another active subscription exists for this shard: {arn}"))
}

/// All consumers of a stream, by name.
#[derive(Debug, Default)]
pub(super) struct Consumers {
    by_name: BTreeMap<String, Consumer>,
    changes: Calls,
}

impl Consumers {
    /// Forgets those whose deletion is due.
    pub(super) fn settle(&mut self, now_ms: u64) {
        self.by_name.retain(|_, consumer| consumer.gone_ms.is_none_or(|gone_ms| now_ms < gone_ms));
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Consumer> {
        self.by_name.values()
    }

    /// Counts a registration or a deregistration.
    pub(super) fn admit_change(&mut self, limits: Limits, now_ms: u64) -> Result<(), ApiError> {
        if !limits.fan_out || self.changes.admit(CONSUMER_CHANGES, now_ms) {
            return Ok(());
        }
        Err(ApiError::limit_exceeded("rate exceeded: five consumers a second"))
    }

    /// Registers a consumer that is `ACTIVE` after `window_ms`.
    pub(super) fn register(
        &mut self,
        stream_arn: &str,
        name: String,
        tags: Tags,
        now_ms: u64,
        window_ms: u64,
    ) -> Result<&Consumer, ApiError> {
        if self.by_name.contains_key(&name) {
            return Err(ApiError::in_use(format!(
                "consumer {name} of stream {stream_arn} already exists"
            )));
        }
        if self.by_name.len() >= MAX_CONSUMERS {
            return Err(ApiError::limit_exceeded(format!(
                "a stream has at most {MAX_CONSUMERS} registered consumers"
            )));
        }
        let creating = |one: &&Consumer| one.status(now_ms) == ConsumerStatus::Creating;
        if self.iter().filter(creating).count() >= MAX_CREATING_CONSUMERS {
            return Err(ApiError::limit_exceeded(format!(
                "at most {MAX_CREATING_CONSUMERS} consumers may be CREATING at a time"
            )));
        }
        // The second of the creation tells a consumer from an earlier one of the same name.
        let arn = format!("{stream_arn}/consumer/{name}:{}", now_ms / 1000);
        let consumer = Consumer {
            name: name.clone(),
            arn,
            created_ms: now_ms,
            tags,
            active_ms: now_ms.saturating_add(window_ms),
            gone_ms: None,
            holders: BTreeMap::new(),
        };
        Ok(self.by_name.entry(name).or_insert(consumer))
    }

    /// Begins a deletion; it takes effect after `window_ms`.
    pub(super) fn deregister(&mut self, arn: &str, now_ms: u64, window_ms: u64) {
        if let Ok(consumer) = self.by_arn(arn) {
            consumer.gone_ms.get_or_insert(now_ms.saturating_add(window_ms));
        }
        self.settle(now_ms);
    }

    pub(super) fn by_name(&self, name: &str) -> Result<&Consumer, ApiError> {
        self.by_name
            .get(name)
            .ok_or_else(|| ApiError::not_found(format!("consumer {name} not found")))
    }

    pub(super) fn by_arn(&mut self, arn: &str) -> Result<&mut Consumer, ApiError> {
        self.by_name
            .values_mut()
            .find(|consumer| consumer.arn == arn)
            .ok_or_else(|| ApiError::not_found(format!("consumer {arn} not found")))
    }
}

/// The stream's ARN and the consumer's name in the ARN of a consumer.
pub(super) fn consumer_in(arn: &str) -> Result<(&str, &str), ApiError> {
    let parts = arn.split_once("/consumer/").and_then(|(stream_arn, consumer)| {
        let (name, epoch) = consumer.rsplit_once(':')?;
        // The API's pattern has no end: digits may be followed by anything, and are not found then.
        let fine = !name.is_empty() && epoch.starts_with(|c: char| c.is_ascii_digit());
        fine.then_some((stream_arn, name))
    });
    parts.ok_or_else(|| {
        ApiError::constraint(
            "consumerARN",
            arn,
            "Member must satisfy regular expression pattern: \
             ^(arn):aws.*:kinesis:.*:\\d{12}:.*stream\\/[a-zA-Z0-9_.-]+\\/consumer\\/[a-zA-Z0-9_.-]+:[0-9]+",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: u64 = 1_767_225_600_000;

    fn registered(consumers: &mut Consumers, name: &str, at: u64) -> Result<String, ApiError> {
        let consumer = consumers.register("a:stream/s", name.into(), Tags::default(), at, 500)?;
        Ok(consumer.arn.clone())
    }

    #[test]
    fn a_consumer_becomes_active_and_its_arn_names_the_second_of_its_birth() {
        let mut consumers = Consumers::default();
        let arn = registered(&mut consumers, "app", T + 999).unwrap();
        assert_eq!(arn, format!("a:stream/s/consumer/app:{}", T / 1000));
        assert_eq!(consumer_in(&arn).unwrap(), ("a:stream/s", "app"));
        let status = |at| consumers.by_name("app").unwrap().status(at);
        assert_eq!(
            (status(T + 1498), status(T + 1499)),
            (ConsumerStatus::Creating, ConsumerStatus::Active)
        );
        assert_eq!(
            registered(&mut consumers, "app", T).unwrap_err().code,
            "ResourceInUseException"
        );
        for bad in ["", "a:stream/s", "a:stream/s/consumer/:7", "a:stream/s/consumer/app:x"] {
            assert_eq!(consumer_in(bad).unwrap_err().code, "ValidationException", "{bad}");
        }
    }

    #[test]
    fn twenty_consumers_five_of_them_creating() {
        let mut consumers = Consumers::default();
        for number in 0..20 {
            registered(&mut consumers, &format!("c{number}"), T + number * 100).unwrap();
        }
        let full = registered(&mut consumers, "c20", T + 10_000).unwrap_err();
        assert_eq!(full.code, "LimitExceededException");
        let mut consumers = Consumers::default();
        let created = (0..9).filter(|n| registered(&mut consumers, &format!("c{n}"), T).is_ok());
        assert_eq!(created.count(), 5);
    }

    #[test]
    fn a_subscriber_is_safe_for_five_seconds_and_then_replaced() {
        let mut consumers = Consumers::default();
        let arn = registered(&mut consumers, "app", T).unwrap();
        let consumer = consumers.by_arn(&arn).unwrap();
        assert_eq!(consumer.subscribe(0, T + 499).unwrap_err().code, "ResourceInUseException");
        let first = consumer.subscribe(0, T + 500).unwrap();
        assert!(consumer.subscribe(0, T + 5_499).is_err());
        assert!(consumer.subscribe(1, T + 5_499).is_ok(), "another shard");
        consumer.check_turn(0, first).unwrap();
        let second = consumer.subscribe(0, T + 5_500).unwrap();
        assert!(consumer.check_turn(0, first).is_err() && consumer.check_turn(0, second).is_ok());
    }

    #[test]
    fn a_deregistered_consumer_is_there_until_its_window_is_over() {
        let mut consumers = Consumers::default();
        let arn = registered(&mut consumers, "app", T).unwrap();
        consumers.deregister(&arn, T + 1_000, 500);
        assert_eq!(consumers.by_name("app").unwrap().status(T + 1_000), ConsumerStatus::Deleting);
        consumers.settle(T + 1_500);
        assert!(consumers.by_arn(&arn).is_err());
    }
}
