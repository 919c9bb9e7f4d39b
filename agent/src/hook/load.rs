//! Loads the embedded object and attaches what the kernel takes.

use aya::{
    Btf, Ebpf, EbpfLoader, Pod,
    maps::{Map, MapError},
    programs::{BtfTracePoint, ProgramError, UProbe},
};
use threadline_common::map::{KernelLayout, Settings};

/// The kernel programs as built by `cargo xtask build`.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("THREADLINE_BPF_OBJECT"));

/// Why the kernel programs could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The kernel's layout is not known.
    #[error(transparent)]
    Layout(#[from] super::kernel::LayoutError),
    /// The kernel's BTF could not be parsed.
    #[error("cannot use the kernel's BTF: {0}")]
    Btf(#[from] aya::BtfError),
    /// Maps could not be created, or the object is damaged.
    #[error("cannot load the kernel programs: {0}")]
    Object(#[from] aya::EbpfError),
    /// A program was refused.
    #[error("the kernel refused program {name}: {source}")]
    Program {
        /// Which.
        name: &'static str,
        /// The kernel's words.
        source: Box<ProgramError>,
    },
    /// A map is of another kind than this agent thinks.
    #[error("map {name} of the embedded object: {source}")]
    Map {
        /// Which.
        name: &'static str,
        /// Why.
        source: MapError,
    },
    /// The object lacks a program or map this agent needs: built from other sources.
    #[error("the embedded object has no {0}; rebuild with `cargo xtask build`")]
    Missing(&'static str),
}

/// A kernel tracepoint program and what it is for.
pub struct Hook {
    /// Name in the object.
    pub program: &'static str,
    /// Tracepoint.
    pub tracepoint: &'static str,
}

/// Programs of the tracepoint back end and those that every back end needs.
pub const HOOKS: &[Hook] = &[
    Hook {
        program: "process_exec",
        tracepoint: "sched_process_exec",
    },
    Hook {
        program: "process_exit",
        tracepoint: "sched_process_exit",
    },
    Hook {
        program: "sock_state",
        tracepoint: "inet_sock_set_state",
    },
    Hook {
        program: "sys_exit",
        tracepoint: "sys_exit",
    },
    Hook {
        program: "sys_enter",
        tracepoint: "sys_enter",
    },
];

/// Uprobe programs.
pub const UPROBES: &[&str] = &[
    "go_begin",
    "go_serve",
    "go_call",
    "go_conn",
    "go_create",
    "go_exit",
    "go_route",
    "go_route_stack",
];

#[repr(transparent)]
#[derive(Clone, Copy)]
struct Raw<T>(T);
// SAFETY: plain integers without padding, by their definition in `common`.
unsafe impl Pod for Raw<KernelLayout> {}
// SAFETY: as above.
unsafe impl Pod for Raw<Settings> {}

/// Loads object and programs; nothing is attached yet.
pub fn load(settings: Settings, ring_bytes: u32) -> Result<Ebpf, LoadError> {
    let layout = Raw(super::kernel::layout()?);
    let settings = Raw(settings);
    let btf = Btf::from_sys_fs()?;
    let mut ebpf = EbpfLoader::new()
        .btf(Some(&btf))
        .override_global("KERNEL", &layout, true)
        .override_global("SETTINGS", &settings, true)
        .map_max_entries("RECORDS_RING", ring_bytes)
        .load(OBJECT)?;
    for hook in HOOKS {
        let program = tracepoint(&mut ebpf, hook.program)?;
        program
            .load(hook.tracepoint, &btf)
            .map_err(|source| refused(hook.program, source))?;
    }
    for name in UPROBES {
        uprobe(&mut ebpf, name)?
            .load()
            .map_err(|source| refused(name, source))?;
    }
    Ok(ebpf)
}

/// Attaches the tracepoints.
pub fn attach(ebpf: &mut Ebpf) -> Result<(), LoadError> {
    for hook in HOOKS {
        tracepoint(ebpf, hook.program)?
            .attach()
            .map_err(|source| refused(hook.program, source))?;
    }
    Ok(())
}

/// Takes a map out of the object.
pub fn map<T: TryFrom<Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<T, LoadError> {
    let map = ebpf.take_map(name).ok_or(LoadError::Missing(name))?;
    T::try_from(map).map_err(|source| LoadError::Map { name, source })
}

fn refused(name: &'static str, source: ProgramError) -> LoadError {
    LoadError::Program {
        name,
        source: Box::new(source),
    }
}

fn tracepoint<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut BtfTracePoint, LoadError> {
    ebpf.program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or(LoadError::Missing(name))
}

/// A uprobe program by name.
pub fn uprobe<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut UProbe, LoadError> {
    ebpf.program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or(LoadError::Missing(name))
}
