//! The HTTP client of the store: the same hyper and rustls as everything else here.

use std::time::Duration;

use async_trait::async_trait;
use http_body_util::BodyExt;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
        HttpResponse, HttpResponseBody, HttpService,
    },
};

use crate::{
    ports::SinkError,
    sinks::client::{PooledClient, pooled_client},
};

/// A client that gives a request so much time, with its whole answer.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: PooledClient<HttpRequestBody>,
    timeout: Duration,
}

impl Http {
    /// Reads the system's certificates, which plain HTTP does without. Nothing is called.
    pub(super) fn new(https: bool, timeout: Duration) -> Result<Self, SinkError> {
        let client = pooled_client(https, None)?;
        Ok(Self { client, timeout })
    }
}

#[async_trait]
impl HttpService for Http {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|error| {
                let kind = match error.is_connect() {
                    true => HttpErrorKind::Connect,
                    false => HttpErrorKind::Request,
                };
                HttpError::new(kind, error)
            })?;
            let (parts, body) = answer.into_parts();
            // Answers are small: nothing is read but listings and what became of a request.
            let body = body.collect().await;
            let body = body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error))?;
            Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(body.to_bytes())))
        };
        let answer = tokio::time::timeout(self.timeout, exchange).await;
        answer.unwrap_or_else(|late| Err(HttpError::new(HttpErrorKind::Timeout, late)))
    }
}

impl HttpConnector for Http {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}
