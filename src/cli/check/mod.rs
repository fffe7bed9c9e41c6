//! `check`: the configuration, as `run` would read it; with `--online` the world that `run` would meet.
//!
//! | File | What |
//! |---|---|
//! | `doctor` | who is asked, and in which order |
//! | `finding` | what is said of one matter: a level, what was found, what to do |
//! | `account`, `stream`, `consumers`, `table`, `capacity`, `fleet`, `lag`, `sinks` | the matters |
//!
//! Nothing is changed: rights to write are tried by writes whose condition cannot hold, and what cannot
//! be tried without a change is said to be untried.

mod account;
mod capacity;
mod consumers;
mod doctor;
mod finding;
mod fleet;
mod lag;
mod sinks;
mod stream;
mod table;

use std::process::ExitCode;

use self::finding::Level;
use super::{
    ConfigArgs, FOUND, block_on, refuse, refuse_config,
    talk::{Paint, complain, print, say},
};
use crate::config::Settings;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Ask AWS and the sinks too: who we are, streams, lease table, rights, workers, lag, clock
    ///
    /// One line for each finding, with its level: ok, note, warning, problem; and what to do. Nothing is
    /// changed or delivered. Takes `lease.failover_time`, 10 s by default, when an owner of leases does
    /// not renew them. The exit code is 1 when there is a problem.
    #[arg(long)]
    online: bool,
    /// One JSON object for each finding: about, level, found, advice
    #[arg(long, requires = "online")]
    json: bool,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let compiled = match args.config.compile() {
        Ok(compiled) => compiled,
        Err(problems) => return refuse_config(&problems),
    };
    for warning in &compiled.warnings {
        complain(format_args!("warning: {warning}"));
    }
    let settings = &compiled.settings;
    say(format_args!(
        "fine: {}, {}, {}, configuration {}",
        counted(settings.streams.len(), "stream"),
        counted(compiled.routes.len(), "route"),
        counted(settings.sinks.len(), "sink"),
        compiled.hash
    ));
    if args.online { online(settings, args.json) } else { ExitCode::SUCCESS }
}

fn online(settings: &Settings, json: bool) -> ExitCode {
    let findings = match block_on(doctor::examine(settings)) {
        Ok(findings) => findings,
        Err(error) => return refuse(error),
    };
    let paint = Paint::of_stdout();
    let lines = findings.iter().map(|finding| match json {
        true => finding.json_line(),
        false => finding.lines(&paint),
    });
    if let Err(unwritten) = print(&lines.collect::<String>()) {
        return unwritten.exit();
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (problems, warnings) = (count(Level::Problem), count(Level::Warning));
    say(format_args!("{}, {}", counted(problems, "problem"), counted(warnings, "warning")));
    if problems > 0 { ExitCode::from(FOUND) } else { ExitCode::SUCCESS }
}

pub(super) fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
