//! OTLP's JSON form, as the collector's file exporter writes it: one batch a line.

use serde_json::Value;

use super::span::{Side, Span};

/// Adds the spans of one batch.
pub fn spans(batch: &Value, all: &mut Vec<Span>) {
    for resource in list(batch, "resourceSpans") {
        for scope in list(resource, "scopeSpans") {
            for span in list(scope, "spans") {
                all.extend(one(&resource["resource"], span));
            }
        }
    }
}

fn one(resource: &Value, span: &Value) -> Option<Span> {
    const SERVER: i64 = 2;
    const CLIENT: i64 = 3;
    let text = |key: &str| span[key].as_str().unwrap_or_default().to_owned();
    // 64-bit integers are text in JSON.
    let number = |key: &str| span[key].as_str().and_then(|text| text.parse().ok());
    let side = match (span["kind"].as_i64(), span["kind"].as_str()) {
        (Some(SERVER), _) | (_, Some("SPAN_KIND_SERVER")) => Side::Server,
        (Some(CLIENT), _) | (_, Some("SPAN_KIND_CLIENT")) => Side::Client,
        _ => return None,
    };
    let mut out = Span {
        trace: text("traceId"),
        id: text("spanId"),
        parent: Some(text("parentSpanId")).filter(|id| !id.is_empty()),
        side,
        name: text("name"),
        start: number("startTimeUnixNano")?,
        end: number("endTimeUnixNano")?,
        links: list(span, "links").len(),
        ..Span::default()
    };
    for attribute in list(resource, "attributes")
        .iter()
        .chain(list(span, "attributes"))
    {
        if let (Some(key), Some(value)) = (attribute["key"].as_str(), any(&attribute["value"])) {
            out.set(key, value);
        }
    }
    Some(out)
}

/// What is in an `AnyValue`.
fn any(value: &Value) -> Option<&Value> {
    value.as_object()?.values().next()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}
