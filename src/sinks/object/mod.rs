//! Objects in S3, and in what looks like it: each batch becomes one object, or one for each partition.
//!
//! Objects are named by the stream, the shard, and the places of the first and the last event of their
//! batch. The sink prepares ([`crate::ports::Sink::prepares`]): the range of a batch is in the lease's row
//! before the upload begins, so that whoever takes the lease after a crash makes the same batch again
//! and overwrites the same objects. An object's key holds the time of its events, never that of the
//! upload: a replay finds the same key.
//!
//! - Order: that of the shard, within an object and by the names of objects.
//! - Replay: after a crash or a move of the lease the same objects again. Records that an operator has
//!   read again from an earlier place come in other batches, under other names.
//! - Dead letters, and what is replayed from them, come out of order: each is an object of its own, named
//!   by its own place.
//! - Durability: accepted is what the store has answered for.
//!
//! `config` is what people write, `template` the keys, `name` the names of objects, `partition` a batch
//! by its keys, `encode` events as the bytes of an object, `store` the store, `credentials` and `http`
//! what it is reached by, `upload` one object, `sink` the port.

mod config;
#[cfg(feature = "s3")]
mod credentials;
#[cfg(feature = "s3")]
mod encode;
#[cfg(feature = "s3")]
mod http;
#[cfg(feature = "s3")]
mod name;
#[cfg(feature = "s3")]
mod partition;
#[cfg(feature = "s3")]
mod sink;
#[cfg(feature = "s3")]
mod store;
mod template;
#[cfg(all(test, feature = "s3"))]
mod tests;
#[cfg(feature = "s3")]
mod upload;

pub use config::{ObjectCompression, ObjectConfig, ObjectFormat, ObjectPlace};
#[cfg(feature = "s3")]
pub use sink::ObjectSink;
pub use template::KeyTemplate;
