//! Batches as HTTP requests: JSON lines or arrays to any endpoint, `_bulk` of Elasticsearch and
//! OpenSearch, Loki's push.
//!
//! - Order: kept within a request, and from request to request of one shard. `_bulk` may take some
//!   events and leave others, which come later.
//! - Replay: `_bulk` knows an event again by its document id; Loki drops a line that it has with the
//!   same time and labels; other endpoints get it again.
//! - Limits: those of the server. A batch that it refuses (4xx) is split until the event that it
//!   refuses is alone.
//! - Durability: what the server says with its 2xx.
//!
//! | Answer | What happens |
//! |---|---|
//! | 2xx | accepted; the items of `_bulk` each by their own status |
//! | 408, 425, 429, 5xx | sent again, not before `Retry-After` |
//! | 3xx, 401, 403, 404, 405, 407, 410, 421 | sent again: a human must change something, no event is at fault |
//! | other 4xx | the batch is refused |
//!
//! `config` is what people write, `body` what is sent, `bulk` and `loki` the two protocols, `client`
//! the connection, `answer` what an answer means, `sink` the port.

mod answer;
mod body;
mod bulk;
mod client;
mod config;
mod loki;
mod sink;
#[cfg(test)]
mod tests;

pub use config::{BodyFormat, BulkAction, HttpCompression, HttpConfig, Preset};
pub use sink::HttpSink;
