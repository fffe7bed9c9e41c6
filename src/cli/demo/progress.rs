//! Live progress on standard error: one line that changes on a terminal, a line every few seconds
//! elsewhere.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{audit, fleet};

/// The line that changes.
pub(super) struct Progress {
    started: Instant,
    terminal: bool,
    task: JoinSet<()>,
}

impl Progress {
    pub(super) fn start(audit: audit::View, fleet: fleet::View) -> Self {
        let terminal = io::stderr().is_terminal();
        let started = Instant::now();
        let every = Duration::from_millis(if terminal { 200 } else { 5_000 });
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                sleep(every).await;
                show(terminal, &line(started, &audit, &fleet));
            }
        });
        Self { started, terminal, task }
    }

    /// Says something that stays.
    pub(super) fn say(&self, text: &str) {
        let clear = if self.terminal { "\r\x1b[2K" } else { "" };
        eprintln!("{clear}{:>5.1} s  {text}", self.started.elapsed().as_secs_f64());
    }

    pub(super) async fn stop(mut self) {
        self.task.shutdown().await;
        if self.terminal {
            eprint!("\r\x1b[2K");
        }
        eprintln!();
    }
}

fn line(started: Instant, audit: &audit::View, fleet: &fleet::View) -> String {
    let counts = audit.counts();
    let workers: Vec<String> =
        fleet.records().into_iter().map(|(name, records)| format!("{name} {records}")).collect();
    format!(
        "{:>5.1} s  events put {}, delivered {}, filtered {}, dead-lettered {}; records read: {}",
        started.elapsed().as_secs_f64(),
        counts.put,
        counts.delivered,
        counts.filtered,
        counts.dead_lettered,
        workers.join(", ")
    )
}

fn show(terminal: bool, line: &str) {
    if terminal {
        eprint!("\r\x1b[2K{line}");
        // A terminal that is gone does not matter to the demo.
        let _ = io::stderr().flush();
    } else {
        eprintln!("{line}");
    }
}
