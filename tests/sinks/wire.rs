//! An HTTP server of the tests' own: it can be stopped and started on its port, hang up without an
//! answer, and speak TLS.

use std::{
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

/// The connection is closed instead of an answer.
#[derive(Debug)]
pub(crate) struct HangUp;

impl std::fmt::Display for HangUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("hung up")
    }
}

impl std::error::Error for HangUp {}

pub(crate) type Answer = Result<Response<Full<Bytes>>, HangUp>;
type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;
type Handler = Arc<dyn Fn(Request<Bytes>) -> Answering + Send + Sync>;

/// A server on loopback.
pub(crate) struct HttpServer {
    address: SocketAddr,
    handler: Handler,
    tls: Option<TlsAcceptor>,
    running: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Starts it on a free port.
    pub(crate) async fn start<F>(
        handler: impl Fn(Request<Bytes>) -> F + Send + Sync + 'static,
        tls: Option<TlsAcceptor>,
    ) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut server = Self { address, handler, tls, running: None };
        server.start_again().await;
        server
    }

    /// Starts it on the port that it had.
    pub(crate) async fn start_again(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        let serving = serve(listener, Arc::clone(&self.handler), self.tls.clone());
        self.running = Some(tokio::spawn(serving));
    }

    /// Breaks all connections and leaves the port.
    pub(crate) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
            // That it was aborted is no news.
            let _ = running.await;
        }
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

/// The connections are part of this future: they end with it.
async fn serve(listener: TcpListener, handler: Handler, tls: Option<TlsAcceptor>) {
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let (handler, tls) = (Arc::clone(&handler), tls.clone());
        connections.spawn(async move {
            match tls {
                None => converse(socket, handler).await,
                // A client that does not trust us leaves here.
                Some(tls) => {
                    if let Ok(socket) = tls.accept(socket).await {
                        converse(socket, handler).await;
                    }
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, handler: Handler) {
    let service = service_fn(move |request: Request<Incoming>| {
        let handler = Arc::clone(&handler);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(|_| HangUp)?.to_bytes();
            handler(Request::from_parts(head, body)).await
        }
    });
    // Clients leave as they like.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
}

/// An answer with a body.
#[expect(clippy::unnecessary_wraps, reason = "what a handler returns")]
pub(crate) fn says(status: u16, body: impl Into<Bytes>) -> Answer {
    Ok(Response::builder().status(status).body(Full::new(body.into())).unwrap())
}
