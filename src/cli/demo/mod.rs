//! `demo`: the main job on an empty machine.
//!
//! Embedded servers, a producer, two workers and an audit. The workers are two applications as `run`
//! starts them, with a configuration file, SDK clients and HTTP; nothing in them knows of the demo.
//! The audit reads what is on disk.

mod audit;
mod fleet;
mod progress;
mod servers;
mod setup;
mod status_line;
mod tail;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};

use self::{audit::Audit, fleet::Fleet, progress::Progress, servers::Servers, setup::Setup};
use super::{
    FOUND, block_on, refuse,
    talk::{self, Unwritten, complain},
};
use crate::shutdown::{Shutdown, Signals};

#[derive(clap::Args)]
pub(super) struct Args {
    /// How long records are put; the workers then finish what is left
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Records put a second; each holds about 30 events
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    rate: u32,
    /// Kill one of the two workers in the middle, as a crash would
    #[arg(long)]
    kill_one: bool,
    /// Where the results go: each run makes a folder of its own there
    #[arg(long, value_name = "DIR", default_value = "demo-out")]
    out: PathBuf,
    /// The seed of the generated records; another one by default each time
    #[arg(long)]
    seed: Option<u64>,
    /// Only start the two servers and print their endpoints, until interrupted
    #[arg(long)]
    serve: bool,
    /// Port of the embedded Kinesis, with --serve; 0 is a free one
    #[arg(long, value_name = "PORT", default_value_t = 0, requires = "serve")]
    kinesis_port: u16,
    /// Port of the embedded DynamoDB, with --serve; 0 is a free one
    #[arg(long, value_name = "PORT", default_value_t = 0, requires = "serve")]
    dynamodb_port: u16,
}

/// How long the workers may take for what is left once the last record is put. A killed worker's
/// leases are free after the failover time, and its shards are read again from their checkpoints.
const CATCH_UP: Duration = Duration::from_mins(1);

pub(super) fn run(args: &Args) -> ExitCode {
    let job = async {
        if args.serve {
            servers::serve(args.kinesis_port, args.dynamodb_port).await
        } else {
            demo(args).await
        }
    };
    match block_on(job) {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        Ok(Ok(false)) => ExitCode::from(FOUND),
        Ok(Err(problem)) => match problem.downcast::<Unwritten>() {
            Ok(unwritten) => unwritten.exit(),
            Err(problem) => refuse(format!("{problem:#}")),
        },
        Err(problem) => {
            complain(problem);
            ExitCode::from(FOUND)
        }
    }
}

/// Runs the demo; `true` when every event has exactly one outcome.
async fn demo(args: &Args) -> anyhow::Result<bool> {
    let signals = Signals::catch()?;
    let shutdown = Shutdown::default();
    let story = tell(args, shutdown.clone());
    tokio::select! { biased;
        done = story => done,
        never = signals.drive(shutdown) => match never {},
    }
}

async fn tell(args: &Args, shutdown: Shutdown) -> anyhow::Result<bool> {
    let servers = Servers::start(0, 0).await?;
    let setup = Setup::write(&args.out, &servers)?;
    setup.announce(&servers);
    let aws = setup.connect().await?;
    servers::create_stream(&aws).await?;
    let seed = args.seed.unwrap_or_else(rand::random);
    let mut audit = Audit::start(&setup, &aws, args.rate, seed)?;
    let mut fleet = Fleet::start(&setup, &aws).await?;
    let progress = Progress::start(audit.view(), fleet.view());

    let started = Instant::now();
    let at = |share: f64| started + Duration::from_secs(args.seconds).mul_f64(share);
    let ended = tokio::select! { biased;
        () = shutdown.drain.cancelled() => "interrupted",
        done = events(args, &aws, &mut fleet, &progress, at(0.35), at(0.55), at(1.0)) => {
            done?;
            "the last record is put"
        }
    };
    audit.stop_producing().await?;
    progress.say(format_args!("{ended}: the workers finish what is left"));
    wait_until_settled(&audit, &shutdown).await;
    fleet.drain().await;
    progress.stop().await;
    let report = audit.finish().await?;
    match talk::print(&report.render(&setup, &fleet)) {
        Err(unwritten) if !unwritten.is_closed_pipe() => Err(unwritten.into()),
        // Whether the demo went well does not hang on who listens to it.
        _ => Ok(report.is_sound()),
    }
}

/// What happens while records are put: a shard is split, perhaps a worker is killed.
async fn events(
    args: &Args,
    aws: &crate::aws::AwsConnection,
    fleet: &mut Fleet,
    progress: &Progress,
    split_at: Instant,
    kill_at: Instant,
    end_at: Instant,
) -> anyhow::Result<()> {
    sleep_until(split_at).await;
    let parent = servers::split_a_shard(aws).await?;
    progress.say(format_args!("split {parent}: its children follow once it is read to its end"));
    if args.kill_one {
        sleep_until(kill_at).await;
        let name = fleet.kill_one();
        progress.say(format_args!("killed {name}: its leases are free after the failover time"));
    }
    sleep_until(end_at).await;
    Ok(())
}

async fn wait_until_settled(audit: &Audit, shutdown: &Shutdown) {
    let deadline = Instant::now() + CATCH_UP;
    let view = audit.view();
    while Instant::now() < deadline && !shutdown.abort.is_cancelled() && !view.is_settled() {
        sleep(Duration::from_millis(50)).await;
    }
}
