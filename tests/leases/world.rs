//! The servers, the table and the program, as an operator finds them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use shardwright::{
    aws::{AwsConnection, AwsSettings, DynamoLeases},
    codec::{KplRecord, aggregate},
    embedded::{
        DynamoServer, KinesisServer,
        kinesis::{Limits, ManualClock, Operation},
    },
    model::{
        Checkpoint, EpochMillis, HashKeyRange, Lease, LeaseKey, LeaseWrite, ShardId, WorkerId,
    },
    ports::{LeaseStore, SystemClock, WallClock},
};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    task::JoinSet,
    time::{Instant, interval, sleep},
};

pub(crate) const HOUR: Duration = Duration::from_hours(1);
/// When the stream was created, before now.
const BEGINNING: Duration = Duration::from_hours(4);
/// Far more than anything here takes on an idle machine.
const DEADLINE: Duration = Duration::from_mins(1);

/// Asks until it is so.
pub(crate) async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {} s: {what}", DEADLINE.as_secs());
        sleep(Duration::from_millis(50)).await;
    }
}

/// What a script sees.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) struct World {
    kinesis: KinesisServer,
    clock: Arc<ManualClock>,
    pub(crate) aws: AwsConnection,
    pub(crate) leases: Arc<DynamoLeases>,
    dynamodb: DynamoServer,
    dir: TempDir,
}

impl World {
    /// An empty lease table, and a stream `app-logs` with so many shards, four hours ago.
    pub(crate) async fn start(shards: u32) -> Self {
        let beginning = SystemClock.now().0 - i64::try_from(BEGINNING.as_millis()).unwrap();
        let clock = Arc::new(ManualClock::at(u64::try_from(beginning).unwrap()));
        let limits = Limits::off();
        let builder = KinesisServer::builder().clock(Arc::clone(&clock) as Arc<_>).limits(limits);
        let kinesis = builder.start().await.unwrap();
        let dynamodb = DynamoServer::start().await.unwrap();
        let settings = AwsSettings {
            kinesis_endpoint_url: Some(kinesis.endpoint()),
            dynamodb_endpoint_url: Some(dynamodb.endpoint()),
            ..AwsSettings::default()
        };
        let aws = AwsConnection::emulator(&settings).await.unwrap();
        let leases = Arc::new(DynamoLeases::new(&aws, "orders"));
        leases.ensure_table(true).await.unwrap();
        let world = Self { kinesis, clock, aws, leases, dynamodb, dir: TempDir::new().unwrap() };
        world.create_stream("app-logs", shards);
        world.configure(&["app-logs"], settings);
        world
    }

    pub(crate) fn create_stream(&self, name: &str, shards: u32) {
        let request = json!({"StreamName": name, "ShardCount": shards});
        self.kinesis.call(Operation::CreateStream, &request).unwrap();
    }

    pub(crate) fn with_streams(&self, names: &[&str]) {
        let text = fs::read_to_string(self.config()).unwrap();
        let streams = names.iter().map(|name| stream_table(name)).collect::<String>();
        fs::write(self.config(), text.replace(&stream_table("app-logs"), &streams)).unwrap();
    }

    fn configure(&self, streams: &[&str], aws: AwsSettings) {
        let text = include_str!("orders.toml")
            .replace("{kinesis}", &aws.kinesis_endpoint_url.unwrap())
            .replace("{dynamodb}", &aws.dynamodb_endpoint_url.unwrap())
            .replace("{dir}", &self.dir.path().display().to_string());
        let streams = streams.iter().map(|name| stream_table(name)).collect::<String>();
        fs::write(self.config(), text + &streams).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("orders.toml")
    }

    /// Lets time pass for the stream.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Puts a record; its sequence number.
    pub(crate) fn put(&self, text: &str) -> String {
        self.put_bytes(text.as_bytes(), "0")
    }

    /// Puts an aggregate of user records; its sequence number.
    pub(crate) fn put_aggregate(&self, texts: &[&str]) -> String {
        let member = |text: &&str| KplRecord {
            partition_key: "key".to_owned(),
            explicit_hash_key: None,
            data: text.to_string().into(),
        };
        self.put_bytes(&aggregate(&texts.iter().map(member).collect::<Vec<_>>()), "0")
    }

    fn put_bytes(&self, data: &[u8], hash_key: &str) -> String {
        let request = json!({
            "StreamName": "app-logs",
            "Data": BASE64_STANDARD.encode(data),
            "PartitionKey": "key",
            "ExplicitHashKey": hash_key,
        });
        let answer = self.kinesis.call(Operation::PutRecord, &request).unwrap();
        answer["SequenceNumber"].as_str().unwrap().to_owned()
    }

    /// Splits the first shard in the middle.
    pub(crate) fn split(&self) {
        let request = json!({
            "StreamName": "app-logs",
            "ShardToSplit": "shardId-000000000000",
            "NewStartingHashKey": (u128::MAX / 2).to_string(),
        });
        self.kinesis.call(Operation::SplitShard, &request).unwrap();
    }

    /// Creates a row.
    pub(crate) async fn create(&self, lease: Lease) {
        assert!(self.leases.create(&lease).await.unwrap());
    }

    pub(crate) async fn leases_delete(&self, lease: &Lease) -> bool {
        self.leases.delete(lease).await.unwrap()
    }

    pub(crate) fn dynamodb_endpoint(&self) -> String {
        self.dynamodb.endpoint()
    }

    pub(crate) async fn row(&self, shard: u32) -> Option<Lease> {
        self.leases.read(&LeaseKey::new(shard_id(shard))).await.unwrap()
    }

    pub(crate) async fn checkpoint(&self, shard: u32) -> String {
        self.row(shard).await.unwrap().checkpoint.to_string()
    }

    /// Runs `shardwright leases` as a script does, without a terminal.
    pub(crate) async fn leases(&self, args: &[&str]) -> Seen {
        let mut command = self.program("leases");
        let output = command.args(args).stdin(Stdio::null()).output().await.unwrap();
        Seen {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn program(&self, command: &str) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_shardwright"));
        program
            .arg(command)
            .env_clear()
            .env("SHARDWRIGHT_CONFIG", self.config())
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .kill_on_drop(true);
        program
    }

    /// Starts a worker; killed when dropped.
    pub(crate) fn worker(&self) -> Worker {
        let log = File::create(self.dir.path().join("worker.log")).unwrap();
        let mut command = self.program("run");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Worker(command.spawn().unwrap())
    }

    /// How often each text was delivered.
    pub(crate) fn delivered(&self) -> BTreeMap<String, u32> {
        let mut delivered = BTreeMap::new();
        for event in lines(&self.dir.path().join("delivered")) {
            *delivered.entry(event["message"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        delivered
    }

    /// Renews a lease as its owner would, until dropped.
    pub(crate) fn renewing(&self, shard: u32, owner: &str) -> JoinSet<()> {
        let (leases, key) = (Arc::clone(&self.leases), LeaseKey::new(shard_id(shard)));
        let by = WorkerId::new(owner);
        let mut renewing = JoinSet::new();
        renewing.spawn(async move {
            let mut due = interval(Duration::from_millis(200));
            loop {
                due.tick().await;
                let Some(row) = leases.read(&key).await.unwrap() else { return };
                let renew =
                    LeaseWrite::Renew { by: by.clone(), counter: row.counter, checkpoint: None };
                leases.write(&key, &renew).await.unwrap();
            }
        });
        renewing
    }
}

fn stream_table(name: &str) -> String {
    format!("[[streams]]\nname = \"{name}\"\nformat = \"text\"\n")
}

/// The complete lines in the files of a directory, each a JSON document.
fn lines(dir: &Path) -> Vec<Value> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut lines = Vec::new();
    for entry in entries {
        // A file that was renamed after it was listed is found by the next look.
        let Ok(text) = fs::read_to_string(entry.unwrap().path()) else { continue };
        let complete = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.extend(complete.map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    lines
}

/// A running `shardwright run`.
pub(crate) struct Worker(Child);

impl Worker {
    /// SIGTERM, and everything in flight is finished.
    pub(crate) async fn drain(mut self) {
        let id = self.0.id().expect("it runs");
        let kill = Command::new("kill").args(["-TERM", &id.to_string()]).status().await;
        assert!(kill.unwrap().success());
        assert!(self.0.wait().await.unwrap().success(), "the worker did not drain");
    }
}

pub(crate) fn shard_id(number: u32) -> String {
    format!("shardId-{number:012}")
}

/// The lease of a shard of one stream that takes all keys, at a checkpoint.
pub(crate) fn lease(shard: u32, owner: Option<&str>, checkpoint: &str) -> Lease {
    let (text, sub_sequence) = checkpoint.split_once(':').unwrap_or((checkpoint, "0"));
    let checkpoint = Checkpoint::parse(text, sub_sequence.parse().unwrap()).unwrap();
    let (key, shard) = (LeaseKey::new(shard_id(shard)), ShardId::new(shard_id(shard)));
    Lease {
        counter: 5,
        owner: owner.map(WorkerId::new),
        hash_range: HashKeyRange::parse("0", &u128::MAX.to_string()),
        ..Lease::new(key, None, shard, checkpoint)
    }
}

/// A time of the stream, so many hours after its beginning, as RFC 3339.
pub(crate) fn time(world: &World) -> String {
    use shardwright::embedded::kinesis::Clock;
    EpochMillis(i64::try_from(world.clock.now_millis()).unwrap()).to_string()
}
