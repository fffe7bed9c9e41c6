//! The [`Sink`] over a queue.

use std::borrow::Cow;

use async_trait::async_trait;
use aws_sdk_sqs::{
    Client,
    config::{Builder, retry::RetryConfig},
    types::{BatchResultErrorEntry, QueueAttributeName, SendMessageBatchRequestEntry},
};

use super::SqsConfig;
use crate::{
    aws::{AwsConnection, AwsSettings, Fault, FaultKind},
    model::OutputEvent,
    ports::{Sink, SinkError, Verdict},
    sinks::{
        digest::sha256,
        requests::{Requests, Verdicts},
    },
};

/// Most messages of one request (API reference, `SendMessageBatch`).
const MOST_MESSAGES: usize = 10;
/// Longest message group id (API reference, `SendMessage`).
const LONGEST_GROUP: usize = 128;

/// Sends events to a queue.
#[derive(Debug)]
pub struct SqsSink {
    client: Client,
    config: SqsConfig,
}

impl SqsSink {
    /// Makes the client. The queue itself is not called; see [`Sink::check`].
    ///
    /// # Errors
    /// [`SinkError::Misconfigured`] when AWS cannot be reached so.
    pub async fn open(config: SqsConfig, aws: &AwsSettings) -> Result<Self, SinkError> {
        let connection =
            AwsConnection::open_for(aws, config.region.as_ref(), config.endpoint_url.as_ref())
                .await
                .map_err(|error| SinkError::Misconfigured(error.to_string()))?;
        Ok(Self::on(config, &connection))
    }

    /// A sink on a connection that is there already.
    pub fn on(config: SqsConfig, connection: &AwsConnection) -> Self {
        // The pipeline repeats what was not accepted.
        let client = Builder::from(connection.sdk_config()).retry_config(RetryConfig::disabled());
        Self { client: Client::from_conf(client.build()), config }
    }

    fn message(
        &self,
        index: usize,
        body: Cow<'_, str>,
        event: &OutputEvent,
    ) -> Result<SendMessageBatchRequestEntry, String> {
        let mut message =
            SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(body);
        if self.config.is_fifo() {
            let group = self.config.group.text(event).filter(|group| !group.is_empty());
            let group = group.unwrap_or_else(|| (&*event.partition_key).into());
            message = message
                .message_group_id(group_id(&group))
                .message_deduplication_id(sha256(&event.delivery_id()));
        }
        message.build().map_err(|error| error.to_string())
    }

    async fn send(
        &self,
        indices: &[usize],
        messages: Vec<SendMessageBatchRequestEntry>,
    ) -> Result<Vec<Verdict>, SinkError> {
        let answer = self
            .client
            .send_message_batch()
            .queue_url(&self.config.queue_url)
            .set_entries(Some(messages))
            .send()
            .await
            .map_err(|error| into_delivery(Fault::of("sqs:SendMessage", &error)))?;
        let verdict = |index: &usize| {
            let id = index.to_string();
            if answer.successful.iter().any(|entry| entry.id == id) {
                return Verdict::Accepted;
            }
            let failed = answer.failed.iter().find(|entry| entry.id == id);
            failed.map_or_else(|| Verdict::Retry("sqs did not answer for it".to_owned()), verdict)
        };
        Ok(indices.iter().map(verdict).collect())
    }
}

/// The event as SQS takes it: all characters of XML 1.0, so not the two that end its plane (API
/// reference, `SendMessageBatch`). JSON has another way to write them.
fn body(event: &OutputEvent) -> Result<Cow<'_, str>, String> {
    let text = std::str::from_utf8(&event.json).map_err(|error| error.to_string())?;
    if !text.contains(['\u{fffe}', '\u{ffff}']) {
        return Ok(text.into());
    }
    Ok(text.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff").into())
}

/// A group id is text without spaces and short: others are replaced by their hash.
fn group_id(group: &str) -> String {
    let fits = group.len() <= LONGEST_GROUP && group.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { group.to_owned() } else { sha256(group) }
}

/// A message fails by itself (API reference, `BatchResultErrorEntry`).
fn verdict(failed: &BatchResultErrorEntry) -> Verdict {
    let why = format!("{}: {}", failed.code, failed.message.as_deref().unwrap_or_default());
    let code = failed.code.trim_start_matches("AWS.SimpleQueueService.");
    match code {
        "InvalidMessageContents" | "InvalidParameterValue" | "InvalidAttributeValue" => {
            Verdict::Refused(why)
        }
        _ => Verdict::Retry(why),
    }
}

/// SQS names some faults in words of its own.
fn into_delivery(mut fault: Fault) -> SinkError {
    let code = fault.code.as_deref().unwrap_or_default();
    match code.trim_start_matches("AWS.SimpleQueueService.") {
        "NonExistentQueue" | "QueueDoesNotExist" => fault.kind = FaultKind::NotFound,
        "RequestThrottled" | "OverLimit" => fault.kind = FaultKind::Throttled,
        _ => {}
    }
    fault.into_delivery()
}

#[async_trait]
impl Sink for SqsSink {
    async fn deliver(&self, events: &[OutputEvent]) -> Result<Vec<Verdict>, SinkError> {
        let limit = self.config.maximum_request_size.as_u64();
        let mut requests = Requests::new(MOST_MESSAGES, limit);
        let mut verdicts = Verdicts::new(events.len());
        for (index, event) in events.iter().enumerate() {
            let (size, message) = match body(event) {
                Ok(body) => (
                    u64::try_from(body.len()).unwrap_or(u64::MAX),
                    self.message(index, body, event),
                ),
                Err(why) => (0, Err(why)),
            };
            match message {
                Ok(_) if size > limit => {
                    let why = format!("{size} bytes, larger than maximum_request_size {limit}");
                    verdicts.set(index, Verdict::Refused(why));
                }
                Ok(message) => requests.add(index, size, message),
                Err(why) => verdicts.set(index, Verdict::Refused(why)),
            }
        }
        for (indices, messages) in requests.finish() {
            let answer = self.send(&indices, messages).await;
            verdicts.take(&indices, answer)?;
        }
        Ok(verdicts.finish())
    }

    /// A role that may send but not look is fine: only what surely stands in the way is an error.
    async fn check(&self) -> Result<(), SinkError> {
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(&self.config.queue_url)
            .attribute_names(QueueAttributeName::All)
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let fault = Fault::of("sqs:GetQueueAttributes", &error);
                let denied =
                    fault.code.as_deref().is_some_and(|code| code.starts_with("AccessDenied"));
                return match (denied, into_delivery(fault)) {
                    (true, _) => Ok(()),
                    (_, SinkError::BatchRefused(why)) => Err(SinkError::Misconfigured(why)),
                    (_, error) => Err(error),
                };
            }
        };
        let attributes = answer.attributes.unwrap_or_default();
        let largest = attributes.get(&QueueAttributeName::MaximumMessageSize);
        let largest = largest.and_then(|text| text.parse::<u64>().ok());
        let limit = self.config.maximum_request_size.as_u64();
        match largest.filter(|largest| *largest < limit) {
            None => Ok(()),
            Some(largest) => Err(SinkError::Misconfigured(format!(
                "the queue takes {largest} bytes a message: raise its MaximumMessageSize, or set \
                 maximum_request_size = {largest}, so that larger events become dead letters"
            ))),
        }
    }

    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}
