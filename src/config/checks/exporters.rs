//! Where metrics are sent beside the admin port.

use super::Checks;
use crate::{
    config::{OtlpSettings, Settings},
    sinks::SinkConfig,
    telemetry::NOT_BUILT_IN,
};

impl Checks<'_> {
    pub(super) fn emf(&mut self, settings: &Settings) {
        let emf = &settings.emf;
        let taken = settings.sinks.iter().find(|(_, e)| matches!(e.sink, SinkConfig::Stdout(_)));
        if let Some((name, _)) = taken.filter(|_| emf.enabled) {
            let message =
                format!("sinks.{name} writes to standard output too: events and metrics would mix");
            self.that(false, "emf.enabled", message);
        }
        // CloudWatch API reference, `PutMetricData`: 255 characters, and AWS/ is for AWS.
        let name = &emf.namespace;
        self.that(
            (1..=255).contains(&name.len()) && !name.starts_with(':') && !name.starts_with("AWS/"),
            "emf.namespace",
            "CloudWatch takes no namespace of this name: expected 1 to 255 characters, not beginning with AWS/ or a colon",
        );
        self.that(emf.interval.as_secs() >= 1, "emf.interval", "must be at least 1s");
    }

    /// `built_in`: whether this build can send.
    pub(super) fn otlp(&mut self, otlp: &OtlpSettings, built_in: bool) {
        let not_built_in = otlp.endpoint.is_some() && !built_in;
        self.that(!not_built_in, "otlp.endpoint", NOT_BUILT_IN);
        if !not_built_in {
            self.endpoint("otlp.endpoint", otlp.endpoint.as_ref());
        }
        self.that(otlp.interval.as_secs() >= 1, "otlp.interval", "must be at least 1s");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::place::Places;

    #[test]
    fn an_endpoint_is_refused_by_a_build_that_cannot_send() {
        let places = Places::default();
        let endpoint = Some("http://localhost:4318".to_owned());
        let otlp = OtlpSettings { endpoint, interval: Duration::from_secs(30) };
        let found = |built_in| {
            let mut checks = Checks { places: &places, found: Vec::new() };
            checks.otlp(&otlp, built_in);
            checks.found
        };
        assert_eq!(found(true), []);
        assert_eq!(found(false), [("otlp.endpoint".to_owned(), NOT_BUILT_IN.to_owned())]);
    }
}
