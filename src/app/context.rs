//! What all consumers of a process share, made from the configuration.

use std::sync::Arc;

use super::StartError;
use crate::{
    config::{Compiled, Settings},
    consumer::{
        BatchLimits, Budget, ConsumerContext, ConsumerParams, ConsumerStream, NamedSink,
        PacingParams, Pause, RetryLimits, RetryPause,
    },
    etl::{Pipeline, PipelineParts},
    metrics::Metrics,
    ports::SystemClock,
    sinks::{self, LetterFallback, SinkSite},
};

/// Makes pipeline and sinks ready; for a `replay` of dead letters, or for streams.
pub(super) async fn context(
    compiled: Compiled,
    streams: Vec<ConsumerStream>,
    metrics: Arc<Metrics>,
    replay: bool,
) -> Result<(Settings, ConsumerContext), StartError> {
    let Compiled { settings, routes, dead_letters, limits, hash, .. } = compiled;
    let mut named = Vec::with_capacity(settings.sinks.len());
    for (name, entry) in &settings.sinks {
        let Settings { application, aws, .. } = &settings;
        let site = SinkSite { application, name, aws, replay };
        let sink = sinks::build(&entry.sink, &site)
            .await
            .map_err(|problem| StartError::Sink { name: name.clone(), problem })?;
        let batch = BatchLimits {
            events: entry.batch.batch_size.max(1),
            bytes: usize_of(entry.batch.batch_bytes.as_u64()).max(1),
            window: entry.batch.maximum_batching_window,
        };
        let lanes = entry.batch.parallelization_factor.max(1);
        let retry = RetryLimits {
            attempts: entry.retry.maximum_retry_attempts,
            age: entry.retry.maximum_record_age,
            bisect: entry.retry.bisect_batch_on_error,
        };
        named.push(NamedSink { name: Arc::from(name.as_str()), sink, batch, lanes, retry });
    }
    if let Some(fallback) = &settings.dead_letter.fallback {
        add_fallback(&mut named, dead_letters, fallback);
    }
    let parts = PipelineParts {
        routes,
        sinks: settings.sinks.keys().cloned().collect(),
        dead_letters,
        limits,
        configuration: hash,
    };
    let consumer = &settings.consumer;
    let context = ConsumerContext {
        streams,
        pipeline: Arc::new(Pipeline::new(parts)),
        sinks: named,
        budget: Budget::new(consumer.in_flight_bytes.as_u64()),
        params: ConsumerParams {
            pacing: PacingParams {
                poll_interval: consumer.poll_interval,
                idle_poll_interval: consumer.idle_poll_interval,
            },
            queue_bytes: usize_of(consumer.queue_bytes.as_u64()),
            retry: RetryPause { min: consumer.retry_min, max: consumer.retry_max },
        },
        clock: Arc::new(SystemClock),
        pause: Pause::default(),
        metrics,
    };
    Ok((settings, context))
}

/// Puts the fallback for dead letters behind their sink.
fn add_fallback(sinks: &mut [NamedSink], dead_letters: usize, fallback: &str) {
    let second =
        sinks.iter().find(|sink| &*sink.name == fallback).map(|sink| Arc::clone(&sink.sink));
    if let (Some(second), Some(first)) = (second, sinks.get_mut(dead_letters)) {
        first.sink = Arc::new(LetterFallback::new(Arc::clone(&first.sink), second));
    }
}

fn usize_of(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
