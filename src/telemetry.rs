//! Where log lines go and how they look: standard error, as text or JSON. Where spans go: nowhere, or by OTLP to a
//! collector. What is logged and traced is the callers' affair; no secret, address or message may be among it.

use std::{io::IsTerminal as _, time::Duration};

use axum::http::HeaderMap;
use opentelemetry::{
    KeyValue,
    propagation::TextMapPropagator as _,
    trace::{TraceContextExt as _, TracerProvider as _},
};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{LevelFilter, filter_fn},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::config::{Config, LogFormat};

/// The target of all spans. They have the level `trace`: without a collector no span is made, and no log line shows one.
pub const SPANS: &str = "countersign::span";
/// How long the collector may take for a batch of spans, also for the last one before the program ends.
const PATIENCE: Duration = Duration::from_secs(3);

/// What has to be ended with the program: spans that were not sent yet are sent when it is dropped.
#[derive(Debug, Default)]
#[must_use]
pub struct Telemetry {
    spans: Option<SdkTracerProvider>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.spans.take().map(|spans| spans.shutdown_with_timeout(PATIENCE)) {
            tracing::warn!(%error, "the last spans did not reach the collector");
        }
    }
}

/// Starts logging and tracing as configured. Only the first call in a process has an effect. Call it outside of
/// asynchronous code: sending spans has a thread of its own.
///
/// # Errors
/// When spans cannot be sent to the configured address.
pub fn init(config: &Config) -> Result<Telemetry, String> {
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match config.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => {
            // Else a panic would be the one line that is no JSON.
            std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "the program made a mistake")));
            lines.json().flatten_event(true).boxed()
        }
    };
    let filter = EnvFilter::new(&config.log);
    let Some(endpoint) = &config.otlp_endpoint else {
        if tracing_subscriber::registry().with(lines).with(filter).try_init().is_err() {
            tracing::debug!("logging was already started");
        }
        return Ok(Telemetry::default());
    };
    let spans = provider(endpoint.as_str(), &config.site_name)?;
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter)).with(exporting(&spans));
    if subscriber.try_init().is_err() {
        tracing::debug!("logging was already started");
    }
    Ok(Telemetry { spans: Some(spans) })
}

fn provider(endpoint: &str, site_name: &str) -> Result<SdkTracerProvider, String> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(PATIENCE)
        .build()
        .map_err(|error| format!("spans cannot be sent to {endpoint}: {error}"))?;
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", "countersign"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("countersign.site", site_name.to_owned()),
        ])
        .build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// Nothing but our spans goes to the collector: what libraries trace may hold what must not leave.
fn exporting<S>(spans: &SdkTracerProvider) -> impl Layer<S>
where
    S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let ours = filter_fn(|about| about.is_span() && about.target() == SPANS).with_max_level_hint(LevelFilter::TRACE);
    tracing_opentelemetry::layer()
        .with_tracer(spans.tracer("countersign"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false)
        .with_filter(ours)
}

/// Makes a span part of the trace that the sender of a request is in, when it says so (`traceparent`).
pub fn continue_trace(span: &Span, headers: &HeaderMap) {
    if span.is_disabled() {
        return;
    }
    let context = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
    if context.span().span_context().is_valid() {
        // It fails for a span that has begun, and this one has not.
        let _ = span.set_parent(context);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_made(subscriber: impl Subscriber + Send + Sync) -> bool {
        let made = || !tracing::trace_span!(target: SPANS, "request").is_disabled();
        tracing::subscriber::with_default(subscriber, made)
    }

    #[test]
    fn spans_are_made_for_a_collector_only_and_those_of_libraries_never() {
        let lines = || tracing_subscriber::fmt::layer().with_writer(std::io::sink);
        assert!(!is_made(Registry::default().with(lines()).with(EnvFilter::new("info,countersign::web=debug"))));
        let spans = SdkTracerProvider::builder().build();
        let subscriber = || {
            let lines = lines().with_filter(EnvFilter::new("info"));
            Registry::default().with(lines).with(exporting(&spans))
        };
        assert!(is_made(subscriber()));
        let library = || !tracing::trace_span!(target: "hyper", "request").is_disabled();
        assert!(!tracing::subscriber::with_default(subscriber(), library));
    }
}
