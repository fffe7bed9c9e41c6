//! A sink that is slow, down, forgetful or picky.

use async_trait::async_trait;
use rand::RngExt;
use shardwright::{
    model::OutputEvent,
    ports::{Sink, SinkError, Verdict},
};

use crate::world::{Fate, Port, WorkerNo, World};

pub(crate) struct SimSink {
    pub(crate) world: World,
    pub(crate) worker: WorkerNo,
    pub(crate) dead_letters: bool,
}

#[async_trait]
impl Sink for SimSink {
    async fn deliver(&self, events: &[OutputEvent]) -> Result<Vec<Verdict>, SinkError> {
        let down = || Err(SinkError::Unavailable("simulated".to_owned()));
        self.world.lock().audit.begins_delivery(self.worker, events, self.dead_letters);
        match self.world.begin(self.worker, Port::Sink).await {
            Fate::Through => {}
            Fate::Throttled | Fate::Unavailable => return down(),
        }
        let (verdicts, lost) = {
            let mut state = self.world.lock();
            let faults = state.faults;
            if state.rng.random_bool(faults.sink_down) {
                state.count("sink down");
                return down();
            }
            if !self.dead_letters && events.iter().any(|event| has(event, b"spoil ")) {
                state.count("batch refused");
                return Err(SinkError::BatchRefused("simulated".to_owned()));
            }
            let mut verdicts = Vec::new();
            for event in events {
                let refused = !self.dead_letters && has(event, b"refuse ");
                let verdict = if refused {
                    state.count("sink refused an event");
                    Verdict::Refused("simulated".to_owned())
                } else if state.rng.random_bool(faults.sink_partial) {
                    state.count("sink put off events");
                    Verdict::Retry("simulated".to_owned())
                } else {
                    let now = state.now();
                    if state.audit.delivered(self.worker, event, self.dead_letters, now) {
                        state.count("event given up");
                    }
                    Verdict::Accepted
                };
                verdicts.push(verdict);
            }
            (verdicts, state.rng.random_bool(faults.sink_answer_lost))
        };
        self.world.answer().await;
        let mut state = self.world.lock();
        if lost {
            state.count("sink answer lost");
            return down();
        }
        if state.audit.acknowledged(self.worker, events, self.dead_letters) {
            state.count("lane overtaken");
        }
        Ok(verdicts)
    }

    async fn check(&self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

fn has(event: &OutputEvent, text: &[u8]) -> bool {
    event.json.windows(text.len()).any(|window| window == text)
}
