//! Sample services, an agent that watches them, load, and what came of it: shared by the demo and
//! the live tests.

mod agent;
mod collector;
pub mod golang;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::check::{Report, Spans, Truth, compare};
use crate::process::Process;
pub use agent::{Agent, socket, spans_file};
pub use collector::{Collector, Protocol};
use golang::Programs;

/// Time for a service to end when asked to.
const SERVICE_LIMIT: Duration = Duration::from_secs(10);
/// What the load may take longer than told.
const LOAD_GRACE: Duration = Duration::from_secs(60);
/// Between the end of the load and the agent's: what is under way must not be cut.
const REST: Duration = Duration::from_millis(700);

/// Three services in a chain: a calls b and c, b calls c.
pub struct Services {
    running: Vec<Process>,
    dir: PathBuf,
    /// Base URL of a.
    pub entry: String,
}

impl Services {
    /// Starts them with their files under `dir`.
    pub fn start(programs: &Programs, dir: &Path) -> Result<Self> {
        let mut services = Self {
            running: Vec::new(),
            dir: dir.to_path_buf(),
            entry: String::new(),
        };
        // c hangs up early: clients find pooled connections closed, and send again.
        let c = services.add(&programs.service("c"), &["-idle", "25ms"], &[])?;
        let b = services.add(&programs.service("b"), &[], &[&c])?;
        services.entry = services.add(&programs.service("a"), &["-tick", "50ms"], &[&b, &c])?;
        Ok(services)
    }

    fn add(&mut self, program: &Path, flags: &[&str], next: &[&String]) -> Result<String> {
        let name = program
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let name = name.context("a service without a name")?;
        let mut command = Command::new(program);
        command
            .arg("-follow-stdin")
            .arg("-truth")
            .arg(truth_file(&self.dir, &name))
            .args(flags)
            .args(next);
        let log = self.dir.join(format!("{name}.log"));
        let (process, address) = Process::start_and_hear(&name, command, &log)?;
        self.running.push(process);
        Ok(format!("http://{address}"))
    }

    /// Ends them, callers first; then their ground truth is complete.
    pub fn stop(self) -> Result<()> {
        for service in self.running.into_iter().rev() {
            service.stop("TERM", SERVICE_LIMIT)?;
        }
        Ok(())
    }
}

fn truth_file(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.truth.jsonl"))
}

/// What the load generator shall do.
pub struct Load {
    /// Concurrent clients.
    pub clients: usize,
    /// How long.
    pub time: Duration,
    /// Further flags.
    pub flags: Vec<String>,
}

impl Load {
    /// The usual mix of requests.
    pub fn mixed(clients: usize, time: Duration) -> Self {
        Self {
            clients,
            time,
            flags: Vec::new(),
        }
    }

    /// So many requests to some handlers (`NAME` or `METHOD:NAME`), in turn.
    pub fn of(paths: &str, clients: usize, requests: usize) -> Self {
        let flags = ["-paths", paths, "-requests", &requests.to_string()]
            .map(str::to_owned)
            .into();
        Self {
            clients,
            time: Duration::from_secs(120),
            flags,
        }
    }

    /// Runs it to its end.
    pub fn run(&self, programs: &Programs, services: &Services) -> Result<()> {
        let mut command = Command::new(programs.load());
        command.arg("-target").arg(&services.entry);
        command.arg("-clients").arg(self.clients.to_string());
        command
            .arg("-for")
            .arg(format!("{}ms", self.time.as_millis()));
        command
            .arg("-truth")
            .arg(truth_file(&services.dir, "load"))
            .args(&self.flags);
        let log = services.dir.join("load.log");
        Process::start("load", command, &log, None)?.finish(self.time + LOAD_GRACE)
    }
}

/// How the spans get out of the agent.
pub enum Exporter {
    /// As JSON lines to a file.
    Json,
    /// Over OTLP to a collector that writes a file.
    Otlp(Collector),
    /// To an endpoint, whatever is there.
    Endpoint(String),
}

/// All that came of a run.
pub struct Outcome {
    /// Spans as they came out.
    pub spans: Spans,
    /// The comparison.
    pub report: Report,
    /// The agent's last status.
    pub status: serde_json::Value,
}

/// Services first, then the agent, then the load; everything stopped again and compared.
pub fn trace(
    agent: &Path,
    programs: &Programs,
    dir: &Path,
    exporter: Exporter,
    load: &Load,
) -> Result<Outcome> {
    fresh(dir)?;
    let services = Services::start(programs, dir)?;
    let running = Agent::start(agent, dir, &exporter)?;
    load.run(programs, &services)?;
    sleep(REST);
    let status = running.stop()?;
    services.stop()?;
    let spans = match exporter {
        Exporter::Json => Spans::read(&spans_file(dir))?,
        Exporter::Otlp(collector) => collector.stop()?,
        Exporter::Endpoint(_) => Spans::default(),
    };
    let files = ["a", "b", "c", "load"].map(|name| truth_file(dir, name));
    let report = compare(&Truth::read(&files)?, &spans);
    Ok(Outcome {
        spans,
        report,
        status,
    })
}

/// Makes the folder, without the files of an earlier run.
pub fn fresh(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    for entry in fs::read_dir(dir)?.flatten() {
        let path = entry.path();
        if path
            .extension()
            .is_some_and(|ending| ending == "jsonl" || ending == "log" || ending == "json")
        {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}
