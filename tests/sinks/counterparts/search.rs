//! What Elasticsearch and OpenSearch do with `_bulk`: documents by id, an answer for each item
//! (Elasticsearch's reference, "Bulk API").

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
pub(crate) struct Search {
    server: HttpServer,
    faults: Faults,
    index: Arc<Mutex<Index>>,
}

#[derive(Default)]
struct Index {
    ids: HashSet<String>,
    documents: Vec<Value>,
}

impl Index {
    fn item(&mut self, action: &Value, document: Value, busy: bool) -> Value {
        let target = &action["create"];
        let id = target["_id"].as_str().unwrap().to_owned();
        let (status, kind, reason) = if busy {
            (429, "es_rejected_execution_exception", "the queue is full")
        } else if document["text"] == UNWANTED {
            (400, "document_parsing_exception", "failed to parse field [text]")
        } else if !self.ids.insert(id.clone()) {
            (409, "version_conflict_engine_exception", "document already exists")
        } else {
            self.documents.push(document);
            return json!({"create": {"_index": target["_index"], "_id": id, "status": 201}});
        };
        let error = json!({"type": kind, "reason": reason});
        json!({"create": {"_id": id, "status": status, "error": error}})
    }
}

async fn answer(request: Request<Bytes>, faults: Faults, index: Arc<Mutex<Index>>) -> Answer {
    match (request.method().as_str(), request.uri().path()) {
        ("POST", "/_bulk") => {}
        ("HEAD", "/orders") => return says(200, ""),
        ("HEAD", "/secret") => return says(403, ""),
        _ => return says(404, ""),
    }
    let fault = faults.meet().await;
    if fault == Some(Fault::Throttle) {
        return says(429, "circuit_breaking_exception");
    }
    let lines = request.body().split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let lines: Vec<Value> = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
    let mut index = index.lock().unwrap();
    let pairs = lines.chunks(2).enumerate();
    let busy = |number: usize| fault == Some(Fault::Part) && number % 3 == 1;
    let items: Vec<_> =
        pairs.map(|(number, pair)| index.item(&pair[0], pair[1].clone(), busy(number))).collect();
    match fault {
        Some(Fault::LoseAnswer) => Err(HangUp),
        _ => says(200, json!({"took": 1, "errors": true, "items": items}).to_string()),
    }
}

impl Counterpart for Search {
    const PROMISE: Promise = Promise { in_order: true, knows_again: Again::Event };

    async fn start() -> Option<Self> {
        let (faults, index) = (Faults::new(), Arc::<Mutex<Index>>::default());
        let (its, seen) = (faults.clone(), Arc::clone(&index));
        let handler = move |request| answer(request, its.clone(), Arc::clone(&seen));
        Some(Self { server: HttpServer::start(handler, None).await, faults, index })
    }

    fn config(&self) -> String {
        let url = self.server.url();
        format!("type = \"http\"\npreset = \"elasticsearch\"\nindex = \"orders\"\nurl = \"{url}\"")
    }

    async fn stored(&mut self) -> Vec<Value> {
        self.index.lock().unwrap().documents.clone()
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
        vec![(json!({"text": UNWANTED}), "failed to parse field [text]")]
    }

    fn misconfigured(&self) -> Vec<(String, &'static str)> {
        vec![(self.config().replace("orders", "secret"), "HTTP 403")]
    }
}
