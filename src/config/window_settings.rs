//! The keys of a route that has windows.

use std::{collections::BTreeMap, time::Duration};

use bytesize::ByteSize;
use serde::Deserialize;

/// The windows of a route. All keys but `window` mean something only with it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct WindowSettings {
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
}

impl Default for WindowSettings {
    fn default() -> Self {
        Self {
            window: None,
            window_lateness: ten_seconds(),
            window_idle: None,
            window_ahead: ten_seconds(),
            window_time: None,
            window_late: dead_letter(),
            window_max_groups: max_groups(),
            window_max_bytes: max_bytes(),
            group_by: Vec::new(),
            aggregates: BTreeMap::new(),
        }
    }
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
