//! Rows of a PostgreSQL table: upserts, or COPY where rows are only added.
//!
//! With `exactly_once` the position of a batch's last event is stored in the transaction that writes
//! its rows, in a table of ours beside the target. Every transaction locks the row of its shard and
//! leaves out what is at or before the stored position, so a replay changes nothing, and neither does
//! the late transaction of a worker that has lost its lease. A row that the database refuses is noted
//! in the same transaction: were the worker killed before it is a dead letter, the replay would
//! refuse it again.
//!
//! This rests on two things: a shard's events come in order, one batch at a time, and none is left
//! out. So a sink with `exactly_once` has one lane a shard and no limits on retries. Dead letters, and
//! what is replayed from them, come out of order: they are written without a look at positions.
//!
//! - Order: that of the shard.
//! - Replay: changes nothing; without `exactly_once` an upsert of the same rows.
//! - Limits: the database's. A row that it refuses (type, constraint, trigger) is found by splitting
//!   the batch between savepoints, and becomes a dead letter with the database's words.
//! - Durability: accepted is committed.
//!
//! `config` is what people write, `table` what the catalog says of it, `column` a value as text, `row` an event,
//! `positions` our two tables, `write` one transaction, `pool` the connections,
//! `fault` what an error means, `sink` the port.

#[cfg(feature = "postgres")]
mod column;
mod config;
#[cfg(feature = "postgres")]
mod fault;
#[cfg(feature = "postgres")]
mod pool;
#[cfg(feature = "postgres")]
mod positions;
#[cfg(feature = "postgres")]
mod row;
#[cfg(feature = "postgres")]
mod sink;
#[cfg(feature = "postgres")]
mod table;
#[cfg(feature = "postgres")]
mod tls;
#[cfg(feature = "postgres")]
mod write;

pub use config::PostgresConfig;
#[cfg(feature = "postgres")]
pub use sink::PostgresSink;
