//! `peek`: what a stream holds, without leases.

use std::process::{Output, Stdio};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use shardwright::embedded::{
    KinesisServer,
    kinesis::{Limits, Operation},
};
use tokio::process::Command;

/// The stream `orders` with a record for each text, a second after the other by their own account.
struct Fixture {
    kinesis: KinesisServer,
    sequences: Vec<String>,
}

impl Fixture {
    async fn new(shards: u32, payloads: &[&[u8]]) -> Self {
        let builder = KinesisServer::builder().limits(Limits::off());
        let kinesis = builder.start().await.unwrap();
        let stream = json!({"StreamName": "orders", "ShardCount": shards});
        kinesis.call(Operation::CreateStream, &stream).unwrap();
        let mut fixture = Self { kinesis, sequences: Vec::new() };
        for payload in payloads {
            fixture.put("key", payload);
        }
        fixture
    }

    fn put(&mut self, key: &str, payload: &[u8]) {
        let data = BASE64_STANDARD.encode(payload);
        let record = json!({"StreamName": "orders", "PartitionKey": key, "Data": data});
        let put = self.kinesis.call(Operation::PutRecord, &record).unwrap();
        self.sequences.push(put["SequenceNumber"].as_str().unwrap().to_owned());
    }

    async fn peek(&self, args: &[&str]) -> Seen {
        let output = Command::new(env!("CARGO_BIN_EXE_shardwright"))
            .arg("peek")
            .args(["--endpoint-url", &self.kinesis.endpoint()])
            .args(args)
            .env_clear()
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::null())
            .output();
        Seen::from(output.await.unwrap())
    }

    /// The messages that it prints of the stream.
    async fn messages(&self, args: &[&str]) -> Vec<String> {
        let args = [&["--stream", "orders", "--format", "text"], args].concat();
        let seen = self.peek(&args).await;
        assert_eq!(seen.code, 0, "{}", seen.talk);
        let message = |line: Value| line["message"].as_str().unwrap().to_owned();
        seen.lines().into_iter().map(message).collect()
    }
}

#[derive(Debug)]
struct Seen {
    code: i32,
    data: String,
    talk: String,
}

impl Seen {
    fn lines(&self) -> Vec<Value> {
        self.data.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl From<Output> for Seen {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap();
        Self { code, data: text(output.stdout), talk: text(output.stderr) }
    }
}

const SHARD: [&str; 2] = ["--shard", "shardId-000000000000"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_prints_events_from_a_position_to_the_tip() {
    let fixture = Fixture::new(1, &[b"one", b"two", b"three", b"four"]).await;
    assert_eq!(fixture.messages(&[]).await, ["one", "two", "three", "four"]);
    assert_eq!(fixture.messages(&["--limit", "2"]).await, ["one", "two"]);
    assert_eq!(fixture.messages(&["--filter", "?two ?four"]).await, ["two", "four"]);
    let after =
        |text: String| [["--from", &text].map(str::to_owned), SHARD.map(str::to_owned)].concat();
    for (from, expect) in [
        (fixture.sequences[1].clone(), vec!["three", "four"]),
        (format!("at:{}", fixture.sequences[1]), vec!["two", "three", "four"]),
        ("1h ago".to_owned(), vec!["one", "two", "three", "four"]),
    ] {
        let args = after(from);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        assert_eq!(fixture.messages(&args).await, expect);
    }
    let nothing: [&str; 0] = [];
    assert_eq!(fixture.messages(&["--until", "1h ago"]).await, nothing);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_come_after_their_parents_and_every_shard_is_read() {
    let mut fixture = Fixture::new(2, &[b"before"]).await;
    for shard in ["shardId-000000000000", "shardId-000000000001"] {
        let half = if shard.ends_with('0') { 1_u128 << 126 } else { 3 << 126 };
        let request = json!({
            "StreamName": "orders", "ShardToSplit": shard, "NewStartingHashKey": half.to_string()
        });
        fixture.kinesis.call(Operation::SplitShard, &request).unwrap();
    }
    for key in ["a", "b", "c", "d", "e", "f"] {
        fixture.put(key, b"after");
    }
    let messages = fixture.messages(&[]).await;
    assert_eq!(messages.len(), 7);
    assert_eq!(messages[0], "before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_printed_as_they_are() {
    let fixture = Fixture::new(1, &[b"\xff\x00"]).await;
    let seen = fixture.peek(&["--stream", "orders", "--records"]).await;
    assert_eq!(seen.code, 0, "{}", seen.talk);
    let [line] = &seen.lines()[..] else { panic!("{seen:?}") };
    assert_eq!(line["data"], "/wA=");
    assert_eq!(line["sequence_number"], fixture.sequences[0]);
    assert_eq!((&line["partition_key"], &line["shard"]), (&json!("key"), &json!(SHARD[1])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_said_by_the_exit_code() {
    let fixture = Fixture::new(1, &[b"no envelope", b"{}"]).await;
    let seen = fixture.peek(&["--stream", "orders"]).await;
    assert_eq!((seen.code, seen.data.as_str()), (1, ""));
    assert!(seen.talk.contains("not json") && seen.talk.contains("2 refused"), "{}", seen.talk);

    let missing = fixture.peek(&["--stream", "other"]).await;
    assert_eq!(missing.code, 1, "{}", missing.talk);
    assert!(missing.talk.contains("kinesis:ListShards"), "{}", missing.talk);

    for usage in [
        &[][..],
        &["--stream", "orders", "--from", "noon"],
        &["--stream", "orders", "--from", "LATEST"],
        &["--stream", "orders", "--from", "7"],
        &["--stream", "orders", "--until", "7"],
        &["--stream", "orders", "--filter", "{ nothing"],
        &["--stream", "orders", "--until", "now", "--follow"],
        &["--stream", "orders", "--format", "xml"],
    ] {
        let seen = fixture.peek(usage).await;
        assert_eq!((seen.code, seen.data.as_str()), (2, ""), "{usage:?}: {}", seen.talk);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_names_stream_and_format() {
    let fixture = Fixture::new(1, &[b"{\"a\": 1}"]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("orders.toml");
    let config = r#"
        application = "orders"
        dead_letter.sink = "out"
        sinks.out.type = "stdout"
        routes = [{ name = "all", sink = "out" }]
        streams = [{ name = "orders", format = "json" }]
    "#;
    std::fs::write(&file, config).unwrap();
    let seen = fixture.peek(&["--config", file.to_str().unwrap()]).await;
    assert_eq!(seen.code, 0, "{}", seen.talk);
    assert_eq!(seen.lines()[0]["message"], "{\"a\":1}");
}
