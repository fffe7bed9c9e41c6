//! Enhanced fan-out: a stream's registered consumer, and its subscriptions to shards.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_kinesis::{
    Client,
    primitives::event_stream::EventReceiver,
    types::{
        Consumer, ConsumerStatus, StartingPosition, SubscribeToShardEvent,
        SubscribeToShardEventStream, error::SubscribeToShardEventStreamError,
    },
};
use futures_util::{StreamExt, stream};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};
use tracing::info;

use super::{
    AwsConnection, Fault, FaultKind, KinesisStream, StreamTarget,
    kinesis::{Place, child, record},
};
use crate::{
    model::{RecordPage, SequenceNumber, ShardId},
    ports::{ShardSubscriber, StartAt, StreamError, Subscription},
};

/// Which consumer subscribes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerName {
    /// The consumer of this name, registered with the stream when there is none.
    Name(String),
    /// A consumer that somebody else has registered.
    Arn(String),
}

impl ConsumerName {
    /// The stream in the ARN of a consumer; `None` when it is no such ARN.
    pub fn stream_of(arn: &str) -> Option<StreamTarget> {
        let (stream, consumer) = arn.split_once("/consumer/")?;
        let (name, created) = consumer.split_once(':')?;
        let fine = !name.is_empty() && !created.is_empty();
        let fine = fine && created.bytes().all(|byte| byte.is_ascii_digit());
        StreamTarget::arn(stream).ok().filter(|_| fine)
    }
}

/// A stream's registered consumer. Nothing is called before the first subscription.
pub struct FanOutConsumer {
    /// For what may be repeated.
    client: Client,
    /// For subscriptions.
    pushes: Client,
    stream: KinesisStream,
    target: StreamTarget,
    name: ConsumerName,
    registration: Mutex<Registration>,
}

#[derive(Default)]
struct Registration {
    /// The active consumer.
    arn: Option<String>,
    /// What stood in the way last, so that the shards of a process do not all ask at once.
    problem: Option<(Instant, StreamError)>,
}

/// A registered consumer, as the service describes it.
struct Described {
    arn: String,
    status: ConsumerStatus,
}

/// A thousand shards that cannot subscribe ask this often what the consumer is up to.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Pauses while the consumer becomes active, which takes AWS some seconds: the first one, which is
/// doubled, the longest one, and how many.
const WAIT_ACTIVE: (Duration, Duration, u32) =
    (Duration::from_millis(250), Duration::from_secs(2), 16);
/// Time for the answer with its first frame.
const OPENING: Duration = Duration::from_secs(20);
const SUBSCRIBE: &str = "kinesis:SubscribeToShard";

impl FanOutConsumer {
    /// Subscribes to this stream as that consumer. Calls nothing.
    pub fn new(connection: &AwsConnection, target: StreamTarget, name: ConsumerName) -> Self {
        Self {
            client: connection.kinesis(),
            pushes: connection.kinesis_pushes(),
            stream: KinesisStream::new(connection, target.clone()),
            target,
            name,
            registration: Mutex::default(),
        }
    }

    /// The ARN of the consumer, which is active. Registers it when nobody has.
    ///
    /// # Errors
    /// When the consumer cannot be described, registered, or does not become active.
    pub async fn arn(&self) -> Result<String, StreamError> {
        let mut registration = self.registration.lock().await;
        if let Some(arn) = &registration.arn {
            return Ok(arn.clone());
        }
        if let Some((at, problem)) = &registration.problem
            && at.elapsed() < ASK_AGAIN
        {
            return Err(problem.clone());
        }
        match self.activate().await {
            Ok(arn) => {
                *registration = Registration { arn: Some(arn.clone()), problem: None };
                Ok(arn)
            }
            Err(problem) => {
                registration.problem = Some((Instant::now(), problem.clone()));
                Err(problem)
            }
        }
    }

    /// Deregisters the consumer if there is one. Subscriptions of other processes end.
    ///
    /// # Errors
    /// When the stream does not answer.
    pub async fn deregister(&self) -> Result<(), StreamError> {
        let mut registration = self.registration.lock().await;
        registration.arn = None;
        let Some(Described { arn, .. }) = self.find().await? else { return Ok(()) };
        self.client
            .deregister_stream_consumer()
            .consumer_arn(&arn)
            .send()
            .await
            .map_err(|error| Fault::of("kinesis:DeregisterStreamConsumer", &error).into_stream())?;
        info!(%arn, "deregistered the fan-out consumer");
        Ok(())
    }

    /// The consumer as it is registered, with its status; `None` when it is not. Registers nothing.
    ///
    /// # Errors
    /// When the stream does not answer.
    pub async fn registered(&self) -> Result<Option<(String, String)>, StreamError> {
        let found = self.find().await?;
        Ok(found.map(|Described { arn, status }| (arn, status.as_str().to_owned())))
    }

    async fn activate(&self) -> Result<String, StreamError> {
        let mut consumer = match self.find().await? {
            Some(consumer) => consumer,
            None => self.register().await?,
        };
        let (mut pause, longest, pauses) = WAIT_ACTIVE;
        for _ in 0..pauses {
            match consumer.status {
                ConsumerStatus::Active => return Ok(consumer.arn),
                ConsumerStatus::Deleting => break,
                _ => sleep(pause).await,
            }
            pause = (pause * 2).min(longest);
            consumer = self.find().await?.unwrap_or(consumer);
        }
        let Described { arn, status } = consumer;
        Err(StreamError::Unavailable(format!("the fan-out consumer {arn} is {status}")))
    }

    /// The consumer as it is registered; `None` when it is not.
    async fn find(&self) -> Result<Option<Described>, StreamError> {
        let request = self.client.describe_stream_consumer();
        let request = match &self.name {
            ConsumerName::Arn(arn) => request.consumer_arn(arn),
            ConsumerName::Name(name) => {
                request.stream_arn(self.stream_arn().await?).consumer_name(name)
            }
        };
        match request.send().await {
            Ok(answer) => Ok(answer.consumer_description.map(|consumer| Described {
                arn: consumer.consumer_arn,
                status: consumer.consumer_status,
            })),
            Err(error) => match Fault::of("kinesis:DescribeStreamConsumer", &error) {
                fault if fault.kind == FaultKind::NotFound => Ok(None),
                fault => Err(fault.into_stream()),
            },
        }
    }

    async fn register(&self) -> Result<Described, StreamError> {
        let name = match &self.name {
            ConsumerName::Name(name) => name,
            ConsumerName::Arn(arn) => {
                let message = format!(
                    "there is no consumer {arn}: register it, or set consumer_name instead"
                );
                return Err(StreamError::NotFound(message));
            }
        };
        let request = self.client.register_stream_consumer().consumer_name(name);
        match request.stream_arn(self.stream_arn().await?).send().await {
            Ok(answer) => {
                let consumer = answer.consumer.ok_or_else(|| {
                    let message = "kinesis:RegisterStreamConsumer: empty answer";
                    StreamError::Unavailable(message.to_owned())
                })?;
                info!(arn = consumer.consumer_arn, "registered the fan-out consumer");
                let Consumer { consumer_arn: arn, consumer_status: status, .. } = consumer;
                Ok(Described { arn, status })
            }
            Err(error) => {
                let fault = Fault::of("kinesis:RegisterStreamConsumer", &error);
                match self.find().await {
                    // Another worker was faster, or an answer was lost.
                    Ok(Some(consumer)) => Ok(consumer),
                    _ => Err(fault.into_stream()),
                }
            }
        }
    }

    async fn stream_arn(&self) -> Result<String, StreamError> {
        match self.target.arn_part() {
            Some(arn) => Ok(arn),
            None => Ok(self.stream.describe().await?.arn),
        }
    }

    /// Looks for the consumer again with the next subscription: it, the stream or the shard is gone.
    async fn forget(&self, arn: &str) {
        let mut registration = self.registration.lock().await;
        if registration.arn.as_deref() == Some(arn) {
            registration.arn = None;
        }
    }
}

#[async_trait]
impl ShardSubscriber for FanOutConsumer {
    async fn subscribe(
        &self,
        shard: &ShardId,
        start: &StartAt,
    ) -> Result<Subscription, StreamError> {
        let arn = self.arn().await?;
        let place = Place::of(start);
        let position = StartingPosition::builder()
            .r#type(place.kind)
            .set_sequence_number(place.sequence)
            .set_timestamp(place.timestamp)
            .build()
            .map_err(|problem| StreamError::Invalid(format!("{SUBSCRIBE}: {problem}")))?;
        let request = self.pushes.subscribe_to_shard().consumer_arn(&arn).shard_id(shard.as_str());
        // The SDK waits for the first frame, without a limit of its own.
        let answer = timeout(OPENING, request.starting_position(position).send())
            .await
            .map_err(|_| StreamError::Unavailable(format!("{SUBSCRIBE}: no event in time")))?;
        match answer {
            Ok(answer) => Ok(events(answer.event_stream)),
            Err(error) => {
                let fault = Fault::of(SUBSCRIBE, &error);
                if fault.kind == FaultKind::NotFound {
                    self.forget(&arn).await;
                }
                Err(problem(fault))
            }
        }
    }
}

type Receiver = EventReceiver<SubscribeToShardEventStream, SubscribeToShardEventStreamError>;

/// The events as pages, until the stream ends or fails.
fn events(receiver: Receiver) -> Subscription {
    let pages = stream::unfold(Some(receiver), async |receiver| {
        let mut receiver = receiver?;
        loop {
            match receiver.recv().await {
                Ok(Some(SubscribeToShardEventStream::SubscribeToShardEvent(event))) => {
                    return Some((page(event), Some(receiver)));
                }
                // Something that this version of the SDK does not know.
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return Some((Err(problem(Fault::in_stream(&error))), None)),
            }
        }
    });
    pages.boxed()
}

fn page(event: SubscribeToShardEvent) -> Result<RecordPage<SequenceNumber>, StreamError> {
    let behind = u64::try_from(event.millis_behind_latest).unwrap_or(0);
    Ok(RecordPage {
        next: event.continuation_sequence_number.parse().ok(),
        behind_latest: Duration::from_millis(behind),
        children: event.child_shards.iter().flatten().map(child).collect(),
        records: event.records.into_iter().map(record).collect::<Result<_, _>>()?,
    })
}

fn problem(fault: Fault) -> StreamError {
    match fault.code.as_deref() {
        Some("ResourceInUseException") => StreamError::Taken(fault.message),
        _ => fault.into_stream(),
    }
}
