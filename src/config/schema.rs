//! All keys by their tables: what each may hold, and what holds when it is absent.
//!
//! What a key means to an operator, and its default, stand in `config/default.toml`, of which the reference
//! is made; the fields of the settings say what it means to the code. Tests hold the three together.

use super::kind::Kind::{
    self, Address, Age, Attempts, Columns, Count, Duration, End, Fields, Flag, Pairs, PartitionKey,
    Position, Size, Template, Text, Texts, Value, Values, Word,
};

/// One key of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) absent: Absent,
}

/// What holds when a key is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// What `config/default.toml` says, or nothing.
    Fine,
    /// This value, spelled as in an environment variable.
    Default(&'static str),
    /// A problem: an example of what to write.
    Missing(&'static str),
}

const fn key(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, absent: Absent::Fine }
}

const fn or(name: &'static str, kind: Kind, default: &'static str) -> Key {
    Key { name, kind, absent: Absent::Default(default) }
}

const fn must(name: &'static str, kind: Kind, example: &'static str) -> Key {
    Key { name, kind, absent: Absent::Missing(example) }
}

/// The keys outside of any table.
pub(super) const TOP: &[Key] = &[
    must("application", Text, "name the application, as in application = \"orders\""),
    key("worker_id", Text),
];

/// The names of all tables.
pub(super) const TABLES: [&str; 12] = [
    "aws",
    "lease",
    "consumer",
    "shutdown",
    "admin",
    "log",
    "emf",
    "otlp",
    "dead_letter",
    "streams",
    "routes",
    "sinks",
];

pub(super) const AWS: &[Key] = &[
    key("region", Text),
    key("profile", Text),
    key("endpoint_url", Text),
    key("kinesis_endpoint_url", Text),
    key("dynamodb_endpoint_url", Text),
];

pub(super) const LEASE: &[Key] = &[
    key("table", Text),
    key("create_table", Flag),
    key("failover_time", Duration),
    key("hand_over_timeout", Duration),
    key("scan_interval", Duration),
    key("max_leases_per_worker", Count),
    key("max_leases_to_steal", Count),
];

pub(super) const CONSUMER: &[Key] = &[
    key("poll_interval", Duration),
    key("idle_poll_interval", Duration),
    key("in_flight_bytes", Size),
    key("queue_bytes", Size),
    key("max_decompressed", Size),
    key("max_events_per_record", Count),
    key("retry_min", Duration),
    key("retry_max", Duration),
];

pub(super) const SHUTDOWN: &[Key] = &[key("drain_timeout", Duration)];

pub(super) const ADMIN: &[Key] =
    &[key("enabled", Flag), key("listen", Address), key("token", Text)];

pub(super) const LOG: &[Key] =
    &[key("level", Text), key("format", Word(&["auto", "text", "json"]))];

pub(super) const EMF: &[Key] =
    &[key("enabled", Flag), key("namespace", Text), key("interval", Duration)];

pub(super) const OTLP: &[Key] = &[key("endpoint", Text), key("interval", Duration)];

pub(super) const DEAD_LETTER: &[Key] = &[
    must("sink", Text, "name the sink for what cannot be processed, as in sink = \"parked\""),
    key("fallback", Text),
];

pub(super) const STREAM: &[Key] = &[
    key("name", Text),
    key("arn", Text),
    or("initial_position", Position, "TRIM_HORIZON"),
    key("until", End),
    or("retrieval", Word(&["polling", "fan-out"]), "polling"),
    key("consumer_name", Text),
    key("consumer_arn", Text),
    or("deregister_on_exit", Flag, "false"),
    or("format", Word(&["cloudwatch-logs", "json", "text", "bytes"]), "cloudwatch-logs"),
    or("aggregates", Word(&["tolerant", "strict"]), "tolerant"),
];

pub(super) const ROUTE: &[Key] = &[
    must("name", Text, "name the route, as in name = \"orders\""),
    key("filter", Text),
    or("log_groups", Texts, ""),
    or("where", Fields, ""),
    or("default", Flag, "false"),
    or("also", Flag, "false"),
    key("max_event_size", Size),
    or("known_log_groups", Texts, ""),
    key("oldest_event", Duration),
    key("newest_event", Duration),
    or("required_keys", Texts, ""),
    key("validate", Text),
    or("validate_on", Word(&["message", "event"]), "message"),
    key("transform", Text),
    key("window", Duration),
    or("window_lateness", Duration, "10s"),
    key("window_idle", Duration),
    or("window_ahead", Duration, "10s"),
    key("window_time", Text),
    or("window_late", Text, "dead-letter"),
    or("window_max_groups", Count, "10000"),
    or("window_max_bytes", Size, "8MiB"),
    or("group_by", Texts, ""),
    or("aggregates", Pairs, ""),
    must("sink", Text, "name the sink, as in sink = \"out\""),
];

/// The keys of every sink: its batches.
pub(super) const BATCH: &[Key] = &[
    or("batch_size", Count, "500"),
    or("batch_bytes", Size, "4MiB"),
    or("maximum_batching_window", Duration, "0s"),
    or("parallelization_factor", Count, "1"),
];

/// The same of sinks that write objects: a request costs the same for a large one.
const OBJECT_BATCH: &[Key] = &[
    or("batch_size", Count, "100000"),
    or("batch_bytes", Size, "32MiB"),
    or("maximum_batching_window", Duration, "1m"),
    or("parallelization_factor", Count, "1"),
];

/// The keys of a sink's batches, by its type.
pub(super) fn batch_keys(kind: &str) -> &'static [Key] {
    if matches!(kind, "azure" | "folder" | "gcs" | "s3") { OBJECT_BATCH } else { BATCH }
}

/// The keys of every sink: how long it is tried.
pub(super) const RETRY: &[Key] = &[
    or("maximum_retry_attempts", Attempts, "-1"),
    or("maximum_record_age", Age, "-1"),
    or("bisect_batch_on_error", Flag, "true"),
];

/// Which sink it is.
pub(super) const SINK_TYPE: Key = must(
    "type",
    Word(&[
        "stdout", "azure", "file", "firehose", "folder", "gcs", "http", "kinesis", "postgres",
        "s3", "sqs",
    ]),
    "say what it is, as in type = \"file\"",
);

/// A sink's own keys, by its type.
pub(super) fn sink_keys(kind: &str) -> &'static [Key] {
    match kind {
        "azure" => AZURE,
        "file" => FILE,
        "firehose" => FIREHOSE,
        "folder" => FOLDER,
        "gcs" => GCS,
        "http" => HTTP,
        "kinesis" => KINESIS,
        "postgres" => POSTGRES,
        "s3" => S3,
        "sqs" => SQS,
        _ => &[],
    }
}

pub(super) const FILE: &[Key] = &[
    must("path", Text, "name the directory, as in path = \"/data/archive\""),
    or("prefix", Text, "events"),
    or("rotate_size", Size, "128MiB"),
    or("rotate_age", Duration, "1h"),
    or("compression", Word(&["none", "gzip", "zstd"]), "none"),
    or("fsync", Word(&["batch", "rotate", "never"]), "batch"),
];

/// The keys of a sink that writes objects: its own, which say where, and those of all of them.
macro_rules! object_sink {
    ($($place:expr),+ $(,)?) => {
        &[
            $($place,)+
            or("prefix", Template, "{stream}/dt={date}/hour={hour}"),
            or("time", Value, "%arrival"),
            or("format", Word(&["json-lines", "parquet"]), "json-lines"),
            or("compression", Word(&["none", "gzip", "snappy", "zstd"]), "gzip"),
            key("schema", Text),
            or("columns", Columns, ""),
            or("part_size", Size, "16MiB"),
            or("timeout", Duration, "1m"),
        ]
    };
}

pub(super) const FOLDER: &[Key] =
    object_sink![must("path", Text, "name the directory, as in path = \"/data/objects\"")];

pub(super) const S3: &[Key] = object_sink![
    must("bucket", Text, "name the bucket, as in bucket = \"orders\""),
    key("region", Text),
    key("endpoint_url", Text),
];

pub(super) const AZURE: &[Key] = object_sink![
    must("account", Text, "name the storage account, as in account = \"orders\""),
    must("container", Text, "name the container, as in container = \"app-logs\""),
    key("endpoint_url", Text),
];

pub(super) const GCS: &[Key] = object_sink![
    must("bucket", Text, "name the bucket, as in bucket = \"orders\""),
    key("endpoint_url", Text),
];

pub(super) const HTTP: &[Key] = &[
    must("url", Text, "say where, as in url = \"https://logs.example.com/in\""),
    or("preset", Word(&["none", "elasticsearch", "opensearch", "loki"]), "none"),
    or("body", Word(&["lines", "array"]), "lines"),
    or("compression", Word(&["none", "gzip"]), "none"),
    or("timeout", Duration, "30s"),
    or("headers", Pairs, ""),
    or("headers_env", Pairs, ""),
    key("bearer_env", Text),
    key("user", Text),
    key("password_env", Text),
    key("ca_file", Text),
    key("index", Text),
    or("action", Word(&["create", "index"]), "create"),
    or("document_id", Value, "%delivery_id"),
    or("labels", Pairs, "service_name=shardwright"),
    or("timestamp", Value, "$.timestamp"),
    or("line", Value, "$"),
];

pub(super) const KINESIS: &[Key] = &[
    key("stream", Text),
    key("arn", Text),
    key("region", Text),
    key("endpoint_url", Text),
    or("partition_key", PartitionKey, "record"),
    or("maximum_record_size", Size, "1MiB"),
    or("maximum_request_size", Size, "5MiB"),
];

pub(super) const POSTGRES: &[Key] = &[
    must("url", Text, "say where, as in url = \"postgres://shardwright@db.example.com/orders\""),
    key("password_env", Text),
    key("ca_file", Text),
    must("table", Text, "name the table, as in table = \"orders\""),
    or("columns", Values, ""),
    or("key", Texts, ""),
    or("keep_first", Texts, ""),
    or("exactly_once", Flag, "true"),
    or("connections", Count, "4"),
    or("timeout", Duration, "30s"),
];

pub(super) const SQS: &[Key] = &[
    must("queue_url", Text, "name the queue by its URL"),
    key("region", Text),
    key("endpoint_url", Text),
    or("group", Value, "%partition_key"),
    or("maximum_request_size", Size, "1MiB"),
];

pub(super) const FIREHOSE: &[Key] = &[
    must("stream", Text, "name the Firehose stream, as in stream = \"orders\""),
    key("region", Text),
    key("endpoint_url", Text),
];
