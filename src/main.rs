//! The `shardwright` program.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// The system's allocator costs a tenth of the pipeline, more where programs run (`cargo bench --bench
/// pipeline`).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    shardwright::cli::main()
}
