//! A span as one JSON object on one line, keys in a fixed order, attributes in the span's.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::span::model::{Link, Span, SpanKind, Status, Value};

/// The line, without its line feed.
pub fn line(span: &Span) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Line {
        trace_id: Text(&span.trace_id),
        span_id: Text(&span.span_id),
        parent_span_id: span.parent_span_id.as_ref().map(Text),
        name: &span.name,
        kind: match span.kind {
            SpanKind::Server => "server",
            SpanKind::Client => "client",
        },
        service: span.resource.service_name(),
        start_unix_ns: span.start_unix_ns,
        end_unix_ns: span.end_unix_ns,
        duration_ns: span.end_unix_ns.saturating_sub(span.start_unix_ns),
        status: match span.status {
            Status::Unset => "unset",
            Status::Error(_) => "error",
        },
        error: match &span.status {
            Status::Unset => None,
            Status::Error(message) => Some(message),
        },
        attributes: Map(&span.attributes),
        resource: Map(&span.resource.attributes),
        links: span.links.iter().map(LinkLine::from).collect(),
        flags: span.flags,
        trace_state: &span.trace_state,
    })
}

#[derive(Serialize)]
struct Line<'a> {
    trace_id: Text<'a, crate::span::model::TraceId>,
    span_id: Text<'a, crate::span::model::SpanId>,
    parent_span_id: Option<Text<'a, crate::span::model::SpanId>>,
    name: &'a str,
    kind: &'static str,
    service: &'a str,
    start_unix_ns: u64,
    end_unix_ns: u64,
    duration_ns: u64,
    status: &'static str,
    error: Option<&'a str>,
    attributes: Map<'a, &'static str>,
    resource: Map<'a, String>,
    links: Vec<LinkLine<'a>>,
    flags: u8,
    trace_state: &'a str,
}

#[derive(Serialize)]
struct LinkLine<'a> {
    trace_id: Text<'a, crate::span::model::TraceId>,
    span_id: Text<'a, crate::span::model::SpanId>,
    attributes: Map<'a, &'static str>,
}

impl<'a> From<&'a Link> for LinkLine<'a> {
    fn from(link: &'a Link) -> Self {
        Self {
            trace_id: Text(&link.trace_id),
            span_id: Text(&link.span_id),
            attributes: Map(&link.attributes),
        }
    }
}

/// Something shown as text.
struct Text<'a, T>(&'a T);

impl<T: std::fmt::Display> Serialize for Text<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

/// Pairs as an object.
struct Map<'a, K>(&'a [(K, Value)]);

impl<K: AsRef<str>> Serialize for Map<'_, K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.0 {
            let key = key.as_ref();
            match value {
                Value::String(text) => map.serialize_entry(key, text)?,
                Value::Static(text) => map.serialize_entry(key, text)?,
                Value::Int(number) => map.serialize_entry(key, number)?,
                Value::Bool(yes) => map.serialize_entry(key, yes)?,
                // JSON has no NaN: serde_json writes null.
                Value::Double(number) => map.serialize_entry(key, number)?,
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use crate::export::samples;
    use crate::span::model::{Status, Value};

    #[test]
    fn a_span_is_one_line_with_keys_in_a_fixed_order() {
        let mut span = samples::client(1, 2, Some(1), "front", (1_000, 3_500));
        span.status = Status::Error("connection \"reset\"\n".into());
        span.attributes.push(("ratio", Value::Double(f64::NAN)));
        span.links.push(samples::link(9, 8));
        span.trace_state = "ot=th:8".into();
        assert_eq!(
            super::line(&span).unwrap(),
            r#"{"trace_id":"01010101010101010101010101010101","span_id":"0202020202020202","#
                .to_owned()
                + r#""parent_span_id":"0101010101010101","name":"GET","kind":"client","service":"front","#
                + r#""start_unix_ns":1000,"end_unix_ns":3500,"duration_ns":2500,"status":"error","#
                + r#""error":"connection \"reset\"\n","attributes":{"http.request.method":"GET","#
                + r#""server.address":"cart","server.port":8080,"url.path":"/items/2","ratio":null},"#
                + r#""resource":{"service.name":"front","process.pid":7},"links":[{"trace_id":"#
                + r#""09090909090909090909090909090909","span_id":"0808080808080808","#
                + r#""attributes":{"threadline.link.evidence":"open"}}],"flags":1,"trace_state":"ot=th:8"}"#
        );
    }

    #[test]
    fn hostile_text_stays_one_parsable_line() {
        let mut span = samples::server(1, 1, None, "a", (0, 1));
        span.name = "a\r\n\u{2028}\0\u{1b}[31m\"}".into();
        let line = super::line(&span).unwrap();
        assert!(!line.contains(['\n', '\r', '\0', '\u{1b}']));
        let back: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(back["name"], span.name.as_str());
        assert_eq!(back["parent_span_id"], serde_json::Value::Null);
    }
}
