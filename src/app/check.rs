//! Whether the outside world is as the configuration says.

use futures_util::future::join_all;

use crate::{
    config::Settings,
    ports::SinkError,
    sinks::{self, SinkSite},
};

/// What a sink said.
#[derive(Clone, Debug)]
pub struct SinkCheck {
    /// Its name in the configuration.
    pub name: String,
    /// Its type.
    pub kind: &'static str,
    /// What stands in the way, and what to do.
    pub problem: Option<SinkError>,
}

/// Asks all sinks, at the same time, whether they could take events now. Nothing is delivered; a
/// `file` sink creates its directory and finishes what a crash left there, as `run` would.
pub async fn check_sinks(settings: &Settings) -> Vec<SinkCheck> {
    let Settings { application, aws, .. } = settings;
    let checks = settings.sinks.iter().map(async |(name, entry)| {
        let site = SinkSite { application, name, aws, replay: false };
        let checked = async { sinks::build(&entry.sink, &site).await?.check().await };
        let problem = checked.await.err();
        SinkCheck { name: name.clone(), kind: entry.sink.kind(), problem }
    });
    join_all(checks).await
}
