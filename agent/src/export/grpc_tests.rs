//! OTLP over gRPC against a backend that behaves and that does not.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use prost::bytes::{BufMut, Bytes, BytesMut};
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::receiver::{Answer, Receiver, books, count, exporters, response, spans, until};
use crate::health::Stage;

const LONG: Duration = Duration::from_secs(20);

/// What the backend does with a call.
enum Reply {
    Partial(i64),
    Status(Status),
    /// As the value of `grpc-status-details-bin`.
    BadDetails,
    Silence,
    Hangup,
}

struct Call {
    at: Instant,
    headers: HeaderMap,
    path: String,
    spans: usize,
}

struct Backend {
    url: String,
    calls: Arc<Mutex<Vec<Call>>>,
    connections: Arc<AtomicUsize>,
}

impl Backend {
    fn new(mut script: Vec<Reply>) -> Self {
        script.reverse();
        let script = Arc::new(Mutex::new(script));
        let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
        let seen = Arc::clone(&calls);
        let connections: Arc<AtomicUsize> = Arc::default();
        let accepted = Arc::clone(&connections);
        let (tell, address) = std::sync::mpsc::channel::<SocketAddr>();
        thread::spawn(move || {
            let runtime = super::worker::runtime().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    accepted.fetch_add(1, Ordering::SeqCst);
                    let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
                    tokio::spawn(async move {
                        let mut connection = h2::server::handshake(stream).await.unwrap();
                        while let Some(Ok((request, respond))) = connection.accept().await {
                            let reply = script.lock().unwrap().pop().unwrap_or(Reply::Partial(0));
                            if matches!(reply, Reply::Hangup) {
                                return;
                            }
                            tokio::spawn(serve(request, respond, reply, Arc::clone(&seen)));
                        }
                    });
                }
            });
        });
        let url = format!("http://{}", address.recv().unwrap());
        Self {
            url,
            calls,
            connections,
        }
    }

    fn exporters(&self, more: &[(&str, &str)]) -> (super::Exporters, Arc<crate::health::Ledger>) {
        let env = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", self.url.as_str()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ];
        exporters(&[&env, more].concat())
    }
}

async fn serve(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    reply: Reply,
    calls: Arc<Mutex<Vec<Call>>>,
) {
    let (head, mut body) = request.into_parts();
    let mut bytes = Vec::new();
    while let Some(Ok(chunk)) = body.data().await {
        body.flow_control().release_capacity(chunk.len()).unwrap();
        bytes.extend_from_slice(&chunk);
    }
    let compressed = bytes[0] == 1;
    let message = match bytes[0] {
        0 => bytes[5..].to_vec(),
        _ => {
            let mut plain = Vec::new();
            GzDecoder::new(&bytes[5..]).read_to_end(&mut plain).unwrap();
            plain
        }
    };
    let request = ExportTraceServiceRequest::decode(message.as_slice()).unwrap();
    calls.lock().unwrap().push(Call {
        at: Instant::now(),
        headers: head.headers,
        path: head.uri.path().to_owned(),
        spans: count(&request),
    });
    let ok = || Response::builder().header("content-type", "application/grpc");
    match reply {
        Reply::Partial(rejected) => {
            let mut message = response(rejected, "").encode_to_vec();
            let mut head = ok();
            if compressed {
                // As grpc-go does: an answer as the request.
                head = head.header("grpc-encoding", "gzip");
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(&message).unwrap();
                message = encoder.finish().unwrap();
            }
            let mut framed = BytesMut::new();
            framed.put_u8(compressed.into());
            framed.put_u32(message.len() as u32);
            framed.put_slice(&message);
            let mut stream = respond
                .send_response(head.body(()).unwrap(), false)
                .unwrap();
            stream.send_data(framed.freeze(), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            stream.send_trailers(trailers).unwrap();
        }
        Reply::Status(status) => {
            let answer = status.into_http::<()>();
            respond.send_response(answer, true).unwrap();
        }
        Reply::BadDetails => {
            let answer = ok()
                .header("grpc-status", "14")
                .header("grpc-status-details-bin", "%%%");
            respond
                .send_response(answer.body(()).unwrap(), true)
                .unwrap();
        }
        Reply::Silence | Reply::Hangup => std::future::pending().await,
    }
}

fn lost(reason: &str, n: u64) -> Vec<(String, u64)> {
    vec![(reason.to_owned(), n)]
}

#[test]
fn spans_arrive_by_grpc_plain_and_compressed_with_headers() {
    for (compression, encoding) in [("none", None), ("gzip", Some("gzip"))] {
        let backend = Backend::new(Vec::new());
        let (exporters, ledger) = backend.exporters(&[
            ("OTEL_EXPORTER_OTLP_COMPRESSION", compression),
            ("OTEL_EXPORTER_OTLP_HEADERS", "Api-Key=k%2C1"),
        ]);
        exporters.send(spans(1_500));
        exporters.shutdown(LONG);
        assert_eq!(books(&ledger), (1_500, 1_500, vec![]));
        let calls = backend.calls.lock().unwrap();
        assert_eq!(calls.iter().map(|call| call.spans).sum::<usize>(), 1_500);
        for call in calls.iter() {
            assert_eq!(
                call.path,
                "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
            );
            let header = |name: &str| call.headers.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(header("api-key"), Some("k,1"));
            assert_eq!(header("grpc-encoding"), encoding);
            assert!(header("user-agent").unwrap().starts_with("threadline/"));
        }
    }
}

#[test]
fn a_passing_failure_is_followed_by_another_attempt() {
    let wait = Duration::from_millis(1_500);
    let details = ErrorDetails::with_retry_info(Some(wait));
    let throttled = Status::with_error_details(Code::ResourceExhausted, "slow down", details);
    for (reply, pause) in [
        (
            Reply::Status(Status::unavailable("not yet")),
            Duration::ZERO,
        ),
        (Reply::Status(throttled), wait),
        (Reply::Hangup, Duration::ZERO),
    ] {
        let hangs_up = matches!(reply, Reply::Hangup);
        let start = Instant::now();
        let backend = Backend::new(vec![reply]);
        let (exporters, ledger) = backend.exporters(&[]);
        exporters.send(spans(2));
        until("accepted", || ledger.left(Stage::Export) == 2);
        let calls = backend.calls.lock().unwrap();
        assert_eq!(calls.len(), if hangs_up { 1 } else { 2 });
        let last = calls.last().unwrap().at;
        assert!(last - start >= pause);
        drop(calls);
        exporters.shutdown(LONG);
        assert_eq!(books(&ledger), (2, 2, vec![]));
    }
}

#[test]
fn what_the_backend_refuses_is_not_sent_twice() {
    for status in [
        Status::resource_exhausted("message too large"),
        Status::unauthenticated("no"),
        Status::unimplemented("no traces here"),
    ] {
        let backend = Backend::new(vec![Reply::Status(status)]);
        let (exporters, ledger) = backend.exporters(&[]);
        exporters.send(spans(2));
        exporters.shutdown(LONG);
        assert_eq!(books(&ledger), (2, 0, lost("export_failed", 2)));
        assert_eq!(backend.calls.lock().unwrap().len(), 1);
    }
}

#[test]
fn partial_success_is_counted_span_by_span() {
    let backend = Backend::new(vec![Reply::Partial(4)]);
    let (exporters, ledger) = backend.exporters(&[]);
    exporters.send(spans(10));
    exporters.shutdown(LONG);
    assert_eq!(books(&ledger), (10, 6, lost("rejected_by_backend", 4)));
}

#[test]
fn a_silent_connection_is_replaced() {
    let backend = Backend::new(vec![Reply::Silence]);
    let (exporters, ledger) = backend.exporters(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "100")]);
    exporters.send(spans(2));
    until("accepted", || ledger.left(Stage::Export) == 2);
    assert_eq!(backend.connections.load(Ordering::SeqCst), 2);
    exporters.shutdown(LONG);
    assert_eq!(books(&ledger), (2, 2, vec![]));
}

/// The gRPC library panics on such a header: only that batch may suffer.
#[test]
fn an_answer_that_makes_the_library_panic_costs_one_batch() {
    let backend = Backend::new(vec![Reply::BadDetails]);
    let (exporters, ledger) = backend.exporters(&[]);
    exporters.send(spans(2));
    until("the first batch is counted", || exporters.pending() == 0);
    exporters.send(spans(3));
    exporters.shutdown(LONG);
    let (entered, left, dropped) = books(&ledger);
    assert_eq!((entered, left), (5, 3));
    assert_eq!(dropped, lost("export_failed", 2));
}

#[test]
fn a_server_that_does_not_speak_grpc_costs_the_spans_countably() {
    let answers = vec![Answer::Raw(b"SSH-2.0-nothing\r\n"); 100];
    let backend = Receiver::new(answers);
    let (exporters, ledger) = exporters(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", backend.url.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "200"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "500"),
    ]);
    exporters.send(spans(2));
    until("given up", || exporters.pending() == 0);
    exporters.shutdown(LONG);
    assert_eq!(books(&ledger), (2, 0, lost("export_failed", 2)));
}
