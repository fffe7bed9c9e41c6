//! A bucket of S3, or of a server that speaks as it does.

use std::sync::Arc;

use object_store::{ObjectStore, aws::AmazonS3Builder};

use super::{
    ObjectConfig,
    credentials::SdkCredentials,
    http::Http,
    store::{retries, shown},
};
use crate::{aws::AwsConnection, ports::SinkError};

/// A bucket. Nothing is called.
///
/// # Errors
/// [`SinkError::Misconfigured`] when it can never be reached so.
pub(super) fn bucket(
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
