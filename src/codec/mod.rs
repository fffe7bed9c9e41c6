//! The codec: record payloads in, log events out, and back. Pure: no I/O, no clock.
//!
//! A Kinesis record passes these steps, each in its own file:
//! 1. [`mod@deaggregate`]: a KPL aggregate becomes its user records, anything else is one user record.
//!    This comes first: a user record may itself be a gzip envelope.
//! 2. [`payload`]: what the bytes are: gzip, zlib, plain, or base64 text of these;
//!    [`mod@gunzip`] inflates, never past a cap.
//! 3. [`envelope`]: the JSON of a CloudWatch Logs subscription becomes events; [`json`] reads the
//!    documents of other producers.
//! 4. [`render`]: one event as one JSON line; [`event_line`] reads it back.
//!
//! [`decode_user_record`] is steps 2 and 3 for one user record, and so is [`decode_unread`], for those
//! who will not look into its messages. [`encode`] writes envelopes, for the producer and for tests.
//!
//! A payload that cannot be read is refused whole, with a [`DecodeError`] that names a stage and a
//! reason: a refused record gives no event, so its dead letter is the only trace it leaves.

pub mod deaggregate;
pub mod decode;
pub mod encode;
pub mod envelope;
pub mod error;
pub mod event_line;
mod field;
pub mod gunzip;
pub mod json;
pub mod payload;
pub mod render;
pub mod shard_keys;

pub use deaggregate::{Deaggregated, KplRecord, aggregate, deaggregate, has_unreadable_members};
pub use decode::{DecodeLimits, Decoded, decode_unread, decode_user_record};
pub use encode::{control_envelope, encode_envelope};
pub use envelope::{Envelope, EnvelopeError, parse_envelopes};
pub use error::DecodeError;
pub use event_line::{EventLineError, parse_event_line};
pub use gunzip::{GunzipError, gunzip, gzip};
pub use render::{render_event, render_header, render_rest};
pub use shard_keys::ShardKeys;
