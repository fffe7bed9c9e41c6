//! `leases`: an operator's tools on the lease table.
//!
//! They see the table, the streams and the endpoints that `run` would, and change a row only by a
//! write that is conditional on the row as it was seen. What would lose records is refused unless it
//! is forced; what would deliver records again says so.
//!
//! | File | What |
//! |---|---|
//! | `desk` | the table and the streams of the configuration; finding a row |
//! | `state`, `pulse`, `effect`, `objection`, `destination` | what is seen and decided, as pure values |
//! | `seek` | what the stream says of a shard: lag, first unread record, the place before a time |
//! | `change` | showing, confirming and writing changes |
//! | `list`, `show`, `release`, `relocate`, `delete` | the commands |

mod change;
mod delete;
mod desk;
pub(super) mod destination;
mod effect;
mod list;
mod objection;
pub(super) mod pulse;
mod release;
mod relocate;
pub(super) mod seek;
mod show;
mod state;
#[cfg(test)]
mod testing;
pub(super) mod text;

use std::{collections::BTreeSet, process::ExitCode, time::Duration};

use super::{
    FOUND, block_on, refuse, refuse_config,
    talk::{Unwritten, complain, say},
};
use crate::{
    aws::AwsError,
    config::ConfigProblems,
    model::WorkerId,
    ports::{StoreError, StreamError},
};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List the leases: owner, checkpoint, counter, state
    ///
    /// One scan of the table: half a read unit for each 4 KiB, about 13 leases. Exits with 1 when
    /// something is wrong: hash keys that no lease covers, a stream without leases, a row that
    /// cannot be read, with --live an owner that does not renew, with --lag a shard that cannot be
    /// asked.
    List(list::Args),
    /// Show everything about one lease
    ///
    /// The whole row, its parents and children, what the stream says of the shard, and its lag.
    /// Exits with 1 when there is no such row, or the stream does not answer.
    Show(show::Args),
    /// Clear the owner of leases, so that other workers take them at once
    ///
    /// For an owner that is gone and that nobody replaces. It is first watched for
    /// `lease.failover_time`: one that renews is refused, unless forced. Nothing is lost: the next
    /// owner begins at the checkpoint.
    Release(release::Args),
    /// Set the position from which shards are read
    ///
    /// Moving back delivers records again. Moving forward skips records, so it is refused unless
    /// forced, and so is any move while the owner renews the lease. The owner is cleared: whoever
    /// takes the lease next begins at the new position.
    #[command(after_help = destination::HELP)]
    Move(relocate::Args),
    /// Delete leases that are done with
    ///
    /// Without --force only leases of shards that were read to their end and whose children have
    /// started: what workers delete by themselves. Says what shard sync will do next.
    Delete(delete::Args),
}

pub(super) fn run(args: &Args) -> ExitCode {
    let work = async {
        match &args.command {
            Command::List(args) => list::run(args).await,
            Command::Show(args) => show::run(args).await,
            Command::Release(args) => release::run(args).await,
            Command::Move(args) => relocate::run(args).await,
            Command::Delete(args) => delete::run(args).await,
        }
    };
    match block_on(work) {
        Ok(Ok(Found::Nothing)) => ExitCode::SUCCESS,
        Ok(Ok(Found::Problem)) => ExitCode::from(FOUND),
        Ok(Err(failure)) => failure.exit(),
        Err(problem) => {
            complain(problem);
            ExitCode::from(FOUND)
        }
    }
}

/// Says why nothing happens for a while.
fn say_watching(workers: &[&WorkerId], period: Duration) {
    let names: BTreeSet<&str> = workers.iter().map(|worker| worker.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    say(format_args!(
        "watching for up to {} whether {} renews",
        text::duration(period),
        names.join(" or ")
    ));
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// All is well.
    Nothing,
    /// Something is wrong, and was said.
    Problem,
}

impl Found {
    fn problem_if(found: bool) -> Self {
        if found { Self::Problem } else { Self::Nothing }
    }
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Config(ConfigProblems),
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error("{0}")]
    Problem(String),
    #[error("{0}")]
    Table(#[from] StoreError),
    #[error("{0}")]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Unwritten(#[from] Unwritten),
}

impl Failure {
    fn exit(self) -> ExitCode {
        match self {
            Self::Usage(_) | Self::Aws(_) => refuse(self),
            Self::Config(problems) => refuse_config(&problems),
            Self::Unwritten(unwritten) => unwritten.exit(),
            Self::Problem(_) | Self::Table(_) | Self::Stream(_) => {
                complain(self);
                ExitCode::from(FOUND)
            }
        }
    }
}
