//! `config`: the effective configuration.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use super::{ConfigArgs, FOUND, refuse_config};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let settings = match args.config.list() {
        Ok(settings) => settings,
        Err(problems) => return refuse_config(&problems),
    };
    let width = settings.iter().map(|setting| setting.key.len() + setting.value.len()).max();
    let width = width.unwrap_or(0).min(60) + 3;
    let mut out = io::stdout().lock();
    for setting in settings {
        let line = format!("{} = {}", setting.key, setting.value);
        if writeln!(out, "{line:width$}  # {}", setting.origin).is_err() {
            return ExitCode::from(FOUND);
        }
    }
    ExitCode::SUCCESS
}
