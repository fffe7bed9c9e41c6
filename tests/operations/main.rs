//! What operators see and use: metrics and what refers to them, the admin port of a real daemon, the
//! live page in a real browser, the files below `deploy`, the policy.
//!
//! `tests/browser/install.sh` and `deploy/check` say what they need; without it these tests are
//! skipped, unless `SHARDWRIGHT_REQUIRE_SERVERS=1` says that they must run.
#![cfg(feature = "embedded")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may panic and say why"
)]

mod admin;
mod browser;
mod client;
mod doctor;
mod emf;
#[expect(dead_code, unused_imports, reason = "other scenarios need more of it")]
#[path = "../harness/mod.rs"]
mod harness;
mod image;
mod metrics;
mod page;
mod policy;
mod proxy;
mod runbook;
mod secrets;
mod strangers;
