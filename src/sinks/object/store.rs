//! What stores have in common, and the one of this machine.

#[cfg(any(feature = "azure", feature = "gcs", feature = "s3"))]
use std::time::Duration;
use std::{fs, path::Path, sync::Arc};

#[cfg(any(feature = "azure", feature = "gcs", feature = "s3"))]
use object_store::{BackoffConfig, RetryConfig};
use object_store::{Error, ObjectStore, local::LocalFileSystem};

use crate::{ports::SinkError, sinks::private::create_folders};

/// A request that fails is sent again this often before its batch is.
#[cfg(any(feature = "azure", feature = "gcs", feature = "s3"))]
const RETRIES: usize = 2;
/// Time for that.
#[cfg(any(feature = "azure", feature = "gcs", feature = "s3"))]
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a request is sent again before its batch is.
#[cfg(any(feature = "azure", feature = "gcs", feature = "s3"))]
pub(super) fn retries() -> RetryConfig {
    RetryConfig {
        max_retries: RETRIES,
        retry_timeout: RETRY_TIMEOUT,
        backoff: BackoffConfig::default(),
    }
}

/// A folder, which is created.
///
/// # Errors
/// [`SinkError::Misconfigured`] when it cannot be.
pub(super) fn folder(path: &Path) -> Result<Arc<dyn ObjectStore>, SinkError> {
    let refuse = |why: String| SinkError::Misconfigured(format!("{}: {why}", path.display()));
    create_folders(path).map_err(|error| refuse(error.to_string()))?;
    let store = LocalFileSystem::new_with_prefix(path).map_err(|error| refuse(shown(&error)))?;
    // Accepted events survive a power cut.
    Ok(Arc::new(store.with_fsync(true)))
}

/// A folder that is gone lists nothing, as an empty one does.
///
/// # Errors
/// [`SinkError::Misconfigured`] when it is none.
pub(super) fn check_folder(path: &Path) -> Result<(), SinkError> {
    let refuse = |why: String| SinkError::Misconfigured(format!("{}: {why}", path.display()));
    let found = fs::metadata(path).map_err(|error| refuse(error.to_string()))?;
    if found.is_dir() { Ok(()) } else { Err(refuse("is no directory".to_owned())) }
}

/// Answers that a person must mend, in the words of the crate: where it lists, it does not tell them from
/// others by their type.
const FOR_A_PERSON: [&str; 4] =
    ["400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not Found"];

/// What an error means to the pipeline.
pub(super) fn sink_error(what: &str, error: &Error) -> SinkError {
    let message = format!("{what}: {}", shown(error));
    let told = matches!(
        error,
        Error::NotFound { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::UnknownConfigurationKey { .. }
    );
    if told || FOR_A_PERSON.iter().any(|answer| message.contains(answer)) {
        return SinkError::Misconfigured(message);
    }
    SinkError::Unavailable(message)
}

/// An error with its causes, in one line.
pub(super) fn shown(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
