//! The command line. Data goes to standard output, talk to standard error.
//!
//! Exit codes: 0 fine, 1 the work found a problem, 2 usage or configuration; `run` ends with 3 when
//! a drain was cut short.

mod check;
mod config;
mod decode;
#[cfg(feature = "embedded")]
mod demo;
mod filter;
mod healthcheck;
mod iam_policy;
mod input;
mod leases;
mod offline;
mod peek;
mod produce;
mod producer;
mod replay;
mod run;
mod talk;
mod test;

use std::{env, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use self::talk::complain;
use crate::config::{Compiled, ConfigProblems, Layers, Setting, compile, load};

/// Exit code: the work found a problem.
const FOUND: u8 = 1;
/// Exit code: usage or configuration.
const USAGE: u8 = 2;
/// Exit code: a drain was cut short, or a replay was interrupted.
const CUT_SHORT: u8 = 3;

/// What the help of the program ends with.
const NOTES: &str = "\
Exit codes:
  0  fine
  1  the work found a problem
  2  usage or configuration
  3  `run`: the drain was cut short; `replay`: interrupted

Environment variables:
  SHARDWRIGHT_CONFIG  configuration files, separated by colons
  SHARDWRIGHT__...    single settings, over those of the files:
                      SHARDWRIGHT__LEASE__FAILOVER_TIME=20s is lease.failover_time";

/// A KCL-compatible Kinesis consumer: leases shards, unpacks CloudWatch Logs envelopes, filters,
/// validates, transforms and delivers their events, and checkpoints.
#[derive(Parser)]
#[command(version, max_term_width = 100, after_help = NOTES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon: process the configured streams until SIGTERM, then drain
    ///
    /// SIGTERM or Ctrl-C drains: what was read is delivered and checkpointed, and the leases are
    /// handed over. A second signal stops at once. The exit code is 3 when the drain was cut short.
    Run(run::Args),
    /// Show the whole job on an empty machine: no AWS, no Docker, no downloads
    ///
    /// Starts embedded Kinesis and DynamoDB servers on loopback, puts CloudWatch Logs envelopes into
    /// a stream, splits one of its shards meanwhile, and processes it with two workers that share
    /// the leases. An audit then holds what lies on disk against what was put; the exit code is 1
    /// unless every event has come out.
    #[cfg(feature = "embedded")]
    Demo(demo::Args),
    /// Print the log events in record payloads as JSON lines
    Decode(decode::Args),
    /// Print the lines that a CloudWatch Logs filter pattern matches
    Filter(filter::Args),
    /// Say what the configured pipeline makes of captured input, and hold it against what is expected
    Test(test::Args),
    /// Say everything that is wrong with the configuration, and with --online with the world it meets
    Check(check::Args),
    /// Print the effective configuration, and where each value came from
    Config(config::Args),
    /// Print what a stream or a shard holds, from a position on, without touching leases
    ///
    /// One JSON line for each event, as `decode` prints it. Reads each shard twice a second at most, so
    /// that the application that works on the stream is not throttled.
    Peek(peek::Args),
    /// Put CloudWatch Logs envelopes into a stream, generated or made from files
    Produce(produce::Args),
    /// Look into the lease table, and mend it: owners, positions, dead leases
    ///
    /// Takes the configuration of `run`. A change is shown before it is written, and written only if
    /// the row is still as it was shown; what would lose records is refused unless forced.
    Leases(leases::Args),
    /// Take dead letters through the pipeline again, and to the sinks
    Replay(replay::Args),
    /// Print the IAM policy that the configuration needs, and nothing more
    IamPolicy(iam_policy::Args),
    /// Ask the running daemon whether it is alive, for images without a shell
    Healthcheck(healthcheck::Args),
}

/// Where the configuration is.
#[derive(clap::Args)]
struct ConfigArgs {
    /// A configuration file; may be given several times, later ones win. Without it those that the
    /// environment variable `SHARDWRIGHT_CONFIG` names, separated by colons
    #[arg(long = "config", short = 'c', value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl ConfigArgs {
    fn layers(&self) -> Layers {
        let mut files = self.files.clone();
        if files.is_empty()
            && let Some(named) = env::var_os("SHARDWRIGHT_CONFIG")
        {
            // An empty variable names no file: an image may set one, and its user none.
            let paths = env::split_paths(&named);
            files.extend(paths.filter(|path| !path.as_os_str().is_empty()));
        }
        Layers { files, environment: None }
    }

    /// Loads and compiles, as `run` needs it.
    fn compile(&self) -> Result<Compiled, ConfigProblems> {
        compile(&self.layers())
    }

    fn list(&self) -> Result<Vec<Setting>, ConfigProblems> {
        load(&self.layers()).map(|(_, listed)| listed)
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
        Command::Test(args) => test::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Peek(args) => peek::run(&args),
        Command::Produce(args) => produce::run(&args),
        Command::Leases(args) => leases::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::IamPolicy(args) => iam_policy::run(&args),
        Command::Healthcheck(args) => healthcheck::run(&args),
    }
}

/// Says what is wrong with the usage or the configuration.
fn refuse(message: impl std::fmt::Display) -> ExitCode {
    complain(message);
    ExitCode::from(USAGE)
}

fn refuse_config(problems: &ConfigProblems) -> ExitCode {
    talk::say(problems);
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
