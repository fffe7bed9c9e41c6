//! What a daemon writes for CloudWatch, against the rules that AWS has published.

use std::{collections::BTreeMap, fs, fs::File, process::Stdio, sync::LazyLock};

use jsonschema::Validator;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::harness::{Books, Producer, Stream, World, wait_until};

/// Amazon CloudWatch user guide, "Specification: Embedded metric format": its JSON Schema, and the limit
/// on metrics that only its prose has.
static DOCUMENT: LazyLock<Validator> = LazyLock::new(|| {
    let units = "Seconds|Microseconds|Milliseconds|Bytes|Kilobytes|Megabytes|Gigabytes|Terabytes|Bits|\
                 Kilobits|Megabits|Gigabits|Terabits|Percent|Count";
    let rates = "(Bytes|Kilobytes|Megabytes|Gigabytes|Terabytes|Bits|Kilobits|Megabits|Gigabits|\
                 Terabits|Count)/Second|None";
    let text = |longest: u32| json!({"type": "string", "minLength": 1, "maxLength": longest});
    let metric = json!({
        "type": "object",
        "required": ["Name"],
        "properties": {
            "Name": text(1024),
            "Unit": {"type": "string", "pattern": format!("^({units}|{rates})$")},
            "StorageResolution": {"enum": [1, 60]},
        },
        "additionalProperties": false,
    });
    let directive = json!({
        "type": "object",
        "required": ["Namespace", "Dimensions", "Metrics"],
        "properties": {
            "Namespace": text(1024),
            "Dimensions": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "array", "maxItems": 30, "items": text(250)},
            },
            "Metrics": {"type": "array", "maxItems": 100, "items": metric},
        },
        "additionalProperties": false,
    });
    let schema = json!({
        "type": "object",
        "required": ["_aws"],
        "properties": {"_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer"},
                "CloudWatchMetrics": {"type": "array", "items": directive},
            },
            "additionalProperties": false,
        }},
    });
    jsonschema::validator_for(&schema).unwrap()
});

/// The rules about what a document refers to.
fn check(document: &Value) {
    let wrong: Vec<String> =
        DOCUMENT.iter_errors(document).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:?}: {document}");
    for directive in document["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
        for set in directive["Dimensions"].as_array().unwrap() {
            for name in set.as_array().unwrap() {
                let value = document[name.as_str().unwrap()].as_str();
                assert!(value.is_some_and(|v| (1..=1024).contains(&v.len())), "{name}: {document}");
            }
        }
        for metric in directive["Metrics"].as_array().unwrap() {
            let value = &document[metric["Name"].as_str().unwrap()];
            assert!(value.is_number(), "{metric}: {document}");
        }
    }
    assert!(document.to_string().len() < 256 << 10, "a log event holds 256 KB in all regions");
}

/// A daemon whose output somebody reads.
fn start(world: &World) -> Child {
    let out = File::create(world.dir().join("stdout.log")).unwrap();
    let err = File::create(world.dir().join("stderr.log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardwright"));
    command.arg("run").arg("--config").arg(world.config()).env_clear();
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    command.env("AWS_REGION", "us-east-1").env("AWS_EC2_METADATA_DISABLED", "true");
    command.stdin(Stdio::null()).stdout(out).stderr(err).kill_on_drop(true);
    command.spawn().unwrap()
}

fn written(world: &World) -> Vec<Value> {
    let text = fs::read_to_string(world.dir().join("stdout.log")).unwrap();
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// The sums of all metrics of a stream's documents.
fn sums(documents: &[Value]) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    let of_stream = documents.iter().filter(|document| {
        let set = &document["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0];
        *set == json!(["application", "stream"])
    });
    for (name, value) in of_stream.filter_map(Value::as_object).flatten() {
        *sums.entry(name.clone()).or_default() += value.as_f64().unwrap_or(0.0);
    }
    sums
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_follow_the_specification_and_add_up_to_what_was_done() {
    let world = World::embedded().await;
    world.reconfigure("[admin]", "[emf]\nenabled = true\ninterval = \"1s\"\n\n[admin]");
    let stream = Stream::create(&world.aws, 2).await;
    let mut books = Books::default();
    let mut daemon = start(&world);
    Producer::new(&stream).put(&mut books, 60).await;
    world.settled(&books).await;
    wait_until("a document tells of records", async || {
        sums(&written(&world)).get("shardwright_records_total").is_some_and(|count| *count > 0.0)
    })
    .await;
    Producer::new(&stream).put(&mut books, 30).await;
    world.settled(&books).await;
    let id = daemon.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    assert!(daemon.wait().await.unwrap().success());

    let documents = written(&world);
    documents.iter().for_each(check);
    assert!(documents.iter().all(|document| document["application"] == world.application));
    assert!(documents.iter().all(|document| document["worker"].is_string()));
    let sums = sums(&documents);
    let sum = |name: &str| sums.get(name).copied().unwrap_or(0.0);
    assert!((sum("shardwright_records_total") - 90.0).abs() < 0.5, "{sums:#?}");
    let results = world.results();
    let delivered = u32::try_from(results.delivered.len()).unwrap();
    assert!((sum("shardwright_events_delivered_total") - f64::from(delivered)).abs() < 0.5);
    let settled = ["events_delivered", "events_filtered", "events_dead_lettered"];
    let settled: f64 = settled.map(|name| sum(&format!("shardwright_{name}_total"))).iter().sum();
    assert!((sum("shardwright_events_total") - settled).abs() < 0.5, "the drain's own counts too");
    // Text for people and for log groups stays on the other side.
    let log = fs::read_to_string(world.dir().join("stderr.log")).unwrap();
    assert!(log.contains("drained") && !log.contains("CloudWatchMetrics"), "{log}");
}
