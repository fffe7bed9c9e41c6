//! Records of another Kinesis data stream, one event a record.
//!
//! Order: not kept within a batch: `PutRecords` may take some records of a request and leave others,
//! and those come later.
//! Replay: an event delivered again is put again.
//! Limits: 500 records and `maximum_request_size` a request; an event above `maximum_record_size`
//! (its partition key included) is refused for good.
//! Durability: an accepted event is in the stream.
//!
//! `config` is what people write, `key` the key that an event is put under, `sink` the port.

mod config;
mod key;
mod sink;

pub use config::KinesisSinkConfig;
pub use key::PartitionKey;
pub use sink::KinesisSink;
