//! The configured pipeline without its streams and sinks, for commands that only ask it.

use crate::{
    aws::StreamTarget,
    codec::DecodeLimits,
    config::{Compiled, Settings, StreamSettings},
    etl::{Pipeline, PipelineParts},
    model::Format,
};

/// A pipeline, and what it needs to know of the streams.
pub(super) struct Offline {
    pub(super) pipeline: Pipeline,
    pub(super) limits: DecodeLimits,
    pub(super) streams: Streams,
}

impl Offline {
    pub(super) fn new(compiled: Compiled) -> Self {
        let Compiled { settings, routes, dead_letters, limits, hash, .. } = compiled;
        let streams = Streams::of(&settings);
        let pipeline = Pipeline::new(PipelineParts {
            routes,
            sinks: settings.sinks.into_keys().collect(),
            dead_letters,
            limits,
            configuration: hash,
        });
        Self { pipeline, limits, streams }
    }
}

/// The configured streams, with what their records hold.
pub(super) struct Streams(Vec<(String, Format)>);

impl Streams {
    pub(super) fn of(settings: &Settings) -> Self {
        let named = |stream: &StreamSettings| Some((stream_name(stream)?, stream.format));
        Self(settings.streams.iter().filter_map(named).collect())
    }

    pub(super) fn format(&self, name: &str) -> Option<Format> {
        self.0.iter().find(|(stream, _)| stream == name).map(|(_, format)| *format)
    }

    /// The names, in the order of the configuration, which has one at least.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

fn stream_name(stream: &StreamSettings) -> Option<String> {
    match (&stream.arn, &stream.name) {
        (Some(arn), _) => Some(StreamTarget::arn(arn).ok()?.stream_name().to_string()),
        (None, name) => name.clone(),
    }
}
