//! Live progress on standard error: a line that changes, on a terminal only, and what happens.

use std::{fmt, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    audit, fleet,
    status_line::{StatusLine, columns},
};
use crate::cli::talk;

/// The line that changes.
pub(super) struct Progress {
    started: Instant,
    line: StatusLine,
    task: JoinSet<()>,
}

const EVERY: Duration = Duration::from_millis(200);

impl Progress {
    pub(super) fn start(audit: audit::View, fleet: fleet::View) -> Self {
        let started = Instant::now();
        let mut task = JoinSet::new();
        let line = StatusLine::new();
        if line.is_shown() {
            task.spawn(async move {
                loop {
                    sleep(EVERY).await;
                    line.show(&fit(&parts(started, &audit, &fleet), columns()));
                }
            });
        }
        Self { started, line, task }
    }

    /// Says something that stays.
    pub(super) fn say(&self, text: impl fmt::Display) {
        self.line.say(format_args!("{}  {text}", seconds(self.started)));
    }

    pub(super) async fn stop(mut self) {
        self.task.shutdown().await;
        self.line.show("");
        talk::say("");
    }
}

fn seconds(started: Instant) -> String {
    format!("{:>5.1} s", started.elapsed().as_secs_f64())
}

/// What there is to show, the most important first.
fn parts(started: Instant, audit: &audit::View, fleet: &fleet::View) -> Vec<String> {
    let counts = audit.counts();
    let read: Vec<String> = fleet.records().iter().map(u64::to_string).collect();
    vec![
        format!("{}  put {}", seconds(started), counts.put),
        format!("delivered {}", counts.delivered),
        format!("filtered {}", counts.filtered),
        format!("dead-lettered {}", counts.dead_lettered),
        format!("read {}", read.join(" + ")),
    ]
}

/// As many parts as a line takes: half a number would be another number.
fn fit(parts: &[String], columns: usize) -> String {
    let mut line = String::new();
    for part in parts {
        let gap = if line.is_empty() { "" } else { ", " };
        if line.len() + gap.len() + part.len() > columns {
            break;
        }
        line.push_str(gap);
        line.push_str(part);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_shows_fewer_parts_and_no_half_ones() {
        let parts = ["put 120".to_owned(), "delivered 80".to_owned(), "filtered 4".to_owned()];
        let check = |columns, expect: &str| assert_eq!(fit(&parts, columns), expect);
        check(100, "put 120, delivered 80, filtered 4");
        check(33, "put 120, delivered 80, filtered 4");
        check(32, "put 120, delivered 80");
        check(7, "put 120");
        check(6, "");
    }
}
