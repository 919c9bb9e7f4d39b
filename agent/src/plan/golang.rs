//! One Go binary: every place that would be probed, what it is for and what it costs.

use std::collections::BTreeSet;
use std::fs::File;
use std::time::Instant;

use serde::Serialize;
use threadline_common::map::FileId;

use super::{PRICES, last_words};
use crate::golang::{self, GoBinary, Linkage, Probe, Site};
use crate::hook::golang::wanted;

/// A Go binary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BinaryPlan {
    /// Path by which it was met first.
    pub path: String,
    /// Inode: probes sit on the file, not on its name.
    pub inode: u64,
    /// Device of the inode, in the kernel's encoding.
    pub device: u32,
    /// Selected processes that run it or have it loaded.
    pub pids: BTreeSet<u32>,
    /// Toolchain, e.g. `go1.26.8`; empty where unknown.
    pub go_version: String,
    /// Main module; may be empty.
    pub module: String,
    /// `executable`, `pie` or `shared_library`; empty where unknown.
    pub linkage: &'static str,
    /// It holds cgo's run-time support.
    pub cgo: bool,
    /// It holds `net/http`'s client.
    pub http_client: bool,
    /// It holds `net/http`'s server.
    pub http_server: bool,
    /// Time it took to read it, microseconds: a program that ends sooner has no probes in its
    /// first run.
    pub inspect_us: u64,
    /// Places to probe.
    pub sites: Vec<SitePlan>,
    /// What is not known and what the user loses by it.
    pub missing: Vec<String>,
    /// It could not be inspected; its processes are traced at their sockets only.
    pub error: Option<String>,
}

/// One place to probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SitePlan {
    /// Function.
    pub symbol: String,
    /// What the probe is: `serve`, `begin`, `call`, `conn`, `create`, `exit`, `route`,
    /// `route_stack`.
    pub probe: &'static str,
    /// Virtual address in the file.
    pub address: u64,
    /// Place in the file.
    pub file_offset: u64,
    /// Instruction there.
    pub instruction: &'static str,
    /// The kernel emulates the instruction.
    pub emulated: bool,
    /// Price each time it is met.
    pub price_ns: u32,
    /// How often it is met.
    pub met: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// It would be armed.
    pub armed: bool,
    /// Why not.
    pub why_not: Option<String>,
}

/// Inspects a file. `None`: not Go. `probing`: why no probe would be set at all.
pub(super) fn inspect(
    file: &File,
    path: &str,
    id: FileId,
    probing: Result<(), &str>,
) -> Option<BinaryPlan> {
    let began = Instant::now();
    let found = golang::inspect(file);
    let inspect_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let mut plan = match found {
        Ok(binary) => of(&binary?, probing),
        Err(error) => BinaryPlan {
            error: Some(last_words(&error)),
            ..BinaryPlan::default()
        },
    };
    plan.path = path.to_owned();
    plan.inode = id.inode;
    plan.device = id.device;
    plan.inspect_us = inspect_us;
    Some(plan)
}

/// What was found in a binary, as a plan; the file's own facts are left to the caller.
pub(super) fn of(binary: &GoBinary, probing: Result<(), &str>) -> BinaryPlan {
    let armed = wanted(binary);
    let sites = binary.sites.iter();
    BinaryPlan {
        go_version: binary.version.clone(),
        module: binary.module.clone(),
        linkage: match binary.linkage {
            Linkage::Executable => "executable",
            Linkage::Pie => "pie",
            Linkage::SharedLibrary => "shared_library",
        },
        cgo: binary.cgo,
        http_client: binary.has_http_client,
        http_server: binary.has_http_server,
        sites: sites
            .map(|found| site(found, binary, armed.contains(found), probing))
            .collect(),
        missing: binary.missing.clone(),
        ..BinaryPlan::default()
    }
}

fn site(site: &Site, binary: &GoBinary, wanted: bool, probing: Result<(), &str>) -> SitePlan {
    let emulated = site.kind.is_emulated();
    let why_not = match (wanted, probing) {
        (true, Ok(())) => None,
        (true, Err(why)) => Some(why.to_owned()),
        (false, _) => Some(unwanted(binary).to_owned()),
    };
    let (probe, met, purpose) = describe(site.probe);
    SitePlan {
        symbol: site.symbol.clone(),
        probe,
        address: site.address,
        file_offset: site.file_offset,
        instruction: instruction(site.kind),
        emulated,
        price_ns: match emulated {
            true => PRICES.emulated_probe_ns,
            false => PRICES.stepped_probe_ns,
        },
        met,
        purpose,
        armed: why_not.is_none(),
        why_not,
    }
}

const fn instruction(kind: golang::SiteKind) -> &'static str {
    match kind {
        golang::SiteKind::Entry => "entry",
        emulated => emulated.name(),
    }
}

/// Why a site is not worth its price there.
fn unwanted(binary: &GoBinary) -> &'static str {
    match (binary.has_http_client, binary.has_http_server) {
        (false, false) => "no net/http client or server in it",
        (false, true) => "no net/http client in it: there are no calls to join",
        (true, false) => "no net/http server in it: there are no requests to join calls to",
        (true, true) => "not worth its price",
    }
}

/// Name, how often it is met, what it is for.
const fn describe(probe: Probe) -> (&'static str, &'static str, &'static str) {
    match probe {
        Probe::Serve => (
            "serve",
            "each request served",
            "which goroutine and context handle a request (go_context)",
        ),
        Probe::Begin => (
            "begin",
            "each client call",
            "the time before a connection was had, in the client span",
        ),
        Probe::Call => (
            "call",
            "each client call",
            "which goroutine and context make a call (goroutine, go_context)",
        ),
        Probe::Conn => (
            "conn",
            "each client connection",
            "which connection a writer goroutine serves",
        ),
        Probe::Create => (
            "create",
            "each goroutine started",
            "who started a goroutine (goroutine_child)",
        ),
        Probe::Exit => (
            "exit",
            "each goroutine that ends",
            "forgets a goroutine that made calls",
        ),
        Probe::Route => ("route", "each request routed", "http.route"),
        Probe::RouteStack => (
            "route_stack",
            "each request routed",
            "http.route (ServeMux as before Go 1.22)",
        ),
    }
}
