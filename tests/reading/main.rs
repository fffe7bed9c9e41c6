//! Reading as its users see it: backfills that end by themselves, windows, and `peek`. Real processes against
//! the embedded servers.
#![cfg(feature = "embedded")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may panic and say why"
)]

mod backfill;
#[expect(dead_code, reason = "the target `servers` has more servers and reshards")]
#[path = "../harness/mod.rs"]
mod harness;
mod peek;
mod windows;
