//! What the answers of AWS tell of this machine's clock.

use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{
                BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
            },
        },
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{
    DateTime,
    config_bag::{ConfigBag, Storable, StoreReplace},
    date_time::Format,
};

use crate::{
    model::EpochMillis,
    ports::{SystemClock, WallClock},
};

/// Compares the `Date` of every answer, refusals too, with the time here.
///
/// Such a date has whole seconds, and an answer takes its time: so an answer tells between which two
/// values the difference lies, and what several answers tell is put together.
#[derive(Clone, Debug, Default)]
pub struct AnswerClock(Arc<Mutex<Option<Difference>>>);

/// How far the clock here is ahead of the one there, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Difference {
    least: i64,
    most: i64,
}

impl AnswerClock {
    /// By how many milliseconds at least the clock here is ahead (or, negative, behind); 0 when no
    /// difference can be proved, `None` while no answer has said its date.
    pub fn ahead(&self) -> Option<i64> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.map(|Difference { least, most }| 0.clamp(least, most))
    }

    fn note(&self, date: EpochMillis, sent: EpochMillis, received: EpochMillis) {
        let told = Difference { least: sent.0 - date.0 - 999, most: received.0 - date.0 };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(known.and_then(|known| known.and(told)).unwrap_or(told));
    }
}

impl Difference {
    /// What both say; `None` when they contradict each other, since a clock was set between them.
    fn and(self, other: Self) -> Option<Self> {
        let both = Self { least: self.least.max(other.least), most: self.most.min(other.most) };
        (both.least <= both.most).then_some(both)
    }
}

/// When a request was sent.
#[derive(Clone, Copy, Debug)]
struct Sent(EpochMillis);

impl Storable for Sent {
    type Storer = StoreReplace<Self>;
}

impl Intercept for AnswerClock {
    fn name(&self) -> &'static str {
        "AnswerClock"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        state: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        state.interceptor_state().store_put(Sent(SystemClock.now()));
        Ok(())
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        state: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|text| DateTime::from_str(text, Format::HttpDate).ok());
        let date = date.and_then(|date| date.to_millis().ok());
        if let (Some(date), Some(Sent(sent))) = (date, state.load::<Sent>()) {
            self.note(EpochMillis(date), *sent, SystemClock.now());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The difference after answers of which each says: date, sent, received.
    fn ahead(answers: &[[i64; 3]]) -> Option<i64> {
        let clock = AnswerClock::default();
        for answer in answers {
            let [date, sent, received] = answer.map(EpochMillis);
            clock.note(date, sent, received);
        }
        clock.ahead()
    }

    #[test]
    fn only_what_is_beyond_the_seconds_and_the_way_counts_as_a_difference() {
        assert_eq!(ahead(&[]), None);
        assert_eq!(ahead(&[[10_000, 10_200, 10_300]]), Some(0));
        assert_eq!(ahead(&[[10_000, 10_999, 13_000]]), Some(0), "a slow answer proves nothing");
        assert_eq!(ahead(&[[10_000, 15_000, 15_100]]), Some(4001));
        assert_eq!(ahead(&[[10_000, 4_000, 4_100]]), Some(-5900));
    }

    #[test]
    fn several_answers_tell_more_than_one() {
        let slow = [10_000, 5_000, 20_000];
        assert_eq!(ahead(&[slow, [30_000, 33_000, 33_010]]), Some(2001));
        assert_eq!(ahead(&[[30_000, 33_000, 33_010], slow]), Some(2001));
        let after_it_was_set = [40_000, 40_100, 40_200];
        assert_eq!(ahead(&[[30_000, 33_000, 33_010], after_it_was_set]), Some(0));
    }
}
