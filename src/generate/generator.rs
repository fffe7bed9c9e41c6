//! The seeded generator of records.

use std::sync::Arc;

use bytes::Bytes;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Map, Value, json};

use super::{
    broken::{Breakage, break_record},
    messages::{Family, messages, uuid},
};
use crate::{
    codec::{KplRecord, aggregate, control_envelope, deaggregate::partition_hash, encode_envelope},
    model::{EpochMillis, LogEvent, LogSource},
};

const OWNER: &str = "123456789012";
const STREAMS_PER_GROUP: u32 = 16;
const GROUPS: [(&str, Family); 8] = [
    ("/ecs/orders", Family::Json),
    ("/ecs/payments", Family::Json),
    ("/ecs/tracking", Family::SaveKinesis),
    ("/aws/lambda/checkout", Family::Lambda),
    ("/ecs/nginx", Family::AccessLog),
    ("/vpc/flow-logs", Family::VpcFlow),
    ("/ec2/billing", Family::Java),
    ("/lab/terminal", Family::Odd),
];

/// How many log events an envelope holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EnvelopeSize {
    /// 1 or 2: a quiet log group.
    Small,
    /// About 30.
    #[default]
    Medium,
    /// About 1,000: a busy one.
    Large,
}

/// How partition keys are chosen: the two distributions of `PutSubscriptionFilter`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distribution {
    /// One key for each log stream, which keeps its events on one shard.
    #[default]
    ByLogStream,
    /// A fresh key for each record.
    Random,
}

/// What kinds of records to make. Percentages are of all records; what is left is plain envelopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Events in each envelope.
    pub size: EnvelopeSize,
    /// How keys are chosen.
    pub distribution: Distribution,
    /// Records that are control messages, in percent.
    pub control: u8,
    /// Records that are broken, in percent. The same share of the members of aggregates is broken.
    pub broken: u8,
    /// Records that are KPL aggregates of 2 to 8 user records, in percent.
    pub aggregated: u8,
}

impl Profile {
    /// Plain envelopes only.
    pub fn plain(size: EnvelopeSize) -> Self {
        Self { size, distribution: Distribution::default(), control: 0, broken: 0, aggregated: 0 }
    }
}

impl Default for Profile {
    /// Mostly envelopes of medium size, with some of everything else.
    fn default() -> Self {
        Self { control: 2, broken: 1, aggregated: 10, ..Self::plain(EnvelopeSize::Medium) }
    }
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// One envelope with log events.
    Data,
    /// A control message, which gives no events.
    Control,
    /// One user record that cannot be read.
    Broken(Breakage),
    /// A KPL aggregate of envelopes, some of them perhaps broken.
    Aggregated,
}

/// What a consumer must make of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// What it is.
    pub kind: RecordKind,
    /// How many user records it holds.
    pub user_records: u64,
    /// The ids of its log events in their order; each is unique within the generator's run.
    pub event_ids: Vec<String>,
    /// How many control messages it holds.
    pub control: u64,
    /// How many of its user records must end as a dead letter, whole.
    pub dead_letters: u64,
}

/// A record to be put into a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedRecord {
    /// Its partition key.
    pub partition_key: String,
    /// Its payload.
    pub data: Bytes,
    /// What a consumer must make of it.
    pub expect: Expectation,
}

/// Makes records. The same seed, profile and times give the same records.
#[derive(Debug)]
pub struct Generator {
    rng: StdRng,
    profile: Profile,
    /// The digits in the middle of all its event ids: different for each seed.
    run: u64,
    next_event: u64,
}

impl Generator {
    /// A generator that starts afresh from `seed`. Two generators of one seed repeat each other's
    /// event ids, so producers side by side need different seeds.
    pub fn new(seed: u64, profile: Profile) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let run = rng.random_range(0..10_u64.pow(16));
        Self { rng, profile, run, next_event: 0 }
    }

    /// Makes the next record; its events happened at `now`.
    pub fn next_record(&mut self, now: EpochMillis) -> GeneratedRecord {
        let Profile { control, broken, aggregated, .. } = self.profile;
        let roll = self.rng.random_range(0..100_u16);
        let control = u16::from(control);
        let broken = control + u16::from(broken);
        let aggregated = broken + u16::from(aggregated);
        if roll < control {
            return control_record(now);
        }
        let (source, family) = self.pick_source();
        if roll < broken {
            return self.broken(&source, family, now);
        }
        if roll < aggregated {
            return self.aggregated(&source, family, now);
        }
        self.data(&source, family, now)
    }

    /// Makes one envelope out of the given messages, for producing from files.
    pub fn wrap(
        &mut self,
        source: &LogSource,
        messages: impl IntoIterator<Item = String>,
        now: EpochMillis,
    ) -> GeneratedRecord {
        self.envelope(source, messages, &Map::new(), now)
    }

    fn envelope(
        &mut self,
        source: &LogSource,
        messages: impl IntoIterator<Item = String>,
        extra: &Map<String, Value>,
        now: EpochMillis,
    ) -> GeneratedRecord {
        let shared = Arc::new(source.clone());
        let events: Vec<_> = messages
            .into_iter()
            .map(|message| LogEvent {
                source: Arc::clone(&shared),
                id: self.next_id(now),
                timestamp: Some(now),
                message: message.into(),
                extra: extra.clone(),
            })
            .collect();
        GeneratedRecord {
            partition_key: self.partition_key(source),
            data: encode_envelope(source, &events),
            expect: Expectation {
                kind: RecordKind::Data,
                user_records: 1,
                event_ids: events.into_iter().map(|event| event.id).collect(),
                control: 0,
                dead_letters: 0,
            },
        }
    }

    fn broken(&mut self, source: &LogSource, family: Family, now: EpochMillis) -> GeneratedRecord {
        let mut record = self.data(source, family, now);
        let breakage = Breakage::ALL.choose(&mut self.rng).copied();
        let breakage = breakage.unwrap_or(Breakage::NotJson);
        record.data = break_record(breakage, &record.data, &mut self.rng);
        record.expect.kind = RecordKind::Broken(breakage);
        record.expect.event_ids.clear();
        record.expect.dead_letters = 1;
        record
    }

    /// An aggregate whose members share one partition key: the KPL puts only records of one shard
    /// into an aggregate.
    fn aggregated(
        &mut self,
        source: &LogSource,
        family: Family,
        now: EpochMillis,
    ) -> GeneratedRecord {
        let partition_key = self.partition_key(source);
        let mut expect = Expectation {
            kind: RecordKind::Aggregated,
            user_records: 0,
            event_ids: Vec::new(),
            control: 0,
            dead_letters: 0,
        };
        let mut members = Vec::new();
        for _ in 0..self.rng.random_range(2..=8) {
            let member = if self.rng.random_range(0..100) < self.profile.broken {
                self.broken(source, family, now)
            } else {
                self.data(source, family, now)
            };
            expect.user_records += 1;
            expect.event_ids.extend(member.expect.event_ids);
            expect.dead_letters += member.expect.dead_letters;
            members.push(KplRecord {
                partition_key: partition_key.clone(),
                explicit_hash_key: None,
                data: member.data,
            });
        }
        GeneratedRecord { partition_key, data: aggregate(&members), expect }
    }

    fn pick_source(&mut self) -> (LogSource, Family) {
        let (log_group, family) =
            GROUPS.choose(&mut self.rng).copied().unwrap_or(("/lab/terminal", Family::Odd));
        let stream = self.rng.random_range(0..STREAMS_PER_GROUP);
        let mut extra = Map::new();
        // One group is subscribed by an account-level policy.
        if family == Family::VpcFlow {
            extra.insert("policyLevel".into(), Value::from("ACCOUNT_LEVEL_POLICY"));
        }
        let source = LogSource {
            owner: OWNER.into(),
            log_group: log_group.into(),
            log_stream: format!("i-{stream:08x}"),
            subscription_filters: vec!["to-kinesis".into()],
            extra,
        };
        (source, family)
    }

    fn data(&mut self, source: &LogSource, family: Family, now: EpochMillis) -> GeneratedRecord {
        let count = match self.profile.size {
            EnvelopeSize::Small => self.rng.random_range(1..=2),
            EnvelopeSize::Medium => self.rng.random_range(20..=40),
            EnvelopeSize::Large => self.rng.random_range(900..=1100),
        };
        let lines = messages(family, count, now, &mut self.rng);
        // What a subscription with `emitSystemFields` adds to each event.
        let extra = if family == Family::VpcFlow { system_fields() } else { Map::new() };
        self.envelope(source, lines, &extra, now)
    }

    fn partition_key(&mut self, source: &LogSource) -> String {
        let LogSource { owner, log_group, log_stream, .. } = source;
        match self.profile.distribution {
            Distribution::ByLogStream => {
                format!("{:032x}", partition_hash(&format!("{owner}:{log_group}:{log_stream}")).0)
            }
            Distribution::Random => uuid(&mut self.rng),
        }
    }

    /// A decimal of 56 digits: time, run, and a number that counts up by one, as within one
    /// `PutLogEvents` call.
    fn next_id(&mut self, now: EpochMillis) -> String {
        let id = format!("3{:019}{:016}{:020}", now.0.unsigned_abs(), self.run, self.next_event);
        self.next_event += 1;
        id
    }
}

fn control_record(now: EpochMillis) -> GeneratedRecord {
    GeneratedRecord {
        partition_key: format!("{:032x}", partition_hash("CloudwatchLogs::").0),
        data: control_envelope(now),
        expect: Expectation {
            kind: RecordKind::Control,
            user_records: 1,
            event_ids: Vec::new(),
            control: 1,
            dead_letters: 0,
        },
    }
}

fn system_fields() -> Map<String, Value> {
    let fields = json!({"@aws.account": OWNER, "@aws.region": "eu-west-1"});
    Map::from_iter([("extractedFields".to_owned(), fields)])
}

#[cfg(test)]
#[path = "generator_tests.rs"]
mod tests;
