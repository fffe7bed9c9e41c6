//! A container of Azure Blob Storage.

use std::sync::Arc;

use object_store::{
    ObjectStore,
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
};

use super::{
    ObjectConfig,
    http::Http,
    store::{retries, shown},
};
use crate::ports::SinkError;

/// A container, with the credentials that these variables of the environment say: `AZURE_…` as
/// Azure's own tools have them, and `MSI_ENDPOINT`. Without any it is the machine's managed identity.
/// Nothing is called.
///
/// # Errors
/// [`SinkError::Misconfigured`] when it can never be reached so.
pub(super) fn container(
    config: &ObjectConfig,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Arc<dyn ObjectStore>, SinkError> {
    let mut builder = MicrosoftAzureBuilder::new();
    for (name, value) in environment {
        let known = name.starts_with("AZURE_") || name == "MSI_ENDPOINT";
        if let Some(key) =
            known.then(|| name.to_ascii_lowercase().parse::<AzureConfigKey>().ok()).flatten()
        {
            builder = builder.with_config(key, value);
        }
    }
    let plain = config.endpoint_url.as_ref().is_some_and(|url| url.starts_with("http://"));
    builder = builder
        .with_account(config.account.clone().unwrap_or_default())
        .with_container_name(config.container.clone().unwrap_or_default())
        .with_allow_http(plain)
        .with_retry(retries())
        // Identities are asked for by TLS too.
        .with_http_connector(Http::new(!plain, config.timeout)?);
    if let Some(endpoint) = &config.endpoint_url {
        builder = builder.with_endpoint(endpoint.clone());
    }
    let store = builder.build().map_err(|error| SinkError::Misconfigured(shown(&error)))?;
    Ok(Arc::new(store))
}
