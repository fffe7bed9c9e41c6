//! The HTTP client of subscriptions: HTTP/1.1, a connection for each.
//!
//! The SDK's own client speaks HTTP/2 where the server does, all requests of a process on one
//! connection. Subscriptions bear that badly: a server allows so many streams a connection, requests
//! beyond it wait unseen for minutes, and two or three shards that are not read for a while use up
//! the connection's window, so that the others starve. With a connection each, a shard that waits for
//! its sink holds up nobody, and no bytes but those in its socket.

use std::{fmt, time::Duration};

use aws_smithy_runtime_api::client::{
    http::{
        HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
    },
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect},
    rt::{TokioExecutor, TokioTimer},
};

/// A peer that has gone silently is noticed after a few of these.
const KEEPALIVE: Duration = Duration::from_secs(30);

#[derive(Clone)]
struct Http1(Client<HttpsConnector<connect::HttpConnector>, SdkBody>);

/// Where the SDK's own client finds a proxy.
const PROXIES: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// A client for `https://` by the system's certificates, and for `http://`. `None` when the system
/// has no certificates, or names a proxy: that is left to the SDK's own client.
pub(super) fn client(connect_timeout: Duration) -> Option<SharedHttpClient> {
    if PROXIES.iter().any(|name| std::env::var_os(name).is_some_and(|proxy| !proxy.is_empty())) {
        return None;
    }
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let tls = HttpsConnectorBuilder::new().with_provider_and_native_roots(provider).ok()?;
    let mut tcp = connect::HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_connect_timeout(Some(connect_timeout));
    let connector = tls.https_or_http().enable_http1().wrap_connector(tcp);
    let client =
        Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
    let shared = SharedHttpConnector::new(Http1(client));
    Some(http_client_fn(move |_, _| shared.clone()))
}

impl HttpConnector for Http1 {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request
                .try_into_http1x()
                .map_err(|problem| ConnectorError::user(problem.into()))?;
            let answer = client
                .request(request)
                .await
                .map_err(|problem| ConnectorError::io(problem.into()))?;
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|problem| ConnectorError::other(problem.into(), None))
        })
    }
}

impl fmt::Debug for Http1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http1")
    }
}
