//! JSON lines into files of a directory.
//!
//! A file is written under the name `<prefix>-<opened, UTC>-<run>-<number>.jsonl[.gz|.zst].open` and
//! loses the `.open` when it is finished: by size, by age, or when the sink closes. So what has no
//! `.open` never changes again and may be shipped away, and what has it can be followed with
//! `tail -f`. Names carry a run of their own for each process: no file is ever opened a second time,
//! and several processes may share a directory.
//!
//! - Order: kept within a batch; batches of several shards follow each other in one file.
//! - Replay: an event delivered again is written again; readers recognise it by what is in it.
//! - Durability: see [`Fsync`]. With compression each batch is a gzip member or a zstd frame of its
//!   own, so what was accepted can be read after a crash; small batches compress badly.
//! - A crash leaves `.open` files. The next process that opens the directory with the same prefix
//!   finds that nobody holds their locks, cuts off half a last line (plain files), and finishes them.
//!   A compressed one may end in half a member: nothing in it had been accepted.
//!
//! `config` is what people write, `writer` the one file being written, `recover` what a crash left,
//! `sink` the port on top of them; `read` reads the files back.

mod config;
mod encode;
mod read;
mod recover;
mod sink;
#[cfg(test)]
mod tests;
mod writer;

pub use config::{Compression, FileConfig, Fsync};
pub use read::{Line, LineFile, written_files};
pub use sink::FileSink;
