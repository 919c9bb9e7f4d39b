//! The agent under test.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Exporter, Protocol};
use crate::command;
use crate::process::Process;

/// Time for the agent to load its programs and answer.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Time to find and prepare the services that run already.
const SETTLE: Duration = Duration::from_millis(1500);
/// Time for its status.
const STATUS_LIMIT: Duration = Duration::from_secs(5);
/// Time to flush and detach.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A running agent.
pub struct Agent {
    process: Process,
    socket: PathBuf,
    status_file: PathBuf,
}

/// Where its spans are, without a collector.
pub fn spans_file(dir: &Path) -> PathBuf {
    dir.join("spans.jsonl")
}

impl Agent {
    /// Starts it and waits until it traces.
    pub fn start(program: &Path, dir: &Path, exporter: &Exporter) -> Result<Self> {
        Self::start_with(program, dir, exporter, &[])
    }

    /// The same with further arguments.
    pub fn start_with(
        program: &Path,
        dir: &Path,
        exporter: &Exporter,
        args: &[&str],
    ) -> Result<Self> {
        mount_tracefs()?;
        let status_file = dir.join("status.json");
        let socket = socket();
        let mut command = Command::new(program);
        command
            .arg("run")
            .arg("--socket")
            .arg(&socket)
            .arg("--status-file")
            .arg(&status_file)
            .args(args);
        // What the caller exports to is not what is tested here.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("OTEL_")) {
                command.env_remove(name);
            }
        }
        let out = match exporter {
            Exporter::Json => {
                command.args(["--output", "json"]);
                Some(File::create(spans_file(dir))?)
            }
            Exporter::Otlp(collector) => {
                command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint());
                let protocol = match collector.protocol() {
                    Protocol::Grpc => "grpc",
                    Protocol::Http => "http/protobuf",
                };
                command.env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
                None
            }
            Exporter::Endpoint(endpoint) => {
                command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
                None
            }
        };
        let process = Process::start("threadline", command, &dir.join("agent.log"), out)?;
        let mut agent = Self {
            process,
            socket,
            status_file,
        };
        agent.wait_until_ready()?;
        sleep(SETTLE);
        agent.process.check()?;
        Ok(agent)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let until = Instant::now() + READY_LIMIT;
        while Instant::now() < until {
            self.process.check()?;
            if self.status().is_ok() {
                return Ok(());
            }
            sleep(Duration::from_millis(100));
        }
        bail!(
            "threadline did not answer `status` within {} s",
            READY_LIMIT.as_secs()
        )
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What `threadline status --json` says, asked from here: a process started for it would be
    /// one more that is traced until it is known not to be wanted.
    pub fn status(&self) -> Result<Value> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(STATUS_LIMIT))?;
        stream.write_all(b"status\n")?;
        let mut told = String::new();
        stream.read_to_string(&mut told)?;
        serde_json::from_str(&told).context("the status is no JSON")
    }

    /// Its status socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Ends it as Ctrl-C would, and gives its last status.
    pub fn stop(self) -> Result<Value> {
        let before = self.status()?;
        let status = self.process.stop("INT", STOP_LIMIT)?;
        // The agent leaves it; this name is never used again.
        let _ = fs::remove_file(self.socket.with_extension("lock"));
        if !status.success() {
            bail!("threadline ended with {status} after SIGINT");
        }
        // Where it leaves a file, that is the status after the last flush.
        let Ok(text) = fs::read_to_string(&self.status_file) else {
            return Ok(before);
        };
        serde_json::from_str(&text).with_context(|| self.status_file.display().to_string())
    }
}

/// A status socket of its own, so that an agent which runs already is left alone. In a short
/// folder: the kernel takes 107 bytes.
pub fn socket() -> PathBuf {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    PathBuf::from(format!(
        "/run/threadline/test-{}-{number}.sock",
        std::process::id()
    ))
}

/// Most systems mount it at boot, small ones do not; without it there are no tracepoints.
fn mount_tracefs() -> Result<()> {
    const PLACE: &str = "/sys/kernel/tracing";
    if Path::new(PLACE).join("events").exists()
        || Path::new("/sys/kernel/debug/tracing/events").exists()
    {
        return Ok(());
    }
    eprintln!("mounting tracefs on {PLACE}");
    command::output(Command::new("mount").args(["-t", "tracefs", "tracefs", PLACE]))?;
    Ok(())
}
