//! The workers: child processes, and what the lease table says of them.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use serde::Deserialize;
use shardwright::{
    aws::{AwsConnection, DynamoLeases},
    model::Lease,
    ports::LeaseStore,
};
use tokio::time::Instant;

use crate::{
    SHARDS,
    ledger::{Event, Killed, Ledger, WorkerNo},
    process::{signal, spawn, tethered},
    shared::wait_until,
};

pub(crate) const STREAM: &str = "app-logs";
const APPLICATION: &str = "fleet";

pub(crate) struct Fleet {
    dir: PathBuf,
    ledger: Ledger,
    leases: DynamoLeases,
    started: WorkerNo,
    workers: VecDeque<Worker>,
}

/// What a worker writes of an event.
#[derive(Deserialize)]
struct Line {
    message: String,
}

struct Worker {
    number: WorkerNo,
    process: Child,
}

impl Worker {
    fn name(&self) -> String {
        name(self.number)
    }
}

fn name(number: WorkerNo) -> String {
    format!("worker-{number}")
}

impl Fleet {
    /// No workers yet. `aws` looks at the lease table past the proxy.
    pub(crate) fn new(
        dir: &Path,
        [kinesis, dynamodb]: &[String; 2],
        aws: &AwsConnection,
        ledger: Ledger,
    ) -> Self {
        let config = include_str!("worker.toml")
            .replace("{application}", APPLICATION)
            .replace("{stream}", STREAM)
            .replace("{kinesis}", kinesis)
            .replace("{dynamodb}", dynamodb)
            .replace("{dir}", &dir.display().to_string());
        fs::write(dir.join("worker.toml"), config).unwrap();
        let leases = DynamoLeases::new(aws, APPLICATION);
        Self { dir: dir.to_owned(), ledger, leases, started: 0, workers: VecDeque::new() }
    }

    pub(crate) fn start_worker(&mut self) {
        self.started += 1;
        let number = self.started;
        let log = File::create(self.dir.join(format!("{}.log", name(number)))).unwrap();
        let mut command = tethered(env!("CARGO_BIN_EXE_shardwright"));
        command
            .arg("run")
            .arg("--config")
            .arg(self.dir.join("worker.toml"))
            .env_clear()
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("SHARDWRIGHT__WORKER_ID", name(number))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut process = spawn(command).unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ledger = self.ledger.clone();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // A worker that is killed may leave half a line behind.
                let Ok(Line { message }) = serde_json::from_str(&line) else { continue };
                let event: Event = serde_json::from_str(&message).expect("as it was put");
                ledger.delivered(&event, number);
            }
        });
        self.workers.push_back(Worker { number, process });
    }

    /// SIGTERM to the oldest worker and, once it has exited, a new one; how long the exit took.
    pub(crate) async fn restart_oldest(&mut self) -> Duration {
        let asked = Instant::now();
        let worker = self.workers.pop_front().expect("a fleet");
        drain(worker).await;
        let took = asked.elapsed();
        self.start_worker();
        took
    }

    /// SIGKILL to the oldest worker.
    pub(crate) async fn kill_oldest(&mut self) -> Killed {
        let rows = self.rows().await;
        let mut worker = self.workers.pop_front().expect("a fleet");
        let name = worker.name();
        let held = rows.iter().filter(|row| row.holder().is_some_and(|it| it.as_str() == name));
        let shards = held.map(|row| number_of(row.shard.as_str())).collect();
        let at = Instant::now();
        worker.process.kill().unwrap();
        worker.process.wait().unwrap();
        Killed { at, worker: worker.number, shards }
    }

    pub(crate) async fn stop(&mut self) {
        for worker in self.workers.drain(..) {
            drain(worker).await;
        }
    }

    /// Waits until every lease has one owner, and the workers hold equally many.
    pub(crate) async fn is_balanced(&self) {
        wait_until("the leases are spread evenly", async || {
            let rows = self.rows().await;
            let mut held: BTreeMap<_, u32> =
                self.workers.iter().map(|worker| (worker.name(), 0)).collect();
            let settled = rows.iter().filter(|row| row.checkpoint_owner.is_none());
            for owner in settled.filter_map(|row| row.owner.as_ref()) {
                *held.entry(owner.to_string()).or_default() += 1;
            }
            let (least, most) = (held.values().min(), held.values().max());
            held.len() == self.workers.len()
                && held.values().sum::<u32>() == SHARDS
                && most.unwrap() - least.unwrap() <= 1
        })
        .await;
    }

    /// The counters of all leases, added up.
    pub(crate) async fn counters(&self) -> u32 {
        let sum: u64 = self.rows().await.iter().map(|row| row.counter).sum();
        u32::try_from(sum).expect("a fleet of a few minutes")
    }

    async fn rows(&self) -> Vec<Lease> {
        // There is no table before the first worker has made it.
        self.leases.scan().await.unwrap_or_default()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            // It may have ended already; then there is nothing to kill.
            let _ = worker.process.kill();
            let _ = worker.process.wait();
        }
        if thread::panicking() {
            for number in 1..=self.started {
                let log = fs::read_to_string(self.dir.join(format!("{}.log", name(number))));
                let log = log.unwrap_or_default();
                let lines: Vec<_> = log.lines().collect();
                let last = &lines[lines.len().saturating_sub(20)..];
                eprintln!("=== the end of {}'s log ===\n{}", name(number), last.join("\n"));
            }
        }
    }
}

async fn drain(mut worker: Worker) {
    signal(&worker.process, "TERM");
    let mut status = None;
    wait_until("a worker exits", async || {
        status = worker.process.try_wait().unwrap();
        status.is_some()
    })
    .await;
    assert!(status.is_some_and(|status| status.success()), "{} did not drain", worker.name());
}

/// The number in a shard's id.
fn number_of(shard: &str) -> u32 {
    shard.trim_start_matches("shardId-").parse().unwrap()
}
