//! Reading as a consumer reads: page by page, to the tip of a shard or to its end.

use std::time::Duration;

use shardwright::{
    model::{ChildShard, RawRecord, ShardId},
    ports::{ShardIterator, StartAt, StreamReader},
};

/// More than any server asks for.
pub(super) const ALL: u32 = 10_000;
/// Empty pages at the tip in a row after which nothing more is to come. kinesalite gives one before
/// it says that a shard has ended, as AWS may.
const PATIENCE: u32 = 2;

/// What was read.
#[derive(Default)]
pub(super) struct Drained {
    pub(super) records: Vec<RawRecord>,
    /// The shard said that it has ended.
    pub(super) ended: bool,
    /// Who goes on, as the last page said.
    pub(super) children: Vec<ChildShard>,
    /// What the last page said.
    pub(super) behind: Duration,
    /// Records of each page.
    pub(super) pages: Vec<usize>,
}

impl Drained {
    /// The payloads, as text.
    pub(super) fn payloads(&self) -> Vec<String> {
        let payloads = self.records.iter().map(|record| String::from_utf8_lossy(&record.data));
        payloads.map(String::from).collect()
    }
}

/// Reads from a place on.
pub(super) async fn drain(reader: &dyn StreamReader, mut at: ShardIterator, limit: u32) -> Drained {
    let mut drained = Drained::default();
    let mut idle = 0;
    loop {
        let page = reader.records(&at, limit).await.unwrap();
        drained.behind = page.behind_latest;
        drained.children = page.children;
        drained.pages.push(page.records.len());
        let is_idle = page.records.is_empty() && page.behind_latest.is_zero();
        idle = if is_idle { idle + 1 } else { 0 };
        drained.records.extend(page.records);
        match page.next {
            None => {
                drained.ended = true;
                return drained;
            }
            Some(_) if idle == PATIENCE => return drained,
            Some(next) => at = next,
        }
    }
}

/// Reads a shard from a start on.
pub(super) async fn drain_from(
    reader: &dyn StreamReader,
    shard: &ShardId,
    start: &StartAt,
) -> Drained {
    let at = reader.iterator(shard, start).await.unwrap();
    drain(reader, at, ALL).await
}
