//! A backend for tests: answers OTLP/HTTP as its script says and keeps what it got.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;

use super::{Exporters, Settings, start};
use crate::health::{Ledger, Stage, StageCounts};
use crate::span::model::Span;

/// What the backend does with a request.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// Status, headers, body.
    Http(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// These bytes, then the end.
    Raw(&'static [u8]),
    /// Nothing, for ever.
    Silence,
}

impl Answer {
    pub(super) fn ok() -> Self {
        Self::partial(0, "")
    }

    pub(super) fn partial(rejected_spans: i64, message: &str) -> Self {
        let body = response(rejected_spans, message).encode_to_vec();
        Self::Http(
            200,
            vec![("content-type", "application/x-protobuf".into())],
            body,
        )
    }

    pub(super) fn status(status: u16) -> Self {
        Self::Http(status, Vec::new(), Vec::new())
    }

    pub(super) fn with(self, name: &'static str, value: &str) -> Self {
        match self {
            Self::Http(status, mut headers, body) => {
                headers.push((name, value.into()));
                Self::Http(status, headers, body)
            }
            other => other,
        }
    }
}

pub(super) fn response(rejected_spans: i64, message: &str) -> ExportTraceServiceResponse {
    ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans,
            error_message: message.into(),
        }),
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) at: Instant,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Got {
    pub(super) fn spans(&self) -> usize {
        let request = ExportTraceServiceRequest::decode(self.body.as_slice()).unwrap();
        count(&request)
    }
}

pub(super) fn count(request: &ExportTraceServiceRequest) -> usize {
    let scopes = request.resource_spans.iter().flat_map(|r| &r.scope_spans);
    scopes.map(|scope| scope.spans.len()).sum()
}

/// The listening backend; lives until the test's process ends.
#[derive(Clone)]
pub(super) struct Receiver {
    pub(super) url: String,
    got: Arc<Mutex<Vec<Got>>>,
    script: Arc<Mutex<Vec<Answer>>>,
}

impl Receiver {
    /// Gives each answer once, in order, then accepts everything.
    pub(super) fn new(script: Vec<Answer>) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    pub(super) fn on(listener: TcpListener, mut script: Vec<Answer>) -> Self {
        script.reverse();
        let receiver = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            got: Arc::default(),
            script: Arc::new(Mutex::new(script)),
        };
        let acceptor = receiver.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let connection = acceptor.clone();
                thread::spawn(move || connection.serve(stream));
            }
        });
        receiver
    }

    pub(super) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        loop {
            let got = read_request(&mut stream)?;
            self.got.lock().unwrap().push(got);
            let answer = self.script.lock().unwrap().pop();
            match answer.unwrap_or_else(Answer::ok) {
                Answer::Http(status, headers, body) => {
                    let mut text =
                        format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
                    for (name, value) in headers {
                        text += &format!("{name}: {value}\r\n");
                    }
                    let answer = [text.as_bytes(), b"\r\n", &body].concat();
                    stream.write_all(&answer).ok()?;
                }
                Answer::Raw(bytes) => {
                    stream.write_all(bytes).ok()?;
                    return None;
                }
                Answer::Silence => loop {
                    thread::park();
                },
            }
        }
    }
}

fn read_request(stream: &mut TcpStream) -> Option<Got> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 64 << 10];
    let head_len = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        let n = stream.read(&mut chunk).ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&chunk[..n]);
    };
    let head = String::from_utf8(bytes[..head_len].to_vec())
        .unwrap()
        .to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.unwrap().parse().unwrap();
    let mut body = bytes[head_len..].to_vec();
    while body.len() < length {
        let n = stream.read(&mut chunk).ok().filter(|n| *n > 0)?;
        body.extend_from_slice(&chunk[..n]);
    }
    let at = Instant::now();
    Some(Got { at, head, body })
}

/// Exporters set up by environment variables, and their ledger.
pub(super) fn exporters(env: &[(&str, &str)]) -> (Exporters, Arc<Ledger>) {
    let settings = Settings::from_env(|name| {
        let found = env.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    });
    let ledger = Arc::new(Ledger::default());
    let exporters = start(&settings.unwrap(), Arc::clone(&ledger)).unwrap();
    (exporters, ledger)
}

/// `n` spans with ids of their own.
pub(super) fn spans(n: usize) -> Vec<Span> {
    let numbered = |n: u64| {
        let mut span = super::samples::server(1, 1, None, "front", (1_000, 2_000));
        span.span_id.0 = n.to_be_bytes();
        span
    };
    (1..=n as u64).map(numbered).collect()
}

/// Waits until something holds; fails the test if it never does.
pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The export stage's counts, which balance: nothing may be pending.
pub(super) fn balanced(ledger: &Ledger) -> StageCounts {
    let counts = ledger.counts(Stage::Export);
    let dropped: u64 = counts.dropped.values().sum();
    assert_eq!(counts.entered, counts.left + dropped, "{counts:?}");
    counts
}

/// Balanced counts as (entered, left, dropped by reason).
pub(super) fn books(ledger: &Ledger) -> (u64, u64, Vec<(String, u64)>) {
    let counts = balanced(ledger);
    (
        counts.entered,
        counts.left,
        counts.dropped.into_iter().collect(),
    )
}
