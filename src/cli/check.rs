//! `check`: the configuration, as `run` would read it.

use std::process::ExitCode;

use super::{ConfigArgs, refuse_config};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &Args) -> ExitCode {
    match args.config.compile() {
        Ok(compiled) => {
            let settings = &compiled.settings;
            eprintln!(
                "fine: {} streams, {} routes, {} sinks, configuration {}",
                settings.streams.len(),
                compiled.routes.len(),
                settings.sinks.len(),
                compiled.hash
            );
            ExitCode::SUCCESS
        }
        Err(problems) => refuse_config(&problems),
    }
}
