//! The configuration of a `firehose` sink.

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

/// The configuration of a `firehose` sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirehoseConfig {
    /// The name of the Firehose stream.
    pub stream: String,
    /// Its region, when it is not the one of `[aws]`.
    #[serde(default)]
    pub region: Option<String>,
    /// Where Firehose answers, when it is not where `[aws]` says.
    #[serde(default)]
    pub endpoint_url: Option<String>,
}

impl FirehoseConfig {
    /// Largest record, in bytes before base64 (API reference, `PutRecord`).
    pub const LARGEST_RECORD: ByteSize = ByteSize::kib(1000);

    /// What cannot be used: the key, and why.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let name = &self.stream;
        let known = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let fine = (1..=64).contains(&name.len()) && name.chars().all(known);
        let message =
            "Firehose takes no stream of this name: expected 1 to 64 of a-z, A-Z, 0-9, _ . -";
        if fine { Vec::new() } else { vec![("stream", message.to_owned())] }
    }
}
