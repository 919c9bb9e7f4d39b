//! Spans for tests.

use std::sync::Arc;

use crate::span::model::{Link, Resource, Span, SpanId, SpanKind, Status, TraceId, Value};

/// The process `service`.
pub(crate) fn resource(service: &str) -> Arc<Resource> {
    Arc::new(Resource {
        attributes: vec![
            ("service.name".into(), Value::String(service.into())),
            ("process.pid".into(), Value::Int(7)),
        ],
    })
}

/// A server span `GET /items/{id}` of trace and span ids made of one byte.
pub(crate) fn server(
    trace: u8,
    id: u8,
    parent: Option<u8>,
    service: &str,
    (start, end): (u64, u64),
) -> Span {
    Span {
        trace_id: TraceId([trace; 16]),
        span_id: SpanId([id; 8]),
        parent_span_id: parent.map(|parent| SpanId([parent; 8])),
        parent_is_remote: parent.is_some(),
        trace_state: String::new(),
        flags: 1,
        name: "GET /items/{id}".into(),
        kind: SpanKind::Server,
        start_unix_ns: start,
        end_unix_ns: end,
        attributes: vec![
            ("http.request.method", Value::Static("GET")),
            ("url.path", Value::String(format!("/items/{id}"))),
            ("http.response.status_code", Value::Int(200)),
        ],
        links: Vec::new(),
        status: Status::Unset,
        resource: resource(service),
    }
}

/// A client span `GET` to cart:8080.
pub(crate) fn client(
    trace: u8,
    id: u8,
    parent: Option<u8>,
    service: &str,
    times: (u64, u64),
) -> Span {
    let mut span = server(trace, id, parent, service, times);
    span.kind = SpanKind::Client;
    span.name = "GET".into();
    span.parent_is_remote = false;
    span.attributes = vec![
        ("http.request.method", Value::Static("GET")),
        ("server.address", Value::Static("cart")),
        ("server.port", Value::Int(8080)),
        ("url.path", Value::String(format!("/items/{id}"))),
    ];
    span
}

/// A link to another span.
pub(crate) fn link(trace: u8, id: u8) -> Link {
    Link {
        trace_id: TraceId([trace; 16]),
        span_id: SpanId([id; 8]),
        attributes: vec![("threadline.link.evidence", Value::Static("open"))],
    }
}
