//! CloudWatch's embedded metric format: JSON documents among the log lines, from which CloudWatch Logs
//! makes metrics (Amazon CloudWatch user guide, "Specification: Embedded metric format").
//!
//! - One document for each set of labels, which are its dimensions, `application` before them. The
//!   worker is no dimension but a field: each restart would begin new metrics, and they cost by the hour.
//! - What has a `shard` label is left out: its maximum over the shards is a metric of its own.
//! - A counter is sent as what it has grown by, so that `Sum` is right over workers and time; of a
//!   histogram the sum and the count are. Counters that have never counted are left out.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncWriteExt, stdout},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::Scrape;
use crate::{
    metrics::{Labels, MetricFamily, MetricKind, MetricUnit, MetricValue},
    model::EpochMillis,
    ports::{SystemClock, WallClock},
};

/// Most metrics of one document (specification, `Metrics`).
const MOST_METRICS: usize = 100;

/// Writes documents.
#[derive(Debug)]
pub struct Emf {
    namespace: String,
    application: String,
    worker: String,
    /// What counters were when they were sent last.
    sent: HashMap<(String, Labels), f64>,
}

/// A metric of a document.
struct Entry {
    name: String,
    unit: &'static str,
    value: f64,
}

impl Emf {
    /// Nothing sent yet.
    pub fn new(namespace: &str, application: &str, worker: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            application: application.to_owned(),
            worker: worker.to_owned(),
            sent: HashMap::new(),
        }
    }

    /// Writes to standard output at intervals, and a last time when it is stopped. Ends when nobody
    /// reads standard output any more.
    pub async fn run(mut self, scrape: Scrape, every: Duration, stop: CancellationToken) {
        loop {
            let last = tokio::select! { biased;
                () = stop.cancelled() => true,
                () = sleep(every) => false,
            };
            let text: String = self.documents(&scrape(), SystemClock.now());
            let mut out = stdout();
            let written = async {
                out.write_all(text.as_bytes()).await?;
                out.flush().await
            };
            if let Err(problem) = written.await {
                tracing::warn!(%problem, "metrics can no longer be written to standard output");
                return;
            }
            if last {
                return;
            }
        }
    }

    /// The documents of now, a line each.
    pub fn documents(&mut self, families: &[MetricFamily], now: EpochMillis) -> String {
        let mut by_labels: BTreeMap<&Labels, Vec<Entry>> = BTreeMap::new();
        for family in families.iter().filter(|family| family.kind != MetricKind::Info) {
            for (labels, value) in &family.samples {
                if labels.iter().any(|(name, _)| name == "shard") {
                    continue;
                }
                let entries = self.entries(family, labels, value);
                if !entries.is_empty() {
                    by_labels.entry(labels).or_default().extend(entries);
                }
            }
        }
        let documents = by_labels.iter().flat_map(|(labels, entries)| {
            entries.chunks(MOST_METRICS).map(|entries| self.document(labels, entries, now))
        });
        documents.flat_map(|document| [document.to_string(), "\n".to_owned()]).collect()
    }

    fn entries(
        &mut self,
        family: &MetricFamily,
        labels: &Labels,
        value: &MetricValue,
    ) -> Vec<Entry> {
        let name = &family.name;
        let entry = |name: String, unit, value| Entry { name, unit, value };
        match (value, family.kind) {
            (MetricValue::Number(value), MetricKind::Counter) => {
                let grown = self.grown(name, labels, *value);
                grown.map(|grown| entry(name.clone(), unit(name), grown)).into_iter().collect()
            }
            (MetricValue::Number(value), _) => vec![entry(name.clone(), unit(name), *value)],
            (MetricValue::Histogram(histogram), _) => {
                #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 nobody counts")]
                let count = histogram.count as f64;
                let (sum_name, count_name) = (format!("{name}_sum"), format!("{name}_count"));
                let sum = self.grown(&sum_name, labels, histogram.sum);
                let count = self.grown(&count_name, labels, count);
                let sum = sum.map(|sum| entry(sum_name, unit(name), sum));
                let count = count.map(|count| entry(count_name, "Count", count));
                sum.into_iter().chain(count).collect()
            }
        }
    }

    /// What a counter has grown by; `None` when it has never counted.
    fn grown(&mut self, name: &str, labels: &Labels, value: f64) -> Option<f64> {
        if value == 0.0 {
            return None;
        }
        let before = self.sent.insert((name.to_owned(), labels.clone()), value).unwrap_or(0.0);
        Some((value - before).max(0.0))
    }

    fn document(&self, labels: &Labels, entries: &[Entry], now: EpochMillis) -> Value {
        let names = labels.iter().map(|(name, _)| name.as_str());
        let dimensions: Vec<&str> = ["application"].into_iter().chain(names).collect();
        let metrics: Vec<Value> = entries
            .iter()
            .map(|Entry { name, unit, .. }| json!({ "Name": name, "Unit": unit }))
            .collect();
        let mut document = Map::new();
        document.insert(
            "_aws".to_owned(),
            json!({
                "Timestamp": now.0,
                "CloudWatchMetrics": [{
                    "Namespace": self.namespace,
                    "Dimensions": [dimensions],
                    "Metrics": metrics,
                }],
            }),
        );
        document.insert("worker".to_owned(), self.worker.as_str().into());
        document.insert("application".to_owned(), self.application.as_str().into());
        for (name, value) in labels {
            document.insert(name.clone(), value.as_str().into());
        }
        for Entry { name, value, .. } in entries {
            document.insert(name.clone(), json!(value));
        }
        Value::Object(document)
    }
}

/// CloudWatch's word for the unit of a metric.
fn unit(name: &str) -> &'static str {
    match MetricUnit::of(name) {
        MetricUnit::Seconds => "Seconds",
        MetricUnit::Bytes => "Bytes",
        MetricUnit::Count => "Count",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        etl::Tally,
        metrics::{Levels, Metrics},
        model::StreamName,
    };

    fn documents(emf: &mut Emf, metrics: &Metrics) -> Vec<Value> {
        let levels = Levels { leases_held: 2, ..Levels::default() };
        let text = emf.documents(&metrics.snapshot(&levels), EpochMillis(1_767_225_600_000));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The document of a stream, or of the worker.
    fn of<'d>(documents: &'d [Value], stream: Option<&str>) -> &'d Value {
        let found = documents.iter().find(|document| {
            let dimensions = document["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0].as_array();
            let wanted = if stream.is_some() { 2 } else { 1 };
            dimensions.unwrap().len() == wanted && document["stream"].as_str() == stream
        });
        found.unwrap_or_else(|| panic!("{stream:?}: {documents:#?}"))
    }

    #[test]
    fn counters_are_sent_as_what_they_have_grown_by() {
        let (mut emf, metrics) = (Emf::new("Shardwright", "orders", "a"), Metrics::new());
        let stream = StreamName::new("app-logs");
        let read = |records| metrics.count(&stream, Tally { records, ..Tally::default() });
        read(3);
        metrics.settled(&stream, Duration::from_millis(500));
        let first = documents(&mut emf, &metrics);
        let first = of(&first, Some("app-logs"));
        assert_eq!(first["shardwright_records_total"], 3.0);
        assert_eq!(first["shardwright_put_to_settled_seconds_sum"], 0.5);
        assert_eq!(first["shardwright_put_to_settled_seconds_count"], 1.0);
        assert_eq!(first["shardwright_events_total"], Value::Null, "never counted");
        read(4);
        let second = documents(&mut emf, &metrics);
        assert_eq!(of(&second, Some("app-logs"))["shardwright_records_total"], 4.0);
        let third = documents(&mut emf, &metrics);
        assert_eq!(of(&third, Some("app-logs"))["shardwright_records_total"], 0.0);
        assert_eq!(of(&third, None)["shardwright_leases_held"], 2.0, "a gauge is sent as it is");
    }

    #[test]
    fn dimensions_are_few_and_units_those_of_cloudwatch() {
        let (mut emf, metrics) = (Emf::new("Shardwright", "orders", "a"), Metrics::new());
        let stream = StreamName::new("app-logs");
        metrics.count(&stream, Tally { records: 1, bytes: 9, ..Tally::default() });
        metrics.settled(&stream, Duration::from_millis(500));
        let documents = documents(&mut emf, &metrics);
        let mut units = BTreeSet::new();
        for document in &documents {
            let directive = &document["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(directive["Namespace"], "Shardwright");
            for dimension in directive["Dimensions"][0].as_array().unwrap() {
                let name = dimension.as_str().unwrap();
                assert!(!["shard", "worker", "version"].contains(&name), "{document}");
                assert!(document[name].is_string(), "{name} has no value: {document}");
            }
            for metric in directive["Metrics"].as_array().unwrap() {
                let name = metric["Name"].as_str().unwrap().to_owned();
                assert!(document[&name].is_number(), "{name}");
                units.insert((name, metric["Unit"].as_str().unwrap().to_owned()));
            }
        }
        for (name, unit) in [
            ("shardwright_record_bytes_total", "Bytes"),
            ("shardwright_records_total", "Count"),
            ("shardwright_put_to_settled_seconds_sum", "Seconds"),
            ("shardwright_in_flight_bytes", "Bytes"),
        ] {
            assert!(units.contains(&(name.to_owned(), unit.to_owned())), "{name}: {units:#?}");
        }
    }

    #[test]
    fn a_document_holds_a_hundred_metrics_at_most() {
        let family = |number: usize| MetricFamily {
            name: format!("gauge_{number}"),
            help: String::new(),
            kind: MetricKind::Gauge,
            samples: BTreeMap::from([(Labels::new(), MetricValue::Number(1.0))]),
        };
        let families: Vec<MetricFamily> = (0..250).map(family).collect();
        let text = Emf::new("n", "a", "w").documents(&families, EpochMillis(0));
        let metrics = text.lines().map(|line| {
            let document: Value = serde_json::from_str(line).unwrap();
            document["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap().len()
        });
        assert_eq!(metrics.collect::<Vec<_>>(), [100, 100, 50]);
    }
}
