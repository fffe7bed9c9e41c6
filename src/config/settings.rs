//! The settings as people write them: what each key means to the code. Operators read `config/default.toml`,
//! where the defaults stand too; a test holds the two together.

use std::{collections::BTreeMap, fmt, net::SocketAddr, time::Duration};

use bytesize::ByteSize;
use serde::{Deserialize, Deserializer};

use super::RouteSettings;
use crate::{
    aws::AwsSettings,
    model::{Aggregates, EndPosition, Format, InitialPosition},
    sinks::SinkConfig,
};

/// All settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The KCL application name: the lease table's name unless `lease.table` says otherwise.
    /// Required.
    pub application: String,
    /// The name of this worker, unique in the fleet, another one after each restart. Default: the
    /// host's name and a random part.
    pub worker_id: Option<String>,
    /// How AWS is reached.
    pub aws: AwsSettings,
    /// The lease table and the times of the fleet.
    pub lease: LeaseSettings,
    /// How shards are read and how much may be in flight.
    pub consumer: ConsumerSettings,
    /// What a SIGTERM may take.
    pub shutdown: ShutdownSettings,
    /// The port for health checks, metrics and the live page.
    pub admin: AdminSettings,
    /// What is logged, and how.
    pub log: LogSettings,
    /// Metrics for CloudWatch on standard output.
    pub emf: EmfSettings,
    /// Metrics and traces to an OpenTelemetry collector.
    pub otlp: OtlpSettings,
    /// The streams to read. At least one.
    pub streams: Vec<StreamSettings>,
    /// What happens to events: the first route that matches takes an event. At least one.
    pub routes: Vec<RouteSettings>,
    /// Where events go, by name.
    pub sinks: BTreeMap<String, SinkEntry>,
    /// Where records and events go that cannot be processed.
    pub dead_letter: DeadLetterSettings,
}

/// `[lease]`: the lease table and the times of the fleet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct LeaseSettings {
    /// The name of the lease table. Default: the application's name.
    #[serde(default)]
    pub table: Option<String>,
    /// Whether the table is created, pay per request, when it is absent.
    pub create_table: bool,
    /// How long a lease may go without renewal before others take it (KCL `failoverTimeMillis`).
    /// The same for all workers of the fleet, Java ones too.
    #[serde(with = "humantime_serde")]
    pub failover_time: Duration,
    /// How long an owner may take to hand a lease over before it is taken by force
    /// (KCL `gracefulLeaseHandoffTimeoutMillis`).
    #[serde(with = "humantime_serde")]
    pub hand_over_timeout: Duration,
    /// How often the table is scanned for leases that became free. A scan of 32 leases costs 1.5
    /// read units; above 1000 leases the pause grows in proportion.
    #[serde(with = "humantime_serde")]
    pub scan_interval: Duration,
    /// Most leases that this worker holds (KCL `maxLeasesForWorker`). Too small a number leaves
    /// shards unread.
    pub max_leases_per_worker: usize,
    /// Most leases that this worker asks others for in one round
    /// (KCL `maxLeasesToStealAtOneTime`).
    pub max_leases_to_steal: usize,
}

/// `[consumer]`: how shards are read and how much may be in flight.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct ConsumerSettings {
    /// Pause between two reads at the tip of a shard that is written to. Kinesis allows five reads
    /// a second and shard, shared by all polling consumers of the stream.
    #[serde(with = "humantime_serde")]
    pub poll_interval: Duration,
    /// Longest pause between two reads of a shard where nothing comes: it grows with the quiet time, a
    /// twentieth of it.
    #[serde(with = "humantime_serde")]
    pub idle_poll_interval: Duration,
    /// Bytes of records that all shards together may have in flight. Reading waits when they are
    /// spent.
    pub in_flight_bytes: ByteSize,
    /// Bytes of events that may wait for the sinks, per shard.
    pub queue_bytes: ByteSize,
    /// Most bytes that one record may decompress to; a larger one goes to the dead letters.
    pub max_decompressed: ByteSize,
    /// Most events that one record may hold; one with more goes to the dead letters.
    pub max_events_per_record: usize,
    /// First pause after a sink has not taken a batch; it doubles with each attempt.
    #[serde(with = "humantime_serde")]
    pub retry_min: Duration,
    /// Longest pause between two attempts.
    #[serde(with = "humantime_serde")]
    pub retry_max: Duration,
}

/// `[shutdown]`: what a SIGTERM may take.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct ShutdownSettings {
    /// How long a drain may take before the process exits all the same, non-zero, and names the
    /// shards that were not done. Keep it below the orchestrator's own patience
    /// (`stopTimeout`, `terminationGracePeriodSeconds`).
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
}

/// `[admin]`: the port for health checks, metrics and the live page.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct AdminSettings {
    /// Whether the port is opened.
    pub enabled: bool,
    /// Address and port. It answers everyone who reaches it: keep it on loopback, or behind the
    /// orchestrator's network rules.
    pub listen: SocketAddr,
    /// What `POST /drain`, `/pause` and `/resume` must send as `Authorization: Bearer …`. Without it
    /// they work on loopback only. Best set by the environment variable
    /// `SHARDWRIGHT__ADMIN__TOKEN`; it is never printed.
    #[serde(default)]
    pub token: Option<Secret>,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self { enabled: true, listen: SocketAddr::from(([127, 0, 0, 1], 9464)), token: None }
    }
}

/// `[log]`: what is logged, and how.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct LogSettings {
    /// `error`, `warn`, `info`, `debug` or `trace`, or directives such as
    /// `info,shardwright::leasing=debug`.
    pub level: String,
    /// `auto` is `text` on a terminal and `json` elsewhere.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Text,
    /// For machines, one object a line.
    Json,
}

/// `[emf]`: metrics for CloudWatch on standard output, in the embedded metric format. For tasks whose
/// output goes to CloudWatch Logs, as by the `awslogs` driver of ECS.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct EmfSettings {
    /// Whether they are written. Not beside a `stdout` sink.
    pub enabled: bool,
    /// The namespace of the metrics in CloudWatch.
    pub namespace: String,
    /// How often they are written.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
}

/// `[otlp]`: metrics and traces to an OpenTelemetry collector, by OTLP over HTTP. Needs the cargo feature
/// `otlp`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct OtlpSettings {
    /// The collector's address, such as `http://localhost:4318`; `/v1/metrics` and `/v1/traces` are added.
    /// Default: the environment variable `OTEL_EXPORTER_OTLP_ENDPOINT`; without it nothing is sent.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// How often metrics are sent. Spans are sent in batches, after five seconds at most.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
}

/// `[[streams]]`: one stream to read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct StreamSettings {
    /// Its name. Either this or `arn`.
    #[serde(default)]
    pub name: Option<String>,
    /// Its ARN, for a stream of another account.
    #[serde(default)]
    pub arn: Option<String>,
    /// Where it is read from while it has no leases: `TRIM_HORIZON`, `LATEST`, or a time such as
    /// `2026-01-31T08:00:00Z`.
    #[serde(default)]
    pub initial_position: InitialPosition,
    /// Where reading ends, for a job that comes to an end: before the first record that arrived at this
    /// time or later, such as `2026-01-31T08:00:00Z`; `LATEST` is the time at which the process begins.
    /// `run` ends by itself when all streams have such an end and every shard has been read up to it;
    /// a later run goes on there. Default: never.
    #[serde(default)]
    pub until: Option<EndPosition>,
    /// How it is read: `polling` or `fan-out`. Both go on where the other has stopped, so that this
    /// may be changed with a restart.
    #[serde(default)]
    pub retrieval: Retrieval,
    /// The name of the consumer with enhanced fan-out (KCL `consumerName`), registered when there is
    /// none. All workers of the fleet share it; another fleet must not. Default: the application's
    /// name.
    #[serde(default)]
    pub consumer_name: Option<String>,
    /// The ARN of a consumer that somebody else registers (KCL `consumerArn`), instead of a name.
    #[serde(default)]
    pub consumer_arn: Option<String>,
    /// Whether the consumer is deregistered after a clean drain if no other worker owns a lease of the
    /// stream. For jobs that come to an end: a consumer costs by the hour and shard. Not for services,
    /// whose next worker would have to wait until the old consumer is gone.
    #[serde(default)]
    pub deregister_on_exit: bool,
    /// What its records hold: `cloudwatch-logs`, `json`, `text` or `bytes`.
    #[serde(default)]
    pub format: Format,
    /// What becomes of KPL aggregates that hold user records of another shard: `tolerant` drops those
    /// user records and counts them, `strict` drops the whole aggregate, as the KCL does.
    #[serde(default)]
    pub aggregates: Aggregates,
}

/// How a stream is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retrieval {
    /// `GetRecords` calls, within the limits of the shard that all polling consumers share.
    #[default]
    Polling,
    /// Enhanced fan-out: records are pushed within about 70 ms, 2 MB a second and shard for this
    /// consumer alone, at a price (Kinesis Data Streams pricing).
    FanOut,
}

/// `[sinks.NAME]`: one place that events go to.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkEntry {
    /// When a batch is closed.
    pub batch: BatchSettings,
    /// How long the sink is tried.
    pub retry: RetrySettings,
    /// The sink itself, by its `type`.
    pub sink: SinkConfig,
}

/// The keys that every sink has: when a batch is closed, whichever comes first, and how many are
/// under way.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct BatchSettings {
    /// Most events in a batch. Default 500.
    pub batch_size: usize,
    /// Most bytes in a batch; one larger event is a batch of its own. Default 4 MiB.
    pub batch_bytes: ByteSize,
    /// How long the first event of a batch waits for more. Default 0: what is there is sent as soon
    /// as the sink is free.
    #[serde(with = "humantime_serde")]
    pub maximum_batching_window: Duration,
    /// Batches of one shard that may be under way to the sink at a time, 1 to 10. Above 1 events are
    /// spread by the partition key of their record: the sink sees the order of each key, no longer
    /// that of the shard. Default 1.
    pub parallelization_factor: usize,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self {
            batch_size: 500,
            batch_bytes: ByteSize::mib(4),
            maximum_batching_window: Duration::ZERO,
            parallelization_factor: 1,
        }
    }
}

/// The keys that every sink has: how long it is tried. Not for the dead-letter sink, which is tried
/// for ever.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct RetrySettings {
    /// Retries after which an event goes to the dead letters; 0 to 10000, or -1: for ever. Every
    /// failed attempt counts, those of an outage too; a split does not. Default -1.
    #[serde(deserialize_with = "attempts")]
    pub maximum_retry_attempts: Option<u32>,
    /// How old a record may be for its events to be tried again; one that fails after that goes to
    /// the dead letters. The first attempt is made at any age. `-1`: any age. Default -1.
    #[serde(deserialize_with = "age")]
    pub maximum_record_age: Option<Duration>,
    /// Whether a batch that the sink refuses as a whole is split in two, and its halves are tried
    /// apart, until the event that it refuses is alone. Not when the sink is down. Default true:
    /// without it one bad event takes its whole batch along.
    pub bisect_batch_on_error: bool,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self { maximum_retry_attempts: None, maximum_record_age: None, bisect_batch_on_error: true }
    }
}

/// `-1` is Lambda's word for no limit; no other negative number comes this far.
fn attempts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    Ok(u32::try_from(i64::deserialize(deserializer)?).ok())
}

fn age<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Age {
        NoLimit(#[expect(dead_code, reason = "no other number comes this far")] i64),
        Most(#[serde(with = "humantime_serde")] Duration),
    }
    Ok(match Age::deserialize(deserializer)? {
        Age::NoLimit(_) => None,
        Age::Most(age) => Some(age),
    })
}

/// `[dead_letter]`: where records and events go that cannot be processed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct DeadLetterSettings {
    /// The name of the sink. Required: nothing is thrown away silently.
    #[serde(default)]
    pub sink: String,
    /// The name of another sink, for letters that the first one refuses for good: those larger than
    /// it takes. Without it such a letter makes its shard wait.
    #[serde(default)]
    pub fallback: Option<String>,
}
