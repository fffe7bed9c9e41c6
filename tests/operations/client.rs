//! Real HTTP to the admin port.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Empty};
use hyper::{Method, Request, StatusCode, body::Bytes, client::conn::http1, header::HeaderMap};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// One request with these headers; `None` when nobody listens.
pub(crate) async fn ask(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Option<Answer> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let mut request = Request::builder().method(method).uri(path);
    if headers.iter().all(|(name, _)| *name != "host") {
        request = request.header("host", address.to_string());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let exchange = async move {
        let answer = sender.send_request(request).await.ok()?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.into_body().collect().await.ok()?.to_bytes();
        Some(Answer { status, headers, text: String::from_utf8(body.to_vec()).unwrap() })
    };
    tokio::join!(exchange, connection).0
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Option<Answer> {
    ask(address, Method::GET, path, &[]).await
}

pub(crate) async fn post(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
) -> Option<Answer> {
    ask(address, Method::POST, path, headers).await
}

/// The value of one metric; labels as the text has them, in braces.
pub(crate) async fn metric(address: SocketAddr, name: &str) -> Option<f64> {
    let text = get(address, "/metrics").await?.text;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}
