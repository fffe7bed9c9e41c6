//! The configuration of sinks that write objects.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use super::{Column, KeyTemplate};
use crate::sinks::{Known, ValueSource};

/// Least bytes of a part of an upload, and most parts (Amazon S3 user guide, multipart upload limits).
const LEAST_PART: u64 = 5 << 20;

/// Where objects are, by the sink's `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectPlace {
    /// Amazon S3, or a server that speaks as it does.
    S3,
    /// Azure Blob Storage.
    Azure,
    /// Google Cloud Storage.
    Gcs,
    /// A folder of this machine.
    Folder,
}

/// The configuration of a sink that writes objects: `s3`, `azure`, `gcs` or `folder`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectConfig {
    /// The bucket, of an `s3` or a `gcs` sink.
    #[serde(default)]
    pub bucket: Option<String>,
    /// The bucket's region, when it is not the one of `[aws]`.
    #[serde(default)]
    pub region: Option<String>,
    /// The storage account, of an `azure` sink.
    #[serde(default)]
    pub account: Option<String>,
    /// The container, of an `azure` sink.
    #[serde(default)]
    pub container: Option<String>,
    /// Where the store answers, when it is not where `[aws]` says, at the account's own host, or at Google's.
    #[serde(default)]
    pub endpoint_url: Option<String>,
    /// The folder, of a `folder` sink. Created when it is missing.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// How keys begin: a template with `{stream}`, `{shard}`, `{route}`, `{date}`, `{year}`, `{month}`,
    /// `{day}`, `{hour}`, `{minute}` and fields of the event as `{$.kind}`. Each batch makes one object
    /// for each prefix that its events have. Default: `{stream}/dt={date}/hour={hour}`.
    #[serde(default)]
    pub prefix: KeyTemplate,
    /// The time in a key (UTC): `%arrival`, or a field with milliseconds since 1970 or RFC 3339 text,
    /// such as `$.timestamp`. Default: `%arrival`.
    #[serde(default = "default_time")]
    pub time: ValueSource,
    /// What an object holds. Default: `json-lines`.
    #[serde(default)]
    pub format: ObjectFormat,
    /// How it is compressed. Default: `gzip`.
    #[serde(default)]
    pub compression: ObjectCompression,
    /// A JSON Schema (a file) that the columns of `parquet` are taken from: one for each property at its
    /// top. Reading it is the configuration's business; here it says that somebody has.
    #[serde(default)]
    pub schema: Option<PathBuf>,
    /// The columns of `parquet`, beside those from `schema` or in their place.
    #[serde(default)]
    pub columns: BTreeMap<String, Column>,
    /// An object that is larger is uploaded in parts of this size. Default: `16MiB`.
    #[serde(default = "default_part_size")]
    pub part_size: ByteSize,
    /// Time for one request to the store. Default: `1m`.
    #[serde(default = "default_timeout", with = "humantime_serde")]
    pub timeout: Duration,
}

/// What an object holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectFormat {
    /// A JSON document a line.
    #[default]
    JsonLines,
    /// Rows with typed columns.
    Parquet,
}

/// How an object is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectCompression {
    /// As it is, `.jsonl`.
    None,
    /// `.jsonl.gz`, which everything reads.
    #[default]
    Gzip,
    /// The fastest; only within `parquet`.
    Snappy,
    /// `.jsonl.zst`: smaller and faster than gzip.
    Zstd,
}

fn default_time() -> ValueSource {
    ValueSource::Known(Known::Arrival)
}

fn default_part_size() -> ByteSize {
    ByteSize::mib(16)
}

fn default_timeout() -> Duration {
    Duration::from_mins(1)
}

impl ObjectConfig {
    /// What cannot be used: the key, and why.
    pub fn problems(&self, place: ObjectPlace) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut that = |holds: bool, key: &'static str, why: &str| {
            if !holds {
                found.push((key, why.to_owned()));
            }
        };
        match place {
            ObjectPlace::S3 => that(
                self.bucket.as_deref().is_some_and(is_bucket),
                "bucket",
                "S3 takes no bucket of this name: expected 3 to 63 of a-z, 0-9, . -",
            ),
            ObjectPlace::Azure => {
                that(
                    self.account.as_deref().is_some_and(is_account),
                    "account",
                    "Azure has no storage account of this name: expected 3 to 24 of a-z, 0-9",
                );
                that(
                    self.container.as_deref().is_some_and(is_container),
                    "container",
                    "Azure takes no container of this name: expected 3 to 63 of a-z, 0-9, -",
                );
            }
            ObjectPlace::Gcs => that(
                self.bucket.as_deref().is_some_and(is_google_bucket),
                "bucket",
                "Google Cloud Storage takes no bucket of this name: expected 3 to 63 of a-z, 0-9, - _, or \
                 several with dots between them",
            ),
            ObjectPlace::Folder => that(
                self.path.as_ref().is_some_and(|path| !path.as_os_str().is_empty()),
                "path",
                "must name a directory",
            ),
        }
        let parquet = self.format == ObjectFormat::Parquet;
        that(
            !parquet || cfg!(feature = "parquet"),
            "format",
            "this build has no parquet: build with --features parquet",
        );
        that(
            !parquet || !self.columns.is_empty() || self.schema.is_some(),
            "columns",
            "missing: say which fields go where, as in { id = \"$.order.id\", total = \"$.order.total \
             double\" }, or name a JSON Schema in schema",
        );
        that(parquet || self.columns.is_empty(), "columns", "only parquet has columns");
        that(parquet || self.schema.is_none(), "schema", "only parquet has columns");
        that(
            parquet || self.compression != ObjectCompression::Snappy,
            "compression",
            "snappy is for parquet: expected none, gzip or zstd",
        );
        that(self.part_size.as_u64() >= LEAST_PART, "part_size", "must be at least 5MiB");
        that(!self.timeout.is_zero(), "timeout", "must be above 0s");
        found
    }

    /// The ending of an object's name.
    #[cfg(feature = "objects")]
    pub(super) fn extension(&self) -> &'static str {
        match (self.format, self.compression) {
            (ObjectFormat::Parquet, _) => "parquet",
            (ObjectFormat::JsonLines, ObjectCompression::Gzip) => "jsonl.gz",
            (ObjectFormat::JsonLines, ObjectCompression::Zstd) => "jsonl.zst",
            (ObjectFormat::JsonLines, ObjectCompression::None | ObjectCompression::Snappy) => {
                "jsonl"
            }
        }
    }
}

/// Amazon S3 user guide, bucket naming rules.
fn is_bucket(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
    (3..=63).contains(&name.len()) && name.chars().all(fine)
}

/// Cloud Storage, bucket names: 63 characters, with dots 222 of which no part is longer.
fn is_google_bucket(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let part = |part: &str| (1..=63).contains(&part.len()) && part.chars().all(fine);
    (3..=222).contains(&name.len()) && name.split('.').all(part)
}

/// Azure Resource Manager, naming rules (`storageAccounts`).
fn is_account(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (3..=24).contains(&name.len()) && name.chars().all(fine)
}

/// Azure Resource Manager, naming rules (`containers`).
fn is_container(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (3..=63).contains(&name.len()) && name.chars().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_that_cannot_work_are_refused() {
        let config = |text: &str| toml::from_str::<ObjectConfig>(text).unwrap();
        assert_eq!(config("bucket = 'my-logs'").problems(ObjectPlace::S3), []);
        assert_eq!(config("path = 'out'").problems(ObjectPlace::Folder), []);
        #[cfg(feature = "parquet")]
        for keys in ["columns = { id = '$.id' }\ncompression = 'snappy'", "schema = 'order.json'"] {
            let text = format!("path = 'out'\nformat = 'parquet'\n{keys}");
            assert_eq!(config(&text).problems(ObjectPlace::Folder), []);
        }
        #[cfg(feature = "parquet")]
        assert_eq!(
            config("path = 'out'\nformat = 'parquet'").problems(ObjectPlace::Folder)[0].0,
            "columns"
        );
        let azure = "account = 'orders1'\ncontainer = 'my-logs'";
        assert_eq!(config(azure).problems(ObjectPlace::Azure), []);
        assert_eq!(config("bucket = 'my_logs.example.com'").problems(ObjectPlace::Gcs), []);
        for (text, place, key) in [
            ("account = 'My-Orders'\ncontainer = 'logs'", ObjectPlace::Azure, "account"),
            ("account = 'orders'\ncontainer = 'a.b'", ObjectPlace::Azure, "container"),
            ("", ObjectPlace::S3, "bucket"),
            ("bucket = 'My-Logs'", ObjectPlace::Gcs, "bucket"),
            ("bucket = 'logs..a'", ObjectPlace::Gcs, "bucket"),
            ("bucket = 'My_Logs'", ObjectPlace::S3, "bucket"),
            ("", ObjectPlace::Folder, "path"),
            ("path = 'out'\npart_size = '1MiB'", ObjectPlace::Folder, "part_size"),
            ("path = 'out'\ntimeout = '0s'", ObjectPlace::Folder, "timeout"),
            ("path = 'out'\ncolumns = { id = '$.id' }", ObjectPlace::Folder, "columns"),
            ("path = 'out'\nschema = 'order.json'", ObjectPlace::Folder, "schema"),
            ("path = 'out'\ncompression = 'snappy'", ObjectPlace::Folder, "compression"),
        ] {
            let problems = config(text).problems(place);
            let keys: Vec<_> = problems.iter().map(|(key, _)| *key).collect();
            assert_eq!(keys, [key], "{text}: {problems:?}");
        }
        for bad in [
            "prefix = '{now}'",
            "time = 'now'",
            "format = 'csv'",
            "compression = 'lzo'",
            "columns = { id = '$.id text' }",
        ] {
            assert!(toml::from_str::<ObjectConfig>(bad).is_err(), "{bad}");
        }
    }
}
