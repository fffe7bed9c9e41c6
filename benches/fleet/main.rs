//! What a fleet does when its workers come and go, and what its leases cost, on real processes.
//!
//! `cargo bench --bench fleet` starts the embedded Kinesis (quotas enforced) and the embedded
//! DynamoDB on loopback, a stream of 32 shards, and three workers: this program's own binary with
//! its default settings and a `stdout` sink, which is read as it is written. A producer puts 10
//! records a second into each shard all the time but in the idle window. Then, one after the other:
//!
//! 1. *Quiet*: nothing happens for 20 s. The longest gap between two deliveries of a shard is the
//!    usual one: workers poll a busy shard every 250 ms.
//! 2. *Rolling restart*: each worker in turn gets SIGTERM; once it has exited a new one is started;
//!    once the rows of the lease table are spread evenly over three workers again it is the turn of
//!    the next one. A shard's pause is its longest gap in all of that, less the usual one.
//! 3. *Kill*: three times SIGKILL to one of the workers, and a new one afterwards. A shard's
//!    take-over is the time from the signal to the first delivery of that shard by another worker.
//! 4. *Cost*: a minute with load and a minute without. Every call to DynamoDB goes through a proxy
//!    that counts it, and the capacity units that the server says it consumed. The counters in the
//!    rows of the lease table check the count of the writes: each write but a request for a
//!    hand-over raises one of them by one.
//!
//! Every event is accounted for: none may be lost (then the exit code is 1); those delivered twice
//! are counted. What is printed depends on the machine and on who else uses it: the load average is
//! printed too. It takes about five minutes.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a measurement may panic, and is read by a person"
)]

mod fleet;
mod ledger;
mod load;
#[path = "../../tests/harness/process.rs"]
mod process;
mod proxy;
mod report;
#[path = "../shared/mod.rs"]
mod shared;

use std::{process::ExitCode, time::Duration};

use shardwright::{
    aws::{AwsConnection, AwsSettings},
    embedded::{DynamoServer, KinesisServer},
};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use fleet::Fleet;
use ledger::Ledger;
use load::Load;
use proxy::Proxy;
use report::Report;
use shared::{percentile, wait_until};

const SHARDS: u32 = 32;
const WORKERS: u32 = 3;
const QUIET: Duration = Duration::from_secs(20);
const KILLS: u32 = 3;
const COST: Duration = Duration::from_mins(1);

#[tokio::main]
async fn main() -> ExitCode {
    // `cargo test --benches` runs this too, and wants nothing measured.
    if !std::env::args().any(|argument| argument == "--bench") {
        eprintln!("skipped: run cargo bench --bench fleet");
        return ExitCode::SUCCESS;
    }
    let report = Bench::start().await.measure().await;
    report.print();
    if report.lost > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

struct Bench {
    fleet: Fleet,
    load: Load,
    ledger: Ledger,
    proxy: Proxy,
    report: Report,
    _dynamodb: DynamoServer,
    // After the workers, whose logs are in it.
    _dir: TempDir,
}

impl Bench {
    async fn start() -> Self {
        let report = Report::new();
        let dir = TempDir::new().unwrap();
        let kinesis = KinesisServer::builder().start().await.unwrap();
        let dynamodb = DynamoServer::start().await.unwrap();
        let proxy = Proxy::start(dynamodb.endpoint()).await;
        let endpoints = [kinesis.endpoint(), proxy.endpoint()];
        let settings = AwsSettings {
            dynamodb_endpoint_url: Some(dynamodb.endpoint()),
            ..AwsSettings::default()
        };
        let past_the_proxy = AwsConnection::emulator(&settings).await.unwrap();
        let ledger = Ledger::default();
        let fleet = Fleet::new(dir.path(), &endpoints, &past_the_proxy, ledger.clone());
        let load = Load::start(kinesis, SHARDS);
        Self { fleet, load, ledger, proxy, report, _dynamodb: dynamodb, _dir: dir }
    }

    async fn measure(mut self) -> Report {
        eprintln!("starting");
        for _ in 0..WORKERS {
            self.fleet.start_worker();
        }
        self.load.run();
        self.fleet.is_balanced().await;
        self.all_delivered().await;

        let usual = self.quiet().await;
        self.rolling_restart(usual).await;
        self.kills().await;
        self.cost("busy").await;
        self.load.pause();
        self.all_delivered().await;
        self.cost("idle").await;

        self.fleet.stop().await;
        self.report.lost = self.ledger.missing(SHARDS, self.load.put());
        self.report
    }

    /// The usual longest gap of a shard.
    async fn quiet(&mut self) -> Duration {
        eprintln!("quiet");
        let from = Instant::now();
        sleep(QUIET).await;
        let gaps = self.ledger.longest_gaps(from..Instant::now());
        self.report.times("quiet: longest gap of a shard", &gaps);
        percentile(&gaps, 50)
    }

    async fn rolling_restart(&mut self, usual: Duration) {
        let (from, duplicates) = (Instant::now(), self.ledger.duplicates());
        let mut exits = Vec::new();
        for number in 1..=WORKERS {
            eprintln!("rolling restart, {number} of {WORKERS}");
            exits.push(self.fleet.restart_oldest().await);
            self.fleet.is_balanced().await;
        }
        let gaps = self.ledger.longest_gaps(from..Instant::now());
        self.all_delivered().await;
        let pauses: Vec<_> = gaps.iter().map(|gap| gap.saturating_sub(usual)).collect();
        self.report.times("rolling restart: pause of a shard", &pauses);
        self.report.times("rolling restart: SIGTERM to exit", &exits);
        let duplicates = self.ledger.duplicates() - duplicates;
        self.report.line("rolling restart: duplicates", &duplicates.to_string());
    }

    async fn kills(&mut self) {
        let duplicates = self.ledger.duplicates();
        let mut take_overs = Vec::new();
        for number in 1..=KILLS {
            eprintln!("kill -9, {number} of {KILLS}");
            let killed = self.fleet.kill_oldest().await;
            take_overs.extend(self.ledger.take_overs(&killed).await);
            self.fleet.start_worker();
            self.fleet.is_balanced().await;
        }
        self.all_delivered().await;
        self.report.times("kill -9: take-over of a shard", &take_overs);
        let duplicates = self.ledger.duplicates() - duplicates;
        self.report.line("kill -9: duplicates", &duplicates.to_string());
    }

    /// What DynamoDB is asked in a while.
    async fn cost(&mut self, how: &str) {
        eprintln!("cost, {how}");
        let (before, counters) = (self.proxy.calls(), self.fleet.counters().await);
        sleep(COST).await;
        let calls = self.proxy.calls() - before;
        let raised = self.fleet.counters().await - counters;
        self.report.cost(how, COST, &calls, raised);
    }

    /// Waits until everything that was put so far has been delivered.
    async fn all_delivered(&self) {
        let put = self.load.put();
        wait_until("everything put is delivered", async || self.ledger.missing(SHARDS, put) == 0)
            .await;
    }
}
