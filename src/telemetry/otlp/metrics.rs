//! The registry as OTLP's messages (opentelemetry-proto, `metrics.proto`). Totals are cumulative, as in a
//! scrape: a message that is lost leaves no gap in the sums.

use opentelemetry_proto::{
    tonic::{
        collector::metrics::v1::ExportMetricsServiceRequest,
        common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
        metrics::v1::{
            AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
            ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point,
        },
        resource::v1::Resource as ProtoResource,
    },
    transform::common::tonic::ResourceAttributesWithSchema,
};
use opentelemetry_sdk::Resource;

use crate::metrics::{HistogramValue, Labels, MetricFamily, MetricKind, MetricUnit, MetricValue};

/// A resource as a message.
pub(super) fn resource(resource: &Resource) -> ProtoResource {
    let attributes = ResourceAttributesWithSchema::from(resource).attributes.0;
    ProtoResource { attributes, ..ProtoResource::default() }
}

/// The time of the values, and since when they are counted, in nanoseconds.
#[derive(Clone, Copy)]
struct Times {
    start: u64,
    now: u64,
}

/// All metrics in one message.
pub(super) fn message(
    families: &[MetricFamily],
    resource: ProtoResource,
    start: u64,
    now: u64,
) -> ExportMetricsServiceRequest {
    let times = Times { start, now };
    let scope = InstrumentationScope {
        name: "shardwright".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let filled = families.iter().filter(|family| !family.samples.is_empty());
    let metrics = filled.map(|family| metric(family, times)).collect();
    let scope_metrics = ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![scope_metrics],
            ..ResourceMetrics::default()
        }],
    }
}

fn metric(family: &MetricFamily, times: Times) -> Metric {
    let numbers =
        || family.samples.iter().filter_map(|(labels, value)| number(labels, value, times));
    let temporality = AggregationTemporality::Cumulative.into();
    let data = match family.kind {
        MetricKind::Counter => Data::Sum(Sum {
            data_points: numbers().collect(),
            aggregation_temporality: temporality,
            is_monotonic: true,
        }),
        MetricKind::Gauge | MetricKind::Info => {
            Data::Gauge(Gauge { data_points: numbers().collect() })
        }
        MetricKind::Histogram => {
            let points = family.samples.iter().filter_map(|(labels, value)| match value {
                MetricValue::Histogram(histogram) => Some(distribution(labels, histogram, times)),
                MetricValue::Number(_) => None,
            });
            let data_points = points.collect();
            Data::Histogram(Histogram { data_points, aggregation_temporality: temporality })
        }
    };
    Metric {
        name: family.name.clone(),
        description: family.help.clone(),
        unit: unit(&family.name).to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn number(labels: &Labels, value: &MetricValue, times: Times) -> Option<NumberDataPoint> {
    let MetricValue::Number(number) = value else { return None };
    Some(NumberDataPoint {
        attributes: attributes(labels),
        start_time_unix_nano: times.start,
        time_unix_nano: times.now,
        value: Some(number_data_point::Value::AsDouble(*number)),
        ..NumberDataPoint::default()
    })
}

/// A scrape says how many lie at or below each bound, OTLP how many lie between two.
fn distribution(labels: &Labels, histogram: &HistogramValue, times: Times) -> HistogramDataPoint {
    let mut below = 0;
    let counts = histogram.buckets.iter().map(|(_, count)| {
        let between = count.saturating_sub(below);
        below = *count;
        between
    });
    HistogramDataPoint {
        attributes: attributes(labels),
        start_time_unix_nano: times.start,
        time_unix_nano: times.now,
        count: histogram.count,
        sum: Some(histogram.sum),
        bucket_counts: counts.collect(),
        explicit_bounds: histogram
            .buckets
            .iter()
            .map(|(bound, _)| *bound)
            .filter(|bound| bound.is_finite())
            .collect(),
        ..HistogramDataPoint::default()
    }
}

fn attributes(labels: &Labels) -> Vec<KeyValue> {
    let attributes = labels.iter().map(|(name, value)| KeyValue {
        key: name.clone(),
        value: Some(AnyValue { value: Some(any_value::Value::StringValue(value.clone())) }),
        ..KeyValue::default()
    });
    attributes.collect()
}

/// The unit of a metric in UCUM's words.
fn unit(name: &str) -> &'static str {
    match MetricUnit::of(name) {
        MetricUnit::Seconds => "s",
        MetricUnit::Bytes => "By",
        MetricUnit::Count => "1",
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::{
        metrics::{Levels, Metrics},
        model::StreamName,
    };

    #[test]
    fn what_lies_between_two_bounds_adds_up_to_the_count() {
        let metrics = Metrics::new();
        let stream = StreamName::new("app-logs");
        for millis in [50, 250, 250, 100_000_000] {
            metrics.settled(&stream, Duration::from_millis(millis));
        }
        let families = metrics.snapshot(&Levels::default());
        let message = message(&families, ProtoResource::default(), 1, 2);
        let all = &message.resource_metrics[0].scope_metrics[0].metrics;
        let by_name: BTreeMap<&str, &Metric> =
            all.iter().map(|metric| (metric.name.as_str(), metric)).collect();
        let settled = by_name["shardwright_put_to_settled_seconds"];
        let Some(Data::Histogram(histogram)) = &settled.data else { panic!("{settled:?}") };
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.bucket_counts.iter().sum::<u64>()), (4, 4));
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        assert_eq!(
            (point.bucket_counts[0], point.bucket_counts[2], point.bucket_counts[14]),
            (1, 2, 1)
        );
        assert_eq!(settled.unit, "s");
        assert_eq!(by_name["shardwright_in_flight_bytes"].unit, "By");
    }
}
