//! The OpenTelemetry Collector of the test bed.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::check::Spans;
use crate::{command, paths};

/// The collector flushes its file every 100 ms.
const FLUSH: Duration = Duration::from_millis(500);
/// Longest wait for the last batch to be in the file.
const FILE_LIMIT: Duration = Duration::from_secs(10);

/// How spans are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP over HTTP, protobuf.
    Http,
}

/// A running collector that writes what it gets to a file; stopped when dropped.
pub struct Collector {
    name: String,
    protocol: Protocol,
    endpoint: String,
    traces: PathBuf,
}

impl Collector {
    /// Starts one (the first time it is built, which takes some minutes).
    pub fn start(name: &str, protocol: Protocol) -> Result<Self> {
        let ports = free_ports()?;
        let mut start = script(name, "start");
        for (variable, port) in ["GRPC", "HTTP", "METRICS", "HEALTH"].iter().zip(ports) {
            start.env(format!("COLLECTOR_{variable}_PORT"), port.to_string());
        }
        let output = start.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("cannot run {}", command::show(&start)))?;
        anyhow::ensure!(
            output.status.success(),
            "the collector did not start: {}",
            command::show(&start)
        );
        let told = String::from_utf8_lossy(&output.stdout);
        let value = |key: &str| {
            let found = told
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            found
                .map(str::to_owned)
                .with_context(|| format!("the collector told no {key}"))
        };
        let endpoint = value(if protocol == Protocol::Grpc {
            "OTLP_GRPC"
        } else {
            "OTLP_HTTP"
        });
        Ok(Self {
            name: name.to_owned(),
            protocol,
            endpoint: endpoint?,
            traces: value("TRACES")?.into(),
        })
    }

    /// Where to send to.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// How to send.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Ends it and gives the spans it got.
    pub fn stop(self) -> Result<Spans> {
        let until = Instant::now() + FILE_LIMIT;
        let mut size = None;
        loop {
            sleep(FLUSH);
            let now = fs::metadata(&self.traces).ok().map(|file| file.len());
            if (now.is_some() && now == size) || Instant::now() > until {
                break;
            }
            size = now;
        }
        let spans = Spans::read(&self.traces);
        drop(self);
        spans
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Err(error) = command::output(&mut script(&self.name, "stop")) {
            eprintln!("{error:#}");
        }
    }
}

fn script(name: &str, task: &str) -> Command {
    let mut script = Command::new(paths::root().join("tests/testbed/collector.sh"));
    script
        .arg(task)
        .env("COLLECTOR_NAME", name)
        .env("TESTBED_DIR", paths::testbed());
    script
}

/// Ports that are free now: held together, so that they differ.
fn free_ports() -> Result<[u16; 4]> {
    let mut held = Vec::new();
    let mut ports = [0; 4];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
