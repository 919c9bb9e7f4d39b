//! OTLP over HTTP against backends that behave and that do not: in each case every span is
//! counted exactly once.

use std::collections::HashSet;
use std::io::Read;
use std::net::TcpListener;
use std::time::Duration;

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use super::receiver::{Answer, Receiver, books, count, exporters, spans, until};
use crate::health::{Ledger, Reason, Stage};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const LONG: Duration = Duration::from_secs(20);

fn lost(reason: &str, n: u64) -> Vec<(String, u64)> {
    vec![(reason.to_owned(), n)]
}

fn exported(ledger: &Ledger) -> u64 {
    ledger.left(Stage::Export)
}

#[test]
fn a_lone_span_is_sent_without_waiting_for_others() {
    let backend = Receiver::new(Vec::new());
    let (exporters, ledger) = exporters(&[
        (ENDPOINT, &backend.url),
        ("OTEL_EXPORTER_OTLP_HEADERS", "X-Token=a%20b"),
    ]);
    exporters.send(spans(1));
    until("accepted", || exported(&ledger) == 1);
    let got = backend.got();
    assert_eq!((got.len(), got[0].spans()), (1, 1));
    let head = &got[0].head;
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    for line in [
        "content-type: application/x-protobuf\r\n",
        "x-token: a b\r\n",
        concat!("user-agent: threadline/", env!("CARGO_PKG_VERSION"), "\r\n"),
    ] {
        assert!(head.contains(line), "{line} in {head}");
    }
    assert_eq!(exporters.pending(), 0);
    exporters.shutdown(LONG);
    assert_eq!(books(&ledger), (1, 1, vec![]));
}

#[test]
fn gzip_and_json_say_the_same() {
    let backend = Receiver::new(Vec::new());
    for (protocol, compression) in [
        ("http/protobuf", "none"),
        ("http/protobuf", "gzip"),
        ("http/json", "none"),
        ("http/json", "gzip"),
    ] {
        let (exporters, ledger) = exporters(&[
            (ENDPOINT, &backend.url),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", compression),
        ]);
        exporters.send(spans(3));
        exporters.shutdown(LONG);
        assert_eq!(books(&ledger), (3, 3, vec![]));
    }
    let requests: Vec<_> = backend
        .got()
        .into_iter()
        .map(|got| {
            let mut body = Vec::new();
            if got.head.contains("content-encoding: gzip") {
                GzDecoder::new(got.body.as_slice())
                    .read_to_end(&mut body)
                    .unwrap();
            } else {
                body = got.body;
            }
            if got.head.contains("content-type: application/json") {
                serde_json::from_slice(&body).unwrap()
            } else {
                ExportTraceServiceRequest::decode(body.as_slice()).unwrap()
            }
        })
        .collect();
    assert_eq!((requests.len(), count(&requests[0])), (4, 3));
    assert!(requests.iter().all(|request| *request == requests[0]));
}

#[test]
fn a_busy_backend_is_asked_again_after_the_time_it_names() {
    let busy = Answer::status(503).with("retry-after", "2");
    let backend = Receiver::new(vec![busy]);
    let (exporters, ledger) = exporters(&[(ENDPOINT, &backend.url)]);
    exporters.send(spans(1));
    until("accepted", || exported(&ledger) == 1);
    let got = backend.got();
    assert_eq!(got.len(), 2);
    assert!(got[1].at - got[0].at >= Duration::from_secs(2));
    assert_eq!(got[0].body, got[1].body);
    exporters.shutdown(LONG);
    assert_eq!(books(&ledger), (1, 1, vec![]));
}

#[test]
fn what_the_backend_refuses_is_not_sent_twice() {
    let page = Answer::status(200).with("content-type", "text/html; charset=utf-8");
    let moved = Answer::status(302).with("location", "/elsewhere");
    for answer in [
        Answer::status(400),
        Answer::status(401),
        Answer::status(500),
        page,
        moved,
    ] {
        let backend = Receiver::new(vec![answer.clone()]);
        let (exporters, ledger) = exporters(&[(ENDPOINT, &backend.url)]);
        exporters.send(spans(4));
        exporters.shutdown(LONG);
        assert_eq!(
            books(&ledger),
            (4, 0, lost("export_failed", 4)),
            "{answer:?}"
        );
        assert_eq!(backend.got().len(), 1, "{answer:?}");
    }
}

#[test]
fn partial_success_is_counted_span_by_span() {
    for (rejected, taken, refused) in [
        (3, 7, lost("rejected_by_backend", 3)),
        (99, 0, lost("rejected_by_backend", 10)),
        (-5, 10, vec![]),
        (0, 10, vec![]),
    ] {
        let backend = Receiver::new(vec![Answer::partial(rejected, "too\nold")]);
        let (exporters, ledger) = exporters(&[(ENDPOINT, &backend.url)]);
        exporters.send(spans(10));
        exporters.shutdown(LONG);
        assert_eq!(books(&ledger), (10, taken, refused), "{rejected}");
    }
}

#[test]
fn garbage_and_broken_answers_are_followed_by_another_attempt() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nabc";
    for answer in [
        Answer::Raw(b"\0\xff garbage \r\n\r\n"),
        Answer::Raw(b""),
        Answer::Raw(cut),
    ] {
        let backend = Receiver::new(vec![answer.clone()]);
        let (exporters, ledger) = exporters(&[(ENDPOINT, &backend.url)]);
        exporters.send(spans(2));
        until("accepted", || exported(&ledger) == 2);
        assert_eq!(backend.got().len(), 2, "{answer:?}");
        exporters.shutdown(LONG);
        assert_eq!(books(&ledger), (2, 2, vec![]), "{answer:?}");
    }
}

#[test]
fn an_accepting_answer_that_is_no_otlp_is_an_acceptance() {
    let huge = Answer::Http(200, Vec::new(), vec![0xff; 1 << 20]);
    let text = Answer::Http(
        202,
        vec![("content-type", "text/plain".into())],
        b"ok".to_vec(),
    );
    for answer in [huge, text, Answer::status(204)] {
        let backend = Receiver::new(vec![answer]);
        let (exporters, ledger) = exporters(&[(ENDPOINT, &backend.url)]);
        exporters.send(spans(2));
        exporters.shutdown(LONG);
        assert_eq!(books(&ledger), (2, 2, vec![]));
    }
}

#[test]
fn where_nobody_listens_spans_are_lost_in_time_and_the_rest_at_the_shutdown() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("http://127.0.0.1:{port}");
    let (first, ledger) = exporters(&[(ENDPOINT, &url), ("OTEL_BSP_EXPORT_TIMEOUT", "50")]);
    first.send(spans(600));
    until("given up", || {
        ledger.dropped(Stage::Export, Reason::ExportFailed) == 600
    });
    first.shutdown(LONG);
    assert_eq!(books(&ledger), (600, 0, lost("export_failed", 600)));

    let (second, ledger) = exporters(&[(ENDPOINT, &url)]);
    second.send(spans(600));
    assert_eq!(second.pending(), 600);
    second.shutdown(Duration::from_millis(300));
    assert_eq!(books(&ledger), (600, 0, lost("shutdown", 600)));
    second.send(spans(5));
    assert_eq!(books(&ledger), (605, 0, lost("shutdown", 605)));
}

#[test]
fn a_backend_that_comes_late_gets_everything() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (exporters, ledger) = exporters(&[(ENDPOINT, &format!("http://{address}"))]);
    exporters.send(spans(700));
    std::thread::sleep(Duration::from_millis(400));
    let backend = Receiver::on(TcpListener::bind(address).unwrap(), Vec::new());
    until("accepted", || exported(&ledger) == 700);
    let arrived: usize = backend.got().iter().map(|got| got.spans()).sum();
    assert_eq!(arrived, 700);
    exporters.shutdown(LONG);
    assert_eq!(books(&ledger), (700, 700, vec![]));
}

#[test]
fn behind_a_silent_backend_the_queue_fills_and_drops_countably() {
    let silence = vec![Answer::Silence; 64];
    let backend = Receiver::new(silence);
    let (exporters, ledger) = exporters(&[
        (ENDPOINT, &backend.url),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10"),
    ]);
    exporters.send(spans(10));
    until("the first batch is out", || !backend.got().is_empty());
    exporters.send(spans(1_000));
    let dropped = ledger.dropped(Stage::Export, Reason::QueueFull);
    assert!((870..=900).contains(&dropped), "{dropped}");
    exporters.shutdown(Duration::from_millis(100));
    let (entered, left, reasons) = books(&ledger);
    assert_eq!((entered, left), (1_010, 0));
    let expected = [
        ("queue_full".to_owned(), dropped),
        ("shutdown".to_owned(), 1_010 - dropped),
    ];
    assert_eq!(reasons, expected);
}

#[test]
fn every_span_arrives_once_under_load() {
    let backend = Receiver::new(Vec::new());
    let (exporters, ledger) = exporters(&[(ENDPOINT, &backend.url)]);
    let all = spans(20_000);
    for some in all.chunks(37) {
        exporters.send(some.to_vec());
    }
    exporters.shutdown(LONG);
    assert_eq!(books(&ledger), (20_000, 20_000, vec![]));
    let mut ids = HashSet::new();
    for got in backend.got() {
        let request = ExportTraceServiceRequest::decode(got.body.as_slice()).unwrap();
        assert!(count(&request) <= 512);
        for scope in request.resource_spans.iter().flat_map(|r| &r.scope_spans) {
            ids.extend(scope.spans.iter().map(|span| span.span_id.clone()));
        }
    }
    assert_eq!(ids.len(), 20_000);
}

#[test]
fn none_counts_as_left() {
    let (exporters, ledger) = exporters(&[("OTEL_TRACES_EXPORTER", "none")]);
    exporters.send(spans(3));
    exporters.send(Vec::new());
    assert_eq!(books(&ledger), (3, 3, vec![]));
    exporters.shutdown(LONG);
    assert_eq!(books(&ledger), (3, 3, vec![]));
}

#[test]
fn dropping_the_exporters_settles_the_books() {
    let backend = Receiver::new(vec![Answer::Silence]);
    let (exporters, ledger) = exporters(&[(ENDPOINT, &backend.url)]);
    exporters.send(spans(8));
    drop(exporters);
    assert_eq!(books(&ledger), (8, 0, lost("shutdown", 8)));
}
