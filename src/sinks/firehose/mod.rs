//! Records of an Amazon Data Firehose stream, one event a record, a line each.
//!
//! - Order: not kept: `PutRecordBatch` may take some records and leave others, and Firehose promises
//!   none.
//! - Replay: puts again.
//! - Limits: 500 records and 4 MiB a request; an event above 1000 KiB is refused.
//! - Durability: an accepted event is with Firehose, which keeps it for a day while its destination is
//!   down.

mod config;
#[cfg(feature = "firehose")]
mod sink;

pub use config::FirehoseConfig;
#[cfg(feature = "firehose")]
pub use sink::FirehoseSink;
