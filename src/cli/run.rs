//! `run`: the daemon.

use std::process::ExitCode;

use super::{CUT_SHORT, ConfigArgs, FOUND, block_on, refuse, refuse_config, talk::complain};
use crate::{
    app::{App, Outcome, StartError, fresh_worker_id},
    aws::AwsConnection,
    config::{Compiled, OtlpSettings},
    logging::{self, LogLevelError},
    shutdown::{Shutdown, Signals},
    telemetry::{Otlp, OtlpError},
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
    match block_on(daemon(compiled)) {
        Ok(Ok(Outcome::Drained)) => ExitCode::SUCCESS,
        Ok(Ok(Outcome::Aborted(_))) => ExitCode::from(CUT_SHORT),
        Ok(Ok(Outcome::Broken)) => ExitCode::from(FOUND),
        Ok(Err(problem)) => refuse(problem),
        Err(problem) => {
            complain(format!("cannot start the runtime: {problem}"));
            ExitCode::from(FOUND)
        }
    }
}

/// Why the daemon cannot start.
#[derive(Debug, thiserror::Error)]
enum DaemonError {
    #[error(transparent)]
    Otlp(#[from] OtlpError),
    #[error(transparent)]
    Log(#[from] LogLevelError),
    #[error("cannot catch signals: {0}")]
    Signals(std::io::Error),
    #[error(transparent)]
    Aws(#[from] crate::aws::AwsError),
    #[error(transparent)]
    Start(#[from] StartError),
}

async fn daemon(mut compiled: Compiled) -> Result<Outcome, DaemonError> {
    let settings = &mut compiled.settings;
    let worker = settings.worker_id.get_or_insert_with(fresh_worker_id);
    let OtlpSettings { endpoint, interval } = &settings.otlp;
    let otlp = Otlp::open(endpoint.as_deref(), *interval, &settings.application, worker)?;
    logging::start(&settings.log, otlp.as_ref().map(Otlp::layer))?;
    for warning in &compiled.warnings {
        tracing::warn!(%warning, "configuration");
    }
    let signals = Signals::catch().map_err(DaemonError::Signals)?;
    let aws = AwsConnection::open(&compiled.settings.aws).await?;
    let app = App::build(compiled, &aws).await?.with_otlp(otlp);
    let shutdown = Shutdown::default();
    tokio::select! { biased;
        outcome = app.run(shutdown.clone()) => Ok(outcome?),
        never = signals.drive(shutdown) => match never {},
    }
}
