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
        self.world.lock().audit.begins_delivery(self.worker, events);
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
                    state.audit.delivered(event, self.dead_letters);
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
        state.audit.acknowledged(self.worker, events, self.dead_letters);
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
