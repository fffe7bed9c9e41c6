//! The keys of a route.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use serde::Deserialize;

/// `[[routes]]`: which events go through which checks to which sink. A route takes the events that
/// meet all of `filter`, `log_groups`, `where` and `default`; what fails one of its checks becomes a
/// dead letter.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct RouteSettings {
    /// Its name, for logs and dead letters.
    pub name: String,
    /// A CloudWatch Logs filter pattern on the message. Without it the route takes all events.
    #[serde(default)]
    pub filter: Option<String>,
    /// Log groups whose events the route takes; `*` and `?` are wildcards.
    #[serde(default)]
    pub log_groups: Vec<String>,
    /// Fields of a message that is a JSON object, by their paths, and the values of which each must
    /// hold one: `where = { type = "order", "header.source" = ["web", "app"] }`. A text also equals a
    /// number, `true` or `false` that is written so.
    #[serde(default, rename = "where")]
    pub fields: BTreeMap<String, Vec<FieldSetting>>,
    /// Whether the route takes only what no route before it has taken: what is left over where those
    /// say `also`. A route without conditions at the end does the same where none does.
    #[serde(default)]
    pub default: bool,
    /// Whether later routes see the events that this one takes.
    #[serde(default)]
    pub also: bool,
    /// Most bytes of the message.
    #[serde(default)]
    pub max_event_size: Option<ByteSize>,
    /// The log groups that events may come from; `*` and `?` are wildcards. Unlike `log_groups` it
    /// refuses the others.
    #[serde(default)]
    pub known_log_groups: Vec<String>,
    /// How long before the arrival of its record an event may have happened.
    #[serde(default, with = "humantime_serde")]
    pub oldest_event: Option<Duration>,
    /// How far after the arrival of its record an event's time may be: clocks differ.
    #[serde(default, with = "humantime_serde")]
    pub newest_event: Option<Duration>,
    /// Paths of fields that the message must have, as in `where`; their values do not matter.
    #[serde(default)]
    pub required_keys: Vec<String>,
    /// A JSON Schema file, draft-07 and 2020-12 among others; relative to the configuration file.
    #[serde(default)]
    pub validate: Option<PathBuf>,
    /// What must satisfy the schema: the parsed message, or the event as a program sees it.
    #[serde(default)]
    pub validate_on: ValidateOn,
    /// A VRL program file that makes the event that is delivered; relative to the configuration
    /// file.
    #[serde(default)]
    pub transform: Option<PathBuf>,
    /// How long windows are, 1s to 15m: then the route delivers rows, one a window and group, instead
    /// of its documents.
    #[serde(default, with = "humantime_serde")]
    pub window: Option<Duration>,
    /// How long events may come out of order: a window is closed once an event was seen that happened
    /// so long after its end.
    #[serde(default = "ten_seconds", with = "humantime_serde")]
    pub window_lateness: Duration,
    /// A window that got nothing for so long is closed. Default: `window` and `window_lateness`.
    #[serde(default, with = "humantime_serde")]
    pub window_idle: Option<Duration>,
    /// How far after the arrival of its record an event's time may be; what is further ahead becomes a
    /// dead letter, so that one bad clock does not close the windows of all others.
    #[serde(default = "ten_seconds", with = "humantime_serde")]
    pub window_ahead: Duration,
    /// The field that says when a document happened: RFC 3339, or milliseconds since 1970. Default:
    /// the event's own timestamp, or the arrival of its record.
    #[serde(default)]
    pub window_time: Option<String>,
    /// What becomes of documents whose window is closed: `dead-letter`, or the name of a sink.
    #[serde(default = "dead_letter")]
    pub window_late: String,
    /// Most groups of one window. Events that would make more become dead letters.
    #[serde(default = "max_groups")]
    pub window_max_groups: usize,
    /// Most bytes that one window takes in memory. Events that would make it larger become dead letters.
    #[serde(default = "max_bytes")]
    pub window_max_bytes: ByteSize,
    /// The fields whose values make the groups: of what the program makes, else of the event as
    /// programs see it (`log_group`, `message.status`). The last part of the path is its name in the row.
    #[serde(default)]
    pub group_by: Vec<String>,
    /// What is computed of each group, by its name in the row: `count`, or `sum`, `min`, `max`, `avg`,
    /// `p99` (any percentile) or `distinct` and a field, as in `sum message.bytes`.
    #[serde(default)]
    pub aggregates: BTreeMap<String, String>,
    /// The name of the sink.
    pub sink: String,
}

/// What must satisfy a schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValidateOn {
    /// The message, which must be JSON.
    #[default]
    Message,
    /// The event: `owner`, `log_group`, `log_stream`, `subscription_filters`, `id`, `timestamp`, and
    /// `message`, parsed if it is a JSON object or array.
    Event,
}

/// One value that a field may hold.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum FieldSetting {
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Whole(i64),
    /// Another number.
    Fraction(f64),
    /// Text.
    Text(String),
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

fn dead_letter() -> String {
    "dead-letter".to_owned()
}

fn max_groups() -> usize {
    10_000
}

fn max_bytes() -> ByteSize {
    ByteSize::mib(8)
}
