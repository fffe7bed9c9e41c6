//! `docs/metrics.md`, dashboards, alerts and manifests hold what the registry has, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use shardwright::{
    etl::Tally,
    metrics::{Levels, MeteredLeases, MeteredStream, Metrics},
    model::{
        Checkpoint, EpochMillis, Lease, LeaseKey, LeaseWrite, RecordPage, Shard, ShardId,
        StreamName,
    },
    ports::{
        LeaseStore, ShardIterator, StartAt, StoreError, StreamError, StreamReader, Swap, Verdict,
    },
};

/// A stream and a table that answer nothing.
struct Nothing;

#[async_trait]
impl StreamReader for Nothing {
    async fn shards(&self) -> Result<Vec<Shard>, StreamError> {
        Ok(Vec::new())
    }

    async fn iterator(&self, _: &ShardId, _: &StartAt) -> Result<ShardIterator, StreamError> {
        Err(StreamError::Throttled)
    }

    async fn records(
        &self,
        _: &ShardIterator,
        _: u32,
    ) -> Result<RecordPage<ShardIterator>, StreamError> {
        Err(StreamError::IteratorExpired)
    }
}

#[async_trait]
impl LeaseStore for Nothing {
    async fn scan(&self) -> Result<Vec<Lease>, StoreError> {
        Ok(Vec::new())
    }

    async fn read(&self, _: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        Ok(None)
    }

    async fn create(&self, _: &Lease) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn write(&self, _: &LeaseKey, _: &LeaseWrite) -> Result<Swap, StoreError> {
        Err(StoreError::Throttled)
    }

    async fn delete(&self, _: &Lease) -> Result<bool, StoreError> {
        Ok(true)
    }
}

/// What a worker says that has seen something of everything.
async fn scrape() -> String {
    let metrics = Arc::new(Metrics::new());
    let stream = StreamName::new("orders");
    let shard = ShardId::new("shardId-000000000000");
    let lease = Lease::new(LeaseKey::new(shard.as_str()), None, shard, Checkpoint::TrimHorizon);
    metrics.count(&stream, Tally { records: 3, bytes: 700, ..Tally::default() });
    metrics.settled(&stream, Duration::from_millis(250));
    metrics.retention(&stream, Duration::from_hours(24));
    let reading = metrics.shard_opened(&stream, &lease);
    let meter = metrics.shard(&lease.key);
    meter.page(3, 700, Duration::from_mins(1));
    meter.under_way(1, Some(EpochMillis(0)));
    meter.windows(1, Some(EpochMillis(0)));
    let sink = Arc::from("archive");
    metrics.delivered(&sink, 2, Duration::from_millis(3), &Ok(vec![Verdict::Accepted]));
    let reader = MeteredStream::new(Arc::new(Nothing), stream, Arc::clone(&metrics));
    reader.shards().await.unwrap();
    let store = MeteredLeases::new(Arc::new(Nothing), Arc::clone(&metrics));
    store.scan().await.unwrap();
    let text = metrics.encode(&Levels::default());
    drop(reading);
    text
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Described {
    kind: String,
    labels: BTreeSet<String>,
    help: String,
}

/// All metrics, by the names that queries use.
async fn registry() -> BTreeMap<String, Described> {
    let text = scrape().await;
    let mut families: BTreeMap<String, Described> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) {
            let help = help.trim_end_matches('.').to_owned();
            families.insert(name.to_owned(), Described { help, ..Described::default() });
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' '))
        {
            kind.clone_into(&mut families.get_mut(name).unwrap().kind);
        } else if let Some((name, labels)) = line.split_once('{') {
            let family = ["_total", "_info", "_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| families.get_key_value(name.strip_suffix(suffix)?))
                .or_else(|| families.get_key_value(name));
            let family = family.unwrap_or_else(|| panic!("{line}")).0.clone();
            let labels = labels.split_once('}').unwrap().0.split(',');
            let names = labels.map(|label| label.split_once('=').unwrap().0.to_owned());
            families.get_mut(&family).unwrap().labels.extend(names.filter(|name| name != "le"));
        }
    }
    let suffixed = families.into_iter().map(|(name, described)| match described.kind.as_str() {
        "counter" => (format!("{name}_total"), described),
        "info" => (format!("{name}_info"), described),
        _ => (name, described),
    });
    suffixed.collect()
}

fn row(name: &str, described: &Described) -> String {
    let labels: Vec<String> = described.labels.iter().map(|name| format!("`{name}`")).collect();
    format!("| `{name}` | {} | {} | {} |", described.kind, labels.join(", "), described.help)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test]
async fn the_documentation_lists_what_the_registry_has() {
    let page = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let documented: BTreeSet<&str> =
        page.lines().filter(|line| line.starts_with("| `shardwright_")).collect();
    let registry = registry().await;
    let rows: BTreeSet<String> =
        registry.iter().map(|(name, described)| row(name, described)).collect();
    let all = rows.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
    assert_eq!(
        documented,
        rows.iter().map(String::as_str).collect(),
        "docs/metrics.md should hold:\n{all}"
    );
}

#[tokio::test]
async fn names_have_base_units_and_labels_are_few() {
    for (name, Described { kind, labels, help }) in registry().await {
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
        for unit in ["_ms", "_millis", "_minutes", "_kb", "_mb", "_ratio_percent"] {
            assert!(!name.contains(unit), "{name}: base units only");
        }
        assert!(labels.len() <= 3, "{name} has {labels:?}");
        assert!(labels.contains("shard") <= (kind == "gauge"), "{name}: counters have no shard");
        assert!(!help.is_empty(), "{name} says nothing");
    }
}

fn files_below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Names of ours in other people's databases.
const NO_METRICS: [&str; 2] = ["shardwright_positions", "shardwright_refusals"];

/// The names of our metrics in a text.
fn mentioned(text: &str) -> BTreeSet<String> {
    let names = text.match_indices("shardwright_").filter_map(|(at, _)| {
        let name: String =
            text.get(at..)?.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
        Some(name)
    });
    names.filter(|name| name != "shardwright_" && !NO_METRICS.contains(&name.as_str())).collect()
}

#[tokio::test]
async fn every_metric_that_somebody_names_exists() {
    let registry = registry().await;
    let mut files = vec![root().join("README.md")];
    files_below(&root().join("deploy"), &mut files);
    files_below(&root().join("docs"), &mut files);
    let mut named = BTreeSet::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for name in mentioned(&text) {
            let histogram = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| registry.get(name.strip_suffix(suffix)?));
            let known = registry.contains_key(&name)
                || histogram.is_some_and(|described| described.kind == "histogram");
            assert!(known, "{}: there is no metric {name}", file.display());
            named.insert(name);
        }
    }
    assert!(named.len() > 20, "{named:?}");
}
