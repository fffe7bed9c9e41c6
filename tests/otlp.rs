//! What a collector gets: a daemon sends to a server of the test's own, which reads OTLP's messages.
#![cfg(all(feature = "embedded", feature = "otlp"))]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may panic and say why"
)]

#[expect(dead_code, unused_imports, reason = "other scenarios need more of it")]
#[path = "harness/mod.rs"]
mod harness;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    net::Ipv4Addr,
    process::Stdio,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{Metric, metric::Data, number_data_point},
    trace::v1::Span,
};
use prost::Message;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    task::JoinSet,
};

use crate::harness::{Books, Producer, Stream, World, wait_until};

/// What was received.
#[derive(Default)]
struct Received {
    /// The metrics of the last message, by name.
    metrics: BTreeMap<String, Metric>,
    spans: Vec<Span>,
    /// Of metrics and of traces.
    resources: [BTreeMap<String, String>; 2],
    headers: Vec<HeaderMap>,
}

type Shared = Arc<Mutex<Received>>;

/// A collector that decodes what it gets.
struct Collector {
    endpoint: String,
    received: Shared,
    _serving: JoinSet<()>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let received = Shared::default();
        let router = Router::new()
            .route("/v1/metrics", post(metrics))
            .route("/v1/traces", post(traces))
            .with_state(Arc::clone(&received));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { endpoint, received, _serving: serving }
    }

    fn saw<T>(&self, look: impl FnOnce(&Received) -> T) -> T {
        look(&self.received.lock().unwrap())
    }
}

async fn metrics(State(received): State<Shared>, headers: HeaderMap, body: Bytes) {
    let request = ExportMetricsServiceRequest::decode(body).unwrap();
    let mut received = received.lock().unwrap();
    received.headers.push(headers);
    for resource in request.resource_metrics {
        received.resources[0] = texts(&resource.resource.unwrap().attributes);
        for metric in resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
            received.metrics.insert(metric.name.clone(), metric);
        }
    }
}

async fn traces(State(received): State<Shared>, headers: HeaderMap, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut received = received.lock().unwrap();
    received.headers.push(headers);
    for resource in request.resource_spans {
        received.resources[1] = texts(&resource.resource.unwrap().attributes);
        received.spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
    }
}

/// Attributes as texts.
fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let texts = attributes.iter().filter_map(|attribute| {
        let text = match attribute.value.as_ref()?.value.as_ref()? {
            Value::StringValue(text) => text.clone(),
            Value::IntValue(number) => number.to_string(),
            other => format!("{other:?}"),
        };
        Some((attribute.key.clone(), text))
    });
    texts.collect()
}

/// The sum of a counter over its label sets.
fn total(received: &Received, name: &str) -> f64 {
    let Some(Data::Sum(sum)) = received.metrics.get(name).and_then(|metric| metric.data.clone())
    else {
        return 0.0;
    };
    assert!(sum.is_monotonic, "{name}");
    let values = sum.data_points.iter().map(|point| match point.value {
        Some(number_data_point::Value::AsDouble(value)) => value,
        ref other => panic!("{name}: {other:?}"),
    });
    values.sum()
}

/// Each page of records is a trace: its records are processed, delivered and checkpointed below it, or by a
/// span that is linked to it.
fn assert_trees(spans: &[Span]) {
    let named = |name: &'static str| spans.iter().filter(move |span| span.name == name);
    let pages: BTreeMap<&[u8], &[u8]> =
        named("records").map(|page| (&page.span_id[..], &page.trace_id[..])).collect();
    assert!(pages.len() > 1, "{} pages", pages.len());
    assert!(named("records").all(|page| page.parent_span_id.is_empty()), "pages are roots");
    for name in ["process", "deliver", "checkpoint"] {
        let mut of_pages: BTreeSet<&[u8]> = BTreeSet::new();
        // A release repeats the checkpoint that a renewal has written: there is no page left for it.
        let repeats = |span: &&Span| name == "checkpoint" && span.parent_span_id.is_empty();
        for span in named(name).filter(|span| !repeats(span)) {
            let page = pages.get(&span.parent_span_id[..]);
            assert_eq!(page, Some(&&span.trace_id[..]), "{name} is the child of a page: {span:?}");
            of_pages.insert(&span.parent_span_id);
            for link in &span.links {
                assert!(pages.contains_key(&link.span_id[..]), "{name} is linked to pages");
                of_pages.insert(&link.span_id);
            }
        }
        // A page may hold nothing that is delivered.
        let all = if name == "deliver" { 1 } else { pages.len() };
        assert!(of_pages.len() >= all, "{name}: of {} pages of {}", of_pages.len(), pages.len());
    }
    for page in named("records") {
        let own = |span: &&Span| span.parent_span_id == page.span_id;
        let children = spans.iter().filter(own).filter(|span| span.name != "checkpoint");
        for child in children {
            assert!(page.start_time_unix_nano <= child.start_time_unix_nano, "{child:?}");
            assert!(page.end_time_unix_nano >= child.end_time_unix_nano, "{child:?}");
        }
    }
}

fn start(world: &World) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardwright"));
    command.arg("run").arg("--config").arg(world.config()).env_clear();
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    command.env("AWS_REGION", "us-east-1").env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret");
    command.env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test");
    let log = File::create(world.dir().join("stderr.log")).unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
    command.spawn().unwrap()
}

async fn drain(mut daemon: Child) {
    let id = daemon.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    assert!(daemon.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_and_spans_of_a_daemon_arrive() {
    let collector = Collector::start().await;
    let world = World::embedded().await;
    let otlp =
        format!("[otlp]\nendpoint = \"{}\"\ninterval = \"1s\"\n\n[admin]", collector.endpoint);
    world.reconfigure("[admin]", &otlp);
    let stream = Stream::create(&world.aws, 2).await;
    let mut books = Books::default();
    let daemon = start(&world);
    Producer::new(&stream).put(&mut books, 60).await;
    world.settled(&books).await;
    wait_until("the collector has all records", async || {
        collector.saw(|seen| (total(seen, "shardwright_records_total") - 60.0).abs() < 0.5)
    })
    .await;
    // What is counted and traced from here on comes with the last messages only.
    drain(daemon).await;

    collector.saw(|seen| {
        for (resource, of) in seen.resources.iter().zip(["metrics", "traces"]) {
            assert_eq!(resource["service.name"], world.application, "{of}: {resource:?}");
            assert_eq!(resource["deployment.environment"], "test", "{of}");
            assert!(resource.contains_key("service.instance.id"), "{of}");
        }
        assert!(seen.headers.iter().all(|headers| headers["api-key"] == "secret"));
        let delivered = u32::try_from(world.results().delivered.len()).unwrap();
        let counted = total(seen, "shardwright_events_delivered_total");
        assert!((counted - f64::from(delivered)).abs() < 0.5, "{counted} of {delivered}");
        let held = seen.metrics["shardwright_leases_held"].data.clone();
        assert!(matches!(held, Some(Data::Gauge(_))), "{held:?}");

        let mut spans: BTreeMap<&str, Vec<BTreeMap<String, String>>> = BTreeMap::new();
        for span in &seen.spans {
            assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{span:?}");
            spans.entry(&span.name).or_default().push(texts(&span.attributes));
        }
        let having = |name: &str, pairs: &[(&str, &str)]| {
            let all = spans.get(name).map_or(&[][..], Vec::as_slice);
            let has = |span: &&BTreeMap<String, String>| {
                pairs.iter().all(|(key, value)| span.get(*key).is_some_and(|own| own == value))
            };
            let found = all.iter().find(has);
            found.unwrap_or_else(|| panic!("no span {name} {pairs:?}: {spans:#?}")).clone()
        };
        having("fetch", &[("call", "get_records"), ("stream", "app-logs"), ("outcome", "ok")]);
        having("process", &[("stream", "app-logs"), ("shard", "shardId-000000000000")]);
        having("deliver", &[("sink", "delivered"), ("lease", "shardId-000000000001")]);
        let checkpoint = having("checkpoint", &[("outcome", "ok")]);
        assert!(checkpoint["checkpoint"].starts_with("49"), "{checkpoint:?}");
        having("lease change", &[("kind", "taken"), ("shard", "shardId-000000000000")]);
        let last =
            having("lease change", &[("kind", "released"), ("shard", "shardId-000000000000")]);
        assert_eq!(last["why"], "draining", "the drain itself is in the trace");
        assert_trees(&seen.spans);
    });
    let log = fs::read_to_string(world.dir().join("stderr.log")).unwrap();
    assert!(!log.contains("did not take metrics"), "{log}");
    assert!(!log.contains("\"spans\""), "the log has no spans: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_gone_costs_a_line_and_nothing_else() {
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let world = World::embedded().await;
    let otlp = format!("[otlp]\nendpoint = \"http://{nobody}\"\ninterval = \"1s\"\n\n[admin]");
    world.reconfigure("[admin]", &otlp);
    let stream = Stream::create(&world.aws, 1).await;
    let mut books = Books::default();
    let daemon = start(&world);
    Producer::new(&stream).put(&mut books, 20).await;
    world.settled(&books).await;
    wait_until("the log says so", async || {
        let log = fs::read_to_string(world.dir().join("stderr.log")).unwrap();
        log.contains("the collector did not take metrics or spans")
    })
    .await;
    drain(daemon).await;
}
