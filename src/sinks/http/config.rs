//! The configuration of an `http` sink.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use hyper::{
    Uri,
    header::{HeaderName, HeaderValue},
};
use serde::{Deserialize, Serialize};

use crate::sinks::ValueSource;

/// The configuration of an `http` sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Where batches are posted. With a preset the server's address: the preset knows the path.
    pub url: String,
    /// Default: `none`.
    #[serde(default)]
    pub preset: Preset,
    /// How a batch becomes a body, without a preset. Default: `lines`.
    #[serde(default)]
    pub body: BodyFormat,
    /// Default: `none`.
    #[serde(default)]
    pub compression: HttpCompression,
    /// Time for one request with its answer. Default: 30s.
    #[serde(default = "default_timeout", with = "humantime_serde")]
    pub timeout: Duration,
    /// Headers of each request. Secrets belong into `headers_env`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Headers whose values stand in environment variables of these names.
    #[serde(default)]
    pub headers_env: BTreeMap<String, String>,
    /// The environment variable that holds a bearer token.
    #[serde(default)]
    pub bearer_env: Option<String>,
    /// The user of basic authentication; with `password_env`.
    #[serde(default)]
    pub user: Option<String>,
    /// The environment variable that holds the user's password.
    #[serde(default)]
    pub password_env: Option<String>,
    /// Certificates (PEM) that are trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// `elasticsearch`, `opensearch`: the index or data stream. Required there.
    #[serde(default)]
    pub index: Option<String>,
    /// `elasticsearch`, `opensearch`: `create` leaves a document alone that is there, and is what
    /// data streams take; `index` replaces it. Default: `create`.
    #[serde(default)]
    pub action: BulkAction,
    /// `elasticsearch`, `opensearch`: the id of a document. An event without such a field is refused.
    /// Default: `%delivery_id`.
    #[serde(default = "default_document_id")]
    pub document_id: ValueSource,
    /// `loki`: the labels of a line: fixed texts, fields (`$.level`) or what is known (`%stream`). A
    /// line has no label whose field it does not have. Default: `service_name = "shardwright"`.
    #[serde(default = "default_labels")]
    pub labels: BTreeMap<String, String>,
    /// `loki`: the time of a line: milliseconds since 1970, or RFC 3339. Without such a field it is
    /// when Kinesis took the record. Default: `$.timestamp`.
    #[serde(default = "default_timestamp")]
    pub timestamp: ValueSource,
    /// `loki`: the text of a line. Without such a field it is the event. Default: `$`.
    #[serde(default = "default_line")]
    pub line: ValueSource,
}

/// A protocol that the sink knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Any endpoint.
    #[default]
    None,
    /// `_bulk` of Elasticsearch.
    Elasticsearch,
    /// `_bulk` of OpenSearch, the same.
    Opensearch,
    /// Loki's push.
    Loki,
}

/// How a batch becomes a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BodyFormat {
    /// A JSON document a line (`application/x-ndjson`).
    #[default]
    Lines,
    /// A JSON array (`application/json`).
    Array,
}

/// How bodies are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HttpCompression {
    /// Not at all.
    #[default]
    None,
    /// `Content-Encoding: gzip`.
    Gzip,
}

/// What `_bulk` does with a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BulkAction {
    /// Puts it if none of this id is there.
    #[default]
    Create,
    /// Puts it in the place of what is there.
    Index,
}

fn default_timeout() -> Duration {
    Duration::from_secs(30)
}

fn default_document_id() -> ValueSource {
    ValueSource::Known(crate::sinks::value::Known::DeliveryId)
}

fn default_labels() -> BTreeMap<String, String> {
    BTreeMap::from([("service_name".to_owned(), "shardwright".to_owned())])
}

fn default_timestamp() -> ValueSource {
    "$.timestamp".parse().expect("a path")
}

fn default_line() -> ValueSource {
    ValueSource::Event
}

impl HttpConfig {
    /// What cannot be used: the key, and why.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut that = |holds: bool, key: &'static str, why: &str| {
            if !holds {
                found.push((key, why.to_owned()));
            }
        };
        that(
            self.uri().is_some(),
            "url",
            "expected http:// or https:// and a host, as in \"https://logs.example.com/in\", without \
             user, password or fragment: those belong into user and password_env",
        );
        that(!self.timeout.is_zero(), "timeout", "must be above 0s");
        let name = |name: &String| HeaderName::try_from(name).is_ok();
        let value = |value: &String| HeaderValue::try_from(value).is_ok();
        that(
            self.headers.iter().all(|(key, text)| name(key) && value(text)),
            "headers",
            "expected names and values of HTTP headers",
        );
        that(self.headers_env.keys().all(name), "headers_env", "expected names of HTTP headers");
        that(
            self.user.is_some() == self.password_env.is_some(),
            "user",
            "user and password_env belong together",
        );
        that(
            self.user.is_none() || self.bearer_env.is_none(),
            "bearer_env",
            "either a bearer token or user and password",
        );
        let bulk = self.preset.is_bulk();
        let index = self.index.as_deref().unwrap_or_default();
        that(!bulk || !index.is_empty(), "index", "missing: name the index or data stream");
        let loki = self.preset == Preset::Loki;
        that(!loki || !self.labels.is_empty(), "labels", "Loki takes no line without a label");
        that(self.labels.keys().all(|label| is_label(label)), "labels", BAD_LABEL);
        for text in self.labels.values() {
            if let Some(Err(problem)) = label_source(text) {
                that(false, "labels", &problem);
            }
        }
        found
    }

    /// The URL, if it is one.
    pub(super) fn uri(&self) -> Option<Uri> {
        let url = url::Url::parse(&self.url).ok()?;
        let plain = url.username().is_empty() && url.password().is_none();
        let http = matches!(url.scheme(), "http" | "https") && url.has_host();
        let uri: Uri = self.url.parse().ok()?;
        (plain && http && url.fragment().is_none() && uri.host().is_some()).then_some(uri)
    }
}

impl Preset {
    /// Whether it speaks `_bulk`.
    pub(super) fn is_bulk(self) -> bool {
        matches!(self, Self::Elasticsearch | Self::Opensearch)
    }
}

const BAD_LABEL: &str =
    "Loki takes no label of this name: expected a-z, A-Z, 0-9, _ and no digit first";

fn is_label(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A label's value that is not a fixed text.
pub(super) fn label_source(text: &str) -> Option<Result<ValueSource, String>> {
    text.starts_with(['$', '%']).then(|| text.parse())
}
