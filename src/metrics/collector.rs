//! What is read when somebody asks: counts and states that others own.

use std::{collections::BTreeMap, fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use super::{Alarms, Counts, Journal, LeaseChange, Loss, ShardReading, Shards, seconds_since};
use crate::{
    etl::{Stage, Tally},
    model::{Invariant, StreamName},
    ports::{SystemClock, WallClock},
};

/// Everything that is read at a scrape.
#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) counts: Counts,
    pub(super) shards: Arc<Shards>,
    pub(super) journal: Journal,
    pub(super) alarms: Alarms,
}

/// A counter per stream: its name, its help, and what of a tally it is.
type StreamCounter = (&'static str, &'static str, fn(&Tally) -> u64);

const STREAM_COUNTERS: [StreamCounter; 13] = [
    ("records", "Kinesis records read", |tally| tally.records),
    ("record_bytes", "Bytes of the payloads of Kinesis records read", |tally| tally.bytes),
    (
        "user_records",
        "User records in the records read: more than records where there are KPL aggregates",
        |tally| tally.user_records,
    ),
    (
        "user_records_undecodable",
        "User records that could not be decoded and are dead letters",
        |tally| tally.undecodable,
    ),
    (
        "user_records_foreign",
        "User records of KPL aggregates whose keys are another shard's, delivered nowhere",
        |tally| tally.foreign,
    ),
    ("control_messages", "CloudWatch's health checks", |tally| tally.control),
    ("events", "Events decoded", |tally| tally.events),
    ("events_filtered", "Events that no route wanted, or that a program aborted", |tally| {
        tally.filtered
    }),
    ("events_delivered", "Events whose sinks all have accepted them", |tally| tally.delivered),
    ("events_dead_lettered", "Events with a dead letter that its sink has accepted", |tally| {
        tally.dead_lettered
    }),
    (
        "late_documents",
        "Documents that came after their windows were closed, wherever they went",
        |tally| tally.late,
    ),
    ("window_rows", "Rows of windows that their sinks have accepted", |tally| tally.rows),
    ("events_aborted", "Aborts by programs; one event may be aborted on several routes", |tally| {
        tally.aborts.iter().map(|(_, count)| count).sum()
    }),
];

type Label = (&'static str, String);

impl Collector for Board {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let out = &mut encoder;
        let streams = self.counts.each();
        for (name, help, of) in STREAM_COUNTERS {
            let counts = streams.iter().map(|(stream, tally)| ([of_stream(stream)], of(tally)));
            counter(out, name, help, counts)?;
        }
        let letters = streams.iter().flat_map(|(stream, tally)| {
            Stage::ALL.map(|stage| {
                ([of_stream(stream), ("reason", stage.to_string())], tally.letters.of(stage))
            })
        });
        let help = "Dead letters that their sink has accepted, by where they failed";
        counter(out, "dead_letters", help, letters)?;
        let changes = LeaseChange::ALL
            .map(|change| ([("kind", change.name().to_owned())], self.journal.count(change)));
        counter(out, "lease_changes", "Leases that came to this worker or left it", changes)?;
        let losses =
            Loss::ALL.map(|loss| ([("kind", loss.name().to_owned())], self.alarms.losses(loss)));
        counter(out, "losses", "How often records were trimmed before they were read", losses)?;
        let raised = Invariant::ALL.map(|invariant| {
            ([("invariant", invariant.id().to_owned())], self.alarms.raised(invariant))
        });
        let help = "Invariants found broken: a bug, or another hand in the lease table";
        counter(out, "invariant_violations", help, raised)?;
        self.lags(out)
    }
}

impl Board {
    fn lags(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let shards: Vec<ShardReading> = self.shards.readings().into_values().collect();
        let behind = shards.iter().filter_map(|shard| {
            let labels = [of_stream(&shard.stream), ("shard", shard.shard.to_string())];
            Some((labels, shard.behind?.as_secs_f64()))
        });
        let help = "How far the reader is behind the tip of the shard";
        gauge(out, "behind_latest_seconds", help, behind)?;
        let now = SystemClock.now();
        let worst = worst(&shards, |shard| shard.behind.map(|behind| behind.as_secs_f64()));
        let oldest = self::worst(&shards, |shard| Some(seconds_since(shard.oldest_open?, now)));
        let per_stream = |seconds: &BTreeMap<StreamName, f64>| {
            seconds.iter().map(|(stream, s)| ([of_stream(stream)], *s)).collect::<Vec<_>>()
        };
        let help = "How far the reader is behind the tip of the worst shard that this worker reads";
        gauge(out, "behind_latest_max_seconds", help, per_stream(&worst))?;
        let help = "Age of the oldest record read that has no outcome yet";
        gauge(out, "oldest_unsettled_seconds", help, per_stream(&oldest))?;
        let windowed =
            self::worst(&shards, |shard| Some(seconds_since(shard.oldest_in_window?, now)));
        let help = "Age of the oldest record that a window waits with; as long as its window and lateness, and not a fault";
        gauge(out, "oldest_in_window_seconds", help, per_stream(&windowed))?;
        let mut windows: BTreeMap<StreamName, f64> = BTreeMap::new();
        for shard in &shards {
            let open = u32::try_from(shard.windows).unwrap_or(u32::MAX);
            *windows.entry(shard.stream.clone()).or_default() += f64::from(open);
        }
        gauge(out, "open_windows", "Windows that are open", per_stream(&windows))?;
        let left = self.shards.retentions().into_iter().filter_map(|(stream, retention)| {
            let lag = [&worst, &oldest, &windowed].map(|lags| lags.get(&stream));
            let lag = lag.into_iter().flatten().copied().reduce(f64::max)?;
            Some(([of_stream(&stream)], retention.as_secs_f64() - lag))
        });
        let help = "Time until records would be trimmed unread: the stream's retention without the worst lag";
        gauge(out, "retention_left_seconds", help, left)
    }
}

/// The largest value of each stream's shards.
fn worst(
    shards: &[ShardReading],
    of: impl Fn(&ShardReading) -> Option<f64>,
) -> BTreeMap<StreamName, f64> {
    let mut worst = BTreeMap::new();
    for shard in shards {
        if let Some(value) = of(shard) {
            let most: &mut f64 = worst.entry(shard.stream.clone()).or_default();
            *most = most.max(value);
        }
    }
    worst
}

fn of_stream(stream: &StreamName) -> Label {
    ("stream", stream.to_string())
}

fn counter<L: EncodeLabelSet>(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (L, u64)>,
) -> fmt::Result {
    let samples = samples.into_iter().map(|(labels, value)| (labels, ConstCounter::new(value)));
    family(out, name, help, MetricType::Counter, samples)
}

fn gauge<L: EncodeLabelSet>(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (L, f64)>,
) -> fmt::Result {
    let samples = samples.into_iter().map(|(labels, value)| (labels, ConstGauge::new(value)));
    family(out, name, help, MetricType::Gauge, samples)
}

fn family<L: EncodeLabelSet, M: EncodeMetric>(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    kind: MetricType,
    samples: impl Iterator<Item = (L, M)>,
) -> fmt::Result {
    let mut encoder = out.encode_descriptor(name, help, None, kind)?;
    for (labels, metric) in samples {
        metric.encode(encoder.encode_family(&labels)?)?;
    }
    Ok(())
}
