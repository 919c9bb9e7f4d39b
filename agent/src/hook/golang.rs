//! Probes in Go binaries: once per file (its inode), for all processes that run it. A process that
//! starts later finds its layout at exec, before its first instruction.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap as BpfHashMap, MapData, MapError},
    programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeScope},
};
use threadline_common::map::{FileId, GoLayout, PROCESS_GO, PROCESS_SKIP, Process, UNKNOWN};

use super::load::{LoadError, uprobe};
use crate::golang::{self, GoBinary, Probe, Site};
use crate::process::files::by_stat;

/// Layouts the kernel programs can hold (their map's size).
const MAX_LAYOUTS: u32 = 1024;

/// A map value the kernel programs share, for aya.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Shared<T>(pub T);
// SAFETY: `repr(C)` integers without padding (pinned in `common`).
unsafe impl Pod for Shared<GoLayout> {}
// SAFETY: as above.
unsafe impl Pod for Shared<Process> {}
// SAFETY: as above.
unsafe impl Pod for Shared<FileId> {}

/// One inspected binary.
#[derive(Debug)]
pub struct Known {
    /// What inspection found.
    pub binary: GoBinary,
    /// Path by which it was first met.
    pub path: PathBuf,
    /// Index of its layout in the kernel map.
    pub layout: u32,
    /// Sites that could not be probed, with the kernel's words.
    pub refused: Vec<(Site, String)>,
    /// Sites probed.
    pub armed: usize,
}

/// Why a binary could not be armed.
#[derive(Debug, thiserror::Error)]
pub enum ArmError {
    /// The file could not be inspected.
    #[error(transparent)]
    Go(#[from] golang::GoError),
    /// A map refused.
    #[error("cannot tell the kernel programs of it: {0}")]
    Map(#[from] MapError),
    /// A program is missing.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A file operation.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// More Go binaries than the kernel map holds.
    #[error("more than {MAX_LAYOUTS} Go binaries")]
    TooMany,
}

/// The maps and what was inspected so far.
pub struct Binaries {
    layouts: Array<MapData, Shared<GoLayout>>,
    at_exec: BpfHashMap<MapData, Shared<FileId>, Shared<Process>>,
    known: HashMap<FileId, Option<Known>>,
    next_layout: u32,
    uprobes: bool,
}

impl Binaries {
    /// Takes the maps out of the loaded object. `uprobes` false: goroutines are told at system
    /// calls, no probe is set.
    pub fn new(ebpf: &mut Ebpf, uprobes: bool) -> Result<Self, LoadError> {
        Ok(Self {
            layouts: super::load::map(ebpf, "GO_LAYOUTS")?,
            at_exec: super::load::map(ebpf, "BINARIES")?,
            known: HashMap::new(),
            next_layout: 0,
            uprobes,
        })
    }

    /// What a process that runs `file` is to the kernel programs. Inspects and probes the file when
    /// it is met for the first time. `pid` and `base` (load address) serve shared libraries, whose
    /// TLS slot differs from process to process.
    pub fn process(
        &mut self,
        ebpf: &mut Ebpf,
        file: &File,
        path: PathBuf,
        library_of: Option<(u32, u64)>,
    ) -> Result<Option<Process>, ArmError> {
        let id = file_id(file)?;
        if !self.known.contains_key(&id) {
            let known = self.arm(ebpf, file, path, id)?;
            self.known.insert(id, known);
        }
        let Some(Some(known)) = self.known.get(&id) else {
            return Ok(None);
        };
        let mut process = Process {
            flags: PROCESS_GO,
            binary: known.layout,
        };
        if let (Some((pid, base)), Some(word)) = (library_of, known.binary.tls_slot_word)
            && let Some(slot) = read_slot(pid, base.wrapping_add(word))
        {
            let layout = GoLayout {
                tls_slot: slot,
                ..known.binary.layout
            };
            process.binary = self.add_layout(layout)?;
        }
        Ok(Some(process))
    }

    /// Programs that run `file` are left alone from their exec on.
    pub fn skip(&mut self, file: &File) -> Result<(), ArmError> {
        let process = Process {
            flags: PROCESS_SKIP,
            binary: 0,
        };
        self.at_exec
            .insert(Shared(file_id(file)?), Shared(process), 0)?;
        Ok(())
    }

    /// Every binary met, Go or not.
    pub fn known(&self) -> impl Iterator<Item = &Known> {
        self.known.values().flatten()
    }

    fn add_layout(&mut self, layout: GoLayout) -> Result<u32, ArmError> {
        if self.next_layout >= MAX_LAYOUTS {
            return Err(ArmError::TooMany);
        }
        let index = self.next_layout;
        self.layouts.set(index, Shared(layout), 0)?;
        self.next_layout += 1;
        Ok(index)
    }

    fn arm(
        &mut self,
        ebpf: &mut Ebpf,
        file: &File,
        path: PathBuf,
        id: FileId,
    ) -> Result<Option<Known>, ArmError> {
        let Some(binary) = golang::inspect(file)? else {
            return Ok(None);
        };
        let layout = GoLayout {
            route_stack: binary.route_stack.unwrap_or(UNKNOWN),
            ..binary.layout
        };
        let index = self.add_layout(layout)?;
        let mut known = Known {
            binary,
            path,
            layout: index,
            refused: Vec::new(),
            armed: 0,
        };
        if self.uprobes {
            let target = format!("/proc/self/fd/{}", file.as_raw_fd());
            for site in wanted(&known.binary) {
                let point = UProbeAttachPoint {
                    location: UProbeAttachLocation::AbsoluteOffset(site.file_offset),
                    cookie: None,
                };
                match uprobe(ebpf, program(site.probe))?.attach(
                    point,
                    &target,
                    UProbeScope::AllProcesses,
                ) {
                    Ok(_) => known.armed += 1,
                    Err(error) => known.refused.push((site.clone(), chain(&error))),
                }
            }
        }
        if known.binary.linkage != golang::Linkage::SharedLibrary {
            let process = Process {
                flags: PROCESS_GO,
                binary: index,
            };
            self.at_exec.insert(Shared(id), Shared(process), 0)?;
        }
        Ok(Some(known))
    }
}

/// Sites worth their price: context and ancestry serve only programs that also call out.
pub fn wanted(binary: &GoBinary) -> Vec<Site> {
    binary
        .sites
        .iter()
        .filter(|site| match site.probe {
            Probe::Serve | Probe::Create | Probe::Exit => {
                binary.has_http_client && binary.has_http_server
            }
            Probe::Begin | Probe::Call | Probe::Conn => binary.has_http_client,
            Probe::Route | Probe::RouteStack => binary.has_http_server,
        })
        .cloned()
        .collect()
}

/// The error with its causes: the kernel's own words are the last of them.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

const fn program(probe: Probe) -> &'static str {
    match probe {
        Probe::Serve => "go_serve",
        Probe::Begin => "go_begin",
        Probe::Call => "go_call",
        Probe::Conn => "go_conn",
        Probe::Create => "go_create",
        Probe::Exit => "go_exit",
        Probe::Route => "go_route",
        Probe::RouteStack => "go_route_stack",
    }
}

/// The file as the kernel programs see it: inode, and device in the kernel's own encoding.
pub fn file_id(file: &File) -> std::io::Result<FileId> {
    file.metadata().map(|metadata| by_stat(&metadata))
}

/// The TLS slot that the dynamic linker wrote for this process.
fn read_slot(pid: u32, address: u64) -> Option<i32> {
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut word = [0; 8];
    memory.read_exact_at(&mut word, address).ok()?;
    i32::try_from(i64::from_le_bytes(word))
        .ok()
        .filter(|slot| *slot != 0)
}
