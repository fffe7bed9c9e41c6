//! The traces that are open: one for the records of a page, from their coming to the checkpoint that covers
//! them. What belongs to several pages, a batch or a checkpoint, is a child of the first and linked to the
//! others (OpenTelemetry specification, "Links between spans").

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tracing::Span;

use crate::model::{Checkpoint, LeaseKey, SequenceNumber};

/// The open traces of the shards that are being read. Where no traces are exported it is empty.
#[derive(Debug, Default)]
pub(super) struct Traces(Mutex<BTreeMap<LeaseKey, VecDeque<Page>>>);

#[derive(Debug)]
struct Page {
    /// Its last record.
    last: SequenceNumber,
    span: Span,
}

impl Traces {
    /// Records have come, and this span is their trace.
    pub(super) fn begin(&self, lease: &LeaseKey, last: &SequenceNumber, span: &Span) {
        if !span.is_disabled() {
            let page = Page { last: last.clone(), span: span.clone() };
            self.lock().entry(lease.clone()).or_default().push_back(page);
        }
    }

    /// The traces of the records from `first` to `last`, in the order of the shard.
    pub(super) fn of(
        &self,
        lease: &LeaseKey,
        first: &SequenceNumber,
        last: &SequenceNumber,
    ) -> Vec<Span> {
        let open = self.lock();
        let Some(pages) = open.get(lease) else { return Vec::new() };
        let begin = pages.partition_point(|page| page.last < *first);
        let end = pages.partition_point(|page| page.last < *last);
        let inside = pages.iter().skip(begin).take(end + 1 - begin.min(end));
        inside.map(|page| page.span.clone()).collect()
    }

    /// The traces that this checkpoint covers; if there is none, the one that it stands in.
    pub(super) fn upto(&self, lease: &LeaseKey, checkpoint: &Checkpoint) -> Vec<Span> {
        let open = self.lock();
        let Some(pages) = open.get(lease) else { return Vec::new() };
        let covered = covered(pages, checkpoint);
        pages.iter().take(covered.max(1)).map(|page| page.span.clone()).collect()
    }

    /// The checkpoint is written: what it covers has ended.
    pub(super) fn end(&self, lease: &LeaseKey, checkpoint: &Checkpoint) {
        if let Some(pages) = self.lock().get_mut(lease) {
            let covered = covered(pages, checkpoint);
            pages.drain(..covered);
        }
    }

    /// The lease came or went: its next owner reads what is open again.
    pub(super) fn forget(&self, lease: &LeaseKey) {
        self.lock().remove(lease);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<LeaseKey, VecDeque<Page>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many pages lie whole before a checkpoint. One that ends within an aggregate counts as whole.
fn covered(pages: &VecDeque<Page>, checkpoint: &Checkpoint) -> usize {
    match checkpoint {
        Checkpoint::After(position) => pages.partition_point(|page| page.last <= position.sequence),
        Checkpoint::ShardEnd => pages.len(),
        Checkpoint::TrimHorizon | Checkpoint::Latest | Checkpoint::AtTimestamp => 0,
    }
}
