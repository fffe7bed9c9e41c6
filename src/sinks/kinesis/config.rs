//! The configuration of a `kinesis` sink.

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use super::PartitionKey;
use crate::{aws::StreamTarget, model::StreamName, ports::SinkError};

/// The configuration of a `kinesis` sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KinesisSinkConfig {
    /// The stream's name. Either this or `arn`.
    #[serde(default)]
    pub stream: Option<String>,
    /// The stream's ARN, for a stream of another account.
    #[serde(default)]
    pub arn: Option<String>,
    /// The stream's region, when it is not the one of `[aws]`.
    #[serde(default)]
    pub region: Option<String>,
    /// Where the stream's Kinesis answers, when it is not where `[aws]` says.
    #[serde(default)]
    pub endpoint_url: Option<String>,
    /// Which key an event is put under. Default: `record`.
    #[serde(default)]
    pub partition_key: PartitionKey,
    /// Largest record, its key included. Default: `1MiB`, up to `10MiB` if the stream allows it.
    #[serde(default = "default_record_size")]
    pub maximum_record_size: ByteSize,
    /// Largest request. Default: `5MiB`, which all servers take; AWS takes `10MiB`.
    #[serde(default = "default_request_size")]
    pub maximum_request_size: ByteSize,
}

impl Default for KinesisSinkConfig {
    /// No stream yet; every limit at its default.
    fn default() -> Self {
        Self {
            stream: None,
            arn: None,
            region: None,
            endpoint_url: None,
            partition_key: PartitionKey::default(),
            maximum_record_size: default_record_size(),
            maximum_request_size: default_request_size(),
        }
    }
}

fn default_record_size() -> ByteSize {
    ByteSize::mib(1)
}

fn default_request_size() -> ByteSize {
    ByteSize::mib(5)
}

impl KinesisSinkConfig {
    pub(super) fn target(&self) -> Result<StreamTarget, SinkError> {
        match (&self.stream, &self.arn) {
            (Some(name), None) => Ok(StreamTarget::Name(StreamName::new(name))),
            (None, Some(arn)) => {
                StreamTarget::arn(arn).map_err(|error| SinkError::Misconfigured(error.to_string()))
            }
            _ => Err(SinkError::Misconfigured(
                "a kinesis sink needs either `stream` or `arn`".to_owned(),
            )),
        }
    }
}
