//! `leases` as an operator uses it: processes against the embedded servers, some of them workers.
#![cfg(feature = "embedded")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod changing;
mod looking;
mod moving;
mod world;
