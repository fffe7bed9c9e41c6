//! Windows of workers that are killed: their rows say what was put.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use bytes::Bytes;
use shardwright::{
    model::ShardId,
    ports::{SystemClock, WallClock},
};

use crate::harness::{Stream, World, lines, wait_until};

const STREAM: &str = "[[streams]]\nname = \"app-logs\"\n";
const ROUTE: &str = "name = \"all\"\n";
const WINDOW: &str = r#"name = "all"
window = "2s"
window_lateness = "1s"
window_time = "message.at"
group_by = ["message.group"]
aggregates = { n = "count", sum = "sum message.v", least = "min message.v" }
"#;
/// Milliseconds, as in the configuration.
const SIZE: i64 = 2000;

/// Shard, end of the window, group.
type Row = (ShardId, i64, String);

/// What was put.
#[derive(Default)]
struct Truth {
    rows: BTreeMap<Row, Vec<i64>>,
    next: i64,
}

impl Truth {
    async fn put(&mut self, stream: &Stream) {
        let now = SystemClock.now().0;
        let documents: Vec<(i64, String)> = (0..20)
            .map(|_| {
                self.next += 1;
                (self.next, format!("g{}", self.next % 3))
            })
            .collect();
        let record = |(v, group): &(i64, String)| {
            let json = format!(r#"{{"at":{now},"group":"{group}","v":{v}}}"#);
            (format!("key-{v}"), Bytes::from(json))
        };
        let records: Vec<_> = documents.iter().map(record).collect();
        let places = stream.put(&records).await;
        for ((v, group), (shard, _)) in documents.into_iter().zip(places) {
            let end = now - now.rem_euclid(SIZE) + SIZE;
            self.rows.entry((shard, end, group)).or_default().push(v);
        }
    }

    fn expected(&self) -> BTreeMap<Row, BTreeSet<String>> {
        let text = |values: &Vec<i64>| {
            let (sum, least) = (values.iter().sum::<i64>(), values.iter().min().unwrap());
            BTreeSet::from([format!("{} {sum} {least}", values.len())])
        };
        self.rows.iter().map(|(row, values)| (row.clone(), text(values))).collect()
    }
}

/// Each version of each row that was delivered.
fn delivered(dir: &Path) -> BTreeMap<Row, BTreeSet<String>> {
    let mut rows: BTreeMap<Row, BTreeSet<String>> = BTreeMap::new();
    for row in lines(&dir.join("delivered")) {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        let end: shardwright::model::EpochMillis = text("window_end").parse().unwrap();
        let place = (ShardId::new(text("shard")), end.0, text("group"));
        let line = format!("{} {} {}", row["n"], row["sum"], row["least"]);
        rows.entry(place).or_default().insert(line);
    }
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_are_killed_leave_whole_windows() {
    let world = World::embedded().await;
    world.reconfigure(STREAM, &format!("{STREAM}format = \"json\"\n"));
    world.reconfigure(ROUTE, WINDOW);
    let stream = Stream::create(&world.aws, 2).await;
    let mut truth = Truth::default();
    for round in 1..=3 {
        let worker = world.daemon();
        wait_until("rows are delivered, and watermarks are kept", async || {
            truth.put(&stream).await;
            let kept =
                world.leases().await.iter().filter(|lease| lease.watermarks.is_some()).count();
            delivered(world.dir()).len() >= round * 4 && kept == 2
        })
        .await;
        worker.kill();
    }
    // The shard of a hand-over by drain, with windows that are open.
    let drained = world.daemon();
    let before = delivered(world.dir()).len();
    wait_until("it works, and windows are open", async || {
        truth.put(&stream).await;
        delivered(world.dir()).len() > before
    })
    .await;
    drained.drain().await;
    let last = world.daemon();
    wait_until("every window that something was put into has its rows", async || {
        delivered(world.dir()).len() == truth.rows.len()
    })
    .await;
    last.drain().await;
    assert_eq!(delivered(world.dir()), truth.expected());
    assert_eq!(lines(&world.dir().join("parked")), Vec::<serde_json::Value>::new());
}
