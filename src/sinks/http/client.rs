//! One HTTP client: TLS, headers, time-outs.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    HeaderMap, Method, Request, Uri,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT},
};

use super::{HttpConfig, answer::Reply};
use crate::{
    ports::SinkError,
    sinks::{
        client::{PooledClient, pooled_client},
        secret::Secret,
        tls,
    },
};

/// Most bytes of an answer that are read: `_bulk` answers some 300 bytes for each event.
const LARGEST_ANSWER: usize = 16 << 20;

/// A client with the headers of each request.
pub(super) struct HttpClient {
    client: PooledClient<Full<Bytes>>,
    headers: HeaderMap,
    timeout: Duration,
}

/// What is sent.
pub(super) struct Body {
    pub(super) bytes: Bytes,
    pub(super) content_type: &'static str,
    pub(super) gzip: bool,
}

impl HttpClient {
    /// Reads the secrets and the certificates. Nothing is called.
    pub(super) fn new(config: &HttpConfig, uri: &Uri) -> Result<Self, SinkError> {
        let https = uri.scheme_str() == Some("https");
        let client = pooled_client(https, config.ca_file.as_deref())?;
        Ok(Self { client, headers: headers(config)?, timeout: config.timeout })
    }

    /// Sends one request, once.
    ///
    /// # Errors
    /// [`SinkError::Unavailable`] when there was no whole answer: the server may have acted on it.
    pub(super) async fn send(
        &self,
        method: Method,
        uri: Uri,
        body: Option<Body>,
    ) -> Result<Reply, SinkError> {
        let what = format!("{method} {}", shown(&uri));
        let failed = |error: &(dyn std::error::Error + 'static)| {
            let why = format!("{what}: {}", flatten(error));
            match tls::distrust(error) {
                Some(hint) => SinkError::Misconfigured(format!("{why}: {hint}")),
                None => SinkError::Unavailable(why),
            }
        };
        let mut request = Request::new(Full::default());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        if let Some(body) = body {
            let headers = request.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(body.content_type));
            if body.gzip {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            *request.body_mut() = Full::new(body.bytes);
        }
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|error| failed(&error))?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, LARGEST_ANSWER).collect().await;
            let body = body.map_err(|error| failed(&*error))?.to_bytes();
            Ok(Reply { what: what.clone(), status: parts.status, headers: parts.headers, body })
        };
        let Ok(reply) = tokio::time::timeout(self.timeout, exchange).await else {
            let within = humantime::format_duration(self.timeout);
            let why = format!("{what}: no answer within {within} (timeout)");
            return Err(SinkError::Unavailable(why));
        };
        reply
    }
}

fn headers(config: &HttpConfig) -> Result<HeaderMap, SinkError> {
    let mut headers = HeaderMap::new();
    let agent = concat!("shardwright/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    let name = |name: &str| {
        HeaderName::try_from(name)
            .map_err(|_| SinkError::Misconfigured(format!("{name:?} is no name of a header")))
    };
    let value = |key: &str, text: &str| {
        HeaderValue::try_from(text)
            .map_err(|_| SinkError::Misconfigured(format!("{key} holds what no header can")))
    };
    let secret = |key: &str, text: &str| {
        let mut value = value(key, text)?;
        value.set_sensitive(true);
        Ok::<_, SinkError>(value)
    };
    for (key, text) in &config.headers {
        headers.insert(name(key)?, value(&format!("headers.{key}"), text)?);
    }
    for (key, variable) in &config.headers_env {
        let at = format!("headers_env.{key}");
        let found = Secret::from_environment(&at, variable)?;
        headers.insert(name(key)?, secret(&at, found.expose())?);
    }
    if let Some(variable) = &config.bearer_env {
        let token = Secret::from_environment("bearer_env", variable)?;
        let text = format!("Bearer {}", token.expose());
        headers.insert(AUTHORIZATION, secret("bearer_env", &text)?);
    }
    if let (Some(user), Some(variable)) = (&config.user, &config.password_env) {
        let password = Secret::from_environment("password_env", variable)?;
        let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.expose()));
        headers.insert(AUTHORIZATION, secret("password_env", &format!("Basic {pair}"))?);
    }
    Ok(headers)
}

/// A URL without its query, which may hold a secret.
fn shown(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or_default();
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("{scheme}://{authority}{}", uri.path())
}

fn flatten(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
