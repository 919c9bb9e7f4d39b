//! Against a real OpenTelemetry Collector: what was sent is in its file. Needs its program:
//! `THREADLINE_COLLECTOR=/path/to/otelcol` (receiver otlp and exporter file built in).

use std::collections::BTreeSet;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::receiver::{books, exporters, spans, until};

/// Spans sent by each protocol.
const SPANS: usize = 5_000;

struct Collector {
    process: Child,
    grpc: u16,
    http: u16,
    out: PathBuf,
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// `None`, said on standard error, where no program is given.
fn collector(test: &str, folder: &Path) -> Option<Collector> {
    let Some(program) = std::env::var_os("THREADLINE_COLLECTOR") else {
        eprintln!("skipped: {test}: THREADLINE_COLLECTOR names no collector");
        return None;
    };
    let (grpc, http) = (free_port(), free_port());
    let out = folder.join("traces.jsonl");
    let config = folder.join("collector.yaml");
    let text = format!(
        "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:{grpc}'}}, http: {{endpoint: '127.0.0.1:{http}'}}}}}}}}\n\
         exporters: {{file: {{path: '{}', flush_interval: 50ms}}}}\n\
         service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{traces: {{receivers: [otlp], exporters: [file]}}}}}}\n",
        out.display()
    );
    fs::write(&config, text).unwrap();
    let process = Command::new(program)
        .arg("--config")
        .arg(&config)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let collector = Collector {
        process,
        grpc,
        http,
        out,
    };
    for port in [grpc, http] {
        until("the collector listens", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
    }
    Some(collector)
}

/// Span ids in the collector's file, and how many lines of spans it has in all.
fn arrived(file: &Path) -> (BTreeSet<u64>, usize) {
    let text = fs::read_to_string(file).unwrap_or_default();
    let ids: Vec<u64> = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .flat_map(|line| {
            let spans = line["resourceSpans"][0]["scopeSpans"][0]["spans"].clone();
            spans.as_array().cloned().unwrap_or_default()
        })
        .map(|span| u64::from_str_radix(span["spanId"].as_str().unwrap(), 16).unwrap())
        .collect();
    (ids.iter().copied().collect(), ids.len())
}

fn every_span_is_in_the_file(test: &str, protocol: &str, compression: &str) {
    let folder = tempfile::tempdir().unwrap();
    let Some(collector) = collector(test, folder.path()) else {
        return;
    };
    let port = match protocol {
        "grpc" => collector.grpc,
        _ => collector.http,
    };
    let endpoint = format!("http://127.0.0.1:{port}");
    let (exporters, ledger) = exporters(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", compression),
    ]);
    for some in spans(SPANS).chunks(100) {
        exporters.send(some.to_vec());
    }
    exporters.shutdown(Duration::from_secs(20));
    assert_eq!(books(&ledger), (SPANS as u64, SPANS as u64, vec![]));
    until("all is in the file", || arrived(&collector.out).1 >= SPANS);
    let (ids, lines) = arrived(&collector.out);
    assert_eq!((ids, lines), ((1..=SPANS as u64).collect(), SPANS));
}

#[test]
#[ignore = "set THREADLINE_COLLECTOR to an otelcol binary; the live tests send to a collector as well"]
fn a_real_collector_has_every_span_by_grpc() {
    every_span_is_in_the_file("by_grpc", "grpc", "none");
}

#[test]
#[ignore = "set THREADLINE_COLLECTOR to an otelcol binary; the live tests send to a collector as well"]
fn a_real_collector_has_every_span_by_grpc_compressed() {
    every_span_is_in_the_file("by_grpc_compressed", "grpc", "gzip");
}

#[test]
#[ignore = "set THREADLINE_COLLECTOR to an otelcol binary; the live tests send to a collector as well"]
fn a_real_collector_has_every_span_by_http_protobuf() {
    every_span_is_in_the_file("by_http_protobuf", "http/protobuf", "gzip");
}

#[test]
#[ignore = "set THREADLINE_COLLECTOR to an otelcol binary; the live tests send to a collector as well"]
fn a_real_collector_has_every_span_by_http_json() {
    every_span_is_in_the_file("by_http_json", "http/json", "none");
}
