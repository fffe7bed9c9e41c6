//! The table at the end.

use std::{fs, time::Duration};

use crate::{SHARDS, WORKERS, proxy::Calls};

/// What was measured.
pub(crate) struct Report {
    lines: Vec<String>,
    load_average: String,
    pub(crate) lost: usize,
}

/// The value that so many percent of the values do not exceed.
pub(crate) fn percentile(values: &[Duration], percent: usize) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { lines: Vec::new(), load_average: load_average(), lost: 0 }
    }

    /// A line for a time that was measured of many shards.
    pub(crate) fn times(&mut self, what: &str, times: &[Duration]) {
        let [p50, p99, max] = [50, 99, 100].map(|percent| percentile(times, percent).as_secs_f64());
        let many = times.len();
        self.line(what, &format!("{p50:7.2} s {p99:7.2} s {max:7.2} s   of {many}"));
    }

    pub(crate) fn line(&mut self, what: &str, value: &str) {
        self.lines.push(format!("{what:<38} {value}"));
    }

    /// Lines for what the leases cost.
    pub(crate) fn cost(&mut self, how: &str, window: Duration, calls: &Calls, raised: u64) {
        let an_hour = |count: f64| count * 3600.0 / window.as_secs_f64();
        let count = |operations: &[&str]| operations.iter().map(|it| calls.of(it)).sum::<u64>();
        let units =
            |operations: &[&str]| operations.iter().map(|it| calls.units_of(it)).sum::<f64>();
        let writes = ["UpdateItem", "PutItem", "DeleteItem"];
        let (reads, leases) = (["Scan", "GetItem"], f64::from(SHARDS));
        let write_calls = exact(count(&writes));
        self.line(
            &format!("{how}: writes per lease and hour"),
            &format!(
                "{:7.0}   (counters in the rows: {:.0})",
                an_hour(write_calls) / leases,
                an_hour(exact(raised)) / leases
            ),
        );
        self.line(
            &format!("{how}: scans per worker and hour"),
            &format!(
                "{:7.0}   (GetItem, all workers: {:.0})",
                an_hour(exact(calls.of("Scan"))) / exact(WORKERS as u64),
                an_hour(exact(calls.of("GetItem")))
            ),
        );
        self.line(
            &format!("{how}: units per hour, the whole fleet"),
            &format!("{:7.0} write {:7.0} read", an_hour(units(&writes)), an_hour(units(&reads))),
        );
    }

    pub(crate) fn print(&self) {
        println!(
            "{WORKERS} workers, {SHARDS} shards; load average {} then {}",
            self.load_average,
            load_average()
        );
        println!("{:<38} {:>9} {:>9} {:>9}", "", "p50", "p99", "max");
        self.lines.iter().for_each(|line| println!("{line}"));
        println!("{:<38} {}", "lost", self.lost);
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few minutes")]
fn exact(count: u64) -> f64 {
    count as f64
}

/// Of the last minute; Linux only.
fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}
