//! Objects in S3, in Azure Blob Storage, in Google Cloud Storage or in a folder: each batch becomes one object, or one for each partition.
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
//! - Limits: an event whose key would be too long, or which does not fit the columns of `parquet`, is
//!   refused alone. The same one is on a replay, so the object is the same.
//!
//! `config` is what people write, `column` the columns of `parquet` and `json_schema` where they may come
//! from, `template` the keys, `name` the names of objects, `partition` a batch by its keys, `encode` and
//! `parquet` events as the bytes of an object, `encoded` what they came to, `s3`, `azure`, `gcs` and `store`
//! the stores, `credentials` and `http` what they are reached by, `upload` one object, `sink` the port.

#[cfg(feature = "azure")]
mod azure;
mod column;
mod config;
#[cfg(feature = "s3")]
mod credentials;
#[cfg(feature = "objects")]
mod encode;
#[cfg(feature = "objects")]
mod encoded;
#[cfg(feature = "gcs")]
mod gcs;
#[cfg(any(feature = "azure", feature = "gcs", feature = "s3"))]
mod http;
mod json_schema;
#[cfg(feature = "objects")]
mod name;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "objects")]
mod partition;
#[cfg(feature = "s3")]
mod s3;
#[cfg(feature = "objects")]
mod sink;
#[cfg(feature = "objects")]
mod store;
mod template;
#[cfg(all(test, feature = "objects"))]
mod tests;
#[cfg(feature = "objects")]
mod upload;

pub use column::{Column, ColumnType, ScalarType};
pub use config::{ObjectCompression, ObjectConfig, ObjectFormat, ObjectPlace};
pub use json_schema::columns_of_schema;
#[cfg(feature = "objects")]
pub use sink::ObjectSink;
pub use template::KeyTemplate;
