//! A server that takes objects as S3 does, and fails as it is told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{Method, StatusCode, Uri},
    response::IntoResponse,
};
use tokio::{net::TcpListener, task::JoinHandle};

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    /// `SlowDown`, which S3 says when it is asked too often.
    Busy,
    /// `AccessDenied`.
    Denies,
    /// It never answers.
    Hangs,
}

#[derive(Default)]
struct Held {
    mood: Option<Mood>,
    requests: u32,
    objects: BTreeMap<String, Bytes>,
}

pub(super) struct Flaky {
    held: Arc<Mutex<Held>>,
    endpoint: String,
    server: JoinHandle<()>,
}

impl Flaky {
    pub(super) async fn start() -> Self {
        let held = Arc::new(Mutex::new(Held::default()));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(Arc::clone(&held));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { held, endpoint, server }
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(super) fn set(&self, mood: Mood) {
        self.held.lock().unwrap().mood = Some(mood);
    }

    pub(super) fn requests(&self) -> u32 {
        self.held.lock().unwrap().requests
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.held.lock().unwrap().objects.keys().cloned().collect()
    }
}

impl Drop for Flaky {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    State(held): State<Arc<Mutex<Held>>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> impl IntoResponse {
    let error = |code: &str| format!("<Error><Code>{code}</Code><Message>no</Message></Error>");
    let mood = {
        let mut held = held.lock().unwrap();
        held.requests += 1;
        held.mood.unwrap_or(Mood::Well)
    };
    match mood {
        Mood::Well if method == Method::PUT => {
            held.lock().unwrap().objects.insert(uri.path().to_owned(), body);
            (StatusCode::OK, [("ETag", "\"1\"")], String::new())
        }
        Mood::Well => (
            StatusCode::OK,
            [("ETag", "\"1\"")],
            "<ListBucketResult><Name>orders</Name><IsTruncated>false</IsTruncated></ListBucketResult>"
                .to_owned(),
        ),
        Mood::Busy => (StatusCode::SERVICE_UNAVAILABLE, [("ETag", "")], error("SlowDown")),
        Mood::Denies => (StatusCode::FORBIDDEN, [("ETag", "")], error("AccessDenied")),
        Mood::Hangs => std::future::pending().await,
    }
}
