//! Batches whose range is in the lease's row before their sink sees them (KCL `prepareCheckpoint`).
//!
//! For each sink that prepares ([`crate::ports::Sink::prepares`]) the row holds, beside the checkpoint,
//! through which place the sink has everything (`done`), and where the batch ends that is on its way
//! (`last`). Whoever takes the lease next reads the shard again from the checkpoint. For such a sink
//!
//! - events up to `done` are delivered already, and are not sent again;
//! - those up to `last` make one batch that ends exactly there, whatever the limits say: the sink names
//!   what it writes by the range, so it overwrites what the former owner may have written;
//! - then batches are closed as always.
//!
//! A batch is through when its refused events are with the dead-letter sink. Until then the next one is
//! not prepared and none of its events is settled, so that a replay makes the same batch again, refuses
//! the same events, and none is taken for delivered.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tracing::{error, info};

use super::{NamedSink, queue::Queued};
use crate::{
    etl::Delivery,
    model::{Checkpoint, Lease, PendingCheckpoint, Place, Position},
};

/// The version of what is written; another one is not understood.
const VERSION: u32 = 1;

/// The row's `pendingCheckpointState`, as JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    version: u32,
    sinks: BTreeMap<String, Range>,
}

/// How far one sink is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Range {
    /// It has everything up to here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    done: Option<Place>,
    /// Where the batch begins that is on its way. Only for a shard that is read from `LATEST` and has no
    /// checkpoint: a later owner may begin to read before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first: Option<Place>,
    /// Where the batch ends that is on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<Place>,
}

/// What is prepared on one shard.
#[derive(Debug)]
pub(super) struct Prepared {
    /// By the index of the sink; `None` for a sink that does not prepare.
    sinks: Vec<Option<PreparedSink>>,
    /// What the row says of sinks that this configuration does not have, or that do not prepare in it:
    /// for a worker that has them.
    others: BTreeMap<String, Range>,
    /// Whether the shard is read from `LATEST`, without a checkpoint.
    from_latest: bool,
}

#[derive(Debug)]
struct PreparedSink {
    name: Arc<str>,
    range: Range,
    /// The batch up to `last` is a former owner's, and not all of it is there yet.
    rebuilding: bool,
    /// The furthest place that came. A record may be read twice.
    seen: Option<Place>,
    /// Dead letters of the batch on its way that their sink does not have yet.
    letters: usize,
}

/// What the row must say before a batch may be delivered.
#[derive(Clone, Debug)]
pub(super) struct Announced {
    sink: Arc<str>,
    last: Place,
}

impl Prepared {
    /// What the row of a lease that was just taken says; without a lease nothing is prepared.
    pub(super) fn new(sinks: &[NamedSink], lease: Option<&Lease>) -> Self {
        let mut ranges = lease.map(ranges).unwrap_or_default();
        let own = |sink: &NamedSink| {
            let lease = lease.filter(|_| sink.sink.prepares())?;
            let range = ranges.remove(&*sink.name).unwrap_or_default();
            if range != Range::default() {
                let shown = |place: &Option<Place>| place.as_ref().map(ToString::to_string);
                info!(lease = %lease.key, sink = %sink.name, done = shown(&range.done),
                    last = shown(&range.last), "goes on with what is prepared");
            }
            Some(PreparedSink {
                name: Arc::clone(&sink.name),
                rebuilding: range.last.is_some(),
                seen: range.done.clone(),
                range,
                letters: 0,
            })
        };
        let sinks = sinks.iter().map(own).collect();
        let from_latest = lease.is_some_and(|lease| lease.checkpoint == Checkpoint::Latest);
        Self { sinks, others: ranges, from_latest }
    }

    /// For each sink whether it prepares, and where its first batch must end.
    pub(super) fn ends(&self) -> impl Iterator<Item = Option<Option<&Place>>> {
        self.sinks.iter().map(|sink| Some(sink.as_ref()?.range.last.as_ref()))
    }

    /// Whether a sink has this delivery already.
    pub(super) fn has(&mut self, delivery: &Delivery) -> bool {
        let Some(sink) = self.sinks.get_mut(delivery.sink).and_then(Option::as_mut) else {
            return false;
        };
        let Some(place) = Place::of(&delivery.output) else { return false };
        let has = sink.has(&place);
        if !has {
            sink.seen = Some(place);
        }
        has
    }

    /// Whether batches of former owners have begun and are not complete yet. How far they are behind the
    /// checkpoint says nothing: a window may hold that much longer.
    pub(super) fn rebuilds(&self) -> bool {
        self.sinks.iter().flatten().any(PreparedSink::rebuilds)
    }

    /// Whether that is so once these are taken in.
    pub(super) fn rebuilds_with(&self, deliveries: &[Delivery]) -> bool {
        let begins = |delivery: &Delivery| {
            let sink = self.sinks.get(delivery.sink).and_then(Option::as_ref);
            let sink = sink.filter(|sink| sink.rebuilding);
            let place = sink.and_then(|_| Place::of(&delivery.output));
            sink.zip(place).is_some_and(|(sink, place)| !sink.has(&place))
        };
        self.rebuilds() || deliveries.iter().any(begins)
    }

    /// All of a record was taken in, or with `None` of the shard: answers the sinks for which the batch
    /// of a former owner is complete with it.
    pub(super) fn passed(&mut self, position: Option<&Position>) -> Vec<usize> {
        let mut complete = Vec::new();
        for (index, sink) in self.sinks.iter_mut().enumerate() {
            let Some(sink) = sink.as_mut().filter(|sink| sink.rebuilding) else { continue };
            let Some(last) = &sink.range.last else { continue };
            let beyond = position.is_none_or(|position| *position > last.position);
            if beyond || sink.seen.as_ref() >= Some(last) {
                sink.rebuilding = false;
                complete.push(index);
            }
        }
        complete
    }

    /// A batch of this sink is about to be delivered: what the row must say before.
    pub(super) fn begin(&mut self, sink: usize, batch: &[Queued]) -> Option<Announced> {
        let from_latest = self.from_latest;
        let sink = self.sinks.get_mut(sink)?.as_mut()?;
        let place =
            |queued: Option<&Queued>| queued.and_then(|one| Place::of(&one.delivery.output));
        if sink.range.last.is_none() {
            sink.range.last = Some(place(batch.last())?);
            let beginning = from_latest && sink.range.done.is_none();
            sink.range.first = if beginning { place(batch.first()) } else { None };
        }
        Some(Announced { sink: Arc::clone(&sink.name), last: sink.range.last.clone()? })
    }

    /// The batch of this sink has its verdicts; so many of its events are dead letters. Answers whether
    /// it is through.
    pub(super) fn delivered(&mut self, sink: usize, letters: usize) -> bool {
        let Some(sink) = self.sinks.get_mut(sink).and_then(Option::as_mut) else { return true };
        sink.letters = letters;
        sink.ends_if_through()
    }

    /// A dead letter of the batch of this sink is settled. Answers whether the batch is through.
    pub(super) fn letter_settled(&mut self, sink: usize) -> bool {
        let Some(sink) = self.sinks.get_mut(sink).and_then(Option::as_mut) else { return false };
        sink.letters = sink.letters.saturating_sub(1);
        sink.ends_if_through()
    }

    /// What a write of this checkpoint says to be prepared beyond it.
    pub(super) fn pending(&self, checkpoint: &Checkpoint) -> Option<PendingCheckpoint> {
        if self.others.is_empty() && self.sinks.iter().all(Option::is_none) {
            return None;
        }
        let own = self.sinks.iter().flatten().map(|sink| (&*sink.name, &sink.range));
        let others = self.others.iter().map(|(name, range)| (name.as_str(), range));
        let mut state = State { version: VERSION, ..State::default() };
        let mut furthest: Option<&Position> = None;
        for (name, range) in own.chain(others) {
            let range = range.beyond(checkpoint);
            if range != Range::default() {
                state.sinks.insert(name.to_owned(), range);
            }
        }
        for range in state.sinks.values() {
            furthest = furthest.max(range.furthest());
        }
        let position = furthest?.clone();
        // A state is plain data: writing it cannot fail.
        let state = serde_json::to_vec(&state).ok().map(Bytes::from);
        Some(PendingCheckpoint { position, state })
    }
}

impl PreparedSink {
    fn has(&self, place: &Place) -> bool {
        let before = self.range.first.as_ref().is_some_and(|first| place < first);
        before || self.seen.as_ref().is_some_and(|seen| place <= seen)
    }

    fn rebuilds(&self) -> bool {
        self.rebuilding && self.seen != self.range.done
    }

    fn ends_if_through(&mut self) -> bool {
        let through = self.letters == 0;
        if through && let Some(last) = self.range.last.take() {
            self.range = Range { done: Some(last), ..Range::default() };
        }
        through
    }
}

impl Range {
    /// What of it a checkpoint does not say anyway.
    fn beyond(&self, checkpoint: &Checkpoint) -> Self {
        let said = |place: &Place| match checkpoint {
            Checkpoint::After(position) => place.position <= *position,
            Checkpoint::ShardEnd => true,
            _ => false,
        };
        let left = |place: &Option<Place>| place.clone().filter(|place| !said(place));
        let last = left(&self.last);
        Self { done: left(&self.done), first: last.as_ref().and(left(&self.first)), last }
    }

    fn furthest(&self) -> Option<&Position> {
        self.done.iter().chain(&self.last).map(|place| &place.position).max()
    }
}

impl Announced {
    /// Whether the row says it.
    pub(super) fn is_in(&self, row: &PendingCheckpoint) -> bool {
        let state = row.state.as_deref().and_then(|state| read(state).ok());
        let range = state.as_ref().and_then(|state| state.sinks.get(&*self.sink));
        range.is_some_and(|range| range.last.as_ref() == Some(&self.last))
    }
}

/// What the row of a lease says of each sink.
fn ranges(lease: &Lease) -> BTreeMap<String, Range> {
    let Some(pending) = &lease.pending else { return BTreeMap::new() };
    match pending.state.as_deref().map(read) {
        Some(Ok(state)) => {
            let ranges = state.sinks.into_iter();
            ranges.map(|(name, range)| (name, range.beyond(&lease.checkpoint))).collect()
        }
        Some(Err(problem)) => {
            error!(lease = %lease.key, up_to = %pending.position, problem,
                "cannot read what is prepared on this lease: events beyond its checkpoint may be \
                 delivered twice");
            BTreeMap::new()
        }
        None => BTreeMap::new(),
    }
}

fn read(state: &[u8]) -> Result<State, String> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let Versioned { version } = serde_json::from_slice(state).map_err(|error| error.to_string())?;
    if version != VERSION {
        return Err(format!("it is of version {version}, this program knows version {VERSION}"));
    }
    serde_json::from_slice(state).map_err(|error| error.to_string())
}

#[cfg(test)]
#[path = "prepared_tests.rs"]
mod tests;
