//! OpenTelemetry: metrics and traces to a collector, by OTLP over HTTP.
//!
//! | File | What |
//! |---|---|
//! | `collector` | one client for both signals: TLS, time-out, a word when it fails |
//! | `metrics` | the registry as OTLP's messages |
//!
//! Spans are those of [`crate::metrics::spans`]. The batching, the sampler (`OTEL_TRACES_SAMPLER`) and
//! the resource (`OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SERVICE_NAME`) are the OpenTelemetry SDK's.

mod collector;
mod metrics;

use std::{sync::Arc, time::Duration};

use hyper::Uri;
use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{Layer, Registry, filter::filter_fn};

use self::collector::Collector;
use super::{LAST, OtlpError, Scrape, SpanLayer};
use crate::{
    metrics::spans,
    ports::{SystemClock, WallClock},
};

/// Where OpenTelemetry's environment names the collector for all signals.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// Where it turns everything off.
const DISABLED: &str = "OTEL_SDK_DISABLED";

/// Sends metrics and traces.
pub struct Otlp {
    collector: Arc<Collector>,
    tracers: SdkTracerProvider,
    resource: ProtoResource,
    metrics_at: Uri,
    interval: Duration,
    /// When the process began to count, in nanoseconds.
    started: u64,
}

impl Otlp {
    /// Gets ready; `None` when neither `endpoint` nor the environment names a collector. Nothing is sent
    /// yet. Must be called on the runtime that will send.
    ///
    /// # Errors
    /// When the endpoint is no URL, or there is nothing to check its certificate against.
    pub fn open(
        endpoint: Option<&str>,
        interval: Duration,
        application: &str,
        worker: &str,
    ) -> Result<Option<Self>, OtlpError> {
        let of_environment = std::env::var(ENDPOINT).ok().filter(|url| !url.is_empty());
        let off = std::env::var(DISABLED).is_ok_and(|value| value.eq_ignore_ascii_case("true"));
        let Some(base) = endpoint.map(str::to_owned).or(of_environment).filter(|_| !off) else {
            return Ok(None);
        };
        let at = |path: &str| {
            let url = format!("{}{path}", base.trim_end_matches('/'));
            let url: Uri = url.parse().map_err(|error| OtlpError(format!("is no URL: {error}")))?;
            // It would be left out of requests, and stand in the log of the HTTP client.
            if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
                let why = "holds a user or password: those belong into OTEL_EXPORTER_OTLP_HEADERS";
                return Err(OtlpError(why.to_owned()));
            }
            Ok(url)
        };
        let (traces_at, metrics_at) = (at("/v1/traces")?, at("/v1/metrics")?);
        let collector = Arc::new(Collector::new(&metrics_at)?);
        let exporter = SpanExporter::builder()
            .with_http()
            .with_shared_http_client(Arc::clone(&collector) as Arc<_>)
            .with_endpoint(traces_at.to_string())
            .build()
            .map_err(|error| OtlpError(error.to_string()))?;
        let resource = resource(application, worker);
        let tracers = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.clone())
            .build();
        Ok(Some(Self {
            collector,
            tracers,
            resource: metrics::resource(&resource),
            metrics_at,
            interval,
            started: nanoseconds(),
        }))
    }

    /// What turns our spans into OpenTelemetry's, beside the log.
    pub fn layer(&self) -> SpanLayer {
        let tracer = self.tracers.tracer("shardwright");
        let ours = filter_fn(|metadata| metadata.target() == spans::TARGET);
        // Where in our code a span begins tells an operator nothing.
        let layer = tracing_opentelemetry::layer::<Registry>()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false);
        Box::new(layer.with_filter(ours))
    }

    /// Sends metrics at intervals, and a last time when it is stopped, with the last spans.
    pub async fn run(self, scrape: Scrape, stop: CancellationToken) {
        loop {
            let last = tokio::select! { biased;
                () = stop.cancelled() => true,
                () = sleep(self.interval) => false,
            };
            let message =
                metrics::message(&scrape(), self.resource.clone(), self.started, nanoseconds());
            self.collector.post(&self.metrics_at, message).await;
            if last {
                // It waits for a thread of its own, which waits for this runtime to send.
                let tracers = self.tracers;
                let _ = spawn_blocking(move || tracers.shutdown_with_timeout(LAST)).await;
                return;
            }
        }
    }
}

/// Who sends: the environment's words win over ours.
fn resource(application: &str, worker: &str) -> Resource {
    let environment = Resource::builder().build();
    let named = environment
        .get(&"service.name".into())
        .is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let mut own = vec![
        KeyValue::new("service.instance.id", worker.to_owned()),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
    ];
    if !named {
        own.push(KeyValue::new("service.name", application.to_owned()));
    }
    own.retain(|attribute| {
        attribute.key.as_str() == "service.name" || environment.get(&attribute.key).is_none()
    });
    Resource::builder().with_attributes(own).build()
}

fn nanoseconds() -> u64 {
    u64::try_from(SystemClock.now().0).unwrap_or(0).saturating_mul(1_000_000)
}
