//! What this machine must have before anything is loaded, in plain words, for `plan` and `run`.
//!
//! Gathering and judging are apart: [`Machine`] is what was found, [`checks`] what it means.

#[cfg(test)]
mod tests;

use std::fs;
use std::os::linux::fs::MetadataExt;
use std::path::Path;

use serde::Serialize;

/// The ring buffer came with it.
const KERNEL_FLOOR: (u32, u32) = (5, 11);
/// From here on BPF memory counts against the memory cgroup, not RLIMIT_MEMLOCK.
const MEMCG_SINCE: (u32, u32) = (5, 11);
/// Memory the maps take below [`MEMCG_SINCE`], beside the ring.
const MAPS_BYTES: u64 = 64 << 20;
/// Inode of the initial pid namespace, a constant of the kernel.
const INITIAL_PID_NS: u64 = 0xEFFF_FFFC;

/// A capability by its number in the kernel's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Capability {
    bit: u32,
    name: &'static str,
    /// What goes missing without it.
    loses: &'static str,
    required: bool,
}

const fn cap(bit: u32, name: &'static str, loses: &'static str, required: bool) -> Capability {
    Capability {
        bit,
        name,
        loses,
        required,
    }
}

const SYS_ADMIN: u32 = 21;
const SYS_RESOURCE: u32 = 24;

const CAPABILITIES: &[Capability] = &[
    cap(39, "CAP_BPF", "no kernel program can be loaded", true),
    cap(38, "CAP_PERFMON", "no kernel program can be attached", true),
    cap(
        19,
        "CAP_SYS_PTRACE",
        "processes of other users have no name, no target rules and no Go support",
        false,
    ),
    // Measured on 6.18 by dropping each in turn.
    cap(
        SYS_ADMIN,
        "CAP_SYS_ADMIN",
        "no probe can be set in programs: goroutines' contexts and routes are not told",
        false,
    ),
    cap(
        34,
        "CAP_SYSLOG",
        "kernel addresses are hidden unless kernel.kptr_restrict is 0 and \
         kernel.perf_event_paranoid at most 1: nothing can be loaded then",
        false,
    ),
    cap(
        2,
        "CAP_DAC_READ_SEARCH",
        "binaries that only their owner may read are not inspected",
        false,
    ),
    cap(
        40,
        "CAP_CHECKPOINT_RESTORE",
        "replaced binaries of running programs are not inspected",
        false,
    ),
];

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// It is as it should be.
    pub ok: bool,
    /// Without it nothing works; otherwise only what `detail` says is lost.
    pub required: bool,
    /// What was found, and what it means.
    pub detail: String,
    /// What to do about it; empty where all is well.
    pub remedy: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Effective capabilities, by bit.
    pub capabilities: u64,
    /// `uname -r`.
    pub release: String,
    /// `/sys/kernel/btf/vmlinux` can be read.
    pub btf: bool,
    /// The mode in brackets of `/sys/kernel/security/lockdown`; `None`: not told.
    pub lockdown: Option<String>,
    /// `/sys/fs/cgroup` is version 2.
    pub cgroup2: bool,
    /// RLIMIT_MEMLOCK; `None`: unlimited.
    pub memlock: Option<u64>,
    /// tracefs is mounted and can be read.
    pub tracefs: bool,
    /// The agent sees the pid numbers that the kernel uses.
    pub initial_pid_ns: bool,
}

impl Machine {
    /// Looks at this machine.
    pub fn read() -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock);
        let exists = |path: &str| fs::File::open(path).is_ok();
        Self {
            capabilities: procfs::process::Process::myself()
                .and_then(|process| process.status())
                .map(|status| status.capeff)
                .unwrap_or_default(),
            release: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            btf: exists("/sys/kernel/btf/vmlinux"),
            lockdown: fs::read_to_string("/sys/kernel/security/lockdown")
                .ok()
                .and_then(|text| lockdown_mode(&text)),
            cgroup2: Path::new("/sys/fs/cgroup/cgroup.controllers").exists(),
            memlock: limit.current,
            tracefs: exists("/sys/kernel/tracing/events")
                || exists("/sys/kernel/debug/tracing/events"),
            initial_pid_ns: fs::metadata("/proc/self/ns/pid")
                .is_ok_and(|found| found.st_ino() == INITIAL_PID_NS),
        }
    }

    fn has(&self, bit: u32) -> bool {
        self.capabilities >> bit & 1 == 1
    }

    fn version(&self) -> Option<(u32, u32)> {
        release_version(&self.release)
    }
}

/// All checks; `ring_bytes`: the ring buffer that will be asked for.
pub fn checks(machine: &Machine, ring_bytes: u32) -> Vec<Check> {
    let mut checks: Vec<Check> = CAPABILITIES
        .iter()
        .map(|cap| capability(machine, cap))
        .collect();
    checks.push(kernel(machine));
    checks.push(btf(machine));
    checks.push(tracefs(machine));
    checks.push(pid_namespace(machine));
    checks.push(lockdown(machine));
    checks.push(cgroup(machine));
    checks.push(memlock(machine, ring_bytes));
    checks
}

/// Whether nothing that is required is missing.
pub fn can_run(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.ok || !check.required)
}

fn check(name: &'static str, required: bool, verdict: Result<String, (String, String)>) -> Check {
    let (ok, detail, remedy) = match verdict {
        Ok(detail) => (true, detail, String::new()),
        Err((detail, remedy)) => (false, detail, remedy),
    };
    Check {
        name,
        ok,
        required,
        detail,
        remedy,
    }
}

fn capability(machine: &Machine, cap: &Capability) -> Check {
    let verdict = if machine.has(cap.bit) {
        Ok("held".to_owned())
    } else if machine.has(SYS_ADMIN) && cap.bit >= 38 {
        // Its three younger children are part of it.
        Ok("held as part of CAP_SYS_ADMIN".to_owned())
    } else {
        Err((
            format!("missing: {}", cap.loses),
            format!("run it as root (sudo), or give the process {}", cap.name),
        ))
    };
    check(cap.name, cap.required, verdict)
}

fn kernel(machine: &Machine) -> Check {
    let (major, minor) = KERNEL_FLOOR;
    let verdict = match machine.version() {
        Some(version) if version >= KERNEL_FLOOR => Ok(machine.release.clone()),
        Some(_) => Err((
            format!(
                "{} is older than {major}.{minor}: it has no BPF ring buffer",
                machine.release
            ),
            format!("use a kernel from {major}.{minor} on"),
        )),
        // A vendor's own numbering; loading will tell.
        None => Ok(format!(
            "{}: not a version number, tried as it is",
            machine.release
        )),
    };
    check("kernel", true, verdict)
}

fn btf(machine: &Machine) -> Check {
    let verdict = match machine.btf {
        true => Ok("/sys/kernel/btf/vmlinux".to_owned()),
        false => Err((
            "no /sys/kernel/btf/vmlinux: the fields of kernel structures cannot be found"
                .to_owned(),
            "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, and mount /sys in the container"
                .to_owned(),
        )),
    };
    check("BTF", true, verdict)
}

fn tracefs(machine: &Machine) -> Check {
    let verdict = match machine.tracefs {
        true => Ok("readable".to_owned()),
        false => Err((
            "not mounted or not readable: system call tracepoints cannot be found".to_owned(),
            "mount -t tracefs tracefs /sys/kernel/tracing, and mount it in the container"
                .to_owned(),
        )),
    };
    check("tracefs", false, verdict)
}

fn pid_namespace(machine: &Machine) -> Check {
    let verdict = match machine.initial_pid_ns {
        true => Ok("the node's own".to_owned()),
        false => Err((
            "the agent is in a pid namespace of its own: the kernel's pids name other processes here".to_owned(),
            "docker run --pid=host, or hostPID: true in Kubernetes".to_owned(),
        )),
    };
    check("pid namespace", true, verdict)
}

fn lockdown(machine: &Machine) -> Check {
    let verdict = match machine.lockdown.as_deref() {
        Some("confidentiality") => Err((
            "confidentiality: BPF programs may not read kernel memory".to_owned(),
            "boot with lockdown=integrity or none".to_owned(),
        )),
        Some(mode) => Ok(format!("{mode}: no hindrance, the agent writes nothing")),
        None => Ok("not told by this kernel".to_owned()),
    };
    check("lockdown", true, verdict)
}

fn cgroup(machine: &Machine) -> Check {
    let verdict = match machine.cgroup2 {
        true => Ok("version 2".to_owned()),
        false => Err((
            "version 1: the kernel's cgroup ids are not told, cgroup: and container: rules are read from /proc".to_owned(),
            "boot with systemd.unified_cgroup_hierarchy=1".to_owned(),
        )),
    };
    check("cgroup", false, verdict)
}

fn memlock(machine: &Machine, ring_bytes: u32) -> Check {
    let needed = MAPS_BYTES + u64::from(ring_bytes);
    let old = machine
        .version()
        .is_some_and(|version| version < MEMCG_SINCE);
    let verdict = match machine.memlock {
        None => Ok("unlimited".to_owned()),
        Some(_) if !old => Ok("does not count BPF memory on this kernel".to_owned()),
        Some(limit) if limit >= needed => Ok(format!("{} MiB", limit >> 20)),
        Some(_) if machine.has(SYS_RESOURCE) => {
            Ok("raised by the agent (CAP_SYS_RESOURCE)".to_owned())
        }
        Some(limit) => Err((
            format!(
                "{} KiB, {} MiB are needed for the maps",
                limit >> 10,
                needed >> 20
            ),
            "ulimit -l unlimited, or give the process CAP_SYS_RESOURCE".to_owned(),
        )),
    };
    check("RLIMIT_MEMLOCK", old, verdict)
}

fn lockdown_mode(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(mode, _)| mode.to_owned())
}

/// `6.18.44-fc` is (6, 18).
fn release_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}
