//! Messages of an SQS queue, one event a message.
//!
//! - Order: standard queues have none. A FIFO queue keeps that of each message group, except that an
//!   event which a request did not take comes after the others of its request.
//! - Replay: sends again; a FIFO queue drops what it got within the last five minutes.
//! - Limits: 10 messages and `maximum_request_size` a request; a larger event is refused.
//! - Durability: an accepted event is in the queue.

mod config;
#[cfg(feature = "sqs")]
mod sink;

pub use config::SqsConfig;
#[cfg(feature = "sqs")]
pub use sink::SqsSink;
