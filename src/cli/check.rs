//! `check`: the configuration, as `run` would read it.

use std::process::ExitCode;

use super::{
    ConfigArgs, FOUND, block_on, refuse, refuse_config,
    talk::{complain, say},
};
use crate::{
    app::{SinkCheck, check_sinks},
    config::Settings,
};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Ask the sinks too whether they could take events now; nothing is delivered. The exit code is 1
    /// when one of them could not
    #[arg(long)]
    online: bool,
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
    if args.online { online(settings) } else { ExitCode::SUCCESS }
}

fn online(settings: &Settings) -> ExitCode {
    let checks = match block_on(check_sinks(settings)) {
        Ok(checks) => checks,
        Err(error) => return refuse(error),
    };
    let mut found = false;
    for SinkCheck { name, kind, problem } in checks {
        match problem {
            None => say(format_args!("sinks.{name}: fine ({kind})")),
            Some(problem) => {
                found = true;
                complain(format_args!("sinks.{name}: {problem} ({kind})"));
            }
        }
    }
    if found { ExitCode::from(FOUND) } else { ExitCode::SUCCESS }
}

pub(super) fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
