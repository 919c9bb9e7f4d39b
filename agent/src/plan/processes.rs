//! Every process: selected or not, and what it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use procfs::process::{Process, StatFlags};
use serde::Serialize;
use threadline_common::map::FileId;

use super::golang::{self, BinaryPlan};
use crate::hook::golang::file_id;
use crate::live::discovery::Who;
use crate::live::report::service;
use crate::process::facts::FactValue;
use crate::process::read::Snapshot;
use crate::process::targets::Verdict;
use crate::process::{self, files, ports};

/// After this time, and again each time it has passed, the user hears how far it is.
const PATIENCE: Duration = Duration::from_secs(1);

/// One process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProcessPlan {
    /// Process id.
    pub pid: u32,
    /// Executable; of a process that cannot be read its `comm`.
    pub exe: String,
    /// `service.name`; empty where it cannot be read.
    pub service: String,
    /// It would be traced.
    pub selected: bool,
    /// Why not.
    pub reason: Option<String>,
    /// Language, where the executable tells.
    pub language: Option<String>,
    /// Go version of the executable.
    pub go_version: Option<String>,
    /// Path of the Go binary it runs or has loaded, as in `binaries`.
    pub go_binary: Option<String>,
}

/// Files seen so far. Each is read once, however many processes run it.
#[derive(Default)]
struct Files<'a> {
    /// `None`: not Go.
    known: BTreeMap<FileKey, Option<usize>>,
    binaries: Vec<BinaryPlan>,
    probing: Option<&'a str>,
}

type FileKey = (u32, u64);

/// All processes of this machine and the Go binaries of those that are selected. `probing`: why no
/// probe would be set at all.
pub(super) fn look(who: &Who, probing: Result<(), &str>) -> (Vec<ProcessPlan>, Vec<BinaryPlan>) {
    let mut files = Files {
        probing: probing.err(),
        ..Files::default()
    };
    let mut told = Instant::now();
    let pids: BTreeSet<u32> = process::scan().collect();
    let mut plans = Vec::new();
    for (done, &pid) in pids.iter().enumerate() {
        if told.elapsed() > PATIENCE {
            told = Instant::now();
            tracing::info!("looked at {done} of {} processes", pids.len());
        }
        plans.extend(one(pid, who, &mut files));
    }
    (plans, files.binaries)
}

/// `None`: a kernel thread, a zombie, or gone.
fn one(pid: u32, who: &Who, files: &mut Files<'_>) -> Option<ProcessPlan> {
    let snapshot = match process::read::read(pid) {
        Ok(snapshot) => snapshot,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => return unreadable(pid, &error),
    };
    let ports = who
        .targets
        .needs_ports()
        .then(|| ports::listening_ports(pid));
    let ports = ports.and_then(Result::ok);
    let mut plan = ProcessPlan {
        pid,
        exe: snapshot.exe.clone(),
        ..ProcessPlan::default()
    };
    let mut binary = None;
    match who.targets.select(&snapshot.view(ports.as_deref())) {
        Verdict::Skipped(skip) => plan.reason = Some(skip.reason().to_owned()),
        Verdict::Selected => {
            plan.selected = true;
            let exe = files.executable(&snapshot);
            plan.go_version = exe.map(|index| files.binaries[index].go_version.clone());
            binary = exe.or_else(|| files.library(pid));
        }
    }
    if let Some(index) = binary {
        let binary = &mut files.binaries[index];
        binary.pids.insert(pid);
        plan.go_binary = Some(binary.path.clone());
    }
    let facts = process::facts(
        &snapshot,
        &who.host,
        &who.options,
        plan.go_version.as_deref(),
    );
    plan.service = service(&facts);
    plan.language = facts.resource.iter().find_map(|(key, value)| match value {
        FactValue::String(name) if key == "telemetry.sdk.language" => Some(name.clone()),
        _ => None,
    });
    Some(plan)
}

/// A process that is closed to the agent: nothing is known to select it by.
fn unreadable(pid: u32, error: &std::io::Error) -> Option<ProcessPlan> {
    let stat = Process::new(i32::try_from(pid).ok()?).ok()?.stat().ok()?;
    let thread = StatFlags::PF_KTHREAD.bits() & stat.flags != 0;
    (!thread && stat.state != 'Z').then(|| ProcessPlan {
        pid,
        exe: stat.comm,
        reason: Some(format!("cannot be read: {error}")),
        ..ProcessPlan::default()
    })
}

impl Files<'_> {
    fn executable(&mut self, snapshot: &Snapshot) -> Option<usize> {
        let open = format!("/proc/{}/exe", snapshot.tgid);
        self.file(Path::new(&open), &snapshot.exe)
    }

    /// Go in a shared library; the first counts.
    fn library(&mut self, pid: u32) -> Option<usize> {
        let mapped = files::mapped(pid).unwrap_or_default();
        mapped.iter().find_map(|mapped| {
            if let Some(known) = self.known.get(&key(mapped.id)) {
                return *known;
            }
            let path = mapped.path.to_string_lossy();
            let ways = [&mapped.map_file, &mapped.in_root(pid)];
            let open = ways.into_iter().find(|path| File::open(path).is_ok());
            let found = open.and_then(|open| self.file(open, &path));
            self.known.insert(key(mapped.id), found);
            found
        })
    }

    fn file(&mut self, open: &Path, path: &str) -> Option<usize> {
        let file = File::open(open).ok()?;
        let id = file_id(&file).ok()?;
        if let Some(known) = self.known.get(&key(id)) {
            return *known;
        }
        let probing = self.probing.map_or(Ok(()), Err);
        let plan = golang::inspect(&file, path, id, probing);
        let index = plan.is_some().then_some(self.binaries.len());
        self.binaries.extend(plan);
        self.known.insert(key(id), index);
        index
    }
}

fn key(id: FileId) -> FileKey {
    (id.device, id.inode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::targets::Targets;
    use crate::process::{Host, ResourceOptions};

    fn who(rules: &[&str]) -> Who {
        let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
        Who {
            targets: Targets::parse(&rules).expect("rules"),
            host: Host::default(),
            options: ResourceOptions::default(),
        }
    }

    #[test]
    fn the_own_test_is_selected_and_is_no_go() {
        let own = std::process::id();
        let mut files = Files::default();
        let plan = one(own, &who(&[&format!("pid:{own}")]), &mut files).expect("it runs");
        assert!(plan.selected && plan.reason.is_none(), "{plan:?}");
        let exe = std::env::current_exe().expect("a path");
        assert_eq!(plan.exe, exe.to_string_lossy());
        assert!(plan.exe.contains(&plan.service), "{plan:?}");
        assert_eq!((plan.go_version, plan.go_binary), (None, None));
        assert!(files.binaries.is_empty(), "{:?}", files.binaries);
        let file = File::open(exe).expect("readable");
        let id = file_id(&file).expect("a file");
        assert_eq!(files.known.get(&key(id)), Some(&None), "looked at once");
    }

    #[test]
    fn a_process_that_no_rule_meets_says_so_and_is_not_inspected() {
        let mut files = Files::default();
        let plan = one(std::process::id(), &who(&["pid:1"]), &mut files).expect("it runs");
        assert!(!plan.selected);
        assert_eq!(plan.reason.as_deref(), Some("no target names it"));
        assert!(files.known.is_empty());
    }

    #[test]
    fn a_process_closed_to_the_agent_says_so() {
        let error = std::io::Error::from(ErrorKind::PermissionDenied);
        let told = unreadable(std::process::id(), &error).expect("it runs");
        assert!(!told.selected && !told.exe.is_empty(), "{told:?}");
        assert_eq!(
            told.reason.as_deref(),
            Some("cannot be read: permission denied")
        );
        assert_eq!(unreadable(u32::MAX, &error), None);
    }

    #[test]
    fn a_process_that_is_gone_is_left_out() {
        assert_eq!(one(u32::MAX, &who(&[]), &mut Files::default()), None);
    }
}
