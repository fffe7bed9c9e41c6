//! The queues of one shard: for each sink so many lanes, one batch of each under way at a time.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    BatchLimits, Ticket,
    queue::{Queued, SinkQueue},
};
use crate::model::Place;

/// One lane of one sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LaneId {
    /// Index of the sink.
    pub(super) sink: usize,
    lane: usize,
    /// Whether its batches are prepared.
    pub(super) prepares: bool,
}

/// What goes into which lane of a sink.
#[derive(Clone, Debug)]
pub(super) enum Spread {
    /// So many lanes; events of one partition key share one.
    ByKey(usize),
    /// One lane for events, whose batches are prepared: the first one ends at this place. Another one
    /// for dead letters, which come out of order.
    Prepared(Option<Place>),
}

/// The lanes of all sinks. Events of one partition key share a lane, so their order is kept; with
/// one lane it is the order of the shard.
#[derive(Debug)]
pub(super) struct Lanes(Vec<Vec<Lane>>);

#[derive(Debug)]
struct Lane {
    queue: SinkQueue,
    /// A batch of it is under way.
    busy: bool,
    prepares: bool,
}

/// Of a sink that prepares: the lane of its events, and that of dead letters.
const EVENTS: usize = 0;
const LETTERS: usize = 1;

impl Lanes {
    /// Lanes for sinks with these batches; no number of lanes is below one.
    pub(super) fn new(sinks: impl IntoIterator<Item = (BatchLimits, Spread)>) -> Self {
        Self(sinks.into_iter().map(|(limits, spread)| lanes(limits, spread)).collect())
    }

    /// Queues a delivery behind those of its key.
    pub(super) fn push(&mut self, queued: Queued, now: Instant) {
        let lanes = self.0.get_mut(queued.delivery.sink);
        let lanes = lanes.expect("the configuration names every sink");
        let lane = match lanes.as_slice() {
            [_] => 0,
            [Lane { prepares: true, .. }, ..] => {
                if queued.is_letter() {
                    LETTERS
                } else {
                    EVENTS
                }
            }
            several => lane_of(&queued.delivery.output.partition_key, several.len()),
        };
        lanes.get_mut(lane).expect("a lane below their number").queue.push(queued, now);
    }

    /// All of the batch is there that a former owner has prepared for this sink. Answers whether there
    /// is anything in it.
    pub(super) fn complete(&mut self, sink: usize) -> bool {
        let lane = self.0.get_mut(sink).and_then(|lanes| lanes.get_mut(EVENTS));
        lane.is_some_and(|lane| lane.queue.complete())
    }

    /// Takes the batches of idle lanes that are due; with `flush` all that is there. Their lanes are
    /// busy until [`Self::free`].
    pub(super) fn take_due(&mut self, now: Instant, flush: bool) -> Vec<(LaneId, Vec<Queued>)> {
        let mut batches = Vec::new();
        for (sink, lanes) in self.0.iter_mut().enumerate() {
            for (number, lane) in lanes.iter_mut().enumerate() {
                let due = lane.queue.due().is_some_and(|due| flush || due <= now);
                if due && !lane.busy {
                    lane.busy = true;
                    let id = LaneId { sink, lane: number, prepares: lane.prepares };
                    batches.push((id, lane.queue.take(now)));
                }
            }
        }
        batches
    }

    /// The batch of this lane is through.
    pub(super) fn free(&mut self, id: LaneId) {
        let lane = self.0.get_mut(id.sink).and_then(|lanes| lanes.get_mut(id.lane));
        lane.expect("ids come from these lanes").busy = false;
    }

    /// The prepared batch of this sink is through.
    pub(super) fn free_prepared(&mut self, sink: usize) {
        self.free(LaneId { sink, lane: EVENTS, prepares: true });
    }

    /// When the next batch of an idle lane is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.all().filter(|lane| !lane.busy).filter_map(|lane| lane.queue.due()).min()
    }

    /// Whether nothing waits. Batches under way are not seen here.
    pub(super) fn is_empty(&self) -> bool {
        self.all().all(|lane| lane.queue.is_empty())
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.all().map(|lane| lane.queue.bytes()).sum()
    }

    /// Forgets what belongs to records after `last`: they will be read again.
    pub(super) fn forget_after(&mut self, last: Option<Ticket>) {
        self.0.iter_mut().flatten().for_each(|lane| lane.queue.forget_after(last));
    }

    fn all(&self) -> impl Iterator<Item = &Lane> {
        self.0.iter().flatten()
    }
}

fn lanes(limits: BatchLimits, spread: Spread) -> Vec<Lane> {
    let lane = |queue, prepares| Lane { queue, busy: false, prepares };
    match spread {
        Spread::ByKey(count) => {
            (0..count.max(1)).map(|_| lane(SinkQueue::new(limits), false)).collect()
        }
        Spread::Prepared(last) => {
            // Letters are named one by one, so there is nothing to wait for.
            let letters = BatchLimits { window: Duration::ZERO, ..limits };
            vec![
                lane(SinkQueue::ending_at(limits, last), true),
                lane(SinkQueue::new(letters), false),
            ]
        }
    }
}

fn lane_of(partition_key: &str, lanes: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    partition_key.hash(&mut hasher);
    let lane = hasher.finish() % u64::try_from(lanes).unwrap_or(u64::MAX);
    usize::try_from(lane).expect("below a usize")
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use proptest::prelude::*;

    use super::*;
    use crate::{
        consumer::{
            Ledger,
            testing::{delivery, position, record},
        },
        model::EpochMillis,
    };

    const LIMITS: BatchLimits = BatchLimits { events: 3, bytes: 1000, window: Duration::ZERO };

    /// Lanes of one sink with an event for each key, numbered in order.
    fn filled(limits: BatchLimits, count: usize, keys: &[u8]) -> Lanes {
        let mut lanes = Lanes::new([(limits, Spread::ByKey(count))]);
        let mut ledger = Ledger::default();
        for (number, key) in keys.iter().enumerate() {
            let record = record(number, &format!("key-{key}"), "x", EpochMillis(0));
            let ticket = ledger.open((position(number), EpochMillis(0)), 1, None);
            let queued = Queued { delivery: delivery(&record), ticket, record, holds: None };
            lanes.push(queued, Instant::now());
        }
        lanes
    }

    fn key(queued: &Queued) -> Arc<str> {
        Arc::clone(&queued.delivery.output.partition_key)
    }

    #[tokio::test(start_paused = true)]
    async fn one_lane_is_one_batch_at_a_time() {
        let mut lanes = filled(LIMITS, 1, &[0, 1, 2, 3]);
        let now = Instant::now();
        let [(first, batch)] = lanes.take_due(now, true).try_into().unwrap();
        assert_eq!(batch.len(), 3);
        assert!(lanes.take_due(now, true).is_empty(), "the lane is busy");
        assert_eq!(lanes.next_due(), None);
        assert!(!lanes.is_empty());
        lanes.free(first);
        assert_eq!(lanes.take_due(now, true).len(), 1);
        assert!(lanes.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn each_lane_waits_for_its_own_window() {
        let window = Duration::from_secs(5);
        // Both keys have a lane of their own, which the last lines show.
        let mut lanes = filled(BatchLimits { window, ..LIMITS }, 10, &[0, 1, 1, 1]);
        let now = Instant::now();
        let [(_, full)] = lanes.take_due(now, false).try_into().unwrap();
        assert_eq!(full.len(), 3);
        assert_eq!(lanes.next_due(), Some(now + window));
        let [(_, waited)] = lanes.take_due(now + window, false).try_into().unwrap();
        assert_eq!(waited.len(), 1);
    }

    proptest! {
        /// Whatever the order in which batches come through: as many as there are lanes at most, no
        /// key in two of them, and each key in its order.
        #[test]
        fn keys_keep_their_order(
            count in 1usize..=10,
            keys in prop::collection::vec(0u8..20, 1..80),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 80),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            let _virtual = runtime.as_ref().map(|runtime| runtime.enter());
            let mut lanes = filled(LIMITS, count, &keys);
            let mut under_way: Vec<(LaneId, Vec<Queued>)> = Vec::new();
            let mut through: Vec<Queued> = Vec::new();
            for pick in picks {
                under_way.extend(lanes.take_due(Instant::now(), true));
                prop_assert!(under_way.len() <= count);
                for (index, (_, batch)) in under_way.iter().enumerate() {
                    let others = under_way.iter().skip(index + 1).flat_map(|(_, other)| other);
                    for other in others {
                        prop_assert!(batch.iter().all(|queued| key(queued) != key(other)));
                    }
                }
                if under_way.is_empty() {
                    break;
                }
                let (lane, batch) = under_way.remove(pick.index(under_way.len()));
                through.extend(batch);
                lanes.free(lane);
            }
            prop_assert_eq!(through.len(), keys.len());
            for (index, queued) in through.iter().enumerate() {
                let later = through.iter().skip(index + 1).filter(|other| key(other) == key(queued));
                for other in later {
                    prop_assert!(queued.ticket < other.ticket);
                }
            }
        }
    }
}
