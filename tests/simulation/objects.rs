//! An object store, and a sink on it that prepares: what it puts is named by the range of its batch.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use shardwright::{
    model::{self, Invariant, Lease, OutputEvent, Position},
    ports::{SinkError, Verdict},
};

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

/// A shard, the range of a batch, and the part of it.
type Key = (Place, Option<model::Place>, Option<model::Place>, u64);

struct Object {
    by: Grant,
    events: BTreeSet<Position>,
}

/// A batch goes into so many objects, as one with partitions does.
const PARTS: u64 = 2;

impl Objects {
    fn has_batch(&self, place: &Place, last: &model::Place) -> bool {
        self.all.keys().any(|(of, _, end, _)| of == place && end.as_ref() == Some(last))
    }

    /// How many objects hold an event.
    pub(crate) fn holding(&self, place: &Place, position: &Position) -> usize {
        let of = self.all.iter().filter(|((of, ..), _)| of == place);
        of.filter(|(_, object)| object.events.contains(position)).count()
    }
}

/// Where the batch ends that a row says to be prepared.
pub(crate) fn prepared(row: &Lease) -> Option<model::Place> {
    let state = row.pending.as_ref()?.state.as_ref()?;
    let state: serde_json::Value = serde_json::from_slice(state).ok()?;
    state.get("sinks")?.get("out")?.get("last")?.as_str()?.parse().ok()
}

impl State {
    /// EO-1, at the beginning of a delivery: the row says what is delivered.
    pub(crate) fn must_be_prepared(&mut self, grant: Grant, events: &[OutputEvent]) {
        let Some(last) = events.last() else { return };
        let place = Place::of_event(&last.id);
        let said = self.table.rows.values().find(|row| Place::of(row) == place).and_then(prepared);
        if said != model::Place::of(last) {
            let what =
                format!("w{} puts a batch up to {}, the row says {said:?}", grant.0, last.id);
            self.audit.broken(Invariant::ObjectsHoldOnce, what);
        }
    }

    /// A lease changes hands while a batch is prepared.
    pub(crate) fn taken_over(&mut self, row: &Lease) {
        let Some(last) = prepared(row) else { return };
        let put = self.objects.has_batch(&Place::of(row), &last);
        self.count(if put {
            "prepared batch taken over after it was put"
        } else {
            "prepared batch taken over before it was put"
        });
    }

    /// Puts one of a batch's objects.
    fn put_object(&mut self, grant: Grant, events: &[OutputEvent], part: u64) {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return };
        let place = Place::of_event(&first.id);
        let of_part = |event: &&OutputEvent| {
            let number: u64 = event.id.position.sequence.as_str().parse().unwrap();
            number % PARTS == part && !has(event, b"refuse ")
        };
        let events: Vec<&OutputEvent> = events.iter().filter(of_part).collect();
        if events.is_empty() {
            return;
        }
        let key = (place, model::Place::of(first), model::Place::of(last), part);
        let held = events.iter().map(|event| event.id.position.clone()).collect();
        let before = self.objects.all.insert(key, Object { by: grant, events: held });
        if before.is_some_and(|before| before.by != grant) {
            self.count("object put again by a later owner");
        }
        for event in events {
            self.audit.delivered(event);
        }
    }

    /// EO-1, at the end: each event that was delivered is in one object. Where records were trimmed, a
    /// later owner may have found less in a range than the former one.
    pub(crate) fn check_objects(&mut self) {
        if !self.audit.prepares || self.counter("trim") > 0 {
            return;
        }
        let delivered: Vec<(Place, Position)> = self.audit.delivered_events();
        for (place, position) in delivered {
            let holding = self.objects.holding(&place, &position);
            if holding != 1 {
                let what = format!("{holding} objects hold {position} of {place}");
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
            let mut state = self.world.lock();
            let faults = state.faults;
            if state.rng.random_bool(faults.sink_down) {
                state.count("sink down");
                return Err(down());
            }
            state.put_object(grant, &events, part);
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
        state.audit.acknowledged(grant, &events);
        let verdict = |event| match has(event, b"refuse ") {
            true => Verdict::Refused("simulated".to_owned()),
            false => Verdict::Accepted,
        };
        events.iter().filter(|event| has(event, b"refuse ")).for_each(|event| {
            state.audit.refused(event);
        });
        Ok(events.iter().map(verdict).collect())
    }
}
