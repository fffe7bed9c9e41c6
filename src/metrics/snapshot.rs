//! The metrics as values, for exporters that do not speak `OpenMetrics`.
//!
//! They are read from the text that [`super::Metrics::encode`] writes: what a scrape shows is what every
//! other exporter sends, under the same names.

use std::collections::BTreeMap;

/// One metric with all its label sets.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricFamily {
    /// The name as in `docs/metrics.md`: that of a counter ends in `_total`.
    pub name: String,
    /// What it counts or measures.
    pub help: String,
    /// Its type.
    pub kind: MetricKind,
    /// The values, by labels.
    pub samples: BTreeMap<Labels, MetricValue>,
}

/// Names and values of labels, in the order of the names' first use.
pub type Labels = Vec<(String, String)>;

/// What sort of a metric it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution since the process began.
    Histogram,
    /// A text in its labels; the value is 1.
    Info,
}

/// The unit that the name of a metric holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricUnit {
    /// `_seconds`.
    Seconds,
    /// `_bytes`.
    Bytes,
    /// Anything else is counted.
    Count,
}

impl MetricUnit {
    /// The unit of a metric of this name.
    pub fn of(name: &str) -> Self {
        match name.trim_end_matches("_total") {
            name if name.ends_with("_seconds") => Self::Seconds,
            name if name.ends_with("_bytes") => Self::Bytes,
            _ => Self::Count,
        }
    }
}

/// The value of one label set.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricValue {
    /// Of a counter, a gauge or an info.
    Number(f64),
    /// Of a histogram.
    Histogram(HistogramValue),
}

/// A distribution.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistogramValue {
    /// Upper bounds, the last one infinite, and how many observations lie at or below each.
    pub buckets: Vec<(f64, u64)>,
    /// The sum of all observations.
    pub sum: f64,
    /// How many there were.
    pub count: u64,
}

/// Reads what [`super::Metrics::encode`] has written.
pub(super) fn read(text: &str) -> Vec<MetricFamily> {
    let mut families: Vec<MetricFamily> = Vec::new();
    let mut help = "";
    for line in text.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ').map_or("", |(_, help)| help.trim_end_matches('.'));
        } else if let Some((name, kind)) = described(line) {
            let suffix = match kind {
                MetricKind::Counter => "_total",
                MetricKind::Info => "_info",
                MetricKind::Gauge | MetricKind::Histogram => "",
            };
            families.push(MetricFamily {
                name: format!("{name}{suffix}"),
                help: help.to_owned(),
                kind,
                samples: BTreeMap::new(),
            });
        } else if let (Some(family), Some(sample)) = (families.last_mut(), sample(line)) {
            family.add(sample);
        }
    }
    families
}

fn described(line: &str) -> Option<(&str, MetricKind)> {
    let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
    let kind = match kind {
        "counter" => MetricKind::Counter,
        "gauge" => MetricKind::Gauge,
        "histogram" => MetricKind::Histogram,
        "info" => MetricKind::Info,
        _ => return None,
    };
    Some((name, kind))
}

/// Name, labels and value of a line.
type Sample<'t> = (&'t str, Labels, f64);

fn sample(line: &str) -> Option<Sample<'_>> {
    if line.starts_with('#') {
        return None;
    }
    let at = line.find(['{', ' '])?;
    let (name, rest) = line.split_at_checked(at)?;
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Labels::new(), rest),
    };
    Some((name, labels, value.trim().parse().ok()?))
}

/// Labels up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = after.char_indices();
        loop {
            match characters.next()? {
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (end, '"') => {
                    rest = after.get(end + 1..)?;
                    break;
                }
                (_, other) => value.push(other),
            }
        }
        labels.push((name.to_owned(), value));
    }
}

impl MetricFamily {
    fn add(&mut self, (name, mut labels, value): Sample<'_>) {
        if self.kind != MetricKind::Histogram {
            self.samples.insert(labels, MetricValue::Number(value));
            return;
        }
        let bound = labels.iter().position(|(name, _)| name == "le").map(|at| labels.remove(at).1);
        let entry = self.samples.entry(labels);
        let entry = entry.or_insert_with(|| MetricValue::Histogram(HistogramValue::default()));
        let MetricValue::Histogram(histogram) = entry else { return };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let count = value as u64;
        match (bound, name.ends_with("_sum")) {
            (Some(bound), _) => {
                histogram.buckets.push((bound.parse().unwrap_or(f64::INFINITY), count));
            }
            (None, true) => histogram.sum = value,
            (None, false) => histogram.count = count,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{
        etl::Tally,
        metrics::{Levels, Metrics},
        model::StreamName,
        ports::Verdict,
    };

    fn of<'f>(families: &'f [MetricFamily], name: &str) -> &'f MetricFamily {
        families.iter().find(|family| family.name == name).unwrap()
    }

    fn labelled(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn everything_that_a_scrape_shows_is_there_as_values() {
        let metrics = Metrics::new();
        let stream = StreamName::new("a \"quoted\\ name");
        metrics.count(&stream, Tally { records: 3, ..Tally::default() });
        metrics.settled(&stream, Duration::from_millis(250));
        metrics.settled(&stream, Duration::from_secs(40));
        let sink = Arc::from("archive");
        metrics.delivered(&sink, 1, Duration::from_millis(3), &Ok(vec![Verdict::Accepted]));
        let levels = Levels { leases_held: 7, ..Levels::default() };
        let families = metrics.snapshot(&levels);
        let number = |name: &str, labels: &[(&str, &str)]| {
            let value = of(&families, name).samples.get(&labelled(labels)).cloned();
            match value {
                Some(MetricValue::Number(number)) => number,
                other => panic!("{name}: {other:?}"),
            }
        };
        let quoted = [("stream", "a \"quoted\\ name")];
        assert!((number("shardwright_records_total", &quoted) - 3.0).abs() < 1e-9);
        assert!((number("shardwright_leases_held", &[]) - 7.0).abs() < 1e-9);
        let accepted = [("sink", "archive"), ("outcome", "accepted")];
        assert!((number("shardwright_sink_events_total", &accepted) - 1.0).abs() < 1e-9);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        assert!((number("shardwright_build_info", &version) - 1.0).abs() < 1e-9);
        assert_eq!(of(&families, "shardwright_records_total").help, "Kinesis records read");
        assert_eq!(of(&families, "shardwright_leases_held").kind, MetricKind::Gauge);

        let settled = of(&families, "shardwright_put_to_settled_seconds");
        let Some(MetricValue::Histogram(histogram)) = settled.samples.get(&labelled(&quoted))
        else {
            panic!("{settled:?}")
        };
        assert_eq!((histogram.count, histogram.buckets.len()), (2, 15));
        assert!((histogram.sum - 40.25).abs() < 1e-9);
        assert_eq!(histogram.buckets[2], (0.3, 1));
        assert_eq!(histogram.buckets[14], (f64::INFINITY, 2));
        let names =
            metrics.encode(&levels).lines().filter(|line| line.starts_with("# TYPE")).count();
        assert_eq!(families.len(), names, "no metric is left out");
    }
}
