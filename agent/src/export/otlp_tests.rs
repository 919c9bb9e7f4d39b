use super::*;
use crate::export::samples::{client, link, resource, server};

#[test]
fn a_span_becomes_its_otlp_form() {
    let mut span = client(0xab, 2, Some(1), "front", (1_000, 2_500));
    span.trace_state = "ot=th:8".into();
    span.status = Status::Error("reset".into());
    span.links.push(link(9, 8));
    span.attributes.push(("ok", Value::Bool(true)));
    span.attributes.push(("ratio", Value::Double(0.5)));
    let json = serde_json::to_value(request(vec![span])).unwrap();
    let expected = serde_json::json!({"resourceSpans": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "front"}},
            {"key": "process.pid", "value": {"intValue": "7"}},
        ], "droppedAttributesCount": 0, "entityRefs": []},
        "scopeSpans": [{
            "scope": {"name": "threadline", "version": env!("CARGO_PKG_VERSION"),
                "attributes": [], "droppedAttributesCount": 0},
            "spans": [{
                "traceId": "ab".repeat(16),
                "spanId": "02".repeat(8),
                "traceState": "ot=th:8",
                "parentSpanId": "01".repeat(8),
                "flags": 0x101,
                "name": "GET",
                "kind": 3,
                "startTimeUnixNano": "1000",
                "endTimeUnixNano": "2500",
                "attributes": [
                    {"key": "http.request.method", "value": {"stringValue": "GET"}},
                    {"key": "server.address", "value": {"stringValue": "cart"}},
                    {"key": "server.port", "value": {"intValue": "8080"}},
                    {"key": "url.path", "value": {"stringValue": "/items/2"}},
                    {"key": "ok", "value": {"boolValue": true}},
                    {"key": "ratio", "value": {"doubleValue": 0.5}},
                ],
                "droppedAttributesCount": 0,
                "events": [],
                "droppedEventsCount": 0,
                "links": [{
                    "traceId": "09".repeat(16),
                    "spanId": "08".repeat(8),
                    "traceState": "",
                    "attributes": [
                        {"key": "threadline.link.evidence", "value": {"stringValue": "open"}},
                    ],
                    "droppedAttributesCount": 0,
                    "flags": 0,
                }],
                "droppedLinksCount": 0,
                "status": {"message": "reset", "code": 2},
            }],
            "schemaUrl": "",
        }],
        "schemaUrl": "",
    }]});
    assert_eq!(json, expected, "{json:#}");
}

#[test]
fn a_root_has_no_parent_and_no_status() {
    let request = request(vec![server(1, 2, None, "front", (1, 2))]);
    let span = &request.resource_spans[0].scope_spans[0].spans[0];
    assert!(span.parent_span_id.is_empty());
    assert_eq!((span.status.clone(), span.kind), (None, 2));
}

#[test]
fn flags_tell_the_w3c_ones_and_where_the_parent_lies() {
    for (w3c, remote, expected) in [
        (0, false, 0x100),
        (1, false, 0x101),
        (1, true, 0x301),
        (0xff, true, 0x3ff),
    ] {
        assert_eq!(flags(w3c, remote), expected);
    }
}

#[test]
fn one_request_holds_all_resources_each_once() {
    let shared = resource("a");
    let mut spans: Vec<_> = ["a", "b", "a", "c", "b"]
        .iter()
        .enumerate()
        .map(|(id, service)| server(1, id as u8 + 1, None, service, (1, 2)))
        .collect();
    for id in [6, 7] {
        let mut span = server(1, id, None, "a", (1, 2));
        span.resource = Arc::clone(&shared);
        spans.push(span);
    }
    let groups: Vec<(String, Vec<u8>)> = request(spans)
        .resource_spans
        .into_iter()
        .map(|group| {
            let service = group.resource.unwrap().attributes[0].value.clone().unwrap();
            let Some(Any::StringValue(service)) = service.value else {
                panic!("{service:?}");
            };
            let ids = group.scope_spans[0]
                .spans
                .iter()
                .map(|span| span.span_id[0]);
            (service, ids.collect())
        })
        .collect();
    let expected = [
        ("a".to_owned(), vec![1, 3, 6, 7]),
        ("b".to_owned(), vec![2, 5]),
        ("c".to_owned(), vec![4]),
    ];
    assert_eq!(groups, expected);
}

#[test]
fn equal_values_of_other_types_are_other_resources() {
    let mut spans = vec![
        server(1, 1, None, "a", (1, 2)),
        server(1, 2, None, "a", (1, 2)),
    ];
    spans[1].resource = Arc::new(Resource {
        attributes: vec![
            ("service.name".into(), Value::Static("a")),
            ("process.pid".into(), Value::String("7".into())),
        ],
    });
    assert_eq!(request(spans).resource_spans.len(), 2);
}
