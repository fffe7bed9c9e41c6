//! A second home for dead letters that the first one will never take.
//!
//! A dead letter holds its record's bytes, so it may be larger than a sink takes: base64 makes 1.4 MB
//! of a record of 1 MiB. Cutting it would lose bytes and offering it for ever would stop its shard;
//! so it goes to another sink, one without a limit (`dead_letter.fallback`).

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    model::OutputEvent,
    ports::{Sink, SinkError, Verdict},
};

/// A dead-letter sink with another one behind it. What it refuses of ordinary events stays refused:
/// those become dead letters.
pub struct LetterFallback {
    first: Arc<dyn Sink>,
    second: Arc<dyn Sink>,
}

impl LetterFallback {
    /// Letters that `first` refuses go to `second`, which somebody else closes.
    pub fn new(first: Arc<dyn Sink>, second: Arc<dyn Sink>) -> Self {
        Self { first, second }
    }
}

#[async_trait]
impl Sink for LetterFallback {
    async fn deliver(&self, events: &[OutputEvent]) -> Result<Vec<Verdict>, SinkError> {
        let mut verdicts = match (self.first.deliver(events).await, events) {
            // Alone in its batch, it is what was refused.
            (Err(SinkError::BatchRefused(why)), [only]) if only.is_letter() => {
                vec![Verdict::Refused(why)]
            }
            (answer, _) => answer?,
        };
        let mut letters = Vec::new();
        let mut refused = Vec::new();
        for (event, verdict) in events.iter().zip(&mut verdicts) {
            if event.is_letter() && matches!(verdict, Verdict::Refused(_)) {
                letters.push(event.clone());
                refused.push(verdict);
            }
        }
        if letters.is_empty() {
            return Ok(verdicts);
        }
        match self.second.deliver(&letters).await {
            Ok(answers) => {
                for (verdict, answer) in refused.into_iter().zip(answers) {
                    *verdict = answer;
                }
            }
            // What the first one took counts.
            Err(error) => {
                for verdict in refused {
                    *verdict = Verdict::Retry(format!("dead_letter.fallback: {error}"));
                }
            }
        }
        Ok(verdicts)
    }

    fn prepares(&self) -> bool {
        self.first.prepares()
    }

    async fn check(&self) -> Result<(), SinkError> {
        self.first.check().await?;
        self.second.check().await
    }

    async fn close(&self) -> Result<(), SinkError> {
        self.first.close().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{
        model::Share,
        sinks::testing::{event, events},
    };

    /// Refuses what is longer than its limit, or whole batches that hold such; or is down.
    #[derive(Default)]
    struct Small {
        limit: usize,
        whole_batches: bool,
        down: bool,
        taken: Mutex<Vec<OutputEvent>>,
    }

    #[async_trait]
    impl Sink for Small {
        async fn deliver(&self, events: &[OutputEvent]) -> Result<Vec<Verdict>, SinkError> {
            let fits = |event: &OutputEvent| event.json.len() <= self.limit;
            if self.down {
                return Err(SinkError::Unavailable("down".to_owned()));
            }
            if self.whole_batches && !events.iter().all(fits) {
                return Err(SinkError::BatchRefused("too long".to_owned()));
            }
            let verdict = |event: &OutputEvent| match fits(event) {
                true => {
                    self.taken.lock().unwrap().push(event.clone());
                    Verdict::Accepted
                }
                false => Verdict::Refused("too long".to_owned()),
            };
            Ok(events.iter().map(verdict).collect())
        }

        async fn check(&self) -> Result<(), SinkError> {
            Ok(())
        }

        async fn close(&self) -> Result<(), SinkError> {
            Ok(())
        }
    }

    fn letter(number: u64, json: &str) -> OutputEvent {
        OutputEvent { share: Share::Letter { route: None, document: None }, ..event(number, json) }
    }

    fn pair(first: Small, second: Small) -> (LetterFallback, Arc<Small>) {
        let second = Arc::new(second);
        (LetterFallback::new(Arc::new(first), Arc::clone(&second) as Arc<dyn Sink>), second)
    }

    const LARGE: usize = 100;

    #[tokio::test]
    async fn an_oversized_letter_goes_to_the_second_sink_whole() {
        let small = Small { limit: 5, ..Small::default() };
        let (sink, second) = pair(small, Small { limit: LARGE, ..Small::default() });
        let batch = [letter(1, "{}"), letter(2, "{\"long\":1}"), event(3, "{\"long\":1}")];
        let verdicts = sink.deliver(&batch).await.unwrap();
        assert_eq!(verdicts[..2], [Verdict::Accepted, Verdict::Accepted]);
        assert!(matches!(verdicts[2], Verdict::Refused(_)), "an ordinary event becomes a letter");
        assert_eq!(*second.taken.lock().unwrap(), [batch[1].clone()]);
    }

    #[tokio::test]
    async fn a_letter_that_is_refused_as_a_batch_of_one_goes_there_too() {
        let small = || Small { limit: 5, whole_batches: true, ..Small::default() };
        let (sink, second) = pair(small(), Small { limit: LARGE, ..Small::default() });
        let long = letter(2, "{\"long\":1}");
        let refused = sink.deliver(&[letter(1, "{}"), long.clone()]).await;
        assert!(matches!(refused, Err(SinkError::BatchRefused(_))), "split first: {refused:?}");
        assert_eq!(sink.deliver(&[long]).await.unwrap(), [Verdict::Accepted]);
        assert_eq!(second.taken.lock().unwrap().len(), 1);
        let refused = sink.deliver(&[event(2, "{\"long\":1}")]).await;
        assert!(matches!(refused, Err(SinkError::BatchRefused(_))), "{refused:?}");
    }

    #[tokio::test]
    async fn it_waits_while_the_second_is_down_and_keeps_what_the_first_took() {
        let small = Small { limit: 5, ..Small::default() };
        let (sink, _) = pair(small, Small { down: true, ..Small::default() });
        let verdicts = sink.deliver(&[letter(1, "{}"), letter(2, "{\"long\":1}")]).await.unwrap();
        assert_eq!(verdicts[0], Verdict::Accepted);
        assert!(matches!(&verdicts[1], Verdict::Retry(why) if why.contains("fallback: down")));
    }

    #[tokio::test]
    async fn a_first_sink_that_is_down_says_so() {
        let (sink, second) = pair(
            Small { down: true, ..Small::default() },
            Small { limit: LARGE, ..Small::default() },
        );
        assert!(matches!(sink.deliver(&events(0..2)).await, Err(SinkError::Unavailable(_))));
        assert!(second.taken.lock().unwrap().is_empty());
    }
}
