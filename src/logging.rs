//! Log lines: to standard error, as text for people or JSON for machines.

use std::{io::IsTerminal, sync::Arc};

use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt::writer::BoxMakeWriter, layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::config::{LogFormat, LogSettings};

/// A `log.level` that says nothing usable.
#[derive(Debug, thiserror::Error)]
#[error(
    "log.level: {0}; expected error, warn, info, debug, trace or directives such as info,shardwright::leasing=debug"
)]
pub struct LogLevelError(String);

/// What sees spans and events beside the log.
type Beside = Option<Box<dyn Layer<Registry> + Send + Sync>>;

/// Starts logging to standard error, once per process. `beside` sees what the log sees, and spans.
///
/// # Errors
/// When the level cannot be read.
pub fn start(settings: &LogSettings, beside: Beside) -> Result<(), LogLevelError> {
    let terminal = std::io::stderr().is_terminal();
    let json = match settings.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    install(settings, json, terminal, BoxMakeWriter::new(std::io::stderr), beside)
}

/// Starts logging into a file as text, once per process.
///
/// # Errors
/// When the level cannot be read.
pub fn start_in_file(settings: &LogSettings, file: std::fs::File) -> Result<(), LogLevelError> {
    install(settings, false, false, BoxMakeWriter::new(Arc::new(file)), None)
}

fn install(
    settings: &LogSettings,
    json: bool,
    colour: bool,
    writer: BoxMakeWriter,
    beside: Beside,
) -> Result<(), LogLevelError> {
    let filter = EnvFilter::try_new(&settings.level)
        .map_err(|error| LogLevelError(format!("{:?}: {error}", settings.level)))?;
    // A log line that cannot be written is lost; complaining about it would fail the same way.
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).log_internal_errors(false);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match json {
        true => Box::new(lines.json().flatten_event(true).with_filter(filter)),
        false => Box::new(lines.with_ansi(colour).with_filter(filter)),
    };
    let layers: Vec<_> = [lines].into_iter().chain(beside).collect();
    // A subscriber that is there already, as in tests, stays.
    let _ = tracing_subscriber::registry().with(layers).try_init();
    Ok(())
}
