//! What each sink costs: events a second and CPU time an event.
//!
//! `cargo bench --all-features --bench sinks` opens each sink on what it delivers to, one after the other, and delivers
//! batches of 500 log events of some 300 bytes (objects: of 10,000) from four shards at a time, as the consumer does. The
//! counterparts are those of `tests/sinks`: a disk, a pipe, PostgreSQL without fsync, servers of our own
//! for HTTP, and emulators for AWS, Azure and Google Cloud (kinesis-local, moto, Azurite), whose own speed is most of what
//! is seen there: of those sinks the CPU time says more. It is that of this process; what is delivered to runs in
//! others, the servers for HTTP in this program started anew.
//!
//! Servers that are not installed are left out: `tests/servers/install.sh`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a measurement may panic, and is read by a person"
)]

#[path = "../../tests/sinks/certificates.rs"]
#[expect(dead_code, reason = "it comes with the database")]
mod certificates;
#[path = "../../tests/sinks/postgres/server.rs"]
#[expect(dead_code, reason = "not all of it is needed here")]
mod database;
#[path = "../../tests/harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "what starts servers is needed here")]
mod harness;
mod measure;
#[path = "../../tests/sinks/counterparts/moto.rs"]
#[expect(dead_code, reason = "not all of it is needed here")]
mod moto;
mod places;
#[path = "../shared/mod.rs"]
#[expect(dead_code, reason = "not all of it is needed here")]
mod shared;
#[path = "../../tests/sinks/objects/store.rs"]
#[expect(dead_code, reason = "not all of it is needed here")]
mod store;

use std::process::ExitCode;

use shared::load_average;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, verb] = &arguments[..]
        && verb == places::SERVE
    {
        places::serve().await;
        return ExitCode::SUCCESS;
    }
    // `cargo test --benches` runs this too, and wants nothing measured.
    if !arguments.iter().any(|argument| argument == "--bench") {
        eprintln!("skipped: run cargo bench --bench sinks");
        return ExitCode::SUCCESS;
    }
    println!("load average {}", load_average());
    println!("{:<22} {:>12} {:>10} {:>16}", "sink", "events/s", "of file", "CPU µs/event");
    let mut file = None;
    for place in places::all().await {
        let measured = measure::run(&place).await;
        let file = *file.get_or_insert(measured.rate);
        println!(
            "{:<22} {:>12.0} {:>10.2} {:>16.2}",
            place.name,
            measured.rate,
            measured.rate / file,
            measured.cpu_micros
        );
    }
    println!("load average {}", load_average());
    ExitCode::SUCCESS
}
