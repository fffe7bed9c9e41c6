//! The shard consumer: reads one leased shard, and delivers what is in it.
//!
//! One [`ShardConsumer`] per lease, each a task of its own. Inside, two halves run side by side:
//!
//! ```text
//! fetcher:   wait (pacing) → reserve bytes (budget) → GetRecords → page
//! processor: page → user records → pipeline → queue per sink → deliver → ledger → checkpoint
//! ```
//!
//! # Guarantees
//! - The checkpoint is the longest prefix of user records that all have an outcome ([`Ledger`]).
//! - A delivery begins only while the lease is provably valid.
//! - Per shard and sink one batch is under way at a time, so sinks see the order of the shard.

mod budget;
mod delivery;
mod fetcher;
mod ledger;
mod loss;
mod pacing;
mod processor;
mod queue;
mod shard_consumer;

pub use budget::{Budget, Reservation};
pub use delivery::RetryPause;
pub use ledger::{Ledger, Mark, Ticket};
pub use loss::LossLog;
pub use pacing::{Pacing, PacingParams};
pub use queue::BatchLimits;
pub use shard_consumer::{
    ConsumerContext, ConsumerParams, ConsumerStream, FailureLog, NamedSink, ShardConsumer,
    SharedTally,
};
