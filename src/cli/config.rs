//! `config`: the effective configuration, a line for each value, with where it came from.

use std::{fmt::Write, process::ExitCode};

use crate::config::reference;

use super::{ConfigArgs, refuse_config, talk::print};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the reference of all keys, in Markdown, instead
    #[arg(long)]
    reference: bool,
}

/// Column of the origins; a longer line has its own further right.
const WIDEST: usize = 60;

pub(super) fn run(args: &Args) -> ExitCode {
    if args.reference {
        return printed(&reference());
    }
    let settings = match args.config.list() {
        Ok(settings) => settings,
        Err(problems) => return refuse_config(&problems),
    };
    let lines = settings.iter().map(|setting| format!("{} = {}", setting.key, setting.value));
    let lines: Vec<String> = lines.collect();
    let width = lines.iter().map(|line| line.chars().count()).filter(|&width| width <= WIDEST);
    let width = width.max().unwrap_or(0);
    let mut text = String::new();
    for (line, setting) in lines.iter().zip(&settings) {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{line:width$}  # {}", setting.origin);
    }
    printed(&text)
}

fn printed(text: &str) -> ExitCode {
    match print(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(unwritten) => unwritten.exit(),
    }
}
