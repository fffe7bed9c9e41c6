//! The store that a configuration names, and what its errors mean.

use std::{path::Path, sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, Error, ObjectStore, RetryConfig, aws::AmazonS3Builder, local::LocalFileSystem,
};

use super::{ObjectConfig, credentials::SdkCredentials, http::Http};
use crate::{aws::AwsConnection, ports::SinkError, sinks::private::create_folders};

/// A request that fails is sent again this often before its batch is.
const RETRIES: usize = 2;
/// Time for that.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);

/// A bucket. Nothing is called.
///
/// # Errors
/// [`SinkError::Misconfigured`] when it can never be reached so.
pub(super) fn s3(
    config: &ObjectConfig,
    connection: &AwsConnection,
) -> Result<Arc<dyn ObjectStore>, SinkError> {
    let refuse = |why: String| SinkError::Misconfigured(why);
    let sdk = connection.sdk_config();
    let endpoint = sdk.endpoint_url();
    let plain = endpoint.is_some_and(|url| url.starts_with("http://"));
    let chain = sdk.credentials_provider();
    let chain = chain.ok_or_else(|| refuse("no AWS credentials are looked for".to_owned()))?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(config.bucket.clone().unwrap_or_default())
        .with_region(connection.region())
        .with_credentials(Arc::new(SdkCredentials::new(chain)))
        .with_allow_http(plain)
        .with_retry(retries())
        .with_http_connector(Http::new(!plain, config.timeout)?);
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    let store = builder.build().map_err(|error| refuse(shown(&error)))?;
    Ok(Arc::new(store))
}

fn retries() -> RetryConfig {
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
fn shown(error: &dyn std::error::Error) -> String {
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
