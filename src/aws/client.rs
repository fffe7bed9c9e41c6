//! What all AWS clients share: region, credentials, endpoints, time-outs, retries.

use std::{sync::Arc, time::Duration};

use aws_config::{
    AppName, BehaviorVersion, ConfigLoader, Region, SdkConfig, retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig, timeout::TimeoutConfig,
};
use aws_credential_types::Credentials;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::{AnswerClock, http1};

/// How AWS is reached. What is not set here comes from the SDK's usual chain: environment variables
/// (`AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_PROFILE`, `AWS_ENDPOINT_URL`, …), the shared
/// configuration files, web identity, the container's and the machine's role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AwsSettings {
    /// The region, such as `eu-central-1`.
    pub region: Option<String>,
    /// The profile of the shared configuration files.
    pub profile: Option<String>,
    /// Where all services answer: an emulator such as `http://localhost:4566`, or a proxy.
    pub endpoint_url: Option<String>,
    /// Where Kinesis answers, before `endpoint_url`: a VPC endpoint, or an emulator of its own.
    pub kinesis_endpoint_url: Option<String>,
    /// Where DynamoDB answers, before `endpoint_url`.
    pub dynamodb_endpoint_url: Option<String>,
}

/// Why no client could be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AwsError {
    /// Nobody named a region.
    #[error(
        "no AWS region: set `aws.region`, the environment variable AWS_REGION, or a region in the profile"
    )]
    NoRegion,
    /// There is nothing to check AWS's certificates against.
    #[error(
        "no CA certificates found: install the system's bundle (Debian: ca-certificates), or name one by the environment variable SSL_CERT_FILE"
    )]
    NoCertificates,
    /// An endpoint is not a URL that a client could call.
    #[error(
        "{0:?} is not an endpoint: expected http:// or https:// and a host, without user and password"
    )]
    BadEndpoint(String),
}

/// Region, credentials and time-outs, found once and shared by all clients.
///
/// Making one does not call AWS, except that finding the region may ask the machine's metadata
/// service. Credentials are looked up with the first call that needs them.
#[derive(Clone, Debug)]
pub struct AwsConnection {
    sdk: SdkConfig,
    settings: AwsSettings,
    /// The turns of readers of shards.
    reads: Arc<Semaphore>,
    /// What looks at the dates of answers, if somebody wants to know.
    answer_clock: Option<AnswerClock>,
}

/// Reads of shards that are under way at a time, of all streams together. Each takes a connection, and
/// a thousand shards that begin together would take a thousand, with their memory and their files.
const READS_AT_A_TIME: usize = 256;

/// The region that requests are signed for when only an endpoint is known; emulators take any.
const EMULATOR_REGION: &str = "us-east-1";

/// Time to a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time to the first byte of an answer. Slow emulators need 8 s for 10,000 records.
const READ_TIMEOUT: Duration = Duration::from_secs(20);
/// Time for one try with its whole answer: 10 MiB over a link of 3 Mbit/s.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a call with all its tries.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(70);
/// Time for one lease write: a third of the default lease duration, so that a lost answer leaves room
/// for another try.
const LEASE_WRITE_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for one try of reading leases, up to 1 MB a page, and for all its tries.
const LEASE_READ_TIMEOUTS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(15));
/// Time until a subscription begins; its events come later.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long an answer may stall (below 1 byte a second) before it is given up.
const STALL_GRACE: Duration = Duration::from_secs(10);
/// Tries of a call that may be repeated.
const READ_ATTEMPTS: u32 = 3;

impl AwsConnection {
    /// Finds region and credentials by the SDK's usual chain.
    ///
    /// # Errors
    /// When there is no region, or an endpoint is not a URL.
    pub async fn open(settings: &AwsSettings) -> Result<Self, AwsError> {
        settings.check_endpoints()?;
        let mut loader = base_loader();
        if rustls_native_certs::load_native_certs().certs.is_empty() {
            // The TLS client would panic. Emulators over plain HTTP do without.
            if !settings.has_endpoint()
                || settings.endpoints().any(|url| !url.starts_with("http://"))
            {
                return Err(AwsError::NoCertificates);
            }
            loader = loader.http_client(aws_smithy_http_client::Builder::new().build_http());
        }
        if let Some(region) = &settings.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &settings.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint) = &settings.endpoint_url {
            loader = loader.endpoint_url(endpoint);
        }
        let mut sdk = loader.load().await;
        if sdk.region().is_none() {
            if !settings.has_endpoint() && sdk.endpoint_url().is_none() {
                return Err(AwsError::NoRegion);
            }
            sdk = sdk.into_builder().region(Region::new(EMULATOR_REGION)).build();
        }
        Ok(Self::new(sdk, settings))
    }

    /// As [`Self::open`], for a client of another service: in this region and at this endpoint, where
    /// they are set.
    ///
    /// # Errors
    /// As in [`Self::open`].
    pub async fn open_for(
        settings: &AwsSettings,
        region: Option<&String>,
        endpoint_url: Option<&String>,
    ) -> Result<Self, AwsError> {
        let mut settings = settings.clone();
        settings.region = region.cloned().or(settings.region);
        settings.endpoint_url = endpoint_url.cloned().or(settings.endpoint_url);
        Self::open(&settings).await
    }

    /// For servers of our own on loopback, in `demo` and tests: fixed credentials, plain HTTP past
    /// any proxy, and no region or endpoint from the environment.
    ///
    /// # Errors
    /// When an endpoint is not an `http://` URL.
    pub async fn emulator(settings: &AwsSettings) -> Result<Self, AwsError> {
        settings.check_endpoints()?;
        if let Some(endpoint) = settings.endpoints().find(|url| !url.starts_with("http://")) {
            return Err(AwsError::BadEndpoint(endpoint.clone()));
        }
        let region = settings.region.clone().unwrap_or_else(|| EMULATOR_REGION.to_owned());
        let mut loader = base_loader()
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .region(Region::new(region))
            .credentials_provider(Credentials::new("test", "test", None, None, "emulator"));
        if let Some(endpoint) = &settings.endpoint_url {
            loader = loader.endpoint_url(endpoint);
        }
        Ok(Self::new(loader.load().await, settings))
    }

    fn new(sdk: SdkConfig, settings: &AwsSettings) -> Self {
        let reads = Arc::new(Semaphore::new(READS_AT_A_TIME));
        Self { sdk, settings: settings.clone(), reads, answer_clock: None }
    }

    /// The same, with clients that note what answers tell of this machine's clock.
    #[must_use]
    pub fn with_answer_clock(mut self, clock: &AnswerClock) -> Self {
        self.answer_clock = Some(clock.clone());
        self
    }

    pub(super) fn answer_clock(&self) -> Option<&AnswerClock> {
        self.answer_clock.as_ref()
    }

    /// Whether services beside Kinesis and DynamoDB can be asked: a single endpoint answers for all, or
    /// none is set but VPC endpoints. Emulators of one service answer over plain HTTP.
    pub(super) fn is_all_of_aws(&self) -> bool {
        self.sdk.endpoint_url().is_some()
            || self.settings.endpoints().all(|url| url.starts_with("https://"))
    }

    /// What a reader of a shard waits for before each call.
    pub(super) fn reads(&self) -> Arc<Semaphore> {
        Arc::clone(&self.reads)
    }

    /// The region that requests are signed for.
    pub fn region(&self) -> &str {
        self.sdk.region().map_or(EMULATOR_REGION, AsRef::as_ref)
    }

    /// What further clients are made of.
    pub fn sdk_config(&self) -> &SdkConfig {
        &self.sdk
    }

    /// A Kinesis client. Calls are repeated by the SDK unless the call site says otherwise.
    pub fn kinesis(&self) -> aws_sdk_kinesis::Client {
        aws_sdk_kinesis::Client::from_conf(self.kinesis_config().build())
    }

    /// A Kinesis client that sends each request once, for callers that repeat by themselves.
    pub fn kinesis_once(&self) -> aws_sdk_kinesis::Client {
        let config = self.kinesis_config().retry_config(RetryConfig::disabled());
        aws_sdk_kinesis::Client::from_conf(config.build())
    }

    /// A Kinesis client for subscriptions: each request is sent once, on a connection of its own, and
    /// an event stream may be silent or unread for as long as its reader likes.
    pub(super) fn kinesis_pushes(&self) -> aws_sdk_kinesis::Client {
        let mut config = self
            .kinesis_config()
            .retry_config(RetryConfig::disabled())
            .timeout_config(time_outs(SUBSCRIBE_TIMEOUT, SUBSCRIBE_TIMEOUT))
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Some(client) = http1::client(CONNECT_TIMEOUT) {
            config = config.http_client(client);
        }
        aws_sdk_kinesis::Client::from_conf(config.build())
    }

    /// A DynamoDB client for what may be repeated: reads, and the table's own life.
    pub(super) fn dynamodb_reads(&self) -> aws_sdk_dynamodb::Client {
        let (attempt, operation) = LEASE_READ_TIMEOUTS;
        let config = self.dynamodb_config().timeout_config(time_outs(attempt, operation));
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    /// A DynamoDB client that sends each request once: a repeated conditional write that had been
    /// applied would come back as a refusal.
    pub(super) fn dynamodb_writes(&self) -> aws_sdk_dynamodb::Client {
        let config = self
            .dynamodb_config()
            .retry_config(RetryConfig::disabled())
            .timeout_config(time_outs(LEASE_WRITE_TIMEOUT, LEASE_WRITE_TIMEOUT));
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    fn kinesis_config(&self) -> aws_sdk_kinesis::config::Builder {
        let mut config = aws_sdk_kinesis::config::Builder::from(&self.sdk);
        if let Some(clock) = &self.answer_clock {
            config = config.interceptor(clock.clone());
        }
        match &self.settings.kinesis_endpoint_url {
            Some(endpoint) => config.endpoint_url(endpoint),
            None => config,
        }
    }

    fn dynamodb_config(&self) -> aws_sdk_dynamodb::config::Builder {
        let mut config = aws_sdk_dynamodb::config::Builder::from(&self.sdk);
        if let Some(clock) = &self.answer_clock {
            config = config.interceptor(clock.clone());
        }
        match &self.settings.dynamodb_endpoint_url {
            Some(endpoint) => config.endpoint_url(endpoint),
            None => config,
        }
    }
}

impl AwsSettings {
    fn endpoints(&self) -> impl Iterator<Item = &String> {
        let all = [&self.endpoint_url, &self.kinesis_endpoint_url, &self.dynamodb_endpoint_url];
        all.into_iter().flatten()
    }

    fn has_endpoint(&self) -> bool {
        self.endpoints().next().is_some()
    }

    fn check_endpoints(&self) -> Result<(), AwsError> {
        self.endpoints().try_for_each(|endpoint| check_endpoint(endpoint))
    }
}

/// Whether this is the URL of a service. A wrong one would only show as a puzzling failure of the
/// first call.
///
/// # Errors
/// [`AwsError::BadEndpoint`].
pub fn check_endpoint(endpoint: &str) -> Result<(), AwsError> {
    let host = endpoint
        .strip_prefix("http://")
        .or_else(|| endpoint.strip_prefix("https://"))
        .unwrap_or_default();
    // A user would be left out of requests, which are signed, and stand in the log of the HTTP client.
    let has_user = |url: &url::Url| !url.username().is_empty() || url.password().is_some();
    let fine = url::Url::parse(endpoint).is_ok_and(|url| !has_user(&url));
    // The parser would take `http:///path` for the host `path`.
    if host.is_empty() || host.starts_with('/') || !fine {
        return Err(AwsError::BadEndpoint(without_secrets(endpoint)));
    }
    Ok(())
}

/// What may be a secret of a URL is left out, be it a good one or not: the user's part and the query.
fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_at(url.find("://").map_or(0, |at| at + 3));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}{rest}")
}

/// The behaviour version is pinned: a new one may change retries or time-outs under us.
fn base_loader() -> ConfigLoader {
    let app_name = AppName::new(concat!("shardwright-", env!("CARGO_PKG_VERSION")))
        .expect("a package name and version have only characters allowed in an app name");
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .app_name(app_name)
        .retry_config(RetryConfig::standard().with_max_attempts(READ_ATTEMPTS))
        .timeout_config(time_outs(ATTEMPT_TIMEOUT, OPERATION_TIMEOUT))
        .stalled_stream_protection(
            StalledStreamProtectionConfig::enabled().grace_period(STALL_GRACE).build(),
        )
}

/// Connecting gets half a try at most: a try that ends while it still connects was surely not sent.
pub(super) fn time_outs(attempt: Duration, operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT.min(attempt / 2))
        .read_timeout(READ_TIMEOUT.min(attempt))
        .operation_attempt_timeout(attempt)
        .operation_timeout(operation)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_no_user_and_what_is_said_of_it_no_secret() {
        for bad in [
            "https://me:s3cret@host/?token=s3cret",
            "https://me:s3/cret@host#s3cret",
            "s3cret@host",
        ] {
            let said = check_endpoint(bad).unwrap_err().to_string();
            assert!(said.contains("host") && !said.contains("s3"), "{said}");
        }
    }

    #[tokio::test]
    async fn endpoints_must_be_urls() {
        for bad in [
            "localhost:4566",
            "http://",
            "http:///path",
            "ftp://host",
            "http://a b",
            "http://a:x",
            "",
        ] {
            let settings = AwsSettings {
                kinesis_endpoint_url: Some(bad.to_owned()),
                ..AwsSettings::default()
            };
            let error = AwsConnection::emulator(&settings).await.unwrap_err();
            assert_eq!(error, AwsError::BadEndpoint(bad.to_owned()));
        }
    }

    #[tokio::test]
    async fn an_emulator_needs_no_region() {
        let settings = AwsSettings {
            endpoint_url: Some("http://127.0.0.1:4566".to_owned()),
            ..AwsSettings::default()
        };
        let connection = AwsConnection::emulator(&settings).await.unwrap();
        assert_eq!(connection.region(), "us-east-1");
        assert_eq!(connection.sdk_config().endpoint_url(), Some("http://127.0.0.1:4566"));
    }

    #[test]
    fn unknown_settings_are_errors() {
        assert!(toml::from_str::<AwsSettings>("region = \"eu-west-1\"").is_ok());
        assert!(toml::from_str::<AwsSettings>("regoin = \"eu-west-1\"").is_err());
    }
}
