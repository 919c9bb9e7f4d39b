//! What the smaller live tests stand on: a folder, a copy of the odd program, an agent that traces
//! nothing else, and what came of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::folder;
use crate::check::{Side, Span, Spans};
use crate::command;
use crate::process::Process;
use crate::rig::{Agent, Exporter, fresh, golang, socket, spans_file};
use crate::test::Verdict;

/// Longest time for a client to finish.
pub const CLIENT_LIMIT: Duration = Duration::from_secs(40);
/// Between the last request and the agent's end.
const REST: Duration = Duration::from_millis(500);

/// Builds the odd program.
pub fn build(out: &Path, flags: &[&str]) -> Result<()> {
    let mut go = Command::new("go");
    go.current_dir(golang::sources())
        .args(["build", "-buildvcs=false"])
        .args(flags)
        .arg("-o")
        .arg(out)
        .arg("./odd");
    command::output(&mut go)?;
    Ok(())
}

/// One test's folder, with its own copy of the odd program.
pub struct Stand {
    agent: PathBuf,
    /// The folder.
    pub dir: PathBuf,
    /// The program.
    pub odd: PathBuf,
    unix: PathBuf,
}

impl Drop for Stand {
    fn drop(&mut self) {
        // Few tests made it.
        let _ = fs::remove_file(&self.unix);
    }
}

impl Stand {
    /// Makes it.
    pub fn new(live: &super::Live, name: &str) -> Result<Self> {
        let dir = folder(name);
        fresh(&dir)?;
        let stand = Self {
            agent: live.agent.clone(),
            odd: dir.join("odd"),
            dir,
            unix: socket(),
        };
        stand.copy(&live.odd, "odd")?;
        if let Some(place) = stand.unix.parent() {
            fs::create_dir_all(place)?;
        }
        Ok(stand)
    }

    /// Another copy of a program, traced too.
    pub fn copy(&self, from: &Path, name: &str) -> Result<PathBuf> {
        let to = self.dir.join(name);
        // A file of its own: what the agent learned of an earlier one tells nothing of it.
        if to.exists() {
            fs::remove_file(&to)?;
        }
        fs::copy(from, &to).with_context(|| format!("cannot write {}", to.display()))?;
        Ok(to)
    }

    /// Path of its unix socket.
    pub fn unix(&self) -> String {
        self.unix.display().to_string()
    }

    /// A file of so many bytes.
    pub fn file(&self, size: usize) -> Result<String> {
        let path = self.dir.join("file");
        fs::write(&path, vec![b'f'; size])?;
        Ok(path.display().to_string())
    }

    /// Starts an agent that traces what runs from this folder.
    pub fn watch(&self, args: &[&str]) -> Result<Agent> {
        self.watch_to(&Exporter::Json, args)
    }

    /// Starts an agent that traces whatever runs.
    pub fn watch_all(&self) -> Result<Agent> {
        Agent::start(&self.agent, &self.dir, &Exporter::Json)
    }

    /// Starts an agent that traces what runs from this folder, exporting elsewhere.
    pub fn watch_to(&self, exporter: &Exporter, args: &[&str]) -> Result<Agent> {
        let target = format!("exe:{}/*", self.dir.display());
        let args = [&["--target", &target], args].concat();
        Agent::start_with(&self.agent, &self.dir, exporter, &args)
    }

    /// Starts a server.
    pub fn serve(&self, flags: &[&str]) -> Result<Server> {
        self.serve_by(&self.odd, flags)
    }

    /// Starts a server of another copy.
    pub fn serve_by(&self, program: &Path, flags: &[&str]) -> Result<Server> {
        let mut command = Command::new(program);
        command.arg("serve").args(flags);
        let (process, line) = Process::start_and_hear("odd", command, &self.dir.join("serve.log"))?;
        let mut addresses = line.split(' ').map(str::to_owned);
        let mut next = || addresses.next().context("the server told too little");
        Ok(Server {
            process,
            v4: next()?,
            v6: Some(next()?).filter(|address| address != "-"),
            mptcp: Some(next()?).filter(|address| address != "-"),
        })
    }

    /// Runs a client to its end and gives what it printed.
    pub fn client(&self, args: &[&str]) -> Result<String> {
        self.client_by(&self.odd, args)
    }

    /// Runs a client of another copy.
    pub fn client_by(&self, program: &Path, args: &[&str]) -> Result<String> {
        let mut command = Command::new(program);
        command.args(args);
        let log = self.dir.join("client.log");
        Process::start(args[0], command, &log, None)?.finish(CLIENT_LIMIT)?;
        fs::read_to_string(&log).with_context(|| log.display().to_string())
    }

    /// Ends the agent and reads what it told.
    pub fn stop(&self, agent: Agent) -> Result<Seen> {
        sleep(REST);
        let status = agent.stop()?;
        let mut seen = Seen::of(status);
        seen.spans = Spans::read(&spans_file(&self.dir))?;
        Ok(seen)
    }
}

/// A running server; it ends when dropped.
pub struct Server {
    /// The process.
    pub process: Process,
    /// Its IPv4 address.
    pub v4: String,
    /// Its IPv6 address, where the machine has that.
    pub v6: Option<String>,
    /// The address on which it takes MPTCP, where the machine has that.
    pub mptcp: Option<String>,
}

impl Server {
    /// Base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.v4)
    }
}

/// What an agent told, and what is wrong with it.
pub struct Seen {
    /// Its spans.
    pub spans: Spans,
    /// Its last status.
    pub status: Value,
    wrong: Vec<String>,
}

impl Seen {
    /// A status without spans.
    pub fn of(status: Value) -> Self {
        Self {
            spans: Spans::default(),
            status,
            wrong: Vec::new(),
        }
    }

    /// What a stage dropped, for any reason.
    pub fn dropped(&self, stage: &str) -> u64 {
        sum(&self.status["stages"][stage]["dropped"])
    }

    /// Notes something wrong unless it holds.
    pub fn must(&mut self, holds: bool, wrong: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(wrong());
        }
    }

    /// A counter of the kernel side.
    pub fn kernel(&self, name: &str) -> u64 {
        self.status["kernel"][name].as_u64().unwrap_or(0)
    }

    /// The one server span of a request and the one client span of another, where they are there.
    pub fn ends(&self, server: &str, client: &str) -> (Option<&Span>, Option<&Span>) {
        let one = |side, request| match self.spans.of(side, request).as_slice() {
            [span] => Some(*span),
            _ => None,
        };
        (one(Side::Server, server), one(Side::Client, client))
    }

    /// Each request has one span at either end, the client's the parent by its hop.
    pub fn must_join(&mut self, requests: &[&str]) {
        for request in requests {
            if let Some(wrong) = not_joined(&self.spans, request) {
                self.wrong.push(wrong);
            }
        }
    }

    /// Each request has a span of either end, whatever joins them.
    pub fn must_have(&mut self, side: Side, request: &str) {
        let found = self.spans.of(side, request).len();
        self.must(found == 1, || {
            format!("{request}: {found} {side:?} spans instead of 1")
        });
    }

    /// No parent shows another request, but where a handler called.
    pub fn must_have_true_parents(&mut self) {
        let mut wrong = Vec::new();
        for span in &self.spans.all {
            let Some(parent) = span.parent.as_deref().and_then(|id| self.spans.get(id)) else {
                continue;
            };
            let called = span
                .request()
                .strip_prefix(parent.request())
                .is_some_and(|rest| rest.is_empty() == (span.side == Side::Server));
            if !called || parent.side == span.side {
                wrong.push(format!("{} is under {}", span.path, parent.path));
            }
        }
        self.must(wrong.is_empty(), || {
            format!("{} wrong parents, the first: {}", wrong.len(), wrong[0])
        });
    }

    /// What went into each stage came out or was dropped for a reason.
    pub fn must_balance(&mut self) {
        let mut wrong = Vec::new();
        for (name, stage) in self.status["stages"].as_object().into_iter().flatten() {
            let [entered, left] = ["in", "out"].map(|key| stage[key].as_u64().unwrap_or(0));
            if entered != left + sum(&stage["dropped"]) {
                wrong.push(format!("the books of {name} do not balance: {stage}"));
            }
        }
        let seen = self.status["requests_seen"].as_u64().unwrap_or(0);
        let exported = self.status["spans_exported"].as_u64().unwrap_or(0);
        if seen != exported + sum(&self.status["spans_lost"]) {
            wrong.push(format!(
                "{seen} requests seen, {exported} spans exported, lost {}",
                self.status["spans_lost"]
            ));
        }
        for dir in ["rx", "tx"] {
            let of = |what: &str| self.kernel(&format!("{dir}_messages{what}"));
            let (all, told) = (of(""), of("_sent"));
            let lost = of("_ring_full") + of("_unknown_protocol");
            if all != told + lost {
                wrong.push(format!(
                    "{dir}: {all} messages numbered, {told} told, {lost} counted as lost"
                ));
            }
        }
        self.wrong.extend(wrong);
    }

    /// Passed where nothing is wrong.
    pub fn verdict(self) -> Verdict {
        if self.wrong.is_empty() {
            return Verdict::Passed;
        }
        Verdict::Failed(format!(
            "{}\nlost {}, kernel {}",
            self.wrong.join("\n"),
            self.status["spans_lost"],
            self.status["kernel"]
        ))
    }
}

fn sum(counts: &Value) -> u64 {
    let counts = counts.as_object();
    counts.map_or(0, |all| all.values().filter_map(Value::as_u64).sum())
}

fn not_joined(spans: &Spans, request: &str) -> Option<String> {
    let [client, server] = [Side::Client, Side::Server].map(|side| spans.of(side, request));
    let ([client], [server]) = (client.as_slice(), server.as_slice()) else {
        return Some(format!(
            "{request}: {} client and {} server spans instead of one each",
            client.len(),
            server.len()
        ));
    };
    let evidence = server.evidence.as_deref().unwrap_or("nothing");
    if server.parent.as_ref() != Some(&client.id) || server.trace != client.trace {
        return Some(format!("{request}: its ends are not joined ({evidence})"));
    }
    (evidence != "hop").then(|| format!("{request}: joined by {evidence}, not by its hop"))
}
