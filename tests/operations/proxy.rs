//! A way to AWS's servers on which some calls are refused, and the time may be another.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use hyper::{StatusCode, header::DATE};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{net::TcpListener, task::JoinSet};

/// Stands before a server.
pub(crate) struct Proxy {
    endpoint: String,
    way: Arc<Way>,
    _serving: JoinSet<()>,
}

struct Way {
    upstream: String,
    client: Client<HttpConnector, Body>,
    denied: Mutex<BTreeSet<String>>,
    date: Mutex<Option<String>>,
    called: Mutex<BTreeSet<String>>,
}

impl Proxy {
    pub(crate) async fn before(upstream: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let way = Arc::new(Way {
            upstream,
            client: Client::builder(TokioExecutor::new()).build_http(),
            denied: Mutex::default(),
            date: Mutex::default(),
            called: Mutex::default(),
        });
        let router = Router::new().fallback(pass).with_state(Arc::clone(&way));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { endpoint, way, _serving: serving }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Refuses these actions from now on, and no others.
    pub(crate) fn deny(&self, actions: &[&str]) {
        *self.way.denied.lock().unwrap() = actions.iter().map(ToString::to_string).collect();
    }

    /// Says in each answer that it is this time.
    pub(crate) fn set_date(&self, date: &str) {
        *self.way.date.lock().unwrap() = Some(date.to_owned());
    }

    /// The actions that were asked for.
    pub(crate) fn called(&self) -> BTreeSet<String> {
        self.way.called.lock().unwrap().clone()
    }
}

async fn pass(State(way): State<Arc<Way>>, request: Request) -> Response {
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
    let action = target.and_then(|target| target.split('.').nth(1)).unwrap_or_default().to_owned();
    way.called.lock().unwrap().insert(action.clone());
    let mut answer = match way.denied.lock().unwrap().contains(&action) {
        true => refusal(&action),
        false => Response::default(),
    };
    if answer.status() == StatusCode::OK {
        let (mut parts, body) = request.into_parts();
        parts.uri = format!("{}{}", way.upstream, parts.uri).parse().unwrap();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let forwarded = Request::from_parts(parts, Body::from(body));
        answer = way.client.request(forwarded).await.unwrap().map(Body::new);
    }
    if let Some(date) = way.date.lock().unwrap().as_ref() {
        answer.headers_mut().insert(DATE, date.parse().unwrap());
    }
    answer
}

/// As AWS says it.
fn refusal(action: &str) -> Response {
    let body = format!(
        r#"{{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"User: arn:aws:iam::111122223333:user/orders is not authorized to perform: {action}"}}"#
    );
    let kind = [("content-type", "application/x-amz-json-1.1")];
    (StatusCode::BAD_REQUEST, kind, Bytes::from(body)).into_response()
}
