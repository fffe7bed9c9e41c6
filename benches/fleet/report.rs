//! The table at the end.

use std::time::Duration;

use crate::{
    SHARDS, WORKERS,
    proxy::Calls,
    shared::{load_average, percentile},
};

/// What was measured.
pub(crate) struct Report {
    lines: Vec<String>,
    load_average: String,
    pub(crate) lost: usize,
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

    /// Lines for what the leases cost: calls in a window, and by how much the counters in the rows
    /// rose in it.
    pub(crate) fn cost(&mut self, how: &str, window: Duration, calls: &Calls, raised: u32) {
        let an_hour = |count: f64| count * 3600.0 / window.as_secs_f64();
        let (writes, write_units) = calls.of(&["UpdateItem", "PutItem", "DeleteItem"]);
        let (scans, scan_units) = calls.of(&["Scan"]);
        let (_, read_units) = calls.of(&["GetItem"]);
        let [writes, raised] =
            [writes, raised].map(|count| an_hour(f64::from(count) / f64::from(SHARDS)));
        let scans = an_hour(f64::from(scans) / f64::from(WORKERS));
        let [write_units, read_units] = [write_units, scan_units + read_units].map(an_hour);
        self.line(
            &format!("{how}: writes per lease and hour"),
            &format!("{writes:7.0}   (by the counters in the rows {raised:.0})"),
        );
        self.line(&format!("{how}: scans per worker and hour"), &format!("{scans:7.0}"));
        self.line(
            &format!("{how}: units per hour, whole fleet"),
            &format!("{write_units:7.0} write, {read_units:.0} read"),
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
