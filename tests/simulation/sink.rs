//! A sink that is slow, down, forgetful or picky.

use std::time::Duration;

use async_trait::async_trait;
use rand::RngExt;
use shardwright::{
    model::{Invariant, OutputEvent},
    ports::{Sink, SinkError, Verdict},
};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    audit::Grant,
    known::Part,
    objects::{AGAIN, SinkName},
    stream::Place,
    world::{Fate, Port, State, WorkerNo, World},
};

#[derive(Clone)]
pub(crate) struct SimSink {
    pub(crate) world: World,
    pub(crate) worker: WorkerNo,
    pub(crate) name: SinkName,
    pub(crate) dead_letters: bool,
    /// Whether it puts objects that are named by the range of a batch.
    pub(crate) prepares: bool,
}

pub(crate) fn down() -> SinkError {
    SinkError::Unavailable("simulated".to_owned())
}

impl SimSink {
    async fn take(self, grant: Grant, events: Vec<OutputEvent>) -> Result<Vec<Verdict>, SinkError> {
        match self.world.begin(self.worker, Port::Sink).await {
            Fate::Through => {}
            Fate::Throttled | Fate::Unavailable => return Err(down()),
        }
        self.dawdle().await;
        let (verdicts, lost) = {
            let mut state = self.world.lock();
            let faults = state.faults;
            if state.rng.random_bool(faults.sink_down) {
                state.count("sink down");
                return Err(down());
            }
            if !self.dead_letters && events.iter().any(|event| has(event, b"spoil ")) {
                state.count("batch refused");
                return Err(SinkError::BatchRefused("simulated".to_owned()));
            }
            state.arrived(self.worker, &events, self.dead_letters);
            let verdicts =
                events.iter().map(|event| self.verdict(&mut state, grant, event)).collect();
            (verdicts, state.rng.random_bool(faults.sink_answer_lost))
        };
        self.world.answer().await;
        let mut state = self.world.lock();
        if lost {
            state.count("sink answer lost");
            return Err(down());
        }
        if !self.dead_letters && state.audit.acknowledged(self.name, grant, &events) {
            state.count("lane overtaken");
        }
        Ok(verdicts)
    }

    /// Some calls take longer than a lease lasts.
    pub(crate) async fn dawdle(&self) {
        let pause = {
            let mut state = self.world.lock();
            let chance = state.faults.sink_slow;
            let slow = state.rng.random_bool(chance);
            if slow {
                state.count("sink slow");
            }
            Duration::from_millis(if slow { state.rng.random_range(1_000..25_000) } else { 0 })
        };
        sleep(pause).await;
        let hangs = self.world.lock().sinks_hang.get(&self.worker).copied();
        if let Some(until) = hangs {
            sleep_until(until).await;
        }
    }

    fn verdict(&self, state: &mut State, grant: Grant, event: &OutputEvent) -> Verdict {
        let faults = state.faults;
        let picky = has(event, b"refuse ") || state.rng.random_bool(faults.sink_refuses);
        if picky && !self.dead_letters {
            state.count("event refused");
            state.audit.refused(event);
            return Verdict::Refused("simulated".to_owned());
        }
        if state.rng.random_bool(faults.sink_partial) {
            state.count("event put off");
            return Verdict::Retry("simulated".to_owned());
        }
        if self.dead_letters {
            // Of a record that could not be decoded nothing can be given up, nor of a letter.
            if has(event, b"gave up") && !has(event, b"\"route\":") {
                let what = format!("w{} gives up the letter of {}", self.worker, event.id);
                state.audit.broken(Invariant::AttemptsSpent, what);
            }
            let now = state.now();
            if state.audit.parked(grant, event, now) {
                state.count("event given up");
            }
        } else {
            state.audit.delivered(event);
        }
        Verdict::Accepted
    }
}

impl State {
    pub(crate) fn arrived(&mut self, worker: WorkerNo, events: &[OutputEvent], dead_letters: bool) {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return };
        let place = Place::of_event(&first.id);
        let (first, last) = (&first.id.position, &last.id.position);
        let what = if dead_letters { "parks" } else { "delivers" };
        self.note(format!("w{worker} {place} {what} {first} to {last}"));
        self.deliveries.push((Instant::now(), worker, place));
    }
}

#[async_trait]
impl Sink for SimSink {
    async fn deliver(&self, events: &[OutputEvent]) -> Result<Vec<Verdict>, SinkError> {
        let grant = self.world.lock().audit.begins_delivery(self.worker, events, self.dead_letters);
        let delivery = events.to_vec();
        let answer = if self.prepares {
            self.world.lock().must_be_prepared(self.name, grant, events);
            self.world.wire(self.clone().put(grant, delivery)).await
        } else {
            self.world.wire(self.clone().take(grant, delivery)).await
        };
        let part = |event: &OutputEvent| {
            let position = event.id.position.clone();
            if self.name == AGAIN { Part::Copy(position) } else { Part::Event(position) }
        };
        self.world.lock().audit.hears(grant, events, part, &answer);
        answer
    }

    fn prepares(&self) -> bool {
        self.prepares
    }

    async fn check(&self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

pub(crate) fn has(event: &OutputEvent, text: &[u8]) -> bool {
    event.json.windows(text.len()).any(|window| window == text)
}
