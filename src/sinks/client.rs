//! The HTTP client of sinks that have no SDK: hyper and rustls, as everything else here.

use std::{path::Path, time::Duration};

use hyper::body::Body;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use super::tls;
use crate::ports::SinkError;

/// A peer that has gone silently is noticed after a few of these.
const KEEPALIVE: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that nobody has used for so long may be gone at the other end.
const IDLE: Duration = Duration::from_secs(30);

/// A client that keeps connections; clones share them.
pub(super) type PooledClient<B> = Client<HttpsConnector<HttpConnector>, B>;

/// A client for HTTP, and with `https` for HTTPS too: only then certificates are read, the system's and
/// those in `ca_file`. Nothing is called.
///
/// # Errors
/// [`SinkError::Misconfigured`] when there are no certificates.
pub(super) fn pooled_client<B>(
    https: bool,
    ca_file: Option<&Path>,
) -> Result<PooledClient<B>, SinkError>
where
    B: Body + Send,
    B::Data: Send,
{
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let tls = if https { tls::client_config(ca_file)? } else { tls::trusts_nobody()? };
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(connector))
}
