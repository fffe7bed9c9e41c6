//! What one worker with many shards reads, and what it costs, on real processes.
//!
//! `cargo bench --bench load` starts for each measurement the embedded Kinesis (quotas enforced on
//! reads) and the embedded DynamoDB on loopback, and one worker: this program's own binary with its
//! default settings and a `stdout` sink, which is read as it is written. Records are JSON of 1 KiB.
//!
//! 1. *At the tip*: ten records a second into each of 200 shards. The time from the put to the sink is
//!    that from before the `PutRecords` call to the reading of the line.
//! 2. *Catching up*: 2 MiB lie in each shard when the worker starts, and the load of (1) goes on.
//! 3. *A sink that is ten times too slow*: as (2), but the lines are read at a tenth of the rate that
//!    (2) came to. Resident memory must not grow once the byte budget is full.
//! 4. *Idle*: 1,000 shards into which nothing comes.
//!
//! Everything that was put must come out, or the exit code is 1; (3) is given up half-way. CPU and
//! memory are the worker's, by `/proc`: this needs Linux. The servers and the producer run in this
//! process, on the same machine: with few cores the rates are those of both. It takes about six
//! minutes; `cargo bench --bench load -- --small` shows in one that it works.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "a measurement may panic, and is read by a person"
)]

mod bench;
mod load;
#[path = "../../tests/harness/process.rs"]
mod process;
#[path = "../shared/mod.rs"]
mod shared;
mod usage;
mod worker;

use std::{process::ExitCode, time::Duration};

use bench::Bench;
use shared::{load_average, wait_until};
use tokio::time::sleep;

/// How much is measured.
struct Scale {
    shards: u32,
    idle_shards: u32,
    /// Of each measurement.
    time: Duration,
    /// Records that lie in each shard when it is caught up with.
    backlog: u32,
}

const FULL: Scale =
    Scale { shards: 200, idle_shards: 1000, time: Duration::from_mins(1), backlog: 2048 };
const SMALL: Scale =
    Scale { shards: 8, idle_shards: 40, time: Duration::from_secs(5), backlog: 512 };

#[tokio::main]
async fn main() -> ExitCode {
    let is_given = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    // `cargo test --benches` runs this too, and wants nothing measured.
    if !is_given("--bench") {
        eprintln!("skipped: run cargo bench --bench load");
        return ExitCode::SUCCESS;
    }
    let scale = if is_given("--small") { SMALL } else { FULL };
    println!("{} shards in one worker; load average {}", scale.shards, load_average());
    at_the_tip(&scale).await;
    let rate = catching_up(&scale).await;
    slow_sink(&scale, rate / 10.0).await;
    idle(&scale).await;
    println!("load average {}", load_average());
    // What is missing is waited for, and not waiting any longer is a panic.
    ExitCode::SUCCESS
}

async fn at_the_tip(scale: &Scale) {
    let mut bench = Bench::start(scale.shards).await;
    bench.start_worker();
    bench.worker().holds(scale.shards).await;
    bench.load.run();
    bench.measure("at the tip", scale.time).await;
    bench.all_delivered().await;
    bench.stop().await;
}

/// Answers the records a second.
async fn catching_up(scale: &Scale) -> f64 {
    let mut bench = Bench::start(scale.shards).await;
    bench.load.put_backlog(scale.backlog);
    bench.load.run();
    bench.start_worker();
    let backlog = usize::try_from(scale.shards * scale.backlog).unwrap();
    let rate = bench.measure_until("catching up", backlog).await;
    bench.all_delivered().await;
    bench.stop().await;
    rate
}

async fn slow_sink(scale: &Scale, rate: f64) {
    let mut bench = Bench::start(scale.shards).await;
    bench.load.put_backlog(scale.backlog);
    bench.load.run();
    bench.start_worker();
    bench.worker().read_at(rate);
    println!("a sink that takes {rate:.0} records a second");
    for _ in 0..6 {
        let time = scale.time / 6;
        sleep(time).await;
        let (usage, seen) = (bench.worker().usage(), bench.worker().seen());
        println!("{:<28} {:6.0} MiB resident, {seen} records delivered", "", usage.resident_mib());
    }
}

async fn idle(scale: &Scale) {
    let mut bench = Bench::start(scale.idle_shards).await;
    bench.start_worker();
    bench.worker().holds(scale.idle_shards).await;
    let before = bench.worker().usage();
    sleep(scale.time).await;
    let usage = bench.worker().usage();
    let cpu = usage.cpu_since(&before).as_secs_f64() / scale.time.as_secs_f64();
    println!(
        "{:<28} {:6.0} MiB resident, {:.0} % of a core",
        format!("{} idle shards", scale.idle_shards),
        usage.resident_mib(),
        cpu * 100.0
    );
    bench.stop().await;
}
