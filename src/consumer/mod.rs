//! The shard consumer: reads one leased shard, and delivers what is in it.
//!
//! One [`ShardConsumer`] per lease, each a task of its own. Inside, two halves run side by side:
//!
//! ```text
//! fetcher:    wait (pacing) → reserve bytes (budget) → GetRecords → page
//! subscriber: or, by enhanced fan-out, SubscribeToShard (renewal) → event → page
//! processor:  page → user records → pipeline → queue per sink → deliver → ledger → checkpoint
//! ```
//!
//! [`Replayer`] puts dead letters in the place of a shard's pages; what lies behind the pipeline is
//! the same.
//!
//! # Guarantees
//! - A shard waits for bytes only while it holds its own share of the [`Budget`]: shards whose sink is
//!   stuck do not starve the others.
//! - The checkpoint is the longest prefix of user records that all have an outcome ([`Ledger`]).
//! - A delivery begins only while the lease is provably valid.
//! - Per shard and sink one batch is under way at a time, so sinks see the order of the shard. A sink
//!   with several lanes gets one batch of each, and sees the order of each partition key.
//! - What goes into a window is released from the budget at once; the checkpoint waits for the window
//!   (`windows`).
//! - A sink that prepares gets the same batches again from whoever takes the lease after a crash: their
//!   ranges are in the lease's row first (`prepared`).
//! - An event is given up only when its sink's [`RetryLimits`] say so; a dead letter never.

#[cfg(test)]
mod aggregate_tests;
mod budget;
mod context;
mod delivery;
mod fan_out;
mod fetcher;
#[cfg(test)]
mod fetcher_tests;
mod lanes;
mod ledger;
mod loss;
mod outbox;
#[cfg(test)]
mod pace_tests;
mod pacing;
mod page_size;
mod pages;
mod pause;
mod permit;
mod place;
mod prepared;
mod processor;
mod queue;
mod renewal;
mod replayer;
mod retry_policy;
mod shard_consumer;
mod subscriber;
#[cfg(test)]
mod subscriber_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod under_way;
mod until;
mod watermarks;
mod windows;

pub use budget::{Budget, Reservation, Share};
pub use context::{ConsumerContext, ConsumerParams, ConsumerStream, NamedSink};
pub use fan_out::FanOut;
pub use ledger::{Ledger, Mark, Ticket};
pub use pacing::{Pacing, PacingParams};
pub use pause::Pause;
pub use place::start_at;
pub use queue::BatchLimits;
pub use replayer::{Letter, LetterOutcome, Replayer};
pub use retry_policy::{RetryLimits, RetryPause};
pub use shard_consumer::ShardConsumer;
