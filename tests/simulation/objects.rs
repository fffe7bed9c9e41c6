//! An object store, and sinks on it that prepare: what they put is named by the range of its batch. With
//! two of them each has ranges of its own, and one lags behind.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rand::RngExt;
use shardwright::{
    model::{self, Invariant, Lease, OutputEvent, Position},
    ports::{SinkError, Verdict},
};
use tokio::time::sleep;

use crate::{
    audit::Grant,
    sink::{SimSink, down, has},
    stream::Place,
    world::{Fate, Port, State},
};

/// The objects of all shards, as a listing shows them.
#[derive(Default)]
pub(crate) struct Objects {
    all: BTreeMap<Key, Object>,
}

/// A sink, a shard, the range of a batch, and the part of it.
type Key = (SinkName, Place, Option<model::Place>, Option<model::Place>, u64);

/// The name of a sink that prepares.
pub(crate) type SinkName = &'static str;

pub(crate) const OUT: SinkName = "out";
/// The sink of copies, which lags behind and refuses nothing.
pub(crate) const AGAIN: SinkName = "again";

struct Object {
    by: Grant,
    events: BTreeSet<Position>,
}

/// A batch goes into so many objects, as one with partitions does.
const PARTS: u64 = 2;

impl Objects {
    fn has_batch(&self, sink: SinkName, place: &Place, last: &model::Place) -> bool {
        let of = self.all.keys().filter(|(by, of, ..)| *by == sink && of == place);
        of.into_iter().any(|(_, _, _, end, _)| end.as_ref() == Some(last))
    }

    /// How many objects of a sink hold an event.
    fn holding(&self, sink: SinkName, place: &Place, position: &Position) -> usize {
        let of = self.all.iter().filter(|((by, of, ..), _)| *by == sink && of == place);
        of.filter(|(_, object)| object.events.contains(position)).count()
    }
}

/// Where the batch of a sink ends that a row says to be prepared.
fn prepared(row: &Lease, sink: SinkName) -> Option<model::Place> {
    let state = row.pending.as_ref()?.state.as_ref()?;
    let state: serde_json::Value = serde_json::from_slice(state).ok()?;
    state.get("sinks")?.get(sink)?.get("last")?.as_str()?.parse().ok()
}

impl State {
    /// EO-1, at the beginning of a delivery: the row says what is delivered.
    pub(crate) fn must_be_prepared(
        &mut self,
        sink: SinkName,
        grant: Grant,
        events: &[OutputEvent],
    ) {
        let Some(last) = events.last() else { return };
        let place = Place::of_event(&last.id);
        if self.audit.is_disowned(&place, grant.0) {
            // It may put again what its successor puts too: the same object.
            return;
        }
        let row = self.table.rows.values().find(|row| Place::of(row) == place);
        let said = row.and_then(|row| prepared(row, sink));
        let last_place = model::Place::of(last);
        // What is not kept any more is in no batch that is made again.
        let cut_short = self.counter("trim") > 0 && said > last_place;
        if said != last_place && !cut_short {
            let what =
                format!("w{} puts a batch up to {}, the row says {said:?}", grant.0, last.id);
            self.audit.broken(Invariant::ObjectsHoldOnce, what);
        }
    }

    /// A lease changes hands while a batch is prepared.
    pub(crate) fn taken_over(&mut self, row: &Lease) {
        for sink in [OUT, AGAIN] {
            let Some(last) = prepared(row, sink) else { continue };
            let put = self.objects.has_batch(sink, &Place::of(row), &last);
            self.count(if put {
                "prepared batch taken over after it was put"
            } else {
                "prepared batch taken over before it was put"
            });
        }
    }

    /// Puts one of a batch's objects.
    fn put_object(&mut self, sink: SinkName, grant: Grant, events: &[OutputEvent], part: u64) {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return };
        let place = Place::of_event(&first.id);
        let of_part = |event: &&OutputEvent| {
            let number: u64 = event.id.position.sequence.as_str().parse().unwrap();
            number % PARTS == part && !(sink == OUT && has(event, b"refuse "))
        };
        let events: Vec<&OutputEvent> = events.iter().filter(of_part).collect();
        if events.is_empty() {
            return;
        }
        let key = (sink, place, model::Place::of(first), model::Place::of(last), part);
        let held = events.iter().map(|event| event.id.position.clone()).collect();
        let before = self.objects.all.insert(key, Object { by: grant, events: held });
        if before.is_some_and(|before| before.by != grant) {
            self.count("object put again by a later owner");
        }
        for event in events {
            if sink == OUT { self.audit.delivered(event) } else { self.audit.copied(event) }
        }
    }

    /// EO-1, at the end: each event that was delivered is in one object. Where records were trimmed, a
    /// later owner may have found less in a range than the former one.
    pub(crate) fn check_objects(&mut self) {
        if self.audit.preparing.is_empty() || self.counter("trim") > 0 {
            return;
        }
        let delivered = self.audit.delivered_events().into_iter().map(|event| (OUT, event));
        let copied = self.audit.copied_events().into_iter().map(|event| (AGAIN, event));
        for (sink, (place, position)) in delivered.chain(copied).collect::<Vec<_>>() {
            let holding = self.objects.holding(sink, &place, &position);
            if holding != 1 {
                let what = format!("{holding} objects of {sink} hold {position} of {place}");
                self.audit.broken(Invariant::ObjectsHoldOnce, what);
            }
        }
    }
}

impl SimSink {
    /// Puts a batch as objects, one after the other; any of them may fail.
    pub(crate) async fn put(
        self,
        grant: Grant,
        events: Vec<OutputEvent>,
    ) -> Result<Vec<Verdict>, SinkError> {
        match self.world.begin(self.worker, Port::Sink).await {
            Fate::Through => {}
            Fate::Throttled | Fate::Unavailable => return Err(down()),
        }
        for part in 0..PARTS {
            self.dawdle().await;
            self.lag().await;
            let mut state = self.world.lock();
            let faults = state.faults;
            if state.rng.random_bool(faults.sink_down) {
                state.count("sink down");
                if part > 0 {
                    return Err(down());
                }
                // Its halves would be other objects.
                state.count("prepared batch refused");
                return Err(SinkError::BatchRefused("simulated".to_owned()));
            }
            state.put_object(self.name, grant, &events, part);
        }
        let lost = {
            let mut state = self.world.lock();
            state.arrived(self.worker, &events, false);
            let chance = state.faults.sink_answer_lost;
            state.rng.random_bool(chance)
        };
        self.world.answer().await;
        let mut state = self.world.lock();
        if lost {
            state.count("sink answer lost");
            return Err(down());
        }
        state.audit.acknowledged(self.name, grant, &events);
        let refuses = |event: &OutputEvent| self.name == OUT && has(event, b"refuse ");
        let verdict = |event| match refuses(event) {
            true => Verdict::Refused("simulated".to_owned()),
            false => Verdict::Accepted,
        };
        events.iter().filter(|event| refuses(event)).for_each(|event| {
            state.audit.refused(event);
        });
        Ok(events.iter().map(verdict).collect())
    }

    /// The sink of copies is never as fast as the other one.
    async fn lag(&self) {
        if self.name == AGAIN {
            let pause = self.world.lock().rng.random_range(50..500);
            sleep(Duration::from_millis(pause)).await;
        }
    }
}
