//! One measurement's servers, load and worker.

use std::time::Duration;

use shardwright::{
    aws::{AwsConnection, AwsSettings},
    embedded::{DynamoServer, KinesisServer, kinesis::Limits},
};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::{
    load::{Load, RECORD_BYTES},
    shared::percentile,
    usage::Usage,
    wait_until,
    worker::Worker,
};

pub(crate) struct Bench {
    pub(crate) load: Load,
    worker: Option<Worker>,
    endpoints: [String; 2],
    aws: AwsConnection,
    _dynamodb: DynamoServer,
    // After the worker, whose log is in it.
    dir: TempDir,
}

impl Bench {
    /// A stream of so many shards, and nobody who reads it.
    pub(crate) async fn start(shards: u32) -> Self {
        // What lies there already is put at once.
        let limits = Limits { writes: false, ..Limits::enforced().with_burst(2) };
        let kinesis = KinesisServer::builder().limits(limits).start().await.unwrap();
        let dynamodb = DynamoServer::start().await.unwrap();
        let endpoints = [kinesis.endpoint(), dynamodb.endpoint()];
        let settings = AwsSettings {
            dynamodb_endpoint_url: Some(dynamodb.endpoint()),
            ..AwsSettings::default()
        };
        let aws = AwsConnection::emulator(&settings).await.unwrap();
        let load = Load::start(kinesis, shards);
        let dir = TempDir::new().unwrap();
        Self { load, worker: None, endpoints, aws, _dynamodb: dynamodb, dir }
    }

    pub(crate) fn start_worker(&mut self) {
        self.worker = Some(Worker::start(self.dir.path(), &self.endpoints, &self.aws));
    }

    pub(crate) fn worker(&self) -> &Worker {
        self.worker.as_ref().expect("a worker was started")
    }

    /// Measures for a while.
    pub(crate) async fn measure(&self, what: &str, time: Duration) {
        let window = Window::open(self.worker());
        sleep(time).await;
        window.close(what, self.worker());
    }

    /// Measures until so many records have come out; how many did in a second.
    pub(crate) async fn measure_until(&self, what: &str, records: usize) -> f64 {
        let window = Window::open(self.worker());
        wait_until("the backlog has come out", async || self.worker().seen() >= records).await;
        window.close(what, self.worker())
    }

    /// Ends the load, and waits until everything that was put has come out.
    pub(crate) async fn all_delivered(&mut self) {
        self.load.pause().await;
        let put = self.load.put();
        wait_until("everything put is delivered", async || self.worker().distinct() == put).await;
    }

    pub(crate) async fn stop(mut self) {
        if let Some(worker) = self.worker.take() {
            worker.drain().await;
        }
    }
}

/// The time of a measurement.
struct Window {
    from: Instant,
    usage: Usage,
    seen: usize,
}

impl Window {
    fn open(worker: &Worker) -> Self {
        worker.forget_waits();
        Self { from: Instant::now(), usage: worker.usage(), seen: worker.seen() }
    }

    /// Prints what was measured; the records a second.
    fn close(self, what: &str, worker: &Worker) -> f64 {
        let seconds = self.from.elapsed().as_secs_f64();
        let usage = worker.usage();
        let rate = (worker.seen() - self.seen) as f64 / seconds;
        let waits = worker.waits();
        let [p50, p99] = [50, 99].map(|percent| percentile(&waits, percent).as_secs_f64() * 1e3);
        println!(
            "{what:<28} {rate:8.0} records/s {:7.1} MB/s {:5.0} % of a core {:6.0} MiB resident \
             (most {:.0})",
            rate * f64::from(RECORD_BYTES) / 1e6,
            usage.cpu_since(&self.usage).as_secs_f64() / seconds * 100.0,
            usage.resident_mib(),
            usage.most_resident_mib(),
        );
        println!(
            "{:<28} put to sink: p50 {p50:.0} ms, p99 {p99:.0} ms, of {} records put meanwhile",
            "",
            waits.len()
        );
        rate
    }
}
