//! A finished span, ready for any exporter. Names follow the OpenTelemetry data model.

use std::sync::Arc;

/// 16 bytes, never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(pub [u8; 16]);

/// 8 bytes, never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId(pub [u8; 8]);

/// `SpanKind` of the data model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Handles a request.
    Server,
    /// Makes a request.
    Client,
}

/// Value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    String(String),
    /// Text that is part of the program.
    Static(&'static str),
    /// Integer.
    Int(i64),
    /// Boolean.
    Bool(bool),
    /// Floating point.
    Double(f64),
}

/// Key (an OpenTelemetry convention's constant) and value.
pub type Attribute = (&'static str, Value);

/// Reference to a span that is related but not a proven parent.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// Trace of the other span.
    pub trace_id: TraceId,
    /// The other span.
    pub span_id: SpanId,
    /// Why it is linked.
    pub attributes: Vec<Attribute>,
}

/// `Status` of the data model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nothing said.
    #[default]
    Unset,
    /// An error, with an optional description.
    Error(String),
}

/// What a span's process is: one OTLP resource per value. Compared by content when grouped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// `service.name`, `process.*`, `host.*`, `telemetry.*`; keys owned because users add their own.
    pub attributes: Vec<(String, Value)>,
}

impl Resource {
    /// Value of `service.name`, or `unknown_service`.
    pub fn service_name(&self) -> &str {
        self.attributes
            .iter()
            .find_map(|(key, value)| match (key.as_str(), value) {
                ("service.name", Value::String(name)) => Some(name.as_str()),
                ("service.name", Value::Static(name)) => Some(name),
                _ => None,
            })
            .unwrap_or("unknown_service")
    }
}

/// A finished span.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Trace.
    pub trace_id: TraceId,
    /// Span.
    pub span_id: SpanId,
    /// Parent; `None`: root.
    pub parent_span_id: Option<SpanId>,
    /// The parent lies in another process (or its span is not ours).
    pub parent_is_remote: bool,
    /// W3C `tracestate` of the trace, empty where there is none.
    pub trace_state: String,
    /// W3C trace flags (bit 0: sampled).
    pub flags: u8,
    /// Low-cardinality name.
    pub name: String,
    /// Kind.
    pub kind: SpanKind,
    /// Nanoseconds since the epoch.
    pub start_unix_ns: u64,
    /// Nanoseconds since the epoch, never before the start.
    pub end_unix_ns: u64,
    /// Attributes.
    pub attributes: Vec<Attribute>,
    /// Links.
    pub links: Vec<Link>,
    /// Status.
    pub status: Status,
    /// The process.
    pub resource: Arc<Resource>,
}

macro_rules! hex_debug {
    ($t:ty) => {
        impl core::fmt::Display for $t {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
        impl core::fmt::Debug for $t {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Display::fmt(self, f)
            }
        }
    };
}
hex_debug!(TraceId);
hex_debug!(SpanId);
