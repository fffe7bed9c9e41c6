//! A Kinesis server inside this process, on loopback: what `demo` runs on and what the tests test
//! against.
//!
//! It speaks the JSON protocol of the real service and answers as the service does in all that a
//! consumer can see: sequence numbers and lineage across reshards, iterators and their expiry,
//! page sizes, lag, retention, quotas, the names of errors. Time ([`Clock`]) and faults
//! ([`Faults`]) are switches in the hands of whoever runs it. Records live in memory only.
//!
//! From the outside in: `server` binds and shuts down, `connection` is a socket that can be cut,
//! `http` is one exchange, `service` holds the streams and sends a call to its operation in one of
//! the `ops_…` files, `wire` is the JSON they share; `subscription` is the one operation that answers
//! with a stream, in the frames of `frame`. Below that is what a stream is: `stream` (settings,
//! status, routing), `reshard` (splits, merges), `consumer` (who is registered and subscribed),
//! `shard` (records and positions), `hash_range`, `sequence`, `token` (iterators), `limits` (quotas).
//!
//! Not here: encryption itself (a stream only says that it is encrypted), resource policies, the CBOR
//! form of the protocol, signatures, any bound on memory besides retention, and quotas on calls other
//! than those of [`Limits`] (`GetShardIterator`, `ListShards` and such).

mod clock;
mod connection;
mod consumer;
mod error;
mod faults;
mod frame;
mod hash_range;
mod http;
mod limits;
mod operation;
mod ops_consumer;
mod ops_describe;
mod ops_encryption;
mod ops_list_shards;
mod ops_read;
mod ops_reshard;
mod ops_stream;
mod ops_tags;
mod ops_write;
mod position;
mod reshard;
mod sequence;
mod server;
mod service;
mod shard;
mod shard_filter;
mod stream;
mod subscription;
mod tags;
#[cfg(test)]
mod tests;
mod token;
mod wire;

pub use clock::{Clock, ManualClock, SystemClock};
pub use error::ApiError;
pub use faults::{FaultId, FaultKind, FaultRule, Faults, StreamFault, StreamFaultKind};
pub use limits::Limits;
pub use operation::Operation;
pub use server::{KinesisServer, KinesisServerBuilder, StoredRecord};
