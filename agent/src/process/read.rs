//! One process as `/proc` shows it at one moment.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use procfs::process::{Process, Stat};

use super::cgroup::{self, CgroupFacts};
use super::kubernetes::{self, Pod};
use super::{container, text};

/// Bytes of a command line that are looked at.
pub const CMDLINE_MAX: u64 = 4096;
/// Bytes of an environment that are looked at.
pub const ENVIRON_MAX: u64 = 256 << 10;
/// Variables kept.
const VARIABLES_MAX: usize = 128;
/// Times a process without command line and environment is looked at again: between the point
/// where exec has the new program and the point where it has its arguments both are empty.
const EXEC_TRIES: u32 = 5;
const EXEC_PAUSE: Duration = Duration::from_millis(1);
/// Parents followed to find the main process of a unit.
const PARENTS_MAX: usize = 16;

/// What was read. Secrets stay out: of the environment only variables that name the service are
/// kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Process id in the initial pid namespace.
    pub tgid: u32,
    /// Start, nanoseconds since boot, as coarse as the kernel's clock tick.
    pub start_ns: u64,
    /// `comm`.
    pub comm: String,
    /// Path of the executable as the process sees it.
    pub exe: String,
    /// The file of that name is gone or replaced (a deployment over a running program).
    pub exe_deleted: bool,
    /// The first 4 KiB of the command line.
    pub args: Vec<String>,
    /// Cgroup paths and what they tell.
    pub cgroup: CgroupFacts,
    /// Container name, where the node tells.
    pub container_name: Option<String>,
    /// Kubernetes pod.
    pub pod: Option<Pod>,
    /// `OTEL_*` and the variables that tell the pod.
    pub env: BTreeMap<String, String>,
    /// It is the main process of its systemd unit, or runs the same executable.
    pub unit_main: bool,
}

impl Snapshot {
    /// What selection looks at; `ports` where they were looked up.
    pub fn view<'a>(&'a self, ports: Option<&'a [u16]>) -> super::targets::ProcessView<'a> {
        let pod = self.pod.as_ref();
        super::targets::ProcessView {
            tgid: self.tgid,
            exe: &self.exe,
            ports,
            cgroup: &self.cgroup.path,
            container_id: self.cgroup.container_id.as_deref(),
            container_name: self.container_name.as_deref(),
            namespace: pod.and_then(|pod| pod.namespace.as_deref()),
            pod: pod.and_then(|pod| pod.name.as_deref()),
        }
    }
}

/// All processes, as numbers; threads are left out.
pub fn scan() -> impl Iterator<Item = u32> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Start of a process in the unit of [`Snapshot::start_ns`].
pub fn start_ns(tgid: u32) -> io::Result<u64> {
    Ok(ticks_to_ns(stat(tgid)?.starttime))
}

/// Whether two start times, one of them maybe exact (from the kernel programs), are the same.
pub fn same_start(a_ns: u64, b_ns: u64) -> bool {
    let tick = ticks_to_ns(1).max(1);
    a_ns / tick == b_ns / tick
}

/// Reads `tgid`. Fails for kernel threads, and for processes that are gone.
pub fn read(tgid: u32) -> io::Result<Snapshot> {
    let root = format!("/proc/{tgid}");
    let stat = stat(tgid)?;
    let (exe, exe_deleted) = exe(Path::new(&root))?;
    let (cmdline, environ) = words(&root);
    let cgroup = cgroups(tgid);
    let env = variables(&environ);
    let pod = Pod::find(&cgroup, &env, || container::namespace_file(tgid));
    let container_name = cgroup
        .container_name
        .clone()
        .or_else(|| container::docker_name(cgroup.container_id.as_deref()?));
    let unit_main = cgroup.unit.is_some() && is_unit_main(&stat, &exe, &cgroup);
    // The number may have gone to another process in between.
    if self::stat(tgid)?.starttime != stat.starttime {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(Snapshot {
        tgid,
        start_ns: ticks_to_ns(stat.starttime),
        comm: text::clean(&stat.comm, text::NAME_MAX),
        exe,
        exe_deleted,
        args: arguments(&cmdline),
        cgroup,
        container_name,
        pod,
        env,
        unit_main,
    })
}

fn stat(tgid: u32) -> io::Result<Stat> {
    let tgid = i32::try_from(tgid).map_err(|_| io::Error::from(io::ErrorKind::NotFound))?;
    Process::new(tgid)
        .and_then(|process| process.stat())
        .map_err(io_error)
}

/// `procfs` wraps the kernel's answer; callers look at its kind.
fn io_error(error: procfs::ProcError) -> io::Error {
    match error {
        procfs::ProcError::NotFound(_) => io::ErrorKind::NotFound.into(),
        procfs::ProcError::PermissionDenied(_) => io::ErrorKind::PermissionDenied.into(),
        procfs::ProcError::Io(error, _) => error,
        other => io::Error::other(other),
    }
}

fn ticks_to_ns(ticks: u64) -> u64 {
    ticks.saturating_mul(1_000_000_000 / procfs::ticks_per_second().max(1))
}

fn exe(root: &Path) -> io::Result<(String, bool)> {
    let link = std::fs::read_link(root.join("exe"))?;
    let bytes = link.as_os_str().as_bytes();
    let (path, deleted) = match bytes.strip_suffix(b" (deleted)") {
        Some(path) => (path, true),
        None => (bytes, false),
    };
    Ok((String::from_utf8_lossy(path).into_owned(), deleted))
}

/// Command line and environment. What another user's process or a hidden /proc withholds is left
/// out, not an error.
fn words(root: &str) -> (Vec<u8>, Vec<u8>) {
    let read = || {
        let cmdline = bounded(format!("{root}/cmdline"), CMDLINE_MAX).unwrap_or_default();
        let environ = bounded(format!("{root}/environ"), ENVIRON_MAX).unwrap_or_default();
        (cmdline, environ)
    };
    let mut words = read();
    for _ in 0..EXEC_TRIES {
        if !(words.0.is_empty() && words.1.is_empty()) {
            break;
        }
        std::thread::sleep(EXEC_PAUSE);
        words = read();
    }
    words
}

fn bounded(path: impl AsRef<Path>, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Splits a command line at its NULs.
pub fn arguments(cmdline: &[u8]) -> Vec<String> {
    // A process that overwrites its command line leaves NULs at the end.
    let end = cmdline.iter().rposition(|&b| b != 0).map_or(0, |at| at + 1);
    if end == 0 {
        return Vec::new();
    }
    cmdline[..end]
        .split(|&b| b == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

/// Picks the variables that name the service out of an environment. The last piece of one that
/// was cut is dropped: half a value names another service.
pub fn variables(environ: &[u8]) -> BTreeMap<String, String> {
    let whole = match environ.len() as u64 {
        ENVIRON_MAX.. => environ.iter().rposition(|&b| b == 0).map_or(0, |at| at + 1),
        _ => environ.len(),
    };
    let mut found = BTreeMap::new();
    for entry in environ[..whole].split(|&b| b == 0) {
        let Some(at) = entry.iter().position(|&b| b == b'=') else {
            continue;
        };
        let Ok(name) = std::str::from_utf8(&entry[..at]) else {
            continue;
        };
        if !is_kept(name) || found.len() >= VARIABLES_MAX {
            continue;
        }
        let value = String::from_utf8_lossy(&entry[at + 1..]);
        // The first of two equal names is what getenv returns.
        found
            .entry(name.to_owned())
            .or_insert_with(|| text::clean(&value, text::VALUE_MAX));
    }
    found
}

/// Not all of `OTEL_*`: exporter headers hold credentials.
fn is_kept(name: &str) -> bool {
    kubernetes::is_read(name) || (name.starts_with("OTEL_") && !name.ends_with("_HEADERS"))
}

fn cgroups(tgid: u32) -> CgroupFacts {
    let groups = i32::try_from(tgid)
        .ok()
        .and_then(|tgid| Process::new(tgid).ok()?.cgroups().ok());
    let Some(groups) = groups else {
        return CgroupFacts::default();
    };
    // Version 2 first, then systemd's own, then whatever else version 1 has.
    let mut groups = groups.0;
    groups.sort_by_key(
        |group| match (group.hierarchy, group.controllers.as_slice()) {
            (0, _) => 0,
            (_, [only]) if only == "name=systemd" => 1,
            _ => 2,
        },
    );
    cgroup::inspect(groups.iter().map(|group| group.pathname.as_str()))
}

/// Climbs to the process that the service manager started in this cgroup.
fn is_unit_main(stat: &Stat, exe: &str, cgroup: &CgroupFacts) -> bool {
    let (mut main_exe, mut parent) = (exe.to_owned(), stat.ppid);
    for _ in 0..PARENTS_MAX {
        let Ok(tgid) = u32::try_from(parent) else {
            break;
        };
        if tgid <= 1 || cgroups(tgid).path != cgroup.path {
            break;
        }
        let (Ok(above), Ok((exe, _))) = (
            self::stat(tgid),
            self::exe(Path::new(&format!("/proc/{tgid}"))),
        ) else {
            break;
        };
        main_exe = exe;
        parent = above.ppid;
    }
    main_exe == exe
}
