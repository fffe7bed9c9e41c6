//! What Loki does with a push: a line that it has (same labels, time and text) is dropped, and a
//! request that holds an unwanted line is answered with a 400 although the others are taken (Loki's
//! reference, "HTTP API": push).

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use hyper::Request;
use serde_json::{Value, json};

use super::UNWANTED;
use crate::{
    contract::{Again, Counterpart, Promise},
    faults::{Fault, Faults},
    wire::{Answer, HangUp, HttpServer, says},
};

/// The server.
pub(crate) struct Loki {
    server: HttpServer,
    faults: Faults,
    lines: Arc<Mutex<Lines>>,
}

#[derive(Default)]
struct Lines {
    known: HashSet<(String, String, String)>,
    documents: Vec<Value>,
}

impl Lines {
    /// Whether all are taken.
    fn push(&mut self, request: &Value) -> bool {
        let mut all = true;
        for stream in request["streams"].as_array().unwrap() {
            for value in stream["values"].as_array().unwrap() {
                let [time, text] = [&value[0], &value[1]].map(|it| it.as_str().unwrap().to_owned());
                let document: Value = serde_json::from_str(&text).unwrap();
                if document["text"] == UNWANTED {
                    all = false;
                } else if self.known.insert((stream["stream"].to_string(), time, text)) {
                    self.documents.push(document);
                }
            }
        }
        all
    }
}

async fn answer(request: Request<Bytes>, faults: Faults, lines: Arc<Mutex<Lines>>) -> Answer {
    match (request.method().as_str(), request.uri().path()) {
        ("POST", "/loki/api/v1/push") => {}
        ("GET", "/ready") => return says(200, "ready"),
        ("GET", "/secret/ready") => return says(401, "no org id"),
        _ => return says(404, ""),
    }
    let fault = faults.meet().await;
    if fault == Some(Fault::Throttle) {
        return says(429, "ingestion rate limit exceeded");
    }
    let all = lines.lock().unwrap().push(&serde_json::from_slice(request.body()).unwrap());
    match (fault, all) {
        (Some(Fault::LoseAnswer), _) => Err(HangUp),
        (_, true) => says(204, ""),
        (_, false) => says(400, "entry too far behind"),
    }
}

impl Counterpart for Loki {
    const PROMISE: Promise = Promise { in_order: true, knows_again: Again::Event };

    async fn start() -> Option<Self> {
        let (faults, lines) = (Faults::new(), Arc::<Mutex<Lines>>::default());
        let (its, seen) = (faults.clone(), Arc::clone(&lines));
        let handler = move |request| answer(request, its.clone(), Arc::clone(&seen));
        Some(Self { server: HttpServer::start(handler, None).await, faults, lines })
    }

    fn config(&self) -> String {
        format!("type = \"http\"\npreset = \"loki\"\nurl = \"{}\"", self.server.url())
    }

    async fn stored(&mut self) -> Vec<Value> {
        self.lines.lock().unwrap().documents.clone()
    }

    async fn stop(&mut self) {
        self.server.stop().await;
    }

    async fn start_again(&mut self) {
        self.server.start_again().await;
    }

    fn faults(&self) -> &Faults {
        &self.faults
    }

    fn refused(&self) -> Vec<(Value, &'static str)> {
        vec![(json!({"text": UNWANTED}), "entry too far behind")]
    }

    fn misconfigured(&self) -> Vec<(String, &'static str)> {
        let secret = format!("{}/secret", self.server.url());
        vec![(self.config().replace(&self.server.url(), &secret), "no org id")]
    }
}
