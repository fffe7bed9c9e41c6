//! The [`Sink`] over a Firehose stream.

use async_trait::async_trait;
use aws_sdk_firehose::{
    Client,
    config::{Builder, retry::RetryConfig},
    primitives::Blob,
    types::{DeliveryStreamStatus, PutRecordBatchResponseEntry, Record},
};

use super::FirehoseConfig;
use crate::{
    aws::{AwsConnection, AwsSettings, Fault, FaultKind},
    model::OutputEvent,
    ports::{Sink, SinkError, Verdict},
    sinks::requests::{Requests, Verdicts},
};

/// Most records and bytes of one request (API reference, `PutRecordBatch`).
const MOST_RECORDS: usize = 500;
const MOST_BYTES: u64 = 4 << 20;

/// Puts events into a Firehose stream.
#[derive(Debug)]
pub struct FirehoseSink {
    client: Client,
    config: FirehoseConfig,
}

impl FirehoseSink {
    /// Makes the client. The stream itself is not called; see [`Sink::check`].
    ///
    /// # Errors
    /// [`SinkError::Misconfigured`] when AWS cannot be reached so.
    pub async fn open(config: FirehoseConfig, aws: &AwsSettings) -> Result<Self, SinkError> {
        let connection =
            AwsConnection::open_for(aws, config.region.as_ref(), config.endpoint_url.as_ref())
                .await
                .map_err(|error| SinkError::Misconfigured(error.to_string()))?;
        Ok(Self::on(config, &connection))
    }

    /// A sink on a connection that is there already.
    pub fn on(config: FirehoseConfig, connection: &AwsConnection) -> Self {
        // The pipeline repeats what was not accepted.
        let client = Builder::from(connection.sdk_config()).retry_config(RetryConfig::disabled());
        Self { client: Client::from_conf(client.build()), config }
    }

    async fn put(&self, records: Vec<Record>) -> Result<Vec<Verdict>, SinkError> {
        let count = records.len();
        let answer = self
            .client
            .put_record_batch()
            .delivery_stream_name(&self.config.stream)
            .set_records(Some(records))
            .send()
            .await
            .map_err(|error| Fault::of("firehose:PutRecordBatch", &error).into_delivery())?;
        let answers = answer.request_responses;
        if answers.len() != count {
            let message =
                format!("firehose:PutRecordBatch: {} answers for {count} records", answers.len());
            let fault = Fault { kind: FaultKind::Unanswered, code: None, message };
            return Err(fault.into_delivery());
        }
        Ok(answers.iter().map(verdict).collect())
    }
}

/// A record of a request fails by itself (API reference, `PutRecordBatchResponseEntry`).
fn verdict(answer: &PutRecordBatchResponseEntry) -> Verdict {
    match answer.error_code() {
        None => Verdict::Accepted,
        Some(code) => {
            Verdict::Retry(format!("{code}: {}", answer.error_message().unwrap_or_default()))
        }
    }
}

#[async_trait]
impl Sink for FirehoseSink {
    async fn deliver(&self, events: &[OutputEvent]) -> Result<Vec<Verdict>, SinkError> {
        let largest = FirehoseConfig::LARGEST_RECORD.as_u64();
        let mut requests = Requests::new(MOST_RECORDS, MOST_BYTES);
        let mut verdicts = Verdicts::new(events.len());
        for (index, event) in events.iter().enumerate() {
            // Firehose puts records end to end: the line's end belongs to the record.
            let mut line = event.json.to_vec();
            line.push(b'\n');
            let size = u64::try_from(line.len()).unwrap_or(u64::MAX);
            if size > largest {
                let why = format!("{size} bytes, larger than the {largest} that Firehose takes");
                verdicts.set(index, Verdict::Refused(why));
                continue;
            }
            match Record::builder().data(Blob::new(line)).build() {
                Ok(record) => requests.add(index, size, record),
                Err(error) => verdicts.set(index, Verdict::Refused(error.to_string())),
            }
        }
        for (indices, records) in requests.finish() {
            let answer = self.put(records).await;
            verdicts.take(&indices, answer)?;
        }
        Ok(verdicts.finish())
    }

    /// A role that may put but not describe is fine: only what surely stands in the way is an error.
    async fn check(&self) -> Result<(), SinkError> {
        let answer = self
            .client
            .describe_delivery_stream()
            .delivery_stream_name(&self.config.stream)
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let fault = Fault::of("firehose:DescribeDeliveryStream", &error);
                let denied =
                    fault.code.as_deref().is_some_and(|code| code.starts_with("AccessDenied"));
                return if denied { Ok(()) } else { Err(fault.into_sink()) };
            }
        };
        let status = answer.delivery_stream_description.map(|it| it.delivery_stream_status);
        match status {
            Some(status) if status != DeliveryStreamStatus::Active => {
                let name = &self.config.stream;
                Err(SinkError::Misconfigured(format!(
                    "the Firehose stream {name} is {status}, not ACTIVE: wait, or look at it in the console"
                )))
            }
            _ => Ok(()),
        }
    }

    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}
