//! Which stream is read.

use super::{Args, Problem};
use crate::{
    app::target,
    aws::{AwsConnection, AwsSettings, KinesisStream, StreamTarget},
    config::{Settings, StreamSettings, load},
    model::{Aggregates, Format, Shard},
    ports::{StreamError, StreamReader},
};

/// A stream, and what its records hold.
pub(super) struct Source {
    pub(super) reader: KinesisStream,
    pub(super) format: Format,
    pub(super) aggregates: Aggregates,
}

impl Source {
    /// Finds the stream, in the configuration if there is one.
    pub(super) async fn open(args: &Args) -> Result<Self, Problem> {
        let settings = settings(args)?;
        let stream = stream(args, &settings.streams).map_err(Problem::Usage)?;
        let target = target(&stream).map_err(|error| Problem::Usage(error.to_string()))?;
        let mut aws = settings.aws;
        aws.region = args.region.clone().or(aws.region);
        if args.endpoint_url.is_some() {
            aws.kinesis_endpoint_url.clone_from(&args.endpoint_url);
        }
        let connection = AwsConnection::open(&aws).await;
        let connection = connection.map_err(|error| Problem::Usage(error.to_string()))?;
        Ok(Self {
            reader: KinesisStream::new(&connection, target),
            format: args.format.unwrap_or(stream.format),
            aggregates: stream.aggregates,
        })
    }

    /// The shards that were asked for; all without names.
    pub(super) async fn shards(&self, names: &[String]) -> Result<Vec<Shard>, Problem> {
        let mut shards = self.reader.shards().await?;
        let missing =
            names.iter().find(|name| shards.iter().all(|shard| shard.id.as_str() != *name));
        if let Some(name) = missing {
            return Err(StreamError::NotFound(format!("the stream lists no shard {name}")).into());
        }
        shards
            .retain(|shard| names.is_empty() || names.iter().any(|name| shard.id.as_str() == name));
        Ok(shards)
    }
}

fn settings(args: &Args) -> Result<Settings, Problem> {
    let layers = args.config.layers();
    if layers.files.is_empty() {
        return Ok(Settings { aws: AwsSettings::default(), ..Settings::default() });
    }
    let (settings, _) = load(&layers).map_err(|problems| Problem::Usage(problems.to_string()))?;
    Ok(settings)
}

/// The stream that is meant, by its name or as the only one.
fn stream(args: &Args, configured: &[StreamSettings]) -> Result<StreamSettings, String> {
    let name_of =
        |stream: &StreamSettings| target(stream).ok().map(|t| t.stream_name().to_string());
    let Some(name) = &args.stream else {
        return match configured {
            [only] => Ok(only.clone()),
            [] => Err("name a stream with --stream, or a configuration with --config".to_owned()),
            several => {
                let names: Vec<String> = several.iter().filter_map(name_of).collect();
                Err(format!("name one of the streams with --stream: {}", names.join(", ")))
            }
        };
    };
    let is_meant = |stream: &&StreamSettings| {
        stream.arn.as_ref() == Some(name) || name_of(stream).as_ref() == Some(name)
    };
    if let Some(stream) = configured.iter().find(is_meant) {
        return Ok(stream.clone());
    }
    let mut stream = StreamSettings::default();
    if name.starts_with("arn:") {
        StreamTarget::arn(name).map_err(|error| error.to_string())?;
        stream.arn = Some(name.clone());
    } else {
        stream.name = Some(name.clone());
    }
    Ok(stream)
}
