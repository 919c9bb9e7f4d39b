//! What the running agent tells about itself, over a unix socket: one JSON document per question.

mod client;
mod render;
mod server;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::health::StageCounts;

pub use client::{StatusError, fetch, fetch_text};
pub use render::render;
pub use server::{ServeError, StatusServer};

/// The document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the agent.
    pub version: String,
    /// Its pid.
    pub pid: u32,
    /// Its start, nanoseconds since the epoch.
    pub started_unix_ns: u64,
    /// Kernel hooks in use.
    pub backend: String,
    /// Traced processes.
    pub processes: u64,
    /// The first of them.
    #[serde(default)]
    pub process_list: Vec<ProcessStatus>,
    /// Ledger per stage.
    pub stages: BTreeMap<String, StageCounts>,
    /// Kernel counters.
    #[serde(default)]
    pub kernel: BTreeMap<String, u64>,
    /// Kernel programs.
    #[serde(default)]
    pub programs: Vec<ProgramStatus>,
    /// Requests parsed.
    pub requests_seen: u64,
    /// Spans the backend (or terminal) took.
    pub spans_exported: u64,
    /// Spans that were not exported, by reason.
    pub spans_lost: BTreeMap<String, u64>,
    /// Resident memory of the agent.
    pub memory_rss_bytes: u64,
    /// CPU time the agent has used.
    pub cpu_seconds: f64,
    /// What works, what does not and why.
    #[serde(default)]
    pub features: Vec<FeatureStatus>,
}

/// One traced process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// Process id.
    pub pid: u32,
    /// Executable.
    pub exe: String,
    /// `service.name`.
    pub service: String,
    /// Go version, for Go programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub go_version: Option<String>,
    /// io_uring_enter calls: what they moved was not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io_uring_enter: Option<u64>,
    /// Evidence that can be had of it: `goroutine`, `go_context`, `thread`...
    #[serde(default)]
    pub evidence: Vec<String>,
}

/// One kernel program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramStatus {
    /// Name.
    pub name: String,
    /// Times the kernel skipped it.
    pub recursion_misses: u64,
    /// Times it ran, where the kernel counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_count: Option<u64>,
}

/// One feature.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureStatus {
    /// Name.
    pub name: String,
    /// It works.
    pub on: bool,
    /// Why not, and what is lost; or how.
    pub why: String,
}

/// Resident memory and CPU time of this process, zero where `/proc` does not tell.
pub fn own_cost() -> (u64, f64) {
    procfs::process::Process::myself()
        .and_then(|process| process.stat())
        .map(|stat| {
            let ticks = stat.utime + stat.stime;
            let seconds = ticks as f64 / procfs::ticks_per_second() as f64;
            (stat.rss.saturating_mul(procfs::page_size()), seconds)
        })
        .unwrap_or_default()
}
