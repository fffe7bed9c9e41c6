//! Putting records into a stream until each is accepted.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::sleep;

use crate::{
    aws::{AwsConnection, StreamTarget},
    model::{EpochMillis, EventId, OutputEvent, Position, ShardId, Share},
    ports::{Sink, SinkError, Verdict},
    sinks::{KinesisSink, KinesisSinkConfig},
};

/// Puts records, a batch at a time.
pub(super) struct Producer {
    sink: KinesisSink,
    id: EventId,
}

/// Pause before records that a shard's limit refused are put again.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

impl Producer {
    pub(super) fn new(target: StreamTarget, aws: &AwsConnection) -> Self {
        let id = EventId {
            stream: target.stream_name().clone(),
            shard: ShardId::new("unknown"),
            position: Position {
                sequence: "0".parse().expect("zero is a number"),
                sub_sequence: 0,
            },
            index: 0,
        };
        Self { sink: KinesisSink::new(KinesisSinkConfig::default(), target, aws), id }
    }

    /// Puts records until all are accepted; the number of extra attempts it took.
    ///
    /// # Errors
    /// When Kinesis takes nothing at all, or will never take one of them.
    pub(super) async fn put(&self, records: Vec<(String, Bytes)>) -> Result<u64, SinkError> {
        let mut open: Vec<OutputEvent> = records
            .into_iter()
            .map(|(key, data)| OutputEvent {
                id: self.id.clone(),
                share: Share::whole(),
                partition_key: Arc::from(key.as_str()),
                arrival: EpochMillis(0),
                json: data,
            })
            .collect();
        let mut again = 0;
        loop {
            let verdicts = self.sink.deliver(&open).await?;
            let mut left = Vec::new();
            for (event, verdict) in open.into_iter().zip(verdicts) {
                match verdict {
                    Verdict::Accepted => {}
                    Verdict::Retry(_) => left.push(event),
                    Verdict::Refused(reason) => return Err(SinkError::Misconfigured(reason)),
                }
            }
            if left.is_empty() {
                return Ok(again);
            }
            again += left.len() as u64;
            open = left;
            sleep(AGAIN_AFTER).await;
        }
    }
}
