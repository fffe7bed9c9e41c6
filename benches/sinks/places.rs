//! What is delivered to.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::Arc,
};

use axum::{Router, body::Bytes, extract::DefaultBodyLimit, http::Uri};
use serde_json::json;
use shardwright::{
    aws::{AwsSettings, StreamTarget},
    model::StreamName,
    ports::Sink,
    sinks::{FirehoseSink, KinesisSink, ObjectSink, SinkSite, SqsSink, StdoutSink, build},
};
use tempfile::TempDir;

use crate::{
    database::Database,
    harness::{
        Installed, Server,
        process::{spawn, tethered},
        wait_until,
    },
    moto::{Moto, connection},
    store::{ACCOUNT, BUCKET, KEY, Store},
};

/// The argument that makes this program the server for HTTP.
pub(crate) const SERVE: &str = "serve-http";

/// The columns of a log event.
const PARQUET: &str = "format = 'parquet'\ncompression = 'zstd'\n[columns]\nid = '$.id not null'\n\
    at = '$.timestamp timestamp'\ngroup = '$.logGroup'\nstream = '$.logStream'\nmessage = '$.message'";

/// A sink, and what it delivers to.
pub(crate) struct Place {
    pub(crate) name: &'static str,
    pub(crate) sink: Arc<dyn Sink>,
    /// Events of a batch: the default `batch_size` of most, or as many as make a large object.
    pub(crate) batch: u64,
    _counterpart: Arc<dyn Send + Sync>,
}

impl Place {
    fn new(
        name: &'static str,
        sink: Arc<dyn Sink>,
        counterpart: Arc<impl Send + Sync + 'static>,
    ) -> Self {
        Self { name, sink, batch: 500, _counterpart: counterpart }
    }

    /// Some 3 MB: what four shards deliver in seconds, not in the minute that is the default.
    fn in_large_batches(self) -> Self {
        Self { batch: 10_000, ..self }
    }
}

/// All whose servers are installed, the file first.
pub(crate) async fn all() -> Vec<Place> {
    let mut places = Vec::new();
    for (name, rest) in [("file", ""), ("file, zstd", "compression = 'zstd'")] {
        let dir = TempDir::new().unwrap();
        let config = format!("type = 'file'\npath = '{}'\n{rest}", dir.path().display());
        places.push(Place::new(name, sink(&config).await, Arc::new(dir)));
    }
    for (name, rest) in [
        ("folder, gzip", "compression = 'gzip'"),
        ("folder, zstd", "compression = 'zstd'"),
        ("folder, parquet", PARQUET),
    ] {
        let dir = TempDir::new().unwrap();
        let config = format!("type = 'folder'\npath = '{}'\n{rest}", dir.path().display());
        places.push(Place::new(name, sink(&config).await, Arc::new(dir)).in_large_batches());
    }
    places.push(stdout());
    places.extend(http().await);
    places.extend(postgres().await);
    places.extend(kinesis().await);
    places.extend(firehose().await);
    places.extend(sqs().await);
    places.extend(s3().await);
    places.extend(azure().await);
    places.extend(gcs().await);
    places
}

async fn sink(config: &str) -> Arc<dyn Sink> {
    let aws = AwsSettings::default();
    let site = SinkSite { application: "bench", name: "sink", aws: &aws, replay: false };
    build(&toml::from_str(config).unwrap(), &site).await.unwrap()
}

/// Killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn stdout() -> Place {
    let mut reader = tethered("cat");
    reader.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut reader = spawn(reader).unwrap();
    let pipe = tokio::process::ChildStdin::from_std(reader.stdin.take().unwrap()).unwrap();
    Place::new("stdout", Arc::new(StdoutSink::new(pipe)), Arc::new(Process(reader)))
}

/// This program as a server for HTTP, and its URL.
fn http_server() -> (Arc<Process>, String) {
    let mut server = tethered(std::env::current_exe().unwrap());
    server.arg(SERVE).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut server = spawn(server).unwrap();
    let mut url = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut url).unwrap();
    (Arc::new(Process(server)), url.trim_end().to_owned())
}

/// Takes everything, as fast as it can.
pub(crate) async fn serve() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    let answer = async |uri: Uri, body: Bytes| {
        if uri.path() != "/_bulk" {
            return String::new();
        }
        let documents = memchr::memchr_iter(b'\n', &body).count() / 2;
        let items =
            vec![json!({"create": {"_index": "orders", "_id": "1", "status": 201}}); documents];
        json!({"took": 1, "errors": false, "items": items}).to_string()
    };
    let app = Router::new().fallback(answer).layer(DefaultBodyLimit::disable());
    axum::serve(listener, app).await.unwrap();
}

async fn http() -> Vec<Place> {
    let (server, url) = http_server();
    let mut places = Vec::new();
    for (name, rest) in [
        ("http, lines", ""),
        ("http, elasticsearch", "preset = 'elasticsearch'\nindex = 'orders'"),
        ("http, loki", "preset = 'loki'"),
    ] {
        let sink = sink(&format!("type = 'http'\nurl = '{url}'\n{rest}")).await;
        places.push(Place::new(name, sink, Arc::clone(&server)));
    }
    places
}

async fn postgres() -> Vec<Place> {
    let Some(database) = Database::start().await else { return Vec::new() };
    let table = "(id text, at timestamptz, message text, body jsonb)";
    let key = "(id text PRIMARY KEY, at timestamptz, message text, body jsonb)";
    database.run(&format!("CREATE TABLE added {table}; CREATE TABLE upserted {key}")).await;
    let database = Arc::new(database);
    let mut places = Vec::new();
    for (name, rest) in [
        ("postgres, COPY", "table = 'added'"),
        ("postgres, upsert", "table = 'upserted'\nkey = ['id']"),
    ] {
        let columns =
            "columns = { id = '$.id', at = '$.timestamp', message = '$.message', body = '$' }";
        let url = database.url();
        let sink = sink(&format!("type = 'postgres'\nurl = '{url}'\n{columns}\n{rest}")).await;
        places.push(Place::new(name, sink, Arc::clone(&database)));
    }
    places
}

async fn s3() -> Option<Place> {
    let installed = Installed::find_all(&["moto"])?;
    let dir = TempDir::new().unwrap();
    let server = Server::moto(&installed, dir.path()).await;
    Store::moto(&server.endpoint());
    let config = toml::from_str(&format!("bucket = '{BUCKET}'\ncompression = 'zstd'")).unwrap();
    let sink = ObjectSink::on(config, &connection(&server.endpoint()).await, false).unwrap();
    Some(Place::new("s3, zstd", Arc::new(sink), Arc::new((server, dir))).in_large_batches())
}

async fn azure() -> Option<Place> {
    let installed = Installed::find_all(&["azurite"])?;
    let dir = TempDir::new().unwrap();
    let server = Server::azurite(&installed, dir.path()).await;
    Store::azurite(&server.endpoint());
    let config = toml::from_str(&format!(
        "account = '{ACCOUNT}'\ncontainer = '{BUCKET}'\ncompression = 'zstd'\n\
         endpoint_url = '{}/{ACCOUNT}'",
        server.endpoint()
    ));
    let key = ("AZURE_STORAGE_ACCOUNT_KEY".to_owned(), KEY.to_owned());
    let sink = ObjectSink::azure(config.unwrap(), [key], false).unwrap();
    Some(Place::new("azure, zstd", Arc::new(sink), Arc::new((server, dir))).in_large_batches())
}

/// moto's S3 answers by Google's XML API too.
async fn gcs() -> Option<Place> {
    let installed = Installed::find_all(&["moto"])?;
    let dir = TempDir::new().unwrap();
    let server = Server::moto(&installed, dir.path()).await;
    Store::moto(&server.endpoint());
    let config = toml::from_str(&format!(
        "bucket = '{BUCKET}'\ncompression = 'zstd'\nendpoint_url = '{}'",
        server.endpoint()
    ));
    let token = ("CLOUDSDK_AUTH_ACCESS_TOKEN".to_owned(), "ya29.bench".to_owned());
    let sink = ObjectSink::gcs(config.unwrap(), [token], false).unwrap();
    Some(Place::new("gcs, zstd", Arc::new(sink), Arc::new((server, dir))).in_large_batches())
}

/// moto takes the longer for a message the more are in the queue (0.3 s for ten at 500, 0.9 s at 1000), so
/// the queue is emptied all the time.
async fn sqs() -> Option<Place> {
    let moto = Moto::start().await?;
    let sqs = moto.sqs();
    let queue = sqs.create_queue().queue_name("orders").send().await.unwrap().queue_url.unwrap();
    let config = toml::from_str(&format!("queue_url = '{queue}'")).unwrap();
    let sink = Arc::new(SqsSink::on(config, &moto.connection));
    let emptied = tokio::spawn(async move {
        loop {
            sqs.purge_queue().queue_url(&queue).send().await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    Some(Place::new("sqs", sink, Arc::new((moto, AbortOnDrop(emptied)))))
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn kinesis() -> Option<Place> {
    let installed = Installed::find_all(&["kinesis-local"])?;
    let dir = TempDir::new().unwrap();
    let server = Server::kinesis_local(&installed, dir.path()).await;
    let aws = connection(&server.endpoint()).await;
    aws.kinesis().create_stream().stream_name("next").shard_count(4).send().await.unwrap();
    let target = StreamTarget::Name(StreamName::new("next"));
    let sink = KinesisSink::new(toml::from_str("stream = 'next'").unwrap(), target, &aws);
    wait_until("the stream is there", async || sink.check().await.is_ok()).await;
    // Until it is active it takes nothing.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    Some(Place::new("kinesis", Arc::new(sink), Arc::new((server, dir))))
}

async fn firehose() -> Option<Place> {
    let moto = Moto::start().await?;
    let (server, url) = http_server();
    moto.firehose_stream("lake", &url).await;
    let stream = toml::from_str("stream = 'lake'").unwrap();
    let stream = Arc::new(FirehoseSink::on(stream, &moto.connection));
    Some(Place::new("firehose", stream, Arc::new((moto, server))))
}
