//! What must hold beyond the kind of each value: names that AWS takes, values that fit each other.

mod clear_text;
mod exporters;
mod letters;
mod windows;

use std::{collections::HashSet, time::Duration};

pub(super) use clear_text::sent_in_the_clear;

use super::{
    Retrieval, RetrySettings, RouteSettings, Settings, SinkEntry, StreamSettings, log_level,
    place::Places, redact::redact,
};
use crate::{
    aws::{ConsumerName, StreamTarget, check_endpoint},
    model::InitialPosition,
    ports::{SystemClock, WallClock},
    sinks::{KinesisSinkConfig, SinkConfig},
};

/// Largest record of a stream (Kinesis quotas).
const LARGEST_RECORD: u64 = 10 << 20;

/// Most lanes of a sink (Lambda API reference, `ParallelizationFactor`).
const MOST_LANES: usize = 10;
const BAD_CONSUMER: &str =
    "Kinesis takes no consumer of this name: expected 1 to 128 of a-z, A-Z, 0-9, _ . -";

/// A key, and what is wrong with it.
pub(super) type Finding = (String, String);

/// Looks at everything that can be judged without compiling.
pub(super) fn findings(settings: &Settings, places: &Places) -> Vec<Finding> {
    let mut checks = Checks { places, found: Vec::new() };
    checks.names(settings);
    checks.aws(settings);
    checks.times(settings);
    checks.amounts(settings);
    checks.streams(&settings.streams);
    checks.consumers(settings);
    checks.routes(&settings.routes);
    checks.sinks(settings);
    checks.letters(settings);
    checks.windows(settings);
    checks.emf(settings);
    checks.otlp(&settings.otlp, cfg!(feature = "otlp"));
    checks.found
}

struct Checks<'p> {
    places: &'p Places,
    found: Vec<Finding>,
}

impl Checks<'_> {
    fn that(&mut self, holds: bool, key: impl Into<String>, message: impl Into<String>) {
        if !holds {
            self.found.push((key.into(), message.into()));
        }
    }

    /// Values that must fit each other are reported at the one that somebody set.
    fn between(&mut self, holds: bool, key: &str, other: &str, message: &str) {
        let set = |key: &str| self.places.exactly(key).is_some();
        let at = if !set(key) && set(other) { other } else { key };
        let message = if at == key { message.to_owned() } else { format!("{key} {message}") };
        self.that(holds, at, message);
    }

    fn names(&mut self, settings: &Settings) {
        let Settings { application, lease, worker_id, log, .. } = settings;
        let (key, table) = match &lease.table {
            Some(table) => ("lease.table", table),
            None => ("application", application),
        };
        self.that(!application.is_empty(), "application", "must not be empty");
        let fine = application.is_empty() || (3..=255).contains(&table.len()) && is_name(table);
        self.that(
            fine,
            key,
            "DynamoDB takes no table of this name: expected 3 to 255 of a-z, A-Z, 0-9, _ . -",
        );
        let fine =
            worker_id.as_ref().is_none_or(|id| !id.is_empty() && !id.starts_with("shardId-"));
        self.that(fine, "worker_id", "must not be empty or look like a shard id");
        let long = settings.admin.token.as_ref().is_none_or(|token| token.reveal().len() >= 16);
        self.that(long, "admin.token", "is too easily guessed: expected 16 characters or more");
        if let Some(problem) = log_level::problem(&log.level) {
            self.that(false, "log.level", problem);
        }
    }

    fn aws(&mut self, settings: &Settings) {
        let aws = &settings.aws;
        self.text("aws.region", aws.region.as_ref());
        self.text("aws.profile", aws.profile.as_ref());
        self.endpoint("aws.endpoint_url", aws.endpoint_url.as_ref());
        self.endpoint("aws.kinesis_endpoint_url", aws.kinesis_endpoint_url.as_ref());
        self.endpoint("aws.dynamodb_endpoint_url", aws.dynamodb_endpoint_url.as_ref());
    }

    fn text(&mut self, key: &str, text: Option<&String>) {
        let fine = text.is_none_or(|text| !text.trim().is_empty());
        self.that(fine, key, "must not be empty; leave it out for the usual chain");
    }

    fn endpoint(&mut self, key: &str, url: Option<&String>) {
        let Some(url) = url else { return };
        self.that(
            check_endpoint(url).is_ok(),
            key,
            format!(
                "expected http:// or https:// and a host, as in \"http://localhost:4566\", without \
                 user and password; found {:?}",
                redact(url)
            ),
        );
    }

    fn times(&mut self, settings: &Settings) {
        let Settings { lease, consumer, shutdown, .. } = settings;
        self.that(
            lease.failover_time.as_millis() >= 1000,
            "lease.failover_time",
            "must be at least 1s: three renewals must fit into it",
        );
        self.between(
            !lease.scan_interval.is_zero() && lease.scan_interval <= lease.failover_time,
            "lease.scan_interval",
            "lease.failover_time",
            "must be above 0s and at most lease.failover_time",
        );
        self.between(
            !consumer.poll_interval.is_zero()
                && consumer.poll_interval <= consumer.idle_poll_interval,
            "consumer.poll_interval",
            "consumer.idle_poll_interval",
            "must be above 0s and at most consumer.idle_poll_interval",
        );
        self.between(
            !consumer.retry_min.is_zero() && consumer.retry_min <= consumer.retry_max,
            "consumer.retry_min",
            "consumer.retry_max",
            "must be above 0s and at most consumer.retry_max",
        );
        self.that(!shutdown.drain_timeout.is_zero(), "shutdown.drain_timeout", "must be above 0s");
    }

    fn amounts(&mut self, settings: &Settings) {
        let Settings { lease, consumer, .. } = settings;
        for (key, amount, least, shown) in [
            ("lease.max_leases_per_worker", u64_of(lease.max_leases_per_worker), 1, "1"),
            ("consumer.in_flight_bytes", consumer.in_flight_bytes.as_u64(), 1 << 20, "1MiB"),
            ("consumer.queue_bytes", consumer.queue_bytes.as_u64(), 1, "1B"),
            ("consumer.max_decompressed", consumer.max_decompressed.as_u64(), 1, "1B"),
            ("consumer.max_events_per_record", u64_of(consumer.max_events_per_record), 1, "1"),
        ] {
            self.that(amount >= least, key, format!("must be at least {shown}"));
        }
    }

    fn streams(&mut self, streams: &[StreamSettings]) {
        self.that(
            !streams.is_empty(),
            "streams",
            "missing: name a stream, as in [[streams]] name = \"app-logs\"",
        );
        let mut names = HashSet::new();
        let now = SystemClock.now();
        for (index, stream) in streams.iter().enumerate() {
            let key = format!("streams[{index}]");
            let name = self.stream(&key, "name", stream.name.as_ref(), stream.arn.as_ref());
            if let Some((at, name)) = name {
                let message = format!("there is a stream {name:?} already");
                self.that(names.insert(name), at, message);
            }
            if let InitialPosition::AtTimestamp(time) = stream.initial_position {
                self.that(time <= now, format!("{key}.initial_position"), "is in the future");
            }
            let (from, until) = (stream.initial_position, stream.until);
            let empty = until.is_some_and(|until| match from {
                InitialPosition::TrimHorizon => false,
                InitialPosition::Latest => until.time(now) <= now,
                InitialPosition::AtTimestamp(from) => until.time(now) <= from,
            });
            self.that(!empty, format!("{key}.until"), "must be after initial_position");
        }
    }

    /// The consumers of streams with enhanced fan-out.
    fn consumers(&mut self, settings: &Settings) {
        for (index, stream) in settings.streams.iter().enumerate() {
            let key = format!("streams[{index}]");
            let StreamSettings { consumer_name, consumer_arn, deregister_on_exit, .. } = stream;
            if let Some(arn) = consumer_arn {
                self.consumer_arn(&format!("{key}.consumer_arn"), arn, stream);
                let message = "needs either consumer_name or consumer_arn";
                self.that(consumer_name.is_none(), format!("{key}.consumer_name"), message);
                self.that(
                    !deregister_on_exit,
                    format!("{key}.deregister_on_exit"),
                    "would deregister a consumer that somebody else has registered (consumer_arn)",
                );
            } else if let Some(name) = consumer_name {
                self.that(is_consumer(name), format!("{key}.consumer_name"), BAD_CONSUMER);
            } else if stream.retrieval == Retrieval::FanOut && !settings.application.is_empty() {
                let message = format!("{BAD_CONSUMER}; or set {key}.consumer_name");
                self.that(is_consumer(&settings.application), "application", message);
            }
        }
    }

    fn consumer_arn(&mut self, key: &str, arn: &str, stream: &StreamSettings) {
        let Some(target) = ConsumerName::stream_of(arn) else {
            self.that(
                false,
                key,
                "is not the ARN of a consumer: expected \
                 arn:aws:kinesis:<region>:<account>:stream/<name>/consumer/<name>:<seconds>",
            );
            return;
        };
        let named = stream.name.as_ref().is_none_or(|name| target.stream_name().as_str() == name);
        let same =
            stream.arn.as_ref().is_none_or(|arn| StreamTarget::arn(arn).as_ref() == Ok(&target));
        self.that(named && same, key, "is the ARN of a consumer of another stream");
    }

    /// The key and the name of a stream, from its name or its ARN.
    fn stream(
        &mut self,
        key: &str,
        name_key: &str,
        name: Option<&String>,
        arn: Option<&String>,
    ) -> Option<(String, String)> {
        let (at, name) = match (name, arn) {
            (Some(name), None) => (format!("{key}.{name_key}"), name.clone()),
            (None, Some(arn)) => match StreamTarget::arn(arn) {
                Ok(target) => (format!("{key}.arn"), target.stream_name().as_str().to_owned()),
                Err(problem) => {
                    self.that(false, format!("{key}.arn"), problem.to_string());
                    return None;
                }
            },
            _ => {
                self.that(false, key, format!("needs either {name_key} or arn"));
                return None;
            }
        };
        self.that(
            (1..=128).contains(&name.len()) && is_name(&name),
            at.clone(),
            "Kinesis takes no stream of this name: expected 1 to 128 of a-z, A-Z, 0-9, _ . -",
        );
        Some((at, name))
    }

    fn routes(&mut self, routes: &[RouteSettings]) {
        self.that(
            !routes.is_empty(),
            "routes",
            "missing: say where events go, as in [[routes]] name = \"all\", sink = \"out\"",
        );
        let mut names = HashSet::new();
        for (index, route) in routes.iter().enumerate() {
            let key = format!("routes[{index}].name");
            if route.name.trim().is_empty() {
                self.that(false, key, "must not be empty");
            } else {
                let message = format!("there is a route {:?} already", route.name);
                self.that(names.insert(&route.name), key, message);
            }
            self.route(&format!("routes[{index}]"), route);
        }
    }

    fn route(&mut self, key: &str, route: &RouteSettings) {
        let empty = route.fields.iter().find(|(_, values)| values.is_empty());
        if let Some((path, _)) = empty {
            let message =
                format!("{path}: the list is empty, so no event can hold one of its values");
            self.that(false, format!("{key}.where"), message);
        }
        self.that(
            route.max_event_size.is_none_or(|size| size.as_u64() > 0),
            format!("{key}.max_event_size"),
            "must be at least 1B",
        );
        self.that(
            route.oldest_event.is_none_or(|oldest| !oldest.is_zero()),
            format!("{key}.oldest_event"),
            "must be above 0s: every event happened before it arrived",
        );
        let validate_on = format!("{key}.validate_on");
        let stray = route.validate.is_none() && self.places.exactly(&validate_on).is_some();
        self.that(!stray, validate_on, "needs a schema: set validate too");
    }

    fn sinks(&mut self, settings: &Settings) {
        let mut stdout = None;
        for (name, entry) in &settings.sinks {
            let key = format!("sinks.{name}");
            self.that(!name.is_empty(), &key, "must have a name, as in [sinks.out]");
            self.that(
                entry.batch.batch_size > 0,
                format!("{key}.batch_size"),
                "must be at least 1",
            );
            let bytes = entry.batch.batch_bytes.as_u64();
            self.that(bytes > 0, format!("{key}.batch_bytes"), "must be at least 1B");
            self.that(
                (1..=MOST_LANES).contains(&entry.batch.parallelization_factor),
                format!("{key}.parallelization_factor"),
                format!("must be from 1 to {MOST_LANES}"),
            );
            self.retry(&key, &entry.retry, *name == settings.dead_letter.sink);
            match &entry.sink {
                SinkConfig::Stdout(_) => {
                    let message = "only one sink may write to stdout: lines of two would mix";
                    self.that(stdout.is_none(), format!("{key}.type"), message);
                    stdout = Some(name);
                }
                SinkConfig::File(config) => {
                    if let Some((own, problem)) = config.problem() {
                        self.that(false, format!("{key}.{own}"), problem);
                    }
                }
                SinkConfig::Firehose(config) => {
                    self.own(&key, config.problems());
                    self.text(&format!("{key}.region"), config.region.as_ref());
                    self.endpoint(&format!("{key}.endpoint_url"), config.endpoint_url.as_ref());
                }
                SinkConfig::Sqs(config) => {
                    self.own(&key, config.problems());
                    self.text(&format!("{key}.region"), config.region.as_ref());
                    self.endpoint(&format!("{key}.endpoint_url"), config.endpoint_url.as_ref());
                }
                SinkConfig::Http(config) => self.own(&key, config.problems()),
                SinkConfig::Postgres(config) => {
                    self.own(&key, config.problems());
                    self.exactly_once(&key, config.exactly_once, entry);
                }
                SinkConfig::Azure(_)
                | SinkConfig::Gcs(_)
                | SinkConfig::S3(_)
                | SinkConfig::Folder(_) => self.objects(&key, entry),
                SinkConfig::Kinesis(config) => self.kinesis(&key, config),
            }
        }
    }

    /// Sinks that write objects.
    fn objects(&mut self, key: &str, entry: &SinkEntry) {
        let Some((config, place)) = entry.sink.objects() else { return };
        self.own(key, config.problems(place));
        self.text(&format!("{key}.region"), config.region.as_ref());
        self.endpoint(&format!("{key}.endpoint_url"), config.endpoint_url.as_ref());
        self.whole_batches(
            key,
            entry,
            "prepares its batches in the order of the shard: leave it at 1",
            "batches are prepared, and delivered as they are: leave this out",
        );
    }

    fn retry(&mut self, key: &str, retry: &RetrySettings, dead_letters: bool) {
        let RetrySettings { maximum_retry_attempts, maximum_record_age, .. } = retry;
        let key_of_age = format!("{key}.maximum_record_age");
        if dead_letters {
            let message = "a dead letter has nowhere else to go, so its sink is tried for ever: \
                leave this out, or give the dead letters a sink of their own";
            let key_of_attempts = format!("{key}.maximum_retry_attempts");
            self.that(maximum_retry_attempts.is_none(), key_of_attempts, message);
            self.that(maximum_record_age.is_none(), key_of_age, message);
        } else {
            let fine = maximum_record_age.is_none_or(|age| age >= Duration::from_secs(1));
            self.that(fine, key_of_age, "must be at least 1s, or -1 for no limit");
        }
    }

    /// What a sink's own configuration says of itself.
    fn own(&mut self, key: &str, problems: Vec<(&'static str, String)>) {
        for (own, problem) in problems {
            self.that(false, format!("{key}.{own}"), problem);
        }
    }

    /// Positions say that everything before them is done: the order of the shard must reach the sink,
    /// and nothing may be left out.
    fn exactly_once(&mut self, key: &str, exactly_once: bool, entry: &SinkEntry) {
        if !exactly_once {
            return;
        }
        self.whole_batches(
            key,
            entry,
            "stores positions, which needs the order of the shard: leave it at 1, or set \
             exactly_once = false",
            "what is given up might be in the table all the same, or be left out by a replay: leave \
             this out, or set exactly_once = false",
        );
    }

    /// One batch at a time, of which nothing is given up.
    fn whole_batches(&mut self, key: &str, entry: &SinkEntry, lanes: &str, limits: &str) {
        let factor = entry.batch.parallelization_factor;
        self.that(factor <= 1, format!("{key}.parallelization_factor"), lanes);
        let RetrySettings { maximum_retry_attempts, maximum_record_age, .. } = &entry.retry;
        let key_of_attempts = format!("{key}.maximum_retry_attempts");
        self.that(maximum_retry_attempts.is_none(), key_of_attempts, limits);
        let key_of_age = format!("{key}.maximum_record_age");
        self.that(maximum_record_age.is_none(), key_of_age, limits);
    }

    fn kinesis(&mut self, key: &str, config: &KinesisSinkConfig) {
        self.stream(key, "stream", config.stream.as_ref(), config.arn.as_ref());
        self.text(&format!("{key}.region"), config.region.as_ref());
        self.endpoint(&format!("{key}.endpoint_url"), config.endpoint_url.as_ref());
        let (record, request) = (config.maximum_record_size, config.maximum_request_size);
        self.that(
            (1..=LARGEST_RECORD).contains(&record.as_u64()),
            format!("{key}.maximum_record_size"),
            "must be above 0B and at most 10MiB",
        );
        self.between(
            request >= record,
            &format!("{key}.maximum_request_size"),
            &format!("{key}.maximum_record_size"),
            "must be at least maximum_record_size",
        );
    }
}

/// The characters that Kinesis and DynamoDB take in a name (API references, `CreateStream` and
/// `CreateTable`).
fn is_name(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

fn is_consumer(name: &str) -> bool {
    (1..=128).contains(&name.len()) && is_name(name)
}

fn u64_of(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
