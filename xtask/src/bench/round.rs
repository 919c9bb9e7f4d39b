//! One round: a fresh server, a fresh agent where there is one, load, and what it took.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Http;
use crate::process::Process;
use crate::rig::{Agent, Collector, Exporter, Protocol};
use crate::{command, paths};

/// The server has a processor of its own, if there are two; everything else shares the rest.
const SERVER_CPU: &str = "0";
const OTHER_CPU: &str = "1";
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// What a server needs once (pools, batches) is not measured.
const WARM_UP_SECONDS: u64 = 1;

/// How the server is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Not at all.
    Nothing,
    /// By the agent.
    Threadline,
    /// By the SDK's middleware in the server.
    Sdk,
}

impl Mode {
    /// All, in the order of a round.
    pub const ALL: [Self; 3] = [Self::Nothing, Self::Threadline, Self::Sdk];

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Threadline => "threadline",
            Self::Sdk => "OpenTelemetry SDK",
        }
    }
}

/// What one round took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Round {
    /// Requests answered a second.
    pub per_second: f64,
    /// Application CPU a request.
    pub app_us: f64,
    /// Agent CPU a span, 0 without an agent.
    pub agent_us: f64,
    /// Resident memory of the server.
    pub app_mib: f64,
    /// Resident memory of the agent.
    pub agent_mib: f64,
    /// Longest answer of 99 in 100.
    pub p99_us: f64,
    /// Requests whose span did not reach the collector, if any should.
    pub lost: f64,
}

/// What all rounds share.
pub struct Bench<'a> {
    /// Folder of the programs.
    pub bin: PathBuf,
    /// The agent.
    pub agent: PathBuf,
    /// How to measure.
    pub http: &'a Http,
}

impl Bench<'_> {
    /// Runs one.
    pub fn round(&self, mode: Mode) -> Result<Round> {
        let dir = paths::target().join("bench");
        let collector = match mode {
            Mode::Nothing => None,
            _ => Some(Collector::start("bench", Protocol::Grpc)?),
        };
        let mut server = self.pinned(
            SERVER_CPU,
            if mode == Mode::Sdk {
                "hello-sdk"
            } else {
                "hello"
            },
        );
        if let (Mode::Sdk, Some(collector)) = (mode, &collector) {
            server.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint());
            server.env("OTEL_SERVICE_NAME", "hello");
        }
        let (server, address) = Process::start_and_hear("hello", server, &dir.join("hello.log"))?;
        let (agent, exporter) = match (mode, collector) {
            (Mode::Threadline, Some(collector)) => {
                let exporter = Exporter::Otlp(collector);
                let target = ["--target", "exe:hello"];
                (
                    Some(Agent::start_with(&self.agent, &dir, &exporter, &target)?),
                    Some(exporter),
                )
            }
            (_, collector) => (None, collector.map(Exporter::Otlp)),
        };

        let warm = self.blast(&address, WARM_UP_SECONDS)?;
        let app_before = cpu_us(server.pid())?;
        let agent_before = agent
            .as_ref()
            .map_or(Ok(0.0), |agent| cpu_us(agent.pid()))?;
        let sent = self.blast(&address, self.http.seconds)?;
        let mut round = Round {
            per_second: sent.requests / sent.seconds,
            p99_us: sent.p99_us,
            app_us: (cpu_us(server.pid())? - app_before) / sent.requests,
            app_mib: resident_mib(server.pid())?,
            ..Round::default()
        };
        if let Some(agent) = &agent {
            round.agent_us = (cpu_us(agent.pid())? - agent_before) / sent.requests;
            round.agent_mib = resident_mib(agent.pid())?;
        }
        sleep(Duration::from_millis(300));
        if let Some(agent) = agent {
            agent.stop()?;
        }
        server.stop("TERM", STOP_LIMIT)?;
        if let Some(Exporter::Otlp(collector)) = exporter {
            let seen = collector.stop()?.all.len() as f64;
            round.lost = warm.requests + sent.requests - seen;
        }
        Ok(round)
    }

    fn pinned(&self, cpu: &str, program: &str) -> Command {
        let program = self.bin.join(program);
        if command::which("taskset").is_none()
            || !Path::new("/sys/devices/system/cpu/cpu1").exists()
        {
            return Command::new(program);
        }
        let mut command = Command::new("taskset");
        command.args(["-c", cpu]).arg(program);
        command
    }

    fn blast(&self, address: &str, seconds: u64) -> Result<Sent> {
        let mut blast = self.pinned(OTHER_CPU, "blast");
        blast.args([
            "-target",
            &format!("http://{address}"),
            "-for",
            &format!("{seconds}s"),
        ]);
        blast.args([
            "-rate",
            &self.http.rate.to_string(),
            "-clients",
            &self.http.clients.to_string(),
        ]);
        let told: serde_json::Value = serde_json::from_str(&command::output(&mut blast)?)?;
        let number = |key: &str| {
            told[key]
                .as_f64()
                .with_context(|| format!("the load told no {key}"))
        };
        anyhow::ensure!(
            number("errors")? == 0.0,
            "{} requests failed",
            told["errors"]
        );
        Ok(Sent {
            requests: number("requests")?,
            seconds: number("seconds")?,
            p99_us: number("p99_us")?,
        })
    }
}

struct Sent {
    requests: f64,
    seconds: f64,
    p99_us: f64,
}

/// CPU time of a process, all threads, in microseconds.
fn cpu_us(pid: u32) -> Result<f64> {
    // Fields 14 and 15, in ticks of 10 ms; the second field may hold spaces.
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 = after
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|n| n.parse::<f64>().ok())
        .sum();
    Ok(ticks * 10_000.0)
}

fn resident_mib(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = text.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    });
    let kib: f64 = kib.with_context(|| format!("process {pid} tells no resident memory"))?;
    Ok(kib / 1024.0)
}
