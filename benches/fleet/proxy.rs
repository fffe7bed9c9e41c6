//! A proxy in front of DynamoDB that counts the calls and what they consume.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    ops::Sub,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

/// The proxy, as long as the process lives.
pub(crate) struct Proxy {
    endpoint: String,
    calls: Arc<Mutex<Calls>>,
}

/// Calls and the capacity units that they consumed, by operation.
#[derive(Clone, Default)]
pub(crate) struct Calls(BTreeMap<String, (u32, f64)>);

impl Calls {
    /// Calls and units of some operations together.
    pub(crate) fn of(&self, operations: &[&str]) -> (u32, f64) {
        let counted = operations.iter().filter_map(|operation| self.0.get(*operation));
        counted.fold((0, 0.0), |(calls, units), (more, also)| (calls + more, units + also))
    }
}

impl Sub for Calls {
    type Output = Self;

    fn sub(mut self, earlier: Self) -> Self {
        for (operation, (calls, units)) in &mut self.0 {
            let (before, units_before) = earlier.of(&[operation]);
            (*calls, *units) = (*calls - before, *units - units_before);
        }
        self
    }
}

#[derive(Clone)]
struct Upstream {
    /// Host and port.
    authority: String,
    calls: Arc<Mutex<Calls>>,
}

impl Proxy {
    pub(crate) async fn start(upstream: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::<Mutex<Calls>>::default();
        let authority = upstream.trim_start_matches("http://").to_owned();
        let upstream = Upstream { authority, calls: Arc::clone(&calls) };
        let router = Router::new().fallback(forward).with_state(upstream);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { endpoint, calls }
    }

    pub(crate) fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    pub(crate) fn calls(&self) -> Calls {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn forward(State(upstream): State<Upstream>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    // `DynamoDB_20120810.UpdateItem`
    let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let operation = target.and_then(|target| target.split_once('.')).expect("an operation").1;
    let operation = operation.to_owned();
    let body = asking_for_capacity(&operation, &body);
    head.headers.insert("content-length", body.len().into());

    let stream = TcpStream::connect(&upstream.authority).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let answer = sender.send_request(Request::from_parts(head, Full::new(body))).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();

    let document = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    let units = document["ConsumedCapacity"]["CapacityUnits"].as_f64().unwrap_or(0.0);
    let mut calls = upstream.calls.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = calls.0.entry(operation).or_default();
    *entry = (entry.0 + 1, entry.1 + units);
    drop(calls);
    Response::from_parts(head, Body::from(body))
}

/// The request, which also wants to know what it consumes. Signatures are nobody's business here.
fn asking_for_capacity(operation: &str, request: &Bytes) -> Bytes {
    if !["Scan", "GetItem", "PutItem", "UpdateItem", "DeleteItem"].contains(&operation) {
        return request.clone();
    }
    let mut document: Value = serde_json::from_slice(request).unwrap();
    document["ReturnConsumedCapacity"] = json!("TOTAL");
    Bytes::from(document.to_string())
}
