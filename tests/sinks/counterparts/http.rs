//! An endpoint that takes JSON lines or arrays, and refuses a whole body for one of its documents.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hyper::{Request, Response};
use serde_json::{Value, json};

use super::UNWANTED;
use crate::{
    contract::{Again, Counterpart, Promise},
    faults::{Fault, Faults},
    wire::{Answer, HangUp, HttpServer, says},
};

/// The endpoint with `body = "lines"`.
pub(crate) struct Lines(Endpoint);

/// The endpoint with `body = "array"`.
pub(crate) struct Array(Endpoint);

struct Endpoint {
    server: HttpServer,
    faults: Faults,
    stored: Arc<Mutex<Vec<Value>>>,
}

impl Endpoint {
    async fn start() -> Self {
        let (faults, stored) = (Faults::new(), Arc::<Mutex<Vec<Value>>>::default());
        let (its, seen) = (faults.clone(), Arc::clone(&stored));
        let handler = move |request| answer(request, its.clone(), Arc::clone(&seen));
        Self { server: HttpServer::start(handler, None).await, faults, stored }
    }

    fn config(&self, rest: &str) -> String {
        format!("type = \"http\"\nurl = \"{}/in\"\n{rest}", self.server.url())
    }

    fn misconfigured(&self) -> Vec<(String, &'static str)> {
        let at = |path: &str| format!("type = \"http\"\nurl = \"{}/{path}\"", self.server.url());
        vec![(at("nowhere"), "look at url"), (at("secret"), "bearer_env")]
    }
}

async fn answer(request: Request<Bytes>, faults: Faults, stored: Arc<Mutex<Vec<Value>>>) -> Answer {
    match (request.method().as_str(), request.uri().path()) {
        ("POST", "/in") => {}
        ("HEAD", "/in") => return says(204, ""),
        (_, "/secret") => return says(401, "who are you"),
        _ => return says(404, "nothing here"),
    }
    let fault = faults.meet().await;
    if fault == Some(Fault::Throttle) {
        let later = Response::builder().status(429).header("retry-after", "1");
        return Ok(later.body("later".into()).unwrap());
    }
    let text = std::str::from_utf8(request.body()).unwrap();
    let documents: Vec<Value> = match request.headers()["content-type"].to_str().unwrap() {
        "application/json" => serde_json::from_str(text).unwrap(),
        _ => text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
    };
    if documents.iter().any(|document| document["text"] == UNWANTED) {
        return says(422, "one of them is unwanted");
    }
    stored.lock().unwrap().extend(documents);
    if fault == Some(Fault::LoseAnswer) { Err(HangUp) } else { says(200, "") }
}

macro_rules! counterpart {
    ($name:ident, $config:literal) => {
        impl Counterpart for $name {
            const PROMISE: Promise = Promise { in_order: true, knows_again: Again::No };

            async fn start() -> Option<Self> {
                Some(Self(Endpoint::start().await))
            }

            fn config(&self) -> String {
                self.0.config($config)
            }

            async fn stored(&mut self) -> Vec<Value> {
                self.0.stored.lock().unwrap().clone()
            }

            async fn stop(&mut self) {
                self.0.server.stop().await;
            }

            async fn start_again(&mut self) {
                self.0.server.start_again().await;
            }

            fn faults(&self) -> &Faults {
                &self.0.faults
            }

            fn refused(&self) -> Vec<(Value, &'static str)> {
                vec![(json!({"text": UNWANTED}), "one of them is unwanted")]
            }

            fn misconfigured(&self) -> Vec<(String, &'static str)> {
                self.0.misconfigured()
            }
        }
    };
}

counterpart!(Lines, "body = \"lines\"");
counterpart!(Array, "body = \"array\"");
