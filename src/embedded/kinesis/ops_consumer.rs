//! Operations on the consumers of enhanced fan-out, except their subscriptions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::consumer::{Consumer, ConsumerStatus, consumer_in};
use super::error::ApiError;
use super::ops_stream::check_name;
use super::service::Service;
use super::stream::Stream;
use super::tags::Tags;
use super::token::{ConsumersAfter, Token};
use super::wire::{Timestamp, page_limit, required};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RegisterStreamConsumer {
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    consumer_name: Option<String>,
    tags: Option<BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RegisterStreamConsumerAnswer {
    consumer: ConsumerView,
}

/// A consumer, named by its ARN, or by its stream and its name.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NamedConsumer {
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    consumer_name: Option<String>,
    #[serde(rename = "ConsumerARN")]
    consumer_arn: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeStreamConsumerAnswer {
    consumer_description: ConsumerDescription,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListStreamConsumers {
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    next_token: Option<String>,
    max_results: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListStreamConsumersAnswer {
    consumers: Vec<ConsumerView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
struct ConsumerView {
    #[serde(rename = "ConsumerName")]
    name: String,
    #[serde(rename = "ConsumerARN")]
    arn: String,
    #[serde(rename = "ConsumerStatus")]
    status: &'static str,
    #[serde(rename = "ConsumerCreationTimestamp")]
    creation_timestamp: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ConsumerDescription {
    #[serde(flatten)]
    view: ConsumerView,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
}

impl ConsumerView {
    fn of(consumer: &Consumer, now_ms: u64) -> Self {
        let status = match consumer.status(now_ms) {
            ConsumerStatus::Creating => "CREATING",
            ConsumerStatus::Active => "ACTIVE",
            ConsumerStatus::Deleting => "DELETING",
        };
        Self {
            name: consumer.name.clone(),
            arn: consumer.arn.clone(),
            status,
            creation_timestamp: Timestamp(consumer.created_ms),
        }
    }
}

impl Service {
    pub(super) fn register_stream_consumer(
        &self,
        request: RegisterStreamConsumer,
    ) -> Result<RegisterStreamConsumerAnswer, ApiError> {
        let stream_arn = required(request.stream_arn, "streamARN")?;
        let consumer_name = required(request.consumer_name, "consumerName")?;
        check_name(&consumer_name, "consumerName")?;
        let mut tags = Tags::default();
        tags.add(request.tags.unwrap_or_default())?;
        let name = self.name_of(None, Some(&stream_arn))?;
        self.with_shards_of(&name, |stream, now_ms| {
            let window_ms = self.status_window_ms();
            stream.consumers.admit_change(self.settings.limits, now_ms)?;
            let arn = &stream.arn;
            let consumer =
                stream.consumers.register(arn, consumer_name, tags, now_ms, window_ms)?;
            Ok(RegisterStreamConsumerAnswer { consumer: ConsumerView::of(consumer, now_ms) })
        })
    }

    pub(super) fn describe_stream_consumer(
        &self,
        request: &NamedConsumer,
    ) -> Result<DescribeStreamConsumerAnswer, ApiError> {
        self.with_consumer(request, |stream, consumer_arn, now_ms| {
            let stream_arn = stream.arn.clone();
            let view = ConsumerView::of(stream.consumers.by_arn(consumer_arn)?, now_ms);
            let consumer_description = ConsumerDescription { view, stream_arn };
            Ok(DescribeStreamConsumerAnswer { consumer_description })
        })
    }

    pub(super) fn deregister_stream_consumer(
        &self,
        request: &NamedConsumer,
    ) -> Result<(), ApiError> {
        self.with_consumer(request, |stream, consumer_arn, now_ms| {
            stream.consumers.admit_change(self.settings.limits, now_ms)?;
            stream.consumers.deregister(consumer_arn, now_ms, self.status_window_ms());
            stream.wake();
            Ok(())
        })
    }

    pub(super) fn list_stream_consumers(
        &self,
        request: &ListStreamConsumers,
    ) -> Result<ListStreamConsumersAnswer, ApiError> {
        let limit = page_limit(request.max_results, "maxResults", 100, 10_000)?;
        let stream_arn = required(request.stream_arn.as_deref(), "streamARN")?;
        let name = self.name_of(None, Some(stream_arn))?;
        let token = request.next_token.as_deref();
        let token = token.map(|token| self.open_consumers_token(token, &name)).transpose()?;
        self.with_stream(&name, |stream, now_ms| {
            let is_older = |token: &ConsumersAfter| token.stream_id != stream.id;
            if token.as_ref().is_some_and(is_older) {
                return Err(self.no_such_stream(&name));
            }
            let is_next =
                |one: &&Consumer| token.as_ref().is_none_or(|token| one.name > token.after);
            let mut rest = stream.consumers.iter().filter(is_next);
            let page: Vec<_> = rest.by_ref().take(limit).collect();
            let last = page.last().filter(|_| rest.next().is_some());
            let next_token = last.map(|last| {
                let content = ConsumersAfter {
                    stream: name.clone(),
                    stream_id: stream.id,
                    after: last.name.clone(),
                };
                Token::new(content, now_ms).seal()
            });
            let consumers = page.into_iter().map(|one| ConsumerView::of(one, now_ms)).collect();
            Ok(ListStreamConsumersAnswer { consumers, next_token })
        })
    }

    fn open_consumers_token(&self, token: &str, stream: &str) -> Result<ConsumersAfter, ApiError> {
        let token = Token::<ConsumersAfter>::open(token)
            .filter(|token| token.content.stream == stream)
            .ok_or_else(|| ApiError::invalid_argument("the NextToken is invalid"))?;
        if token.is_expired(self.now_ms()) {
            return Err(ApiError::expired_token("the NextToken has expired"));
        }
        Ok(token.content)
    }

    /// Runs `work` on a consumer's stream, with the consumer's ARN.
    fn with_consumer<R>(
        &self,
        request: &NamedConsumer,
        work: impl FnOnce(&mut Stream, &str, u64) -> Result<R, ApiError>,
    ) -> Result<R, ApiError> {
        let NamedConsumer { stream_arn, consumer_name, consumer_arn } = request;
        let (in_stream, named) = match (consumer_arn, stream_arn, consumer_name) {
            (Some(arn), stream_arn, name) => {
                let (in_stream, named) = consumer_in(arn)?;
                let differs =
                    |given: &Option<String>, own| given.as_ref().is_some_and(|g| g != own);
                if differs(stream_arn, in_stream) || differs(name, named) {
                    let message = "ConsumerARN contradicts StreamARN or ConsumerName";
                    return Err(ApiError::invalid_argument(message));
                }
                (in_stream, named)
            }
            (None, Some(stream_arn), Some(name)) => (stream_arn.as_str(), name.as_str()),
            (None, _, _) => {
                let message = "either ConsumerARN or StreamARN and ConsumerName must be given";
                return Err(ApiError::invalid_argument(message));
            }
        };
        let name = self.name_of(None, Some(in_stream))?;
        self.with_stream(&name, |stream, now_ms| {
            let arn = match consumer_arn {
                Some(arn) => stream.consumers.by_arn(arn)?.arn.clone(),
                None => stream.consumers.by_name(named)?.arn.clone(),
            };
            work(stream, &arn, now_ms)
        })
    }
}
