//! A Firehose stream of moto, behind the proxy; moto hands the records on to an endpoint of ours.

use std::sync::{Arc, Mutex};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use hyper::Request;
use serde_json::Value;
use shardwright::{
    ports::{Sink, SinkError},
    sinks::{FirehoseSink, SinkConfig},
};

use super::{Moto, large, moto::connection};
use crate::{
    contract::{Again, Counterpart, Promise},
    faults::Faults,
    proxy,
    wire::{HttpServer, says},
};

const STREAM: &str = "lake";

/// The stream.
pub(crate) struct Firehose {
    moto: Moto,
    faults: Faults,
    proxy: HttpServer,
    endpoint: HttpServer,
    /// What the endpoint got, one after the other.
    lines: Arc<Mutex<Vec<u8>>>,
}

impl Firehose {
    async fn create(&self) {
        self.moto.firehose_stream(STREAM, &self.endpoint.url()).await;
    }
}

impl Counterpart for Firehose {
    const PROMISE: Promise = Promise { in_order: false, knows_again: Again::No };

    async fn start() -> Option<Self> {
        let (moto, faults) = (Moto::start().await?, Faults::new());
        let proxy = proxy::before(&moto.server.endpoint(), &faults).await;
        let lines = Arc::<Mutex<Vec<u8>>>::default();
        let got = Arc::clone(&lines);
        let handler = move |request: Request<Bytes>| {
            let request: Value = serde_json::from_slice(request.body()).unwrap();
            for record in request["records"].as_array().unwrap() {
                let data = BASE64_STANDARD.decode(record["data"].as_str().unwrap()).unwrap();
                got.lock().unwrap().extend(data);
            }
            async { says(200, "{}") }
        };
        let endpoint = HttpServer::start(handler, None).await;
        let firehose = Self { moto, faults, proxy, endpoint, lines };
        firehose.create().await;
        Some(firehose)
    }

    fn config(&self) -> String {
        let endpoint = self.proxy.url();
        format!("type = \"firehose\"\nstream = \"{STREAM}\"\nendpoint_url = \"{endpoint}\"")
    }

    async fn open(&self, config: &str) -> Result<Arc<dyn Sink>, SinkError> {
        let SinkConfig::Firehose(config) = toml::from_str(config).unwrap() else {
            unreachable!("it says so");
        };
        Ok(Arc::new(FirehoseSink::on(config, &connection(&self.proxy.url()).await)))
    }

    async fn stored(&mut self) -> Vec<Value> {
        let lines = self.lines.lock().unwrap();
        let lines = std::str::from_utf8(&lines).unwrap().lines();
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    async fn stop(&mut self) {
        self.moto.server.kill();
    }

    async fn start_again(&mut self) {
        self.moto.server.start_again().await;
        self.create().await;
    }

    fn faults(&self) -> &Faults {
        &self.faults
    }

    fn refused(&self) -> Vec<(Value, &'static str)> {
        vec![(large(1000 << 10), "1024000 that Firehose takes")]
    }

    fn misconfigured(&self) -> Vec<(String, &'static str)> {
        let nowhere = self.config().replace(STREAM, "nowhere");
        vec![(nowhere, "firehose:DescribeDeliveryStream")]
    }
}
