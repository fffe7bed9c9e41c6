//! The [`Sink`] over a data stream.

use async_trait::async_trait;
use aws_sdk_kinesis::{
    Client,
    primitives::Blob,
    types::{PutRecordsRequestEntry, PutRecordsResultEntry},
};

use super::KinesisSinkConfig;
use crate::{
    aws::{AwsConnection, AwsSettings, Fault, FaultKind, StreamTarget},
    model::OutputEvent,
    ports::{Sink, SinkError, Verdict},
    sinks::requests::{Requests, Verdicts},
};

/// Most records of one request (API reference, `PutRecords`).
const MOST_RECORDS: usize = 500;

/// Puts events into a stream.
#[derive(Debug)]
pub struct KinesisSink {
    client: Client,
    target: StreamTarget,
    config: KinesisSinkConfig,
}

impl KinesisSink {
    /// Makes the client. The stream itself is not called; see [`Sink::check`].
    ///
    /// # Errors
    /// [`SinkError::Misconfigured`] when the stream is not named once, or AWS cannot be reached so.
    pub async fn open(config: KinesisSinkConfig, aws: &AwsSettings) -> Result<Self, SinkError> {
        let mut settings = aws.clone();
        settings.region = config.region.clone().or(settings.region);
        settings.kinesis_endpoint_url =
            config.endpoint_url.clone().or(settings.kinesis_endpoint_url);
        let target = config.target()?;
        let connection = AwsConnection::open(&settings)
            .await
            .map_err(|error| SinkError::Misconfigured(error.to_string()))?;
        Ok(Self::new(config, target, &connection))
    }

    /// A sink on a connection that is there already.
    pub fn new(
        config: KinesisSinkConfig,
        target: StreamTarget,
        connection: &AwsConnection,
    ) -> Self {
        // The pipeline repeats what was not accepted; a second layer of retries would multiply.
        let client = connection.kinesis_once();
        Self { client, target, config }
    }

    async fn put(&self, records: Vec<PutRecordsRequestEntry>) -> Result<Vec<Verdict>, Fault> {
        let count = records.len();
        let answer = self
            .client
            .put_records()
            .set_stream_name(self.target.name_part())
            .set_stream_arn(self.target.arn_part())
            .set_records(Some(records))
            .send()
            .await
            .map_err(|error| Fault::of("kinesis:PutRecords", &error))?;
        if answer.records.len() != count {
            let message =
                format!("kinesis:PutRecords: {} answers for {count} records", answer.records.len());
            return Err(Fault { kind: FaultKind::Unanswered, code: None, message });
        }
        Ok(answer.records.iter().map(verdict).collect())
    }
}

/// A record of a request fails by itself, mostly for its shard's limit (API reference, `PutRecords`).
fn verdict(answer: &PutRecordsResultEntry) -> Verdict {
    match answer.error_code() {
        None => Verdict::Accepted,
        Some(code) => {
            Verdict::Retry(format!("{code}: {}", answer.error_message().unwrap_or_default()))
        }
    }
}

#[async_trait]
impl Sink for KinesisSink {
    async fn deliver(&self, events: &[OutputEvent]) -> Result<Vec<Verdict>, SinkError> {
        let largest = self.config.maximum_record_size.as_u64();
        let limit = self.config.maximum_request_size.as_u64();
        let mut requests = Requests::new(MOST_RECORDS, limit);
        let mut verdicts = Verdicts::new(events.len());
        for (index, event) in events.iter().enumerate() {
            let key = self.config.partition_key.of(event);
            let size = u64::try_from(event.json.len() + key.len()).unwrap_or(u64::MAX);
            if size > largest {
                let why =
                    format!("{size} bytes with its key, larger than maximum_record_size {largest}");
                verdicts.set(index, Verdict::Refused(why));
                continue;
            }
            let entry = PutRecordsRequestEntry::builder()
                .data(Blob::new(event.json.as_ref()))
                .partition_key(key)
                .build();
            match entry {
                Ok(entry) => requests.add(index, size, entry),
                Err(error) => verdicts.set(index, Verdict::Refused(error.to_string())),
            }
        }
        for (indices, entries) in requests.finish() {
            let answer = self.put(entries).await.map_err(Fault::into_delivery);
            verdicts.take(&indices, answer)?;
        }
        Ok(verdicts.finish())
    }

    /// A role that may put but not describe is fine: only what surely stands in the way is an error.
    async fn check(&self) -> Result<(), SinkError> {
        let answer = self
            .client
            .describe_stream_summary()
            .set_stream_name(self.target.name_part())
            .set_stream_arn(self.target.arn_part())
            .send()
            .await;
        let Err(error) = answer else { return Ok(()) };
        let fault = Fault::of("kinesis:DescribeStreamSummary", &error);
        if fault.code.as_deref().is_some_and(|code| code.starts_with("AccessDenied")) {
            tracing::debug!(fault = %fault.message, "the sink's stream cannot be described");
            return Ok(());
        }
        Err(fault.into_sink())
    }

    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        aws::testing::{Canned, fault, ok},
        sinks::testing::events,
    };

    async fn sink(server: &Canned, extra: &str) -> KinesisSink {
        let config: KinesisSinkConfig =
            toml::from_str(&format!("stream = 'next'\n{extra}")).unwrap();
        let target = config.target().unwrap();
        KinesisSink::new(config, target, &server.connection().await)
    }

    #[tokio::test]
    async fn what_an_earlier_request_took_is_not_sent_again() {
        let took = r#"{"Records":[{"SequenceNumber":"1","ShardId":"s"}]}"#;
        let server = Canned::start(vec![ok(took), fault(500, "InternalFailure")]).await;
        let sink = sink(&server, "maximum_request_size = '20B'").await;
        let verdicts = sink.deliver(&events(0..3)).await.unwrap();
        assert_eq!(verdicts[0], Verdict::Accepted);
        for verdict in &verdicts[1..] {
            assert!(matches!(verdict, Verdict::Retry(why) if why.contains("InternalFailure")));
        }
    }

    #[tokio::test]
    async fn an_answer_with_too_few_verdicts_accepts_nothing() {
        let server = Canned::start(vec![ok(r#"{"Records":[]}"#)]).await;
        let error = sink(&server, "").await.deliver(&events(0..2)).await.unwrap_err();
        assert!(matches!(error, SinkError::Unavailable(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_request_that_is_found_invalid_may_be_so_for_one_of_its_events() {
        let too_long = || fault(400, "ValidationException");
        let server = Canned::start(vec![too_long(), too_long()]).await;
        let sink = sink(&server, "").await;
        let error = sink.deliver(&events(0..2)).await.unwrap_err();
        assert!(matches!(error, SinkError::BatchRefused(_)), "{error:?}");
        let error = sink.check().await.unwrap_err();
        assert!(matches!(error, SinkError::Misconfigured(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_single_record_s_failure_is_its_own() {
        let mixed = json!({"FailedRecordCount": 1, "Records": [
            {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow down"},
            {"SequenceNumber": "1", "ShardId": "s"},
        ]});
        let server = Canned::start(vec![ok(&mixed.to_string())]).await;
        let verdicts = sink(&server, "").await.deliver(&events(0..2)).await.unwrap();
        assert!(matches!(&verdicts[0], Verdict::Retry(why) if why.contains("slow down")));
        assert_eq!(verdicts[1], Verdict::Accepted);
    }

    #[tokio::test]
    async fn a_role_that_may_not_describe_passes_the_check() {
        let denied = Canned::start(vec![fault(400, "AccessDeniedException")]).await;
        sink(&denied, "").await.check().await.unwrap();
        let gone = Canned::start(vec![fault(400, "ResourceNotFoundException")]).await;
        let error = sink(&gone, "").await.check().await.unwrap_err();
        assert!(matches!(error, SinkError::Misconfigured(_)), "{error:?}");
    }
}
