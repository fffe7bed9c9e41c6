//! `check --online` as an operator calls it: a process against servers that are as they should be, and
//! that are not.

use std::{fs, path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use serde_json::{Value, json};
use shardwright::{
    aws::{AwsConnection, AwsSettings, DynamoLeases},
    embedded::{
        DynamoServer, KinesisServer,
        kinesis::{Limits, ManualClock, Operation},
    },
    model::{Checkpoint, Lease, LeaseKey, ShardId, WorkerId},
    ports::{LeaseStore, SystemClock, WallClock},
};
use tempfile::TempDir;
use tokio::{process::Command, task::JoinSet, time::interval};

use crate::{
    harness::{self, Installed, Stream},
    proxy::Proxy,
};

const CONFIG: &str = r#"
application = "orders"
[aws]
kinesis_endpoint_url = "{kinesis}"
dynamodb_endpoint_url = "{dynamodb}"
[lease]
failover_time = "2s"
[admin]
enabled = false
[[streams]]
name = "app-logs"
[[routes]]
name = "all"
sink = "parked"
[sinks.parked]
type = "file"
path = "{dir}/parked"
[dead_letter]
sink = "parked"
"#;

/// What was found.
#[derive(Debug)]
struct Seen {
    code: i32,
    findings: Vec<Value>,
    err: String,
}

impl Seen {
    /// The findings of a level: about what, and what.
    fn of(&self, level: &str) -> Vec<String> {
        let found = self.findings.iter().filter(|finding| finding["level"] == level);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        found.map(|it| format!("{}: {}", text(&it["about"]), text(&it["found"]))).collect()
    }

    /// The only finding of a level.
    fn only(&self, level: &str) -> String {
        let found = self.of(level);
        assert_eq!(found.len(), 1, "{self:#?}");
        found.into_iter().next().unwrap()
    }

    fn says(&self, level: &str, part: &str) -> bool {
        self.of(level).iter().any(|found| found.contains(part))
    }
}

/// An application's servers behind proxies, and its configuration.
struct World {
    kinesis: KinesisServer,
    _dynamodb: DynamoServer,
    to_kinesis: Proxy,
    to_dynamodb: Proxy,
    aws: AwsConnection,
    leases: Arc<DynamoLeases>,
    dir: TempDir,
}

impl World {
    /// A stream of two shards that was created that long ago, and no lease table.
    async fn new(age: Duration) -> Self {
        let beginning = SystemClock.now().0 - i64::try_from(age.as_millis()).unwrap();
        let clock = Arc::new(ManualClock::at(u64::try_from(beginning).unwrap()));
        let builder = KinesisServer::builder().clock(clock).limits(Limits::off());
        let kinesis = builder.start().await.unwrap();
        let request = json!({"StreamName": "app-logs", "ShardCount": 2});
        kinesis.call(Operation::CreateStream, &request).unwrap();
        let dynamodb = DynamoServer::start().await.unwrap();
        let to_kinesis = Proxy::before(kinesis.endpoint()).await;
        let to_dynamodb = Proxy::before(dynamodb.endpoint()).await;
        let settings = AwsSettings {
            kinesis_endpoint_url: Some(kinesis.endpoint()),
            dynamodb_endpoint_url: Some(dynamodb.endpoint()),
            ..AwsSettings::default()
        };
        let aws = AwsConnection::emulator(&settings).await.unwrap();
        let leases = Arc::new(DynamoLeases::new(&aws, "orders"));
        let dir = TempDir::new().unwrap();
        let config = CONFIG
            .replace("{kinesis}", to_kinesis.endpoint())
            .replace("{dynamodb}", to_dynamodb.endpoint())
            .replace("{dir}", &dir.path().display().to_string());
        fs::write(dir.path().join("shardwright.toml"), config).unwrap();
        Self { kinesis, _dynamodb: dynamodb, to_kinesis, to_dynamodb, aws, leases, dir }
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("shardwright.toml")
    }

    fn reconfigure(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(self.config(), text.replace(from, to)).unwrap();
    }

    fn put(&self) {
        let request = json!({"StreamName": "app-logs", "Data": "aGk=", "PartitionKey": "k", "ExplicitHashKey": "0"});
        self.kinesis.call(Operation::PutRecord, &request).unwrap();
    }

    /// The lease table, with one row that nobody owns.
    async fn create_table(&self) {
        self.leases.ensure_table(true).await.unwrap();
        self.leases.create(&lease(0, None)).await.unwrap();
    }

    async fn check(&self) -> Seen {
        check(&self.config(), true).await
    }

    /// Renews a lease as its owner would, until dropped.
    fn renewing(&self, shard: u32, owner: &str) -> JoinSet<()> {
        let (leases, key) = (Arc::clone(&self.leases), lease(shard, None).key);
        let by = WorkerId::new(owner);
        let mut renewing = JoinSet::new();
        renewing.spawn(async move {
            let mut due = interval(Duration::from_millis(200));
            loop {
                due.tick().await;
                let row = leases.read(&key).await.unwrap().unwrap();
                let renew = shardwright::model::LeaseWrite::Renew {
                    by: by.clone(),
                    counter: row.counter,
                    checkpoint: None,
                };
                leases.write(&key, &renew).await.unwrap();
            }
        });
        renewing
    }
}

fn lease(shard: u32, owner: Option<&str>) -> Lease {
    let shard = format!("shardId-{shard:012}");
    let (key, shard) = (LeaseKey::new(&shard), ShardId::new(&shard));
    let owner = owner.map(WorkerId::new);
    Lease { owner, counter: 5, ..Lease::new(key, None, shard, Checkpoint::TrimHorizon) }
}

async fn check(config: &std::path::Path, with_credentials: bool) -> Seen {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardwright"));
    command.args(["check", "--online", "--json", "--config"]).arg(config).env_clear();
    command.env("AWS_REGION", "us-east-1").env("AWS_EC2_METADATA_DISABLED", "true");
    if with_credentials {
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    }
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    Seen {
        code: output.status.code().unwrap(),
        findings: out.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_first_start_all_is_well_and_what_was_not_tried_is_said() {
    let world = World::new(Duration::ZERO).await;
    let seen = world.check().await;
    assert_eq!(seen.code, 0, "{seen:#?}");
    assert_eq!((seen.of("problem").len(), seen.of("warning").len()), (0, 0), "{seen:#?}");
    assert!(seen.says("ok", "stream app-logs: ACTIVE, PROVISIONED, 2 open shards"), "{seen:#?}");
    assert!(seen.says("ok", "stream app-logs: may be read"), "{seen:#?}");
    assert!(seen.says("note", "the first worker creates it"), "{seen:#?}");
    assert!(seen.says("note", "CreateTable"), "{seen:#?}");
    assert!(seen.says("ok", "sinks.parked: could take events now (file)"), "{seen:#?}");
    assert!(world.leases.scan().await.is_err(), "a check creates no table");

    world.reconfigure("[lease]", "[lease]\ncreate_table = false");
    let seen = world.check().await;
    assert_eq!(seen.code, 1, "{seen:#?}");
    assert_eq!(
        seen.only("problem"),
        "lease table orders: is not there, and lease.create_table is false"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_are_named_with_whether_they_live_and_nothing_is_written() {
    let world = World::new(Duration::ZERO).await;
    world.leases.ensure_table(true).await.unwrap();
    world.leases.create(&lease(0, Some("worker-a"))).await.unwrap();
    world.leases.create(&lease(1, Some("worker-b"))).await.unwrap();
    let renewing = world.renewing(0, "worker-a");
    let before = world.leases.read(&lease(1, None).key).await.unwrap();
    let seen = world.check().await;
    drop(renewing);
    assert_eq!(seen.code, 0, "{seen:#?}");
    assert!(seen.says("ok", "2 leases; 1 worker alive: worker-a (1)"), "{seen:#?}");
    let dead = seen.only("warning");
    assert!(dead.contains("no renewal within 2s by worker-b (1): dead"), "{dead}");
    assert!(
        seen.says("ok", "may be read and written: Scan, GetItem, PutItem, UpdateItem, DeleteItem")
    );
    assert!(seen.err.contains("watching for up to 2s who renews"), "{}", seen.err);
    assert_eq!(world.leases.read(&lease(1, None).key).await.unwrap(), before);
    assert_eq!(
        world.leases.rows().await.unwrap().len(),
        2,
        "the writes that were tried left no row"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_right_that_is_missing_is_a_problem_of_its_own() {
    let world = World::new(Duration::ZERO).await;
    world.create_table().await;
    let kinesis = ["DescribeStreamSummary", "ListShards", "GetShardIterator", "GetRecords"];
    let dynamodb = ["DescribeTable", "Scan", "GetItem", "PutItem", "UpdateItem", "DeleteItem"];
    for action in kinesis.iter().chain(&dynamodb) {
        world.to_kinesis.deny(&[*action]);
        world.to_dynamodb.deny(&[*action]);
        let seen = world.check().await;
        assert_eq!(seen.code, 1, "{action}: {seen:#?}");
        let problem = seen.only("problem");
        assert!(problem.contains("not allowed") && problem.contains(action), "{action}: {problem}");
        let advised = seen.findings.iter().find(|finding| finding["level"] == "problem").unwrap();
        assert!(advised["advice"].as_str().unwrap().contains("iam-policy"), "{advised}");
    }
    let mut asked = world.to_kinesis.called();
    asked.extend(world.to_dynamodb.called());
    for action in kinesis.iter().chain(&dynamodb) {
        assert!(asked.contains(*action), "{action} was never tried");
    }
    for changing in ["CreateTable", "RegisterStreamConsumer", "SubscribeToShard"] {
        assert!(!asked.contains(changing), "{changing} would change something");
    }
    // What `run` does not need is no problem.
    world.to_kinesis.deny(&["ListStreamConsumers"]);
    world.to_dynamodb.deny(&["DescribeContinuousBackups"]);
    let seen = world.check().await;
    assert_eq!(seen.code, 0, "{seen:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_will_be_trimmed_unread_are_a_problem_before_they_are() {
    let world = World::new(Duration::from_hours(21)).await;
    world.put();
    world.create_table().await;
    let seen = world.check().await;
    assert_eq!(seen.code, 1, "{seen:#?}");
    let problem = seen.only("problem");
    assert!(problem.contains("shardId-000000000000"), "{problem}");
    assert!(problem.contains("21h") && problem.contains("lost unread from 2h 59m on"), "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_with_a_leader_and_a_table_of_somebody_else_are_refused() {
    let world = World::new(Duration::ZERO).await;
    world.create_table().await;
    let endpoint = aws_sdk_dynamodb::config::Builder::from(world.aws.sdk_config())
        .endpoint_url(world.to_dynamodb.endpoint());
    let client = aws_sdk_dynamodb::Client::from_conf(endpoint.build());
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let row = client.put_item().table_name("orders").item("leaseKey", text("Migration3.0"));
    row.item("cv", text("CLIENT_VERSION_3X")).send().await.unwrap();
    let seen = world.check().await;
    assert_eq!(seen.code, 1, "{seen:#?}");
    assert!(seen.only("problem").contains("a leader assigns the leases"), "{seen:#?}");

    let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash);
    let attribute =
        AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S);
    client
        .create_table()
        .table_name("carts")
        .key_schema(key.build().unwrap())
        .attribute_definitions(attribute.build().unwrap())
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await
        .unwrap();
    world.reconfigure("[lease]", "[lease]\ntable = \"carts\"");
    let seen = world.check().await;
    assert_eq!(seen.code, 1, "{seen:#?}");
    assert!(seen.only("problem").contains("table carts has the key id"), "{seen:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_wrong_and_a_stream_that_is_not_there_are_found() {
    let world = World::new(Duration::ZERO).await;
    world.create_table().await;
    world.to_kinesis.set_date("Thu, 01 Jan 2026 00:00:00 GMT");
    world.to_dynamodb.set_date("Thu, 01 Jan 2026 00:00:00 GMT");
    let seen = world.check().await;
    assert_eq!(seen.code, 1, "{seen:#?}");
    assert!(seen.only("problem").contains("clock: this machine's clock is"), "{seen:#?}");

    let world = World::new(Duration::ZERO).await;
    world.reconfigure("app-logs", "app-lgs");
    let seen = world.check().await;
    assert_eq!(seen.code, 1, "{seen:#?}");
    assert!(seen.only("problem").contains("app-lgs"), "one line for one matter: {seen:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fan_out_consumer_that_is_not_registered_is_left_to_the_first_worker() {
    let world = World::new(Duration::ZERO).await;
    world.reconfigure("name = \"app-logs\"", "name = \"app-logs\"\nretrieval = \"fan-out\"");
    let seen = world.check().await;
    assert_eq!(seen.code, 0, "{seen:#?}");
    assert!(seen.says("note", "consumer orders is not registered yet"), "{seen:#?}");
    assert!(seen.says("note", "SubscribeToShard was not tried"), "{seen:#?}");

    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/app-logs";
    for name in ["orders", "audit"] {
        let request = json!({"StreamARN": arn, "ConsumerName": name});
        world.kinesis.call(Operation::RegisterStreamConsumer, &request).unwrap();
    }
    let seen = world.check().await;
    assert_eq!(seen.code, 0, "{seen:#?}");
    assert!(seen.says("note", "also read by registered consumers, at no cost to us: audit ("));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_credentials_nobody_is_asked() {
    let world = World::new(Duration::ZERO).await;
    let seen = check(&world.config(), false).await;
    assert_eq!(seen.code, 1, "{seen:#?}");
    assert!(seen.only("problem").contains("no AWS credentials found"), "{seen:#?}");
    assert!(world.to_kinesis.called().is_empty() && world.to_dynamodb.called().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moto_says_who_we_are() {
    let Some(installed) = Installed::find() else { return };
    let world = harness::World::moto(&installed).await;
    Stream::create(&world.aws, 1).await;
    let text = fs::read_to_string(world.config()).unwrap();
    let endpoint = &world.kinesis_endpoint;
    let (two, one) = (
        format!("kinesis_endpoint_url = \"{endpoint}\"\ndynamodb_endpoint_url = \"{endpoint}\""),
        format!("endpoint_url = \"{endpoint}\""),
    );
    assert!(text.contains(&two), "{text}");
    fs::write(world.config(), text.replace(&two, &one)).unwrap();
    let seen = check(&world.config(), true).await;
    assert_eq!(seen.code, 0, "{seen:#?}");
    assert!(seen.says("ok", "in account 123456789012"), "{seen:#?}");

    DynamoLeases::new(&world.aws, world.application).ensure_table(true).await.unwrap();
    let seen = check(&world.config(), true).await;
    assert_eq!(seen.code, 0, "{seen:#?}");
    assert!(seen.says("ok", "point-in-time recovery off"), "{seen:#?}");
    assert!(seen.says("ok", "may be read and written"), "{seen:#?}");
}
