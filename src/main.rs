//! The `shardwright` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    shardwright::cli::main()
}
