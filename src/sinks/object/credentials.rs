//! The SDK's credentials for the store: environment, profiles, web identity, the container's and the
//! machine's role.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::{CredentialProvider, aws::AwsCredential};
use tokio::sync::Mutex;

/// Credentials that end within this time are asked for anew: a request is signed with them, and may be
/// sent again.
const MARGIN: Duration = Duration::from_mins(5);

/// Asks the SDK's chain, and keeps what it says for as long as that is good.
#[derive(Debug)]
pub(super) struct SdkCredentials {
    chain: SharedCredentialsProvider,
    /// With when they end, if they do.
    known: Mutex<Option<(Arc<AwsCredential>, Option<SystemTime>)>>,
}

impl SdkCredentials {
    pub(super) fn new(chain: SharedCredentialsProvider) -> Self {
        Self { chain, known: Mutex::default() }
    }
}

#[async_trait]
impl CredentialProvider for SdkCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        // One asks, the others wait for its answer.
        let mut known = self.known.lock().await;
        if let Some((credential, ends)) = &*known
            && ends.is_none_or(|ends| SystemTime::now() + MARGIN < ends)
        {
            return Ok(Arc::clone(credential));
        }
        let found = self.chain.provide_credentials().await;
        let found = found.map_err(|error| object_store::Error::Generic {
            store: "AWS credentials",
            source: Box::new(error),
        })?;
        let credential = Arc::new(AwsCredential {
            key_id: found.access_key_id().to_owned(),
            secret_key: found.secret_access_key().to_owned(),
            token: found.session_token().map(str::to_owned),
        });
        *known = Some((Arc::clone(&credential), found.expiry()));
        Ok(credential)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use aws_credential_types::{Credentials, provider::future};

    use super::*;

    /// Credentials that last so long.
    #[derive(Debug)]
    struct Lasting(Option<Duration>, Arc<AtomicU32>);

    impl ProvideCredentials for Lasting {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.1.fetch_add(1, Ordering::SeqCst);
            let ends = self.0.map(|lasts| SystemTime::now() + lasts);
            let key = format!("key-{number}");
            future::ProvideCredentials::ready(Ok(Credentials::new(key, "s", None, ends, "test")))
        }
    }

    #[tokio::test]
    async fn credentials_are_asked_for_again_shortly_before_they_end() {
        for (lasts, asked) in [(None, 1), (Some(MARGIN * 2), 1), (Some(MARGIN / 2), 3)] {
            let count = Arc::new(AtomicU32::new(0));
            let chain = SharedCredentialsProvider::new(Lasting(lasts, Arc::clone(&count)));
            let credentials = SdkCredentials::new(chain);
            for _ in 0..3 {
                credentials.get_credential().await.unwrap();
            }
            assert_eq!(count.load(Ordering::SeqCst), asked, "{lasts:?}");
        }
    }
}
