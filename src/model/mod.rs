//! The words of the project: plain values that every other module speaks in.
//!
//! Nothing here does I/O, reads a clock or knows another module of the crate. The names are those of
//! Kinesis, the KCL and CloudWatch Logs.

mod checkpoint;
mod event;
pub mod invariant;
mod lease;
mod lease_write;
mod message;
mod place;
mod record;
mod sequence;
mod shard;
mod units;

pub use checkpoint::{Checkpoint, CheckpointParseError, EndPosition, InitialPosition};
pub use event::{EventId, Format, LogEvent, LogSource, OutputEvent, RowId, Share};
pub use invariant::{Breach, Invariant};
pub use lease::{Lease, LeaseKey, PendingCheckpoint, Progress, WorkerId};
pub use lease_write::LeaseWrite;
pub use message::Message;
pub use place::Place;
pub use record::{Aggregates, RawRecord, RecordPage, UserRecord};
pub use sequence::{Position, SequenceNumber, SequenceNumberError};
pub use shard::{ChildShard, HashKey, HashKeyRange, Shard, ShardId, StreamName};
pub use units::{EpochMillis, EpochMillisError, rounded};
