//! The worker: a child process whose output is read as fast as it is allowed.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;
use shardwright::{
    aws::{AwsConnection, DynamoLeases},
    ports::LeaseStore,
};

use crate::{
    load::{Event, STREAM, now},
    process::{signal, spawn, tethered},
    usage::Usage,
    wait_until,
};

const APPLICATION: &str = "load";

pub(crate) struct Worker {
    process: Child,
    log: PathBuf,
    leases: DynamoLeases,
    out: Arc<Mutex<Out>>,
}

/// What has come out.
#[derive(Default)]
struct Out {
    seen: usize,
    numbers: HashSet<usize>,
    /// Of records that were put since `waits_since`.
    waits: Vec<Duration>,
    waits_since: u64,
    /// Lines a second; `None` is as fast as they come.
    rate: Option<f64>,
}

/// What the worker writes of an event.
#[derive(Deserialize)]
struct Line {
    message: String,
}

impl Worker {
    pub(crate) fn start(
        dir: &Path,
        [kinesis, dynamodb]: &[String; 2],
        aws: &AwsConnection,
    ) -> Self {
        let config = include_str!("../fleet/worker.toml")
            .replace("{application}", APPLICATION)
            .replace("{stream}", STREAM)
            .replace("{kinesis}", kinesis)
            .replace("{dynamodb}", dynamodb)
            .replace("{dir}", &dir.display().to_string());
        let file = dir.join("worker.toml");
        fs::write(&file, config).unwrap();
        let log = dir.join("worker.log");
        let mut command = tethered(env!("CARGO_BIN_EXE_shardwright"));
        command
            .arg("run")
            .arg("--config")
            .arg(file)
            .env_clear()
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap());
        let mut process = spawn(command).unwrap();
        let out = Arc::new(Mutex::new(Out::default()));
        let (lines, seen) = (process.stdout.take().unwrap(), Arc::clone(&out));
        thread::spawn(move || read(lines, &seen));
        Self { process, log, leases: DynamoLeases::new(aws, APPLICATION), out }
    }

    /// Waits until it holds so many leases.
    pub(crate) async fn holds(&self, shards: u32) {
        let all = usize::try_from(shards).unwrap();
        wait_until("the worker holds all leases", async || {
            let rows = self.leases.scan().await.unwrap_or_default();
            rows.iter().filter(|row| row.owner.is_some()).count() == all
        })
        .await;
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.process.id())
    }

    /// From now on so many lines a second are read.
    pub(crate) fn read_at(&self, rate: f64) {
        lock(&self.out).rate = Some(rate.max(1.0));
    }

    /// Records that came out.
    pub(crate) fn seen(&self) -> usize {
        lock(&self.out).seen
    }

    /// The same without duplicates.
    pub(crate) fn distinct(&self) -> usize {
        lock(&self.out).numbers.len()
    }

    /// From now on waits are those of records that are put from now on.
    pub(crate) fn forget_waits(&self) {
        let mut out = lock(&self.out);
        out.waits.clear();
        out.waits_since = now();
    }

    pub(crate) fn waits(&self) -> Vec<Duration> {
        lock(&self.out).waits.clone()
    }

    /// SIGTERM, and everything in flight is finished.
    pub(crate) async fn drain(mut self) {
        signal(&self.process, "TERM");
        let mut status = None;
        wait_until("the worker exits", async || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        })
        .await;
        assert!(status.is_some_and(|status| status.success()), "the worker did not drain");
    }
}

fn lock(out: &Mutex<Out>) -> MutexGuard<'_, Out> {
    out.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own")]
fn read(lines: ChildStdout, out: &Mutex<Out>) {
    let mut due = Instant::now();
    for line in BufReader::new(lines).lines().map_while(Result::ok) {
        // A worker that is killed may leave half a line behind.
        let Ok(Line { message }) = serde_json::from_str(&line) else { continue };
        let event: Event = serde_json::from_str(&message).expect("as it was put");
        let rate = {
            let mut out = lock(out);
            out.seen += 1;
            out.numbers.insert(event.number);
            if event.at >= out.waits_since {
                out.waits.push(Duration::from_micros(now().saturating_sub(event.at)));
            }
            out.rate
        };
        if let Some(rate) = rate {
            due = due.max(Instant::now().checked_sub(Duration::from_secs(1)).unwrap_or(due));
            due += Duration::from_secs_f64(1.0 / rate);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            let last = lines.get(lines.len().saturating_sub(20)..).unwrap_or_default();
            eprintln!("=== the end of the worker's log ===\n{}", last.join("\n"));
        }
    }
}
