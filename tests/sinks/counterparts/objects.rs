//! Stores of objects: a folder; moto's S3 and Azurite behind a proxy that fails puts. moto stands for Google
//! Cloud Storage too: the sink uses its XML API, whose requests and answers are those of S3.

use std::{collections::BTreeMap, fs, io::Read, path::PathBuf, sync::Arc};

use bytes::Bytes;
use flate2::read::GzDecoder;
use hyper::{Method, Request};
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::RowAccessor,
};
use serde_json::{Value, json};
use shardwright::{
    ports::{Sink, SinkError},
    sinks::{ObjectSink, SinkConfig},
};
use tempfile::TempDir;

use super::moto::connection;
use crate::{
    contract::{Again, Counterpart, Promise},
    faults::{Fault, Faults},
    harness::{Daemon, Installed, Server, World},
    objects::store::{ACCOUNT, BUCKET, KEY, Store},
    proxy::forward,
    wire::{Answer, HangUp, HttpServer, says},
};

const PROMISE: Promise = Promise { in_order: true, knows_again: Again::Batch };
/// Requests that the client makes for one attempt.
const REQUESTS: usize = 3;
const LINES: &str = "prefix = \"kind={$.kind}\"";
const PARQUET: &str = "prefix = \"\"\nformat = \"parquet\"\ncompression = \"zstd\"\n\
                       columns = { body = \"$ json not null\", n = \"$.n bigint\" }";

/// The documents of these objects, in the order of the shard.
fn documents(objects: &BTreeMap<String, Vec<u8>>) -> Vec<Value> {
    let mut objects: Vec<_> = objects.iter().collect();
    objects.sort_by_key(|(key, _)| first(key));
    objects.into_iter().flat_map(|(key, object)| read(key, object)).collect()
}

/// The sequence number that an object begins with, so that it sorts as a number.
fn first(key: &str) -> (usize, String) {
    let range = key.rsplit('-').nth(1).unwrap();
    let sequence = range.split('.').next().unwrap().to_owned();
    (sequence.len(), sequence)
}

fn read(key: &str, object: &[u8]) -> Vec<Value> {
    if key.ends_with(".parquet") {
        let file = SerializedFileReader::new(Bytes::copy_from_slice(object)).unwrap();
        let rows = file.get_row_iter(None).unwrap().map(|row| row.unwrap());
        return rows.map(|row| serde_json::from_str(row.get_string(0).unwrap()).unwrap()).collect();
    }
    assert!(key.ends_with(".jsonl.gz"), "{key}");
    let mut text = String::new();
    GzDecoder::new(object).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What has no place in a key, or in a column.
fn refused(config: &str) -> Vec<(Value, &'static str)> {
    match config.contains("parquet") {
        true => vec![(json!({"n": "x"}), "column \"n\"")],
        false => vec![(json!({"kind": "x".repeat(500)}), "$.kind")],
    }
}

/// A folder.
pub(crate) struct Folder(TempDir);

impl Folder {
    fn path(&self) -> PathBuf {
        self.0.path().join("objects")
    }
}

impl Counterpart for Folder {
    const PROMISE: Promise = PROMISE;

    async fn start() -> Option<Self> {
        Some(Self(TempDir::new().unwrap()))
    }

    fn config(&self) -> String {
        format!("type = \"folder\"\npath = \"{}\"\n{LINES}", self.path().display())
    }

    async fn stored(&mut self) -> Vec<Value> {
        documents(&Store::Folder(self.path()).objects())
    }

    /// The folder is gone, and a file has its name.
    async fn stop(&mut self) {
        fs::create_dir_all(self.path()).unwrap();
        fs::rename(self.path(), self.0.path().join("aside")).unwrap();
        fs::write(self.path(), "").unwrap();
    }

    async fn start_again(&mut self) {
        fs::remove_file(self.path()).unwrap();
        fs::rename(self.0.path().join("aside"), self.path()).unwrap();
    }

    fn refused(&self) -> Vec<(Value, &'static str)> {
        refused(&self.config())
    }

    fn misconfigured(&self) -> Vec<(String, &'static str)> {
        let file = self.0.path().join("file");
        fs::write(&file, "").unwrap();
        vec![(format!("type = \"folder\"\npath = \"{}/below\"", file.display()), "file/below")]
    }
}

/// A server that stores objects.
struct Behind {
    server: Server,
    store: Store,
    faults: Faults,
    proxy: HttpServer,
    /// What was there when the server was ended.
    before: BTreeMap<String, Vec<u8>>,
    // After the server, whose log is in it.
    _dir: TempDir,
}

impl Behind {
    async fn moto() -> Option<Self> {
        let installed = Installed::find_all(&["moto"])?;
        let dir = TempDir::new().unwrap();
        let server = Server::moto(&installed, dir.path()).await;
        let store = Store::moto(&server.endpoint());
        Some(Self::new(server, store, dir).await)
    }

    async fn azurite() -> Option<Self> {
        let installed = Installed::find_all(&["azurite"])?;
        let dir = TempDir::new().unwrap();
        let server = Server::azurite(&installed, dir.path()).await;
        let store = Store::azurite(&server.endpoint());
        Some(Self::new(server, store, dir).await)
    }

    async fn new(server: Server, store: Store, dir: TempDir) -> Self {
        let faults = Faults::new();
        let authority = server.endpoint().trim_start_matches("http://").to_owned();
        let switchboard = faults.clone();
        let handler = move |request| answer(request, authority.clone(), switchboard.clone());
        let proxy = HttpServer::start(handler, None).await;
        Self { server, store, faults, proxy, before: BTreeMap::new(), _dir: dir }
    }

    /// What was overwritten counts once.
    fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let mut objects = self.before.clone();
        objects.extend(self.store.objects());
        objects
    }

    fn stop(&mut self) {
        self.before = self.objects();
        self.server.kill();
    }

    async fn start_again(&mut self) {
        self.server.start_again().await;
        match &self.store {
            Store::Azurite(_) => drop(Store::azurite(&self.server.endpoint())),
            _ => drop(Store::moto(&self.server.endpoint())),
        }
    }
}

/// Fails puts; an object is taken as a whole.
async fn answer(request: Request<Bytes>, authority: String, faults: Faults) -> Answer {
    if *request.method() != Method::PUT {
        return forward(request, &authority).await;
    }
    match faults.meet().await {
        // Both servers' word for it, in the form of both.
        Some(Fault::Throttle) => {
            says(503, "<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>")
        }
        Some(Fault::LoseAnswer) => {
            forward(request, &authority).await?;
            Err(HangUp)
        }
        Some(Fault::Part) => unreachable!("an object is taken as a whole"),
        None => forward(request, &authority).await,
    }
}

macro_rules! counterpart {
    ($(#[$doc:meta])* $name:ident: $start:ident, $kind:ident, $rest:expr) => {
        $(#[$doc])*
        pub(crate) struct $name(Behind);

        impl Counterpart for $name {
            const PROMISE: Promise = PROMISE;

            async fn start() -> Option<Self> {
                Some(Self(Behind::$start().await?))
            }

            fn config(&self) -> String {
                format!("{}\n{}", $kind::config(&self.0.proxy.url()), $rest)
            }

            async fn open(&self, config: &str) -> Result<Arc<dyn Sink>, SinkError> {
                $kind::open(config, &self.0.proxy.url()).await
            }

            async fn stored(&mut self) -> Vec<Value> {
                documents(&self.0.objects())
            }

            async fn stop(&mut self) {
                self.0.stop();
            }

            async fn start_again(&mut self) {
                self.0.start_again().await;
            }

            fn faults(&self) -> &Faults {
                &self.0.faults
            }

            async fn fail_next(&mut self, fault: Fault) {
                self.0.faults.fail_next_of(REQUESTS, fault);
            }

            fn refused(&self) -> Vec<(Value, &'static str)> {
                refused($rest)
            }

            fn misconfigured(&self) -> Vec<(String, &'static str)> {
                let nowhere = self.config().replace(&format!("\"{BUCKET}\""), "\"nowhere\"");
                vec![(nowhere, $kind::LIST)]
            }

            fn daemon(&self, world: &World) -> Daemon {
                let mut command = Daemon::command(&world.config());
                command.env("AZURE_STORAGE_ACCOUNT_KEY", KEY);
                command.env("CLOUDSDK_AUTH_ACCESS_TOKEN", "ya29.test");
                world.start(command)
            }
        }
    };
}

counterpart!(
    /// A bucket of moto with JSON lines.
    S3: moto, s3, LINES
);
counterpart!(
    /// A bucket of moto with Parquet.
    S3Parquet: moto, s3, PARQUET
);
counterpart!(
    /// A container of Azurite.
    Azure: azurite, azure, LINES
);
counterpart!(
    /// A bucket of moto, by Google's XML API.
    Gcs: moto, gcs, LINES
);

mod s3 {
    use super::{Arc, BUCKET, ObjectSink, Sink, SinkConfig, SinkError, connection};

    pub(super) const LIST: &str = "s3:ListBucket";

    pub(super) fn config(url: &str) -> String {
        format!("type = \"s3\"\nbucket = \"{BUCKET}\"\nendpoint_url = \"{url}\"")
    }

    pub(super) async fn open(config: &str, url: &str) -> Result<Arc<dyn Sink>, SinkError> {
        let SinkConfig::S3(config) = toml::from_str(config).unwrap() else {
            unreachable!("it says so");
        };
        Ok(Arc::new(ObjectSink::on(*config, &connection(url).await, false)?))
    }
}

mod azure {
    use std::future::{Ready, ready};

    use super::{ACCOUNT, Arc, BUCKET, KEY, ObjectSink, Sink, SinkConfig, SinkError};

    pub(super) const LIST: &str = "List Blobs";

    pub(super) fn config(url: &str) -> String {
        format!(
            "type = \"azure\"\naccount = \"{ACCOUNT}\"\ncontainer = \"{BUCKET}\"\n\
             endpoint_url = \"{url}/{ACCOUNT}\""
        )
    }

    pub(super) fn open(config: &str, _: &str) -> Ready<Result<Arc<dyn Sink>, SinkError>> {
        let SinkConfig::Azure(config) = toml::from_str(config).unwrap() else {
            unreachable!("it says so");
        };
        let key = ("AZURE_STORAGE_ACCOUNT_KEY".to_owned(), KEY.to_owned());
        let sink = ObjectSink::azure(*config, [key], false);
        ready(sink.map(|sink| Arc::new(sink) as Arc<dyn Sink>))
    }
}

mod gcs {
    use std::future::{Ready, ready};

    use super::{Arc, BUCKET, ObjectSink, Sink, SinkConfig, SinkError};

    pub(super) const LIST: &str = "storage.objects.list";

    pub(super) fn config(url: &str) -> String {
        format!("type = \"gcs\"\nbucket = \"{BUCKET}\"\nendpoint_url = \"{url}\"")
    }

    pub(super) fn open(config: &str, _: &str) -> Ready<Result<Arc<dyn Sink>, SinkError>> {
        let SinkConfig::Gcs(config) = toml::from_str(config).unwrap() else {
            unreachable!("it says so");
        };
        let token = ("CLOUDSDK_AUTH_ACCESS_TOKEN".to_owned(), "ya29.test".to_owned());
        let sink = ObjectSink::gcs(*config, [token], false);
        ready(sink.map(|sink| Arc::new(sink) as Arc<dyn Sink>))
    }
}
