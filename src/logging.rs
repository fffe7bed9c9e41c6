//! Log lines: to standard error, as text for people or JSON for machines.

use std::{io::IsTerminal, sync::Arc};

use tracing_subscriber::{EnvFilter, fmt::writer::BoxMakeWriter};

use crate::config::{LogFormat, LogSettings};

/// A `log.level` that says nothing usable.
#[derive(Debug, thiserror::Error)]
#[error(
    "log.level: {0}; expected error, warn, info, debug, trace or directives such as info,shardwright::leasing=debug"
)]
pub struct LogLevelError(String);

/// Starts logging to standard error, once per process.
///
/// # Errors
/// When the level cannot be read.
pub fn start(settings: &LogSettings) -> Result<(), LogLevelError> {
    let terminal = std::io::stderr().is_terminal();
    let json = match settings.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    install(settings, json, terminal, BoxMakeWriter::new(std::io::stderr))
}

/// Starts logging into a file as text, once per process.
///
/// # Errors
/// When the level cannot be read.
pub fn start_in_file(settings: &LogSettings, file: std::fs::File) -> Result<(), LogLevelError> {
    install(settings, false, false, BoxMakeWriter::new(Arc::new(file)))
}

fn install(
    settings: &LogSettings,
    json: bool,
    colour: bool,
    writer: BoxMakeWriter,
) -> Result<(), LogLevelError> {
    let filter = EnvFilter::try_new(&settings.level)
        .map_err(|error| LogLevelError(format!("{:?}: {error}", settings.level)))?;
    // A log line that cannot be written is lost; complaining about it would fail the same way.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .log_internal_errors(false);
    // A subscriber that is there already, as in tests, stays.
    let _ = match json {
        true => builder.json().flatten_event(true).try_init(),
        false => builder.with_ansi(colour).try_init(),
    };
    Ok(())
}
