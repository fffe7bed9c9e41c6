//! A bucket of Google Cloud Storage.

use std::sync::Arc;

use object_store::{ObjectStore, gcp::GoogleCloudStorageBuilder};

use super::{
    ObjectConfig,
    http::Http,
    store::{retries, shown},
};
use crate::ports::SinkError;

/// Where the service answers.
const ENDPOINT: &str = "https://storage.googleapis.com";

/// A bucket, with the credentials that these variables of the environment say, by the names that Google's
/// own tools have for them. Without any it is what `gcloud auth application-default login` has left, else
/// the machine's or the pod's service account, whose metadata server the library looks for by
/// `GCE_METADATA_HOST` of the process. Nothing is called.
///
/// # Errors
/// [`SinkError::Misconfigured`] when it can never be reached so.
pub(super) fn bucket(
    config: &ObjectConfig,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Arc<dyn ObjectStore>, SinkError> {
    let mut builder = GoogleCloudStorageBuilder::new();
    for (name, value) in environment {
        builder = match name.as_str() {
            "GOOGLE_APPLICATION_CREDENTIALS" => builder.with_application_credentials(value),
            "CLOUDSDK_AUTH_ACCESS_TOKEN" => builder.with_bearer_token(value),
            _ => builder,
        };
    }
    let endpoint = config.endpoint_url.as_deref().unwrap_or(ENDPOINT).trim_end_matches('/');
    let store = builder
        .with_bucket_name(config.bucket.clone().unwrap_or_default())
        .with_base_url(endpoint)
        .with_retry(retries())
        .with_http_connector(Http::new(!endpoint.starts_with("http://"), config.timeout)?)
        .build()
        .map_err(|error| {
            SinkError::Misconfigured(format!("Google's credentials: {}", shown(&error)))
        })?;
    Ok(Arc::new(store))
}
