//! The outside world, as the engines see it: a stream, a lease table, sinks, the time of day.
//!
//! Adapters implement these traits (`aws`, `sinks`); tests and the simulation put fakes in their
//! place. Errors are part of the words: each says what its caller should do.

mod clock;
mod lease_store;
mod sink;
mod stream;

pub use clock::{SystemClock, WallClock};
pub use lease_store::{LeaseStore, StoreError, Swap};
pub use sink::{Sink, SinkError, Verdict};
pub use stream::{
    ShardIterator, ShardSubscriber, StartAt, StreamError, StreamReader, Subscription,
};
