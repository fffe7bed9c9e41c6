//! Sinks from their configuration.

use std::sync::Arc;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

#[cfg(feature = "firehose")]
use super::firehose::FirehoseSink;
#[cfg(feature = "objects")]
use super::object::ObjectSink;
#[cfg(feature = "postgres")]
use super::postgres::PostgresSink;
#[cfg(feature = "sqs")]
use super::sqs::SqsSink;
use super::{
    file::{FileConfig, FileSink},
    firehose::FirehoseConfig,
    http::{HttpConfig, HttpSink},
    kinesis::{KinesisSink, KinesisSinkConfig},
    object::{ObjectConfig, ObjectPlace},
    postgres::PostgresConfig,
    sqs::SqsConfig,
    stdout::{StdoutConfig, StdoutSink},
};
use crate::{
    aws::AwsSettings,
    ports::{Sink, SinkError},
};

/// One `[sinks.<name>]` of the configuration, told apart by `type`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum SinkConfig {
    /// Objects in Azure Blob Storage.
    Azure(Box<ObjectConfig>),
    /// JSON lines on the terminal or into a pipe.
    Stdout(StdoutConfig),
    /// JSON lines into files of a directory.
    File(FileConfig),
    /// Records of an Amazon Data Firehose stream.
    Firehose(FirehoseConfig),
    /// Objects as files of a folder, each batch in files of its own.
    Folder(Box<ObjectConfig>),
    /// Objects in Google Cloud Storage.
    Gcs(Box<ObjectConfig>),
    /// HTTP requests to any endpoint, Elasticsearch, OpenSearch or Loki.
    Http(Box<HttpConfig>),
    /// Records of another Kinesis data stream.
    Kinesis(KinesisSinkConfig),
    /// Rows of a PostgreSQL table.
    Postgres(Box<PostgresConfig>),
    /// Objects in Amazon S3, or in a server that speaks as it does.
    S3(Box<ObjectConfig>),
    /// Messages of an SQS queue.
    Sqs(SqsConfig),
}

impl SinkConfig {
    /// Its `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Azure(_) => "azure",
            Self::Stdout(_) => "stdout",
            Self::File(_) => "file",
            Self::Firehose(_) => "firehose",
            Self::Folder(_) => "folder",
            Self::Gcs(_) => "gcs",
            Self::Http(_) => "http",
            Self::Kinesis(_) => "kinesis",
            Self::Postgres(_) => "postgres",
            Self::S3(_) => "s3",
            Self::Sqs(_) => "sqs",
        }
    }

    /// The largest event that the sink takes, if it has a limit.
    pub fn limit(&self) -> Option<ByteSize> {
        match self {
            Self::Azure(_)
            | Self::Stdout(_)
            | Self::File(_)
            | Self::Folder(_)
            | Self::Gcs(_)
            | Self::Http(_)
            | Self::Postgres(_)
            | Self::S3(_) => None,
            Self::Firehose(_) => Some(FirehoseConfig::LARGEST_RECORD),
            Self::Kinesis(config) => Some(config.maximum_record_size),
            Self::Sqs(config) => Some(config.maximum_request_size),
        }
    }
}

impl SinkConfig {
    /// Where its objects are and how they are written, if it writes objects.
    pub fn objects(&self) -> Option<(&ObjectConfig, ObjectPlace)> {
        match self {
            Self::Azure(config) => Some((config, ObjectPlace::Azure)),
            Self::Gcs(config) => Some((config, ObjectPlace::Gcs)),
            Self::S3(config) => Some((config, ObjectPlace::S3)),
            Self::Folder(config) => Some((config, ObjectPlace::Folder)),
            _ => None,
        }
    }

    /// The same, to be completed.
    pub fn objects_mut(&mut self) -> Option<&mut ObjectConfig> {
        match self {
            Self::Azure(config) | Self::Gcs(config) | Self::S3(config) | Self::Folder(config) => {
                Some(config)
            }
            _ => None,
        }
    }
}

/// What a sink is made in.
#[derive(Clone, Copy, Debug)]
pub struct SinkSite<'s> {
    /// The application's name.
    pub application: &'s str,
    /// The sink's name in the configuration.
    pub name: &'s str,
    /// How AWS is reached, where the sink does not say otherwise.
    pub aws: &'s AwsSettings,
    /// Whether dead letters are replayed: their events come out of order.
    pub replay: bool,
}

/// Makes a sink ready.
///
/// # Errors
/// When the sink can never work as configured; see also [`Sink::check`].
pub async fn build(config: &SinkConfig, site: &SinkSite<'_>) -> Result<Arc<dyn Sink>, SinkError> {
    #[cfg(feature = "objects")]
    if let Some((config, place)) = config.objects() {
        return Ok(Arc::new(ObjectSink::open(config.clone(), place, site).await?));
    }
    Ok(match config {
        SinkConfig::Stdout(_) => Arc::new(StdoutSink::stdout()),
        SinkConfig::File(config) => Arc::new(FileSink::open(config.clone()).await?),
        #[cfg(feature = "firehose")]
        SinkConfig::Firehose(config) => {
            Arc::new(FirehoseSink::open(config.clone(), site.aws).await?)
        }
        #[cfg(not(feature = "firehose"))]
        SinkConfig::Firehose(_) => return Err(left_out("firehose")),
        // Those of this build are made above.
        SinkConfig::Azure(_) => return Err(left_out("azure")),
        SinkConfig::Gcs(_) => return Err(left_out("gcs")),
        SinkConfig::S3(_) => return Err(left_out("s3")),
        SinkConfig::Folder(_) => return Err(left_out("objects")),
        SinkConfig::Http(config) => Arc::new(HttpSink::open((**config).clone())?),
        SinkConfig::Kinesis(config) => Arc::new(KinesisSink::open(config.clone(), site.aws).await?),
        #[cfg(feature = "postgres")]
        SinkConfig::Postgres(config) => Arc::new(PostgresSink::open((**config).clone(), site)?),
        #[cfg(not(feature = "postgres"))]
        SinkConfig::Postgres(_) => return Err(left_out("postgres")),
        #[cfg(feature = "sqs")]
        SinkConfig::Sqs(config) => Arc::new(SqsSink::open(config.clone(), site.aws).await?),
        #[cfg(not(feature = "sqs"))]
        SinkConfig::Sqs(_) => return Err(left_out("sqs")),
    })
}

/// A sink that this build does not have, by the feature that it needs.
fn left_out(kind: &str) -> SinkError {
    SinkError::Misconfigured(format!("this build has no such sink: build with --features {kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SinkConfig, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn sinks_are_told_apart_by_type() {
        assert!(matches!(parse("type = 'stdout'"), Ok(SinkConfig::Stdout(_))));
        let file = parse("type = 'file'\npath = 'out'\nrotate_size = '1MiB'\nrotate_age = '5m'");
        assert!(matches!(file, Ok(SinkConfig::File(_))), "{file:?}");
        let kinesis = parse("type = 'kinesis'\nstream = 'next'\npartition_key = 'random'");
        assert!(matches!(kinesis, Ok(SinkConfig::Kinesis(_))), "{kinesis:?}");
    }

    #[test]
    fn unknown_keys_and_types_are_errors() {
        for (text, part) in [
            ("type = 'stdout'\ncolour = true", "colour"),
            ("type = 'file'\npath = 'out'\nrotate = 1", "rotate"),
            ("type = 'file'", "path"),
            ("type = 'kinesis'\nstream = 'next'\nkey = 'a'", "key"),
            ("type = 'carrier-pigeon'", "carrier-pigeon"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_config_reads_as_it_prints() {
        let config = parse("type = 'file'\npath = 'out'\ncompression = 'zstd'").unwrap();
        assert_eq!(parse(&toml::to_string(&config).unwrap()).unwrap(), config);
    }

    #[tokio::test]
    async fn a_kinesis_sink_needs_one_stream() {
        let aws = AwsSettings::default();
        let site = SinkSite { application: "orders", name: "out", aws: &aws, replay: false };
        for text in ["type = 'kinesis'", "type = 'kinesis'\nstream = 'a'\narn = 'b'"] {
            let Err(error) = build(&parse(text).unwrap(), &site).await else { panic!("{text}") };
            assert!(matches!(error, SinkError::Misconfigured(_)), "{error:?}");
        }
    }
}
