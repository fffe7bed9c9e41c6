//! The configuration of an `sqs` sink.

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::sinks::{Known, ValueSource};

/// Largest request, and largest message: 1,048,576 bytes each (API reference, `SendMessageBatch`).
const LARGEST: u64 = 1 << 20;

/// The configuration of an `sqs` sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqsConfig {
    /// The queue's URL. One that ends in `.fifo` is a FIFO queue.
    pub queue_url: String,
    /// The queue's region, when it is not the one of `[aws]`.
    #[serde(default)]
    pub region: Option<String>,
    /// Where SQS answers, when it is not where `[aws]` says.
    #[serde(default)]
    pub endpoint_url: Option<String>,
    /// FIFO queues: the message group, within which order is kept. An event without such a field has
    /// the group of its partition key. Default: `%partition_key`.
    #[serde(default = "default_group")]
    pub group: ValueSource,
    /// Largest request, and largest message. Default: `1MiB`, what SQS takes; a queue may be set to
    /// less.
    #[serde(default = "default_request_size")]
    pub maximum_request_size: ByteSize,
}

fn default_group() -> ValueSource {
    ValueSource::Known(Known::PartitionKey)
}

fn default_request_size() -> ByteSize {
    ByteSize::mib(1)
}

impl SqsConfig {
    /// What cannot be used: the key, and why.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let url = Url::parse(&self.queue_url);
        if !url.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
            let example = "https://sqs.eu-central-1.amazonaws.com/111122223333/orders";
            found.push(("queue_url", format!("expected a URL such as {example}")));
        }
        if !(1..=LARGEST).contains(&self.maximum_request_size.as_u64()) {
            let message = "must be above 0B and at most 1MiB".to_owned();
            found.push(("maximum_request_size", message));
        }
        found
    }

    /// Whether it is a FIFO queue.
    #[cfg(feature = "sqs")]
    pub(super) fn is_fifo(&self) -> bool {
        self.queue_url.rsplit('.').next() == Some("fifo")
    }
}
