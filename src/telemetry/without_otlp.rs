//! What stands for OTLP in a build without the cargo feature: nothing can be opened.

use std::{future::Ready, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{OtlpError, Scrape, SpanLayer};

/// Never there.
pub enum Otlp {}

impl Otlp {
    /// Refuses an endpoint that is set; OpenTelemetry's environment is not looked at.
    ///
    /// # Errors
    /// When `endpoint` is set.
    pub fn open(
        endpoint: Option<&str>,
        _interval: Duration,
        _application: &str,
        _worker: &str,
    ) -> Result<Option<Self>, OtlpError> {
        match endpoint {
            None => Ok(None),
            Some(_) => Err(OtlpError(super::NOT_BUILT_IN.to_owned())),
        }
    }

    /// Never called.
    pub fn layer(&self) -> SpanLayer {
        match *self {}
    }

    /// Never called.
    pub fn run(self, _scrape: Scrape, _stop: CancellationToken) -> Ready<()> {
        match self {}
    }
}
