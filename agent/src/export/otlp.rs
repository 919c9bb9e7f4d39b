//! Spans as an OTLP request: one `ResourceSpans` per traced process, all in one request.

use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value as Any,
};
use opentelemetry_proto::tonic::resource::v1::Resource as OtlpResource;
use opentelemetry_proto::tonic::trace::v1::span::{Link as OtlpLink, SpanKind as OtlpKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span as OtlpSpan, Status as OtlpStatus,
};
use prost::Message;

use crate::span::model::{Attribute, Link, Resource, Span, SpanKind, Status, Value};

/// Name of the instrumentation scope.
pub const SCOPE: &str = "threadline";

/// `SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK`: the next bit means something.
const HAS_IS_REMOTE: u32 = 0x100;
/// `SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK`: the parent lies in another process.
const IS_REMOTE: u32 = 0x200;

/// All `spans` as one request, grouped by resource in order of first appearance.
pub fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let mut groups = Groups::default();
    for span in spans {
        let group = groups.of(&span.resource);
        groups.spans[group].1.push(otlp_span(span));
    }
    ExportTraceServiceRequest {
        resource_spans: groups.spans.into_iter().map(resource_spans).collect(),
    }
}

/// Spans by resource. The pointer answers nearly always; content joins what two pointers say alike.
#[derive(Default)]
struct Groups {
    by_pointer: HashMap<*const Resource, usize>,
    by_content: HashMap<Vec<u8>, usize>,
    spans: Vec<(OtlpResource, Vec<OtlpSpan>)>,
}

impl Groups {
    fn of(&mut self, resource: &Arc<Resource>) -> usize {
        let pointer = Arc::as_ptr(resource);
        if let Some(&group) = self.by_pointer.get(&pointer) {
            return group;
        }
        let otlp = OtlpResource {
            attributes: resource
                .attributes
                .iter()
                .map(|(key, value)| key_value(key.clone(), value.clone()))
                .collect(),
            ..OtlpResource::default()
        };
        let group = *self
            .by_content
            .entry(otlp.encode_to_vec())
            .or_insert_with(|| {
                self.spans.push((otlp, Vec::new()));
                self.spans.len() - 1
            });
        self.by_pointer.insert(pointer, group);
        group
    }
}

fn resource_spans((resource, spans): (OtlpResource, Vec<OtlpSpan>)) -> ResourceSpans {
    ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: SCOPE.to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..InstrumentationScope::default()
            }),
            spans,
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }
}

fn otlp_span(span: Span) -> OtlpSpan {
    OtlpSpan {
        trace_id: span.trace_id.0.to_vec(),
        span_id: span.span_id.0.to_vec(),
        parent_span_id: span
            .parent_span_id
            .map_or_else(Vec::new, |id| id.0.to_vec()),
        trace_state: span.trace_state,
        flags: flags(span.flags, span.parent_is_remote),
        name: span.name,
        kind: match span.kind {
            SpanKind::Server => OtlpKind::Server,
            SpanKind::Client => OtlpKind::Client,
        }
        .into(),
        start_time_unix_nano: span.start_unix_ns,
        end_time_unix_nano: span.end_unix_ns,
        attributes: attributes(span.attributes),
        links: span.links.into_iter().map(otlp_link).collect(),
        status: match span.status {
            Status::Unset => None,
            Status::Error(message) => Some(OtlpStatus {
                code: StatusCode::Error.into(),
                message,
            }),
        },
        ..OtlpSpan::default()
    }
}

/// Lower byte: W3C trace flags.
fn flags(w3c: u8, parent_is_remote: bool) -> u32 {
    let remote = if parent_is_remote { IS_REMOTE } else { 0 };
    u32::from(w3c) | HAS_IS_REMOTE | remote
}

fn otlp_link(link: Link) -> OtlpLink {
    // Flags stay 0, "not known": a link does not say whether the other span is in this process.
    OtlpLink {
        trace_id: link.trace_id.0.to_vec(),
        span_id: link.span_id.0.to_vec(),
        attributes: attributes(link.attributes),
        ..OtlpLink::default()
    }
}

fn attributes(attributes: Vec<Attribute>) -> Vec<KeyValue> {
    attributes
        .into_iter()
        .map(|(key, value)| key_value(key.to_owned(), value))
        .collect()
}

fn key_value(key: String, value: Value) -> KeyValue {
    let value = match value {
        Value::String(text) => Any::StringValue(text),
        Value::Static(text) => Any::StringValue(text.to_owned()),
        Value::Int(number) => Any::IntValue(number),
        Value::Bool(yes) => Any::BoolValue(yes),
        Value::Double(number) => Any::DoubleValue(number),
    };
    KeyValue {
        key,
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

#[cfg(test)]
#[path = "otlp_tests.rs"]
mod tests;
