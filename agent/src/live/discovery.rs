//! Processes: who they are, whether they are selected, and which probes their binaries get. Two
//! threads, so that reading a large binary never delays the facts of a short-lived process.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use aya::{
    Ebpf,
    maps::{HashMap as BpfHashMap, MapData},
};
use threadline_common::map::{FileId, PROCESS_SKIP, Process};
use tracing::{debug, warn};

use super::sweep::{self, Sweeper};
use crate::golang::{self, GoBinary};
use crate::hook::golang::{Binaries, Shared};
use crate::process::facts::ProcessFacts;
use crate::process::targets::{ProcessView, Skip, Targets, Verdict};
use crate::process::{self, Host, ResourceOptions, files};

/// Processes waiting to be looked at; beyond, a process stays unknown until its next record.
const MAX_WAITING: usize = 16_384;

/// Files remembered as holding no Go.
const MAX_PLAIN: usize = 65_536;
/// Executables whose toolchain is remembered.
const MAX_VERSIONS: usize = 4096;

/// A process was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Process.
    pub tgid: u32,
    /// Time of the record that showed it; its facts get that time.
    pub ktime_ns: u64,
    /// `comm` at exec, for one that is gone before it can be looked at.
    pub comm: String,
    /// Path at exec, likewise; empty where no exec was seen.
    pub exe: String,
    /// What to do about it.
    pub what: What,
}

/// What was seen of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A record of it, or its exec: judge it, probe its binary.
    Process,
    /// It mapped executable files: look for libraries.
    Libraries,
    /// Its end: forget it.
    Ended,
}

/// What became of it.
pub enum Judged {
    /// Selected: its facts.
    Selected(u64, Box<ProcessFacts>),
    /// Not selected. `for_good`: the kernel programs leave it alone; otherwise it may become
    /// selected (it begins to listen on a target port) and is asked about again.
    Skipped {
        /// Which.
        tgid: u32,
        /// See above.
        for_good: bool,
    },
}

type Processes = Arc<Mutex<BpfHashMap<MapData, u32, Shared<Process>>>>;

/// Both threads.
pub struct Discovery {
    seen: Option<SyncSender<Seen>>,
    /// Results, in no order.
    pub judged: Receiver<Judged>,
    /// Binaries met, for `status`.
    pub binaries: Arc<Mutex<Vec<BinaryReport>>>,
    threads: Vec<JoinHandle<()>>,
}

/// A Go binary as `status` and `plan` tell it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct BinaryReport {
    /// Path.
    pub path: PathBuf,
    /// Toolchain.
    pub version: String,
    /// Probes set.
    pub probes: usize,
    /// Probes the kernel refused, with its words.
    pub refused: Vec<String>,
    /// What is not known of it.
    pub missing: Vec<String>,
    /// Time from seeing the binary to the last probe set, microseconds.
    pub armed_us: u64,
}

impl Discovery {
    /// Starts both threads. `ebpf` goes to the one that attaches.
    pub fn start(
        ebpf: Ebpf,
        binaries: Binaries,
        sweeper: Sweeper,
        processes: BpfHashMap<MapData, u32, Shared<Process>>,
        who: Who,
    ) -> std::io::Result<Self> {
        let (seen, seen_by) = sync_channel(MAX_WAITING);
        let (judged_by, judged) = channel();
        let (attach, attach_by) = channel();
        let processes = Arc::new(Mutex::new(processes));
        let report = Arc::new(Mutex::new(Vec::new()));
        let facts = Facts {
            who,
            processes: processes.clone(),
            judged: judged_by,
            attach,
            versions: HashMap::new(),
        };
        let attacher = Attacher {
            ebpf,
            binaries,
            sweeper,
            processes,
            report: report.clone(),
            failed: HashSet::new(),
            plain: HashSet::new(),
            selected: HashSet::new(),
        };
        let threads = vec![
            thread::Builder::new()
                .name("facts".into())
                .spawn(move || facts.run(&seen_by))?,
            thread::Builder::new()
                .name("attach".into())
                .spawn(move || attacher.run(&attach_by))?,
        ];
        Ok(Self {
            seen: Some(seen),
            judged,
            binaries: report,
            threads,
        })
    }

    /// Looks at a process soon; false when too many wait.
    pub fn look_at(&self, seen: Seen) -> bool {
        self.seen
            .as_ref()
            .is_some_and(|to| !matches!(to.try_send(seen), Err(TrySendError::Full(_))))
    }

    /// Stops both threads; with the last one everything attached is detached. What was judged
    /// until then can still be read.
    pub fn detach(&mut self) {
        self.seen = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Whom to select and what to say of them.
#[derive(Clone, Debug)]
pub struct Who {
    /// Selection.
    pub targets: Targets,
    /// This machine.
    pub host: Host,
    /// What is exported only when asked for.
    pub options: ResourceOptions,
}

struct Facts {
    who: Who,
    processes: Processes,
    judged: Sender<Judged>,
    attach: Sender<Seen>,
    /// Toolchain by executable, so that a program that is started often is read once.
    versions: HashMap<FileId, Option<String>>,
}

impl Facts {
    fn run(mut self, seen: &Receiver<Seen>) {
        for seen in seen {
            if seen.what != What::Process {
                let _ = self.attach.send(seen);
            } else if self.judge(seen).is_none() {
                return;
            }
        }
    }

    /// `None`: nobody listens any more.
    fn judge(&mut self, seen: Seen) -> Option<()> {
        let tgid = seen.tgid;
        let Ok(snapshot) = process::read::read(tgid) else {
            let view = ProcessView {
                tgid,
                exe: &seen.exe,
                ..ProcessView::default()
            };
            // A kernel thread has no program; with targets, a process of which nothing is known is
            // none.
            let unknown = seen.exe.is_empty() && !self.who.targets.is_empty();
            let skip = self.who.targets.select(&view) != Verdict::Selected;
            if is_kernel_thread(tgid) || unknown || skip {
                let judged = Judged::Skipped {
                    tgid,
                    for_good: false,
                };
                return self.judged.send(judged).ok();
            }
            debug!(tgid, "process was gone before it was looked at");
            let facts = process::facts_of_the_gone(tgid, &seen.comm, &seen.exe, &self.who.host);
            return self
                .judged
                .send(Judged::Selected(seen.ktime_ns, Box::new(facts)))
                .ok();
        };
        match self
            .who
            .targets
            .select(&snapshot.view(self.ports(tgid).as_deref()))
        {
            Verdict::Selected => {
                let version = self.go_version(tgid);
                let facts = process::facts(
                    &snapshot,
                    &self.who.host,
                    &self.who.options,
                    version.as_deref(),
                );
                self.judged
                    .send(Judged::Selected(seen.ktime_ns, Box::new(facts)))
                    .ok()?;
                let _ = self.attach.send(seen);
            }
            Verdict::Skipped(skip) => {
                debug!(
                    tgid,
                    exe = snapshot.exe,
                    reason = skip.reason(),
                    "not selected"
                );
                let for_good = skip != Skip::NotListening;
                if for_good {
                    set(
                        &self.processes,
                        tgid,
                        Process {
                            flags: PROCESS_SKIP,
                            binary: 0,
                        },
                    );
                }
                self.judged.send(Judged::Skipped { tgid, for_good }).ok()?;
            }
        }
        Some(())
    }

    fn ports(&self, tgid: u32) -> Option<Vec<u16>> {
        if !self.who.targets.needs_ports() {
            return None;
        }
        process::ports::listening_ports(tgid).ok()
    }

    fn go_version(&mut self, tgid: u32) -> Option<String> {
        let file = File::open(format!("/proc/{tgid}/exe")).ok()?;
        let id = crate::hook::golang::file_id(&file).ok()?;
        if let Some(known) = self.versions.get(&id) {
            return known.clone();
        }
        // A damaged Go binary is still one: its threads prove nothing.
        let version = golang::version(&file).unwrap_or_else(|_| Some(String::new()));
        if self.versions.len() >= MAX_VERSIONS {
            self.versions.clear();
        }
        self.versions.insert(id, version.clone());
        version
    }
}

/// Where the file with this inode was loaded: the start of its first page.
fn load_base(tgid: u32, inode: u64) -> Option<u64> {
    let process = procfs::process::Process::new(i32::try_from(tgid).ok()?).ok()?;
    let maps = process.maps().ok()?;
    maps.iter()
        .find(|map| map.inode == inode && map.offset == 0)
        .map(|map| map.address.0)
}

/// include/linux/sched.h: PF_KTHREAD. A process that ended and was not waited for has no program
/// either, and is none.
fn is_kernel_thread(tgid: u32) -> bool {
    const PF_KTHREAD: u32 = 0x0020_0000;
    i32::try_from(tgid)
        .ok()
        .and_then(|tgid| procfs::process::Process::new(tgid).ok()?.stat().ok())
        .is_some_and(|stat| stat.flags & PF_KTHREAD != 0)
}

fn set(processes: &Processes, tgid: u32, process: Process) {
    let mut map = processes.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = map.insert(tgid, Shared(process), 0) {
        warn!(tgid, %error, "the kernel's table of processes is full");
    }
}

struct Attacher {
    ebpf: Ebpf,
    binaries: Binaries,
    sweeper: Sweeper,
    processes: Processes,
    report: Arc<Mutex<Vec<BinaryReport>>>,
    failed: HashSet<PathBuf>,
    /// Files that hold no Go.
    plain: HashSet<FileId>,
    /// Processes judged worth tracing.
    selected: HashSet<u32>,
}

impl Attacher {
    fn run(mut self, seen: &Receiver<Seen>) {
        loop {
            match seen.recv_timeout(sweep::PERIOD) {
                Ok(seen) => match seen.what {
                    What::Process => {
                        self.selected.insert(seen.tgid);
                        self.process(&seen);
                    }
                    What::Libraries if self.selected.contains(&seen.tgid) => self.process(&seen),
                    What::Libraries => {}
                    What::Ended => {
                        self.selected.remove(&seen.tgid);
                        self.sweeper.ended(seen.tgid);
                    }
                },
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.sweeper.tick();
        }
    }

    fn process(&mut self, seen: &Seen) {
        if seen.what == What::Process {
            let exe = PathBuf::from(format!("/proc/{}/exe", seen.tgid));
            let path = std::fs::read_link(&exe).unwrap_or_else(|_| exe.clone());
            if self.look(seen, &exe, path, None) {
                return;
            }
        }
        // Go in a shared library: in any program, loaded at any time.
        for library in files::mapped(seen.tgid).unwrap_or_default() {
            if self.plain.contains(&library.id) {
                continue;
            }
            let base = load_base(seen.tgid, library.id.inode).unwrap_or(0);
            let go = [&library.map_file, &library.in_root(seen.tgid)]
                .into_iter()
                .find(|path| File::open(path).is_ok())
                .is_some_and(|open| {
                    self.look(seen, open, library.path.clone(), Some((seen.tgid, base)))
                });
            if !go && self.plain.len() < MAX_PLAIN {
                self.plain.insert(library.id);
            }
        }
    }

    /// Looks at one file of a process; true when it is Go.
    fn look(
        &mut self,
        seen: &Seen,
        open: &Path,
        path: PathBuf,
        library_of: Option<(u32, u64)>,
    ) -> bool {
        let Ok(file) = File::open(open) else {
            return false;
        };
        let before = self.binaries.known().count();
        let began = std::time::Instant::now();
        match self
            .binaries
            .process(&mut self.ebpf, &file, path.clone(), library_of)
        {
            Ok(None) => false,
            Ok(Some(process)) => {
                set(&self.processes, seen.tgid, process);
                if self.binaries.known().count() != before {
                    self.tell(&path, began.elapsed());
                }
                true
            }
            Err(error) => {
                if self.failed.insert(path.clone()) {
                    warn!(
                        path = %path.display(),
                        error = &error as &dyn std::error::Error,
                        "traced at its sockets only"
                    );
                }
                false
            }
        }
    }

    fn tell(&self, path: &Path, took: std::time::Duration) {
        let Some(known) = self.binaries.known().find(|known| known.path == path) else {
            return;
        };
        let GoBinary {
            version, missing, ..
        } = &known.binary;
        tracing::info!(
            path = %path.display(), version, probes = known.armed, took = ?took, "go binary armed"
        );
        let report = BinaryReport {
            path: path.to_owned(),
            version: version.clone(),
            probes: known.armed,
            refused: known
                .refused
                .iter()
                .map(|(site, error)| format!("{}: {error}", site.symbol))
                .collect(),
            missing: missing.clone(),
            armed_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        };
        self.report
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(report);
    }
}
