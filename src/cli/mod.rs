//! The command line. Data goes to standard output, talk to standard error.
//!
//! Exit codes: 0 fine, 1 the work found a problem, 2 usage or configuration; `run` ends with 3 when
//! a drain was cut short.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "talking is a command line's work")]

mod check;
mod config;
mod decode;
#[cfg(feature = "embedded")]
mod demo;
mod filter;
mod healthcheck;
mod produce;
mod producer;
mod run;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::config::{Compiled, ConfigProblems, Layers, Setting, compile, load};

/// Exit code: the work found a problem.
const FOUND: u8 = 1;
/// Exit code: usage or configuration.
const USAGE: u8 = 2;
/// Exit code: a drain was cut short.
const CUT_SHORT: u8 = 3;

/// A KCL-compatible Kinesis consumer: leases shards, unpacks CloudWatch Logs envelopes, filters,
/// validates, transforms and delivers their events, and checkpoints.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The daemon: works until SIGTERM, then drains
    Run(run::Args),
    /// The main job on an empty machine: embedded servers, a producer, two workers, a summary
    #[cfg(feature = "embedded")]
    Demo(demo::Args),
    /// Record payloads in, decoded log events out as JSON lines
    Decode(decode::Args),
    /// Prints the lines that a CloudWatch Logs filter pattern matches
    Filter(filter::Args),
    /// Reads the configuration as `run` would, and says everything that is wrong with it
    Check(check::Args),
    /// Prints the effective configuration, with where each value came from
    Config(config::Args),
    /// Puts CloudWatch Logs envelopes into a stream, generated or from files
    Produce(produce::Args),
    /// Asks the running daemon's admin port, for images without a shell
    Healthcheck(healthcheck::Args),
}

/// Where the configuration is.
#[derive(clap::Args)]
struct ConfigArgs {
    /// Configuration file; may be given several times, later ones win
    #[arg(
        long = "config",
        short = 'c',
        value_name = "FILE",
        env = "SHARDWRIGHT_CONFIG",
        value_delimiter = ':'
    )]
    files: Vec<PathBuf>,
}

impl ConfigArgs {
    fn layers(&self) -> Layers {
        Layers { files: self.files.clone(), environment: None }
    }

    /// Loads and compiles, as `run` needs it.
    fn compile(&self) -> Result<Compiled, ConfigProblems> {
        let (settings, listed) = load(&self.layers())?;
        compile(settings, &listed, &self.base())
    }

    fn list(&self) -> Result<Vec<Setting>, ConfigProblems> {
        load(&self.layers()).map(|(_, listed)| listed)
    }

    /// Relative paths begin at the folder of the last file.
    fn base(&self) -> PathBuf {
        self.files.last().and_then(|file| file.parent()).map(PathBuf::from).unwrap_or_default()
    }
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        #[cfg(feature = "embedded")]
        Command::Demo(args) => demo::run(&args),
        Command::Decode(args) => decode::run(&args),
        Command::Filter(args) => filter::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Produce(args) => produce::run(&args),
        Command::Healthcheck(args) => healthcheck::run(&args),
    }
}

/// Says what went wrong.
fn complain(message: impl std::fmt::Display) {
    eprintln!("shardwright: {message}");
}

/// Says what is wrong with the usage or the configuration.
fn refuse(message: impl std::fmt::Display) -> ExitCode {
    complain(message);
    ExitCode::from(USAGE)
}

fn refuse_config(problems: &ConfigProblems) -> ExitCode {
    eprintln!("{problems}");
    ExitCode::from(USAGE)
}

/// Runs a future on a new runtime.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, std::io::Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(future);
    // Work that was given up, such as a cut-off write, must not hold the process.
    runtime.shutdown_background();
    Ok(done)
}
