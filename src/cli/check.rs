//! `check`: the configuration, as `run` would read it.

use std::process::ExitCode;

use super::{
    ConfigArgs, refuse_config,
    talk::{complain, say},
};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
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
    ExitCode::SUCCESS
}

pub(super) fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
