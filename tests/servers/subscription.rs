//! CloudWatch Logs feeds the stream: no envelope here is of our own making.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use shardwright::ports::{SystemClock, WallClock};

use crate::harness::{Installed, Stream, World, lines, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscription_on_moto() {
    let Some(installed) = Installed::find() else { return };
    let world = World::moto(&installed).await;
    let stream = Stream::create(&world.aws, 2).await;
    let logs = Logs { installed, endpoint: world.kinesis_endpoint.clone(), stream_arn: stream.arn };

    let mut put = logs.put("first");
    let daemon = world.daemon();
    delivers(&world, &put).await;
    daemon.drain().await;
    check(&world, &put).await;

    // The checkpoint is one that moto understands.
    put.extend(logs.put("second"));
    let daemon = world.daemon();
    delivers(&world, &put).await;
    daemon.drain().await;
    check(&world, &put).await;
}

struct Logs {
    installed: Installed,
    endpoint: String,
    stream_arn: String,
}

impl Logs {
    /// Puts events of two log groups; the events.
    fn put(&self, word: &str) -> Vec<Value> {
        let now = SystemClock.now().0;
        let events = (0..40).map(|number| {
            json!({
                "group": format!("/ecs/group-{}", number % 2),
                "stream": format!("i-{}", number % 3),
                "timestamp": now + number,
                "message": format!("{word} {number}: \"é\t\u{1f600}\"\nand a second line"),
            })
        });
        let events: Vec<Value> = events.collect();
        let Self { endpoint, stream_arn, .. } = self;
        let order = json!({"endpoint": endpoint, "stream_arn": stream_arn, "events": events});
        let mut script = Command::new(self.installed.python())
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/put_log_events.py"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        script.stdin.take().unwrap().write_all(order.to_string().as_bytes()).unwrap();
        assert!(script.wait().unwrap().success(), "put_log_events.py failed");
        events
    }
}

/// What was delivered, in the words of what was put.
fn delivered(world: &World) -> Vec<Value> {
    let events = lines(&world.dir().join("delivered")).into_iter().map(|event| {
        assert_eq!(event["subscriptionFilters"], json!(["to-kinesis"]), "{event}");
        assert_eq!(event["owner"], "123456789012", "{event}");
        // moto numbers its events; ids are text.
        assert!(event["id"].as_str().unwrap().parse::<u64>().is_ok(), "{event}");
        json!({
            "group": event["logGroup"],
            "stream": event["logStream"],
            "timestamp": event["timestamp"],
            "message": event["message"],
        })
    });
    events.collect()
}

async fn delivers(world: &World, put: &[Value]) {
    wait_until("every log event is delivered", async || delivered(world).len() >= put.len()).await;
}

async fn check(world: &World, put: &[Value]) {
    assert_eq!(sorted(delivered(world)), sorted(put.to_vec()));
    assert_eq!(lines(&world.dir().join("parked")), Vec::<Value>::new());
    let leases = world.leases().await;
    assert_eq!(leases.len(), 2);
    assert!(leases.iter().all(|lease| lease.owner.is_none()), "{leases:?}");
    assert!(leases.iter().any(|lease| !lease.checkpoint.is_start()), "{leases:?}");
}

fn sorted(mut events: Vec<Value>) -> Vec<Value> {
    events.sort_by_key(Value::to_string);
    events
}
