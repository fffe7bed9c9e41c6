//! `SubscribeToShard`: one subscription, as a stream of frames that is made while it is read.
//!
//! Nothing is pushed to a reader who does not read: the next frame is made when the connection has
//! taken the last one, so TCP's (or HTTP/2's) flow control reaches back to here.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::watch;

use super::consumer::consumer_in;
use super::error::ApiError;
use super::faults::{StreamFault, StreamFaultKind};
use super::frame::{self, Event};
use super::limits::{HEARTBEAT_MS, MAX_EVENT_BYTES, MAX_EVENT_RECORDS, Pushed, SUBSCRIPTION_MS};
use super::position::Start;
use super::sequence::SequenceNumber;
use super::service::{Service, request};
use super::shard::{Shard, shard_id};
use super::stream::Stream;
use super::wire::{RecordView, Timestamp, required};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SubscribeToShard {
    #[serde(rename = "ConsumerARN")]
    consumer_arn: Option<String>,
    shard_id: Option<String>,
    starting_position: Option<StartingPosition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StartingPosition {
    r#type: Option<String>,
    sequence_number: Option<String>,
    timestamp: Option<Timestamp>,
}

/// A subscription that has begun.
pub(super) struct Subscription {
    service: Arc<Service>,
    stream: String,
    stream_id: u128,
    consumer_arn: String,
    /// Tells the subscriptions of a consumer to the shard apart: the last one holds it.
    turn: u64,
    shard: u32,
    news: watch::Receiver<()>,
    /// The least sequence number that has not been pushed.
    next: SequenceNumber,
    pushed: Pushed,
    ends_ms: u64,
    heartbeat_ms: u64,
    fault: Option<StreamFault>,
    /// Events that were sent.
    sent: u64,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Pushing,
    /// Empty events only, by a fault.
    Idling,
    Ended,
}

/// What a reader sees next.
enum Sight {
    Event(Event),
    /// A failure inside the stream, which ends it.
    Failure(ApiError),
    /// The connection breaks.
    Cut,
    /// The stream ends as it should.
    End,
}

/// What there is to do now.
enum Step {
    Push(Event),
    /// Nothing, until then or until there is news.
    Wait(u64),
    /// The subscription's time is over.
    End,
}

impl Subscription {
    /// Begins a subscription; the one that the consumer had to the shard before ends.
    pub(super) fn begin(
        service: &Arc<Service>,
        body: &[u8],
        fault: Option<StreamFault>,
    ) -> Result<Self, ApiError> {
        let SubscribeToShard { consumer_arn, shard_id, starting_position } = request(body)?;
        let consumer_arn = required(consumer_arn, "consumerARN")?;
        let shard_id = required(shard_id, "shardId")?;
        let position = required(starting_position, "startingPosition")?;
        let (stream_arn, _) = consumer_in(&consumer_arn)?;
        let name = service.name_of(None, Some(stream_arn))?;
        service.with_shards_of(&name, |stream, now_ms| {
            let start = Start {
                kind: position.r#type.as_deref(),
                sequence_number: position.sequence_number.as_deref(),
                timestamp: position.timestamp,
                member: "startingPosition.type",
            };
            let limits = service.settings.limits;
            let shard = service.shard_of(stream, &shard_id)?;
            let (number, news) = (shard.number, shard.news.clone());
            let start = start.resolve(shard, now_ms);
            let consumer = stream.consumers.by_arn(&consumer_arn)?;
            consumer.admit_call(number, limits, now_ms)?;
            let next = start?;
            let turn = consumer.subscribe(number, now_ms)?;
            news.send_replace(());
            Ok(Self {
                service: Arc::clone(service),
                stream: name.clone(),
                stream_id: stream.id,
                consumer_arn: consumer_arn.clone(),
                turn,
                shard: number,
                news: news.subscribe(),
                next,
                pushed: Pushed::default(),
                ends_ms: now_ms.saturating_add(SUBSCRIPTION_MS),
                heartbeat_ms: now_ms.saturating_add(HEARTBEAT_MS),
                fault,
                sent: 0,
                phase: Phase::Opening,
            })
        })
    }

    /// The next frame, when there is one; `None` at the end. An error is a broken connection.
    pub(super) async fn next(&mut self) -> Option<io::Result<Bytes>> {
        let frame = match self.phase {
            Phase::Opening => {
                self.phase = Phase::Pushing;
                frame::initial_response()
            }
            Phase::Ended => return None,
            Phase::Pushing | Phase::Idling => match self.sight().await {
                Sight::Event(event) => {
                    self.sent += 1;
                    if event.child_shards.is_some() {
                        self.phase = Phase::Ended;
                    }
                    frame::event(&event)
                }
                last => {
                    self.phase = Phase::Ended;
                    match last {
                        Sight::Failure(error) => frame::exception(&error),
                        Sight::Cut => return Some(Err(io::ErrorKind::ConnectionAborted.into())),
                        Sight::Event(_) | Sight::End => return None,
                    }
                }
            },
        };
        Some(frame.map_err(io::Error::other))
    }

    async fn sight(&mut self) -> Sight {
        loop {
            if self.service.closing.is_cancelled() {
                return Sight::End;
            }
            if let Some(fault) = self.fault.take_if(|fault| fault.is_due(self.sent)) {
                match self.suffer(fault.kind).await {
                    Some(sight) => return sight,
                    None => continue,
                }
            }
            match self.step() {
                Ok(Step::Push(event)) => {
                    if let Some(event) = self.before_the_end(event) {
                        return Sight::Event(event);
                    }
                }
                Ok(Step::Wait(until_ms)) => self.wait(until_ms).await,
                Ok(Step::End) => return Sight::End,
                Err(error) => return Sight::Failure(error),
            }
        }
    }

    /// The event as it is, unless a fault takes the place of the shard's end: then what comes before
    /// the end, if anything, and afterwards the fault is due.
    fn before_the_end(&mut self, mut event: Event) -> Option<Event> {
        let Some(fault) = self.fault.as_mut().filter(|fault| fault.is_at_end()) else {
            return Some(event);
        };
        if event.child_shards.take().is_none() {
            return Some(event);
        }
        fault.make_due();
        event.continuation_sequence_number = Some(self.next.preceding().to_string());
        (!event.records.is_empty()).then_some(event)
    }

    /// Acts out a fault. `None` when the stream goes on.
    async fn suffer(&mut self, kind: StreamFaultKind) -> Option<Sight> {
        match kind {
            StreamFaultKind::Cut => {
                // What was sent before is on its way when the connection breaks.
                tokio::task::yield_now().await;
                Some(Sight::Cut)
            }
            StreamFaultKind::End => Some(Sight::End),
            StreamFaultKind::Fail(code) => Some(Sight::Failure(ApiError::injected(code))),
            StreamFaultKind::Stall => {
                self.service.closing.cancelled().await;
                None
            }
            StreamFaultKind::Idle => {
                self.phase = Phase::Idling;
                None
            }
        }
    }

    async fn wait(&mut self, until_ms: u64) {
        let clock = Arc::clone(&self.service.settings.clock);
        tokio::select! {
            () = self.service.closing.cancelled() => {}
            () = clock.reached(until_ms) => {}
            // An error means that the shard is gone: the next step finds out.
            _ = self.news.changed() => {}
        }
    }

    fn step(&mut self) -> Result<Step, ApiError> {
        let service = Arc::clone(&self.service);
        service.with_shards_of(&self.stream.clone(), |stream, now_ms| {
            if stream.id != self.stream_id {
                return Err(service.no_such_stream(&stream.name));
            }
            stream.consumers.by_arn(&self.consumer_arn)?.check_turn(self.shard, self.turn)?;
            if now_ms >= self.ends_ms {
                return Ok(Step::End);
            }
            let shard = service.shard_of(stream, &shard_id(self.shard))?;
            let free_ms = self.pushed.free_at(service.settings.limits, now_ms);
            if let Some(event) = self.event(stream, shard, now_ms, free_ms <= now_ms) {
                self.heartbeat_ms = now_ms.saturating_add(HEARTBEAT_MS);
                return Ok(Step::Push(event));
            }
            let mut until_ms = self.heartbeat_ms.min(self.ends_ms);
            if free_ms > now_ms {
                until_ms = until_ms.min(free_ms);
            }
            Ok(Step::Wait(stream.due_ms().map_or(until_ms, |due_ms| due_ms.min(until_ms))))
        })
    }

    /// The event that is due, if any. `free` says whether the quota lets records through.
    fn event(&mut self, stream: &Stream, shard: &Shard, now_ms: u64, free: bool) -> Option<Event> {
        let pushing = self.phase == Phase::Pushing;
        let limit = if pushing && free { MAX_EVENT_RECORDS } else { 0 };
        let page = shard.page(self.next, limit, MAX_EVENT_BYTES);
        let ended = pushing && page.next.is_none();
        if page.records.is_empty() && !ended && now_ms < self.heartbeat_ms {
            return None;
        }
        self.pushed.charge(page.bytes);
        if let Some(last) = page.records.last() {
            self.next = last.sequence.following();
        }
        // What precedes the first number of all is no position of this shard.
        let after = self.next.preceding().max(shard.start);
        let children = || shard.children.iter().filter_map(|number| stream.shards.get(number));
        Some(Event {
            records: page.records.into_iter().map(RecordView).collect(),
            continuation_sequence_number: (!ended).then(|| after.to_string()),
            millis_behind_latest: page
                .unread_since_ms
                .map_or(0, |arrived_ms| now_ms.saturating_sub(arrived_ms)),
            child_shards: ended.then(|| children().map(Into::into).collect()),
        })
    }
}
