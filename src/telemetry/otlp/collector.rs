//! The way to a collector.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use hyper::{
    HeaderMap, Method, Uri,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response, hyper::HyperClient};
use prost::Message;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use tokio::runtime::Handle;
use tracing::{info, warn};

use super::OtlpError;

/// Time for one request (OpenTelemetry specification, `OTEL_EXPORTER_OTLP_TIMEOUT`).
const TIMEOUT: Duration = Duration::from_secs(10);
/// Headers of each request, `name=value` with commas between (same specification).
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

/// Sends on the runtime of the process, from wherever it is asked to: the SDK asks from a thread of its
/// own.
#[derive(Debug)]
pub(super) struct Collector {
    client: HyperClient<HttpsConnector<HttpConnector>>,
    runtime: Handle,
    headers: HeaderMap,
    /// Requests that failed in a row.
    failures: Arc<AtomicU32>,
}

impl Collector {
    pub(super) fn new(at: &Uri) -> Result<Self, OtlpError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(trust(at)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Ok(Self {
            client: HyperClient::new(connector, TIMEOUT, None),
            runtime: Handle::current(),
            headers: headers(&std::env::var(HEADERS).unwrap_or_default()),
            failures: Arc::default(),
        })
    }

    /// Sends one message; one that is not taken is said and dropped, the next has it all.
    pub(super) async fn post(&self, at: &Uri, message: impl Message) {
        let mut request = Request::new(Bytes::from(message.encode_to_vec()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = at.clone();
        *request.headers_mut() = self.headers.clone();
        let kind = HeaderValue::from_static("application/x-protobuf");
        request.headers_mut().insert(CONTENT_TYPE, kind);
        // What fails is said where it is sent.
        let _ = self.send_bytes(request).await;
    }

    /// The first of a row of failures is said, then each time the row doubles.
    fn say(&self, at: &Uri, problem: Option<String>) {
        // Without what may be a password before the host.
        let at = format!("{}{}", at.host().unwrap_or_default(), at.path());
        let Some(problem) = problem else {
            if self.failures.swap(0, Ordering::Relaxed) > 0 {
                info!(collector = %at, "the collector takes metrics and spans again");
            }
            return;
        };
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if failures.is_power_of_two() {
            warn!(collector = %at, %problem, failures, "the collector did not take metrics or spans");
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, at) = (self.client.clone(), request.uri().clone());
        let answer = self.runtime.spawn(async move { client.send_bytes(request).await }).await?;
        let problem = match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("HTTP {}", answer.status())),
            Err(problem) => Some(problem.to_string()),
        };
        self.say(&at, problem);
        answer
    }
}

/// The system's authorities; none for a collector without TLS.
fn trust(at: &Uri) -> Result<ClientConfig, OtlpError> {
    let mut roots = RootCertStore::empty();
    if at.scheme_str() == Some("https") {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            let problem =
                "no CA certificates found: install the system's bundle (Debian: ca-certificates)";
            return Err(OtlpError(problem.to_owned()));
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| OtlpError(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Headers as the environment writes them; what is none is left out, as the SDK does.
fn headers(text: &str) -> HeaderMap {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    let pairs = pairs.filter_map(|(name, value)| {
        let name: HeaderName = name.trim().parse().ok()?;
        Some((name, value.trim().parse().ok()?))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_the_specification_writes_them() {
        let read = headers("api-key=secret, x-scope = orders ,broken,=x");
        assert_eq!(read.len(), 2, "{read:?}");
        assert_eq!(
            (&read["api-key"], &read["x-scope"]),
            (&"secret".parse().unwrap(), &"orders".parse().unwrap())
        );
        assert!(headers("").is_empty());
    }
}
