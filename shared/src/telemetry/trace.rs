//! Traces over OTLP, off unless an endpoint is configured.
//!
//! One trace covers an issue from the call through the queue to the settlement, across three
//! processes. A W3C `traceparent` carries it from the call's metadata to the issue or the preview
//! request in Redis, and from there into the worker's spans. `tracestate` is not propagated. Spans
//! contain names and ids, never an intent, a document or a token.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Span as _, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, global};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::domain::trace_parent::TraceParent;

/// The target of spans that exist only for traces. Log lines omit them by default.
pub const TARGET: &str = "draftsman_trace";
/// The header of the trace context.
const HEADER: &str = "traceparent";
/// The maximum time to export the last spans at the end.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

struct Parent<'a>(pub(crate) &'a TraceParent);

impl Extractor for Parent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == HEADER).then_some(self.0.as_str())
    }

    fn keys(&self) -> Vec<&str> {
        vec![HEADER]
    }
}

/// Sets `parent` as the parent of `span`. Call it before the span is entered. Without traces, it
/// does nothing.
pub fn continue_from(span: &Span, parent: &TraceParent) {
    if !span.is_disabled() {
        // It fails if traces are off.
        let _ = span.set_parent(context(parent));
    }
}

fn context(parent: &TraceParent) -> Context {
    TraceContextPropagator::new().extract(&Parent(parent))
}

/// Returns the trace context of the current span; `None` if traces are off.
pub fn current() -> Option<TraceParent> {
    let context = Span::current().context();
    if !context.span().span_context().is_valid() {
        return None;
    }
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&context, &mut headers);
    TraceParent::parse(headers.get(HEADER)?)
}

/// Records a finished span under `parent`, for work that was done before its trace was known.
pub fn record_past(name: &'static str, parent: &TraceParent, began: SystemTime) {
    let tracer = global::tracer("draftsman");
    let builder = tracer.span_builder(name).with_start_time(began);
    builder.start_with_context(&tracer, &context(parent)).end();
}

/// Exports spans until shutdown.
pub(crate) struct Traces(pub(crate) SdkTracerProvider);

impl Traces {
    /// Starts the export. Call it inside a runtime. The collector need not be reachable.
    pub(crate) fn start(
        endpoint: &str,
        program: &'static str,
    ) -> Result<Traces, ExporterBuildError> {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(Resource::builder().with_service_name(program).build())
            .build();
        global::set_tracer_provider(provider.clone());
        Ok(Traces(provider))
    }

    /// Returns the layer that exports spans.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let ours = |metadata: &Metadata<'_>| {
            metadata.is_span()
                && (metadata.target() == TARGET || metadata.target().starts_with("worker::"))
        };
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("draftsman"))
            .with_location(false)
            .with_threads(false)
            .with_filter(filter_fn(ours))
    }

    /// Exports the remaining spans, for two seconds at most. Blocks; the runtime must still run.
    pub(crate) fn end(&self) {
        if let Err(error) = self.0.shutdown_with_timeout(LEAVE_WITHIN) {
            tracing::warn!(%error, "the last spans could not be sent");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sound_traceparents_are_taken() {
        let sound = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(TraceParent::parse(sound).unwrap().as_str(), sound);
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        ] {
            assert_eq!(TraceParent::parse(bad), None, "{bad}");
        }
        assert_eq!(current(), None, "no traces are made here");
    }
}
