//! Consumers with enhanced fan-out: ours, and others.

use super::finding::Finding;
use crate::{
    app,
    aws::{
        AwsConnection, ConsumerName, FanOutConsumer, KinesisStream, StreamSummary, StreamTarget,
    },
    config::{Retrieval, StreamSettings},
    ports::StreamError,
};

/// Where a stream is read.
pub(super) struct Site<'s> {
    pub(super) aws: &'s AwsConnection,
    pub(super) stream: &'s StreamSettings,
    pub(super) application: &'s str,
}

pub(super) async fn examine(
    about: &str,
    site: &Site<'_>,
    target: StreamTarget,
    reader: &KinesisStream,
    summary: &StreamSummary,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut own = None;
    if site.stream.retrieval == Retrieval::FanOut {
        let name = app::consumer_name(site.stream, site.application);
        let consumer = FanOutConsumer::new(site.aws, target, name.clone());
        let registered = consumer.registered().await;
        own = registered.as_ref().ok().and_then(Option::as_ref).map(|(arn, _)| arn.clone());
        findings.push(ours(about, &name, registered));
        findings.push(Finding::note(
            about,
            "kinesis:SubscribeToShard was not tried: it would take a shard from the worker that reads it",
        ));
    }
    // A server that does not count may have some.
    if summary.consumers != Some(0) {
        let others = reader.consumers(&summary.arn).await.map(|consumers| {
            let others =
                consumers.into_iter().filter(|consumer| Some(&consumer.arn) != own.as_ref());
            others.map(|other| format!("{} ({})", other.name, other.status)).collect::<Vec<_>>()
        });
        findings.extend(strangers(about, others));
    }
    findings
}

fn ours(
    about: &str,
    name: &ConsumerName,
    registered: Result<Option<(String, String)>, StreamError>,
) -> Finding {
    match (registered, name) {
        (Ok(Some((arn, status))), _) => {
            let found = format!("read by enhanced fan-out as {arn}, {status}");
            match status.as_str() {
                "ACTIVE" => Finding::ok(about, found),
                _ => Finding::warning(about, found).advise("wait a minute, then check again"),
            }
        }
        (Ok(None), ConsumerName::Name(name)) => Finding::note(
            about,
            format!(
                "the fan-out consumer {name} is not registered yet: the first worker does it; whether it \
                 may (kinesis:RegisterStreamConsumer) cannot be tried without doing it"
            ),
        ),
        (Ok(None), ConsumerName::Arn(arn)) => {
            Finding::problem(about, format!("there is no consumer {arn}"))
                .advise("register it, or set streams.consumer_name instead of consumer_arn")
        }
        (Err(problem), _) => Finding::stream_problem(about, &problem),
    }
}

/// Registered consumers have a throughput of their own, so they only explain who else reads.
fn strangers(about: &str, others: Result<Vec<String>, StreamError>) -> Option<Finding> {
    match others {
        Ok(others) if others.is_empty() => None,
        Ok(others) => Some(Finding::note(
            about,
            format!("also read by registered consumers, at no cost to us: {}", others.join(", ")),
        )),
        // `run` does not ask this.
        Err(problem) => {
            let found =
                format!("it cannot be said which other consumers are registered: {problem}");
            Some(Finding::note(about, found))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::finding::Level;

    #[test]
    fn a_consumer_that_nobody_will_register_is_a_problem() {
        let name = ConsumerName::Name("orders".to_owned());
        let arn = ConsumerName::Arn("arn:x/consumer/orders:1".to_owned());
        let registered = |status: &str| Ok(Some(("arn:x".to_owned(), status.to_owned())));
        let level = |name, registered| ours("stream s", name, registered).level;
        assert_eq!(level(&name, registered("ACTIVE")), Level::Ok);
        assert_eq!(level(&name, registered("DELETING")), Level::Warning);
        assert_eq!(level(&name, Ok(None)), Level::Note);
        assert_eq!(level(&arn, Ok(None)), Level::Problem);
        assert_eq!(level(&name, Err(StreamError::Denied("no".to_owned()))), Level::Problem);
    }
}
