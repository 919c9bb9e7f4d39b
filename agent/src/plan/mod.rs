//! What would be traced, by which probes, what is missing and why, what it costs. Nothing is
//! attached: the kernel programs are loaded to hear what the kernel says of them, and dropped.

mod features;
mod golang;
mod kernel;
mod page;
mod processes;
mod render;
#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::config::{Backend, CaptureSettings};
use crate::live::discovery::Who;
use crate::preflight::{self, Check, Machine};

pub use features::{FeaturePlan, features};
pub use golang::{BinaryPlan, SitePlan};
pub use kernel::{KernelPlan, ProgramPlan, ProgramState, last_words};
pub use processes::ProcessPlan;
pub use render::render;

/// Everything the kernel side costs, as measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Prices {
    /// A probe on an instruction that the kernel emulates, each time it is met.
    pub emulated_probe_ns: u32,
    /// A probe on any other instruction: single-stepped.
    pub stepped_probe_ns: u32,
    /// What each system call of each process of the node pays while the agent runs, traced or
    /// not: both tracepoints together, when they find that the call is none of theirs.
    pub system_call_ns: u32,
    /// Where these were measured.
    pub measured_on: &'static str,
}

/// The prices.
pub const PRICES: Prices = Prices {
    emulated_probe_ns: 700,
    stepped_probe_ns: 9_400,
    system_call_ns: 270,
    measured_on: "a 2-core x86-64 virtual machine, kernel 6.18; read them as ratios",
};

/// The document. Keys are stable: `plan --json` prints it as it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Version of the agent.
    pub version: String,
    /// `uname -r`.
    pub kernel_release: String,
    /// `threadline run` would trace.
    pub can_run: bool,
    /// Why not; empty where it can.
    pub blockers: Vec<String>,
    /// What this machine has.
    pub checks: Vec<Check>,
    /// Kernel hooks that would be used.
    pub backend: BackendPlan,
    /// The trial load.
    pub kernel: KernelPlan,
    /// What works and what does not.
    pub features: Vec<FeaturePlan>,
    /// What probes and hooks cost.
    pub prices: Prices,
    /// Rules as given; empty: every process.
    pub targets: Vec<String>,
    /// Processes that run now.
    pub processes: Vec<ProcessPlan>,
    /// Go binaries of the selected ones, each file once.
    pub binaries: Vec<BinaryPlan>,
}

/// Kernel hooks that would be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackendPlan {
    /// As configured.
    pub asked: String,
    /// Taken; `None` where none works.
    pub chosen: Option<String>,
    /// All of them, cheapest first.
    pub options: Vec<BackendOption>,
}

/// One kind of kernel hooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackendOption {
    /// Name.
    pub name: String,
    /// It could be taken.
    pub possible: bool,
    /// Why, or why not.
    pub why: String,
}

/// What a plan is made for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Kernel side.
    pub capture: &'a CaptureSettings,
    /// Rules as typed.
    pub targets: &'a [String],
    /// The same, understood.
    pub who: &'a Who,
}

impl Plan {
    /// Looks at this machine and all its processes.
    pub fn make(asked: Asked<'_>) -> Self {
        let machine = Machine::read();
        let checks = preflight::checks(&machine, asked.capture.ring_bytes);
        let kernel = match preflight::can_run(&checks) {
            true => KernelPlan::load(asked.capture),
            false => KernelPlan::not_tried("required checks fail"),
        };
        let backend = BackendPlan::new(asked.capture.backend, &kernel);
        let blockers = blockers(&checks, &kernel, &backend);
        let features = features(asked.capture.uprobes, blockers.first().map(String::as_str));
        let probing = match (asked.capture.uprobes, blockers.is_empty()) {
            (_, false) => Err("tracing cannot run here"),
            (false, _) => Err("--no-uprobes"),
            (true, true) => Ok(()),
        };
        let (processes, binaries) = processes::look(asked.who, probing);
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel_release: machine.release,
            can_run: blockers.is_empty(),
            blockers,
            checks,
            backend,
            kernel,
            features,
            prices: PRICES,
            targets: asked.targets.to_vec(),
            processes,
            binaries,
        }
    }

    /// The document as JSON.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }
}

fn blockers(checks: &[Check], kernel: &KernelPlan, backend: &BackendPlan) -> Vec<String> {
    let missing = checks.iter().filter(|check| check.required && !check.ok);
    let mut all: Vec<String> = missing
        .map(|check| format!("{}: {}", check.name, check.detail))
        .collect();
    if let (true, Some(error)) = (kernel.tried, &kernel.error) {
        all.push(error.clone());
    }
    if let (None, true) = (&backend.chosen, all.is_empty()) {
        all.push(format!(
            "the {} back end is not built yet (use --backend auto or tracepoint)",
            backend.asked
        ));
    }
    all
}

impl BackendPlan {
    fn new(asked: Backend, kernel: &KernelPlan) -> Self {
        let unbuilt = |backend: Backend| BackendOption {
            name: backend.name().to_owned(),
            possible: false,
            why: "not built yet".to_owned(),
        };
        let tracepoint = BackendOption {
            name: Backend::Tracepoint.name().to_owned(),
            possible: kernel.error.is_none(),
            why: match (&kernel.error, kernel.tried) {
                (None, _) => format!(
                    "the kernel takes all its programs ({}, loaded in {} ms and dropped again)",
                    kernel.programs.len(),
                    kernel.load_us / 1000,
                ),
                (Some(why), false) => format!("not tried: {why}"),
                (Some(_), true) => "the kernel refuses it, see below".to_owned(),
            },
        };
        let wanted = matches!(asked, Backend::Auto | Backend::Tracepoint);
        Self {
            asked: asked.name().to_owned(),
            chosen: (wanted && tracepoint.possible).then(|| tracepoint.name.clone()),
            options: vec![
                unbuilt(Backend::Fentry),
                unbuilt(Backend::Kprobe),
                tracepoint,
            ],
        }
    }
}
