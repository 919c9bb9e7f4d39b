use serde_json::json;

use super::span::{Side, Span, Spans};
use super::truth::Truth;
use super::{Report, compare};

const MS: u64 = 1_000_000;

/// load calls /chain/r0 of a (0 to 100 ms); a calls b as `kind` (20 to 60 ms).
fn truth(kind: &str, ctx: bool, start_ms: u64) -> Truth {
    let mut truth = Truth::default();
    let lines = [
        json!({"t": "window", "from": 0, "to": 1000 * MS}),
        json!({"t": "call", "svc": "load", "id": "r0", "parent": "", "kind": "root", "ctx": false,
               "start": 0, "end": 100 * MS, "err": ""}),
        json!({"t": "server", "svc": "a", "id": "r0", "path": "/chain/r0", "first": MS, "last": 99 * MS,
               "status": 200}),
        json!({"t": "call", "svc": "a", "id": "r0.0", "parent": "r0", "kind": kind, "ctx": ctx,
               "start": start_ms * MS, "end": (start_ms + 40) * MS, "err": ""}),
        json!({"t": "server", "svc": "b", "id": "r0.0", "path": "/leaf/r0.0",
               "first": (start_ms + 1) * MS, "last": (start_ms + 39) * MS, "status": 200}),
    ];
    for line in &lines {
        truth.add(line).unwrap();
    }
    truth.sort();
    truth
}

fn span(side: Side, path: &str, parent: Option<&str>, start_ms: u64, end_ms: u64) -> Span {
    let request = path.rsplit('/').next().unwrap();
    Span {
        trace: "t".to_owned(),
        id: format!("{}{request}", if side == Side::Client { "c" } else { "s" }),
        parent: parent.map(str::to_owned),
        side,
        path: path.to_owned(),
        start: start_ms * MS,
        end: end_ms * MS,
        status: Some(200),
        route: path.rfind('/').map(|at| path[..=at].to_owned()),
        ..Span::default()
    }
}

/// The spans of `truth("sequential", true, 20)`.
fn right() -> Vec<Span> {
    vec![
        span(Side::Client, "/chain/r0", None, 0, 100),
        span(Side::Server, "/chain/r0", Some("cr0"), 1, 99),
        span(Side::Client, "/leaf/r0.0", Some("sr0"), 20, 60),
        span(Side::Server, "/leaf/r0.0", Some("cr0.0"), 21, 59),
    ]
}

fn judged(truth: &Truth, spans: Vec<Span>) -> Report {
    compare(truth, &Spans::index(spans))
}

#[test]
fn a_right_trace_is_whole() {
    let report = judged(&truth("sequential", true, 20), right());
    assert!(report.is_good() && report.has_good_times(), "{report}");
    assert_eq!(
        (report.requests, report.whole, report.requests_served),
        (1, 1, 2)
    );
    assert_eq!((report.routes_right, report.wrong_status), (2, 0));
}

#[test]
fn a_missing_span_is_lost_and_its_trace_not_whole() {
    for gone in 0..4 {
        let mut spans = right();
        spans.remove(gone);
        let report = judged(&truth("sequential", true, 20), spans);
        assert_eq!(
            (report.lost(), report.whole, report.wrong),
            (1, 0, 0),
            "without {gone}: {report}"
        );
        assert!(!report.is_good());
    }
}

#[test]
fn a_span_under_a_stranger_is_a_wrong_parent() {
    let mut spans = right();
    spans.push(span(Side::Server, "/chain/r7", None, 0, 100));
    spans[2].parent = Some("sr7".to_owned());
    let report = judged(&truth("sequential", true, 20), spans);
    assert_eq!((report.wrong, report.whole), (1, 0), "{report}");
}

#[test]
fn the_right_parent_in_another_trace_is_wrong() {
    let mut spans = right();
    spans[3].trace = "u".to_owned();
    assert_eq!(judged(&truth("sequential", true, 20), spans).wrong, 1);
}

#[test]
fn a_root_with_a_parent_is_wrong() {
    let mut spans = right();
    spans[0].parent = Some("sr0.0".to_owned());
    assert_eq!(judged(&truth("sequential", true, 20), spans).wrong, 1);
}

#[test]
fn a_call_that_lost_its_parent_is_missing_not_wrong() {
    let mut spans = right();
    spans[2].parent = None;
    let report = judged(&truth("sequential", true, 20), spans);
    assert_eq!((report.missing, report.wrong, report.whole), (1, 0, 0));
    assert!(!report.is_good());
}

#[test]
fn a_pool_without_context_is_out_of_reach_but_may_not_be_guessed() {
    let truth = truth("pool-noctx", false, 20);
    let mut spans = right();
    spans[2].parent = None;
    spans[2].links = 2;
    let report = judged(&truth, spans.clone());
    assert!(report.is_good(), "{report}");
    assert_eq!(
        (
            report.no_proof.count,
            report.no_proof.linked,
            report.late.count
        ),
        (1, 1, 0)
    );

    spans.push(span(Side::Server, "/chain/r7", None, 0, 100));
    spans[2].parent = Some("sr7".to_owned());
    assert_eq!(judged(&truth, spans).wrong, 1);
}

#[test]
fn late_work_stands_alone_without_context_and_belongs_with_it() {
    let late = |parent: Option<&str>| {
        let mut spans = right();
        spans[2] = span(Side::Client, "/leaf/r0.0", parent, 130, 170);
        spans[3] = span(Side::Server, "/leaf/r0.0", Some("cr0.0"), 131, 169);
        spans
    };
    let alone = judged(&truth("late-noctx", false, 130), late(None));
    assert!(alone.is_good() && alone.outside == 0, "{alone}");
    assert_eq!(
        (alone.late.count, alone.late.linked, alone.no_proof.count),
        (1, 0, 0)
    );

    let with = truth("late-ctx", true, 130);
    let kept = judged(&with, late(Some("sr0")));
    assert!(kept.is_good() && kept.outside == 0, "{kept}");
    assert_eq!(judged(&with, late(None)).missing, 1);
}

#[test]
fn a_child_outside_its_parent_is_told() {
    let mut spans = right();
    spans[3].end = 61 * MS;
    let report = judged(&truth("sequential", true, 20), spans);
    assert_eq!(report.outside, 1);
    assert!(report.is_good() && !report.has_good_times());
}

#[test]
fn a_span_told_twice_is_extra() {
    let mut spans = right();
    let mut twice = spans[3].clone();
    twice.id = "other".to_owned();
    spans.push(twice);
    assert!(!judged(&truth("sequential", true, 20), spans).is_good());
}

#[test]
fn each_attempt_belongs_to_its_own_client_span() {
    let mut truth = truth("retry", true, 20);
    // The first attempt reached the server too, and got no answer.
    let first = json!({"t": "server", "svc": "b", "id": "r0.0", "path": "/leaf/r0.0", "first": 20 * MS + 5,
                       "last": 0, "status": 0});
    truth.add(&first).unwrap();
    truth.sort();
    let mut spans = right();
    spans[2].start = 21 * MS - 1;
    for (side, id, parent, start) in [
        (Side::Client, "c1", "sr0", 20 * MS),
        (Side::Server, "s1", "c1", 20 * MS + 5),
    ] {
        let mut attempt = span(side, "/leaf/r0.0", Some(parent), 20, 20);
        (attempt.id, attempt.status) = (id.to_owned(), None);
        (attempt.start, attempt.end) = (start, start + 10);
        spans.push(attempt);
    }
    let report = judged(&truth, spans.clone());
    assert!(report.is_good(), "{report}");

    spans[5].parent = Some("cr0.0".to_owned());
    assert_eq!(judged(&truth, spans).wrong, 1);
}

#[test]
fn what_lies_outside_the_window_is_not_asked_for() {
    let mut truth = truth("sequential", true, 20);
    truth.window = (50 * MS, 1000 * MS);
    let report = judged(&truth, Vec::new());
    assert_eq!((report.requests, report.lost()), (0, 0));
    assert!(!report.is_good(), "nothing seen is nothing shown");
}

#[test]
fn times_off_by_more_than_a_twentieth_are_bad() {
    let mut spans = right();
    spans[3].start = 25 * MS;
    let report = judged(&truth("sequential", true, 20), spans);
    assert!(!report.server_times.is_good() && report.client_times.is_good());
}

#[test]
fn both_exporters_lines_give_the_same_span() {
    let agent = r#"{"trace_id":"aa","span_id":"bb","parent_span_id":"cc","name":"GET /leaf/","kind":"server","service":"b","start_unix_ns":5,"end_unix_ns":9,"duration_ns":4,"status":"unset","attributes":{"url.path":"/leaf/r1","http.response.status_code":200,"http.route":"/leaf/"},"resource":{},"links":[{"trace_id":"aa","span_id":"dd","attributes":{}}]}"#;
    let otlp = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"b"}}]},"scopeSpans":[{"spans":[{"traceId":"aa","spanId":"bb","parentSpanId":"cc","name":"GET /leaf/","kind":2,"startTimeUnixNano":"5","endTimeUnixNano":"9","links":[{}],"attributes":[{"key":"url.path","value":{"stringValue":"/leaf/r1"}},{"key":"http.response.status_code","value":{"intValue":"200"}},{"key":"http.route","value":{"stringValue":"/leaf/"}}]}]}]}]}"#;
    let [agent, otlp] = [agent, otlp].map(|text| format!("{:?}", Spans::parse(text).unwrap().all));
    assert_eq!(agent, otlp);
    assert!(
        agent.contains("\"/leaf/r1\"") && agent.contains("Some(200)"),
        "{agent}"
    );
}

#[test]
fn the_path_of_a_client_span_may_come_from_its_url() {
    let mut span = Span::default();
    span.set(
        "url.full",
        &json!("http://127.0.0.1:80/leaf/r1.2?x=REDACTED"),
    );
    assert_eq!(span.request(), "r1.2");
}
