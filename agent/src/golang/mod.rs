//! Go binaries: which probes can be set where, and where structs keep what the kernel programs
//! read. One [`inspect`] per file; attaching is the business of `hook`.
//!
//! Files are read with `pread` in small windows, never mapped: a traced program may truncate its
//! own file, and a mapping would then kill the agent with SIGBUS.

mod buildinfo;
mod code;
mod dwarf;
mod dwarf_stream;
mod elf;
mod missing;
mod moduledata;
mod offsets;
mod pclntab;
mod route;
mod sites;
mod table;
mod tls;
mod window;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod matrix_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

use std::fs::File;

use threadline_common::map::{GoLayout, UNKNOWN, route_regs};

use elf::Image;
use pclntab::Functions;
pub use sites::{Probe, Site, SiteKind};

/// Why a file could not be inspected. A file that is simply no Go binary is not an error.
#[derive(Debug, thiserror::Error)]
pub enum GoError {
    /// The file could not be read.
    #[error("cannot read the binary")]
    Io(#[from] std::io::Error),
    /// The file contradicts itself or ends too early.
    #[error("malformed binary: {0}")]
    Malformed(String),
}

impl GoError {
    fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed(what.into())
    }
}

/// How the binary was linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linkage {
    /// Fixed addresses.
    Executable,
    /// Position-independent executable.
    Pie,
    /// Shared library (`-buildmode=c-shared`, `plugin`).
    SharedLibrary,
}

/// What [`inspect`] learned of a Go binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoBinary {
    /// Version of the toolchain as the binary says it, e.g. `go1.26.8`; empty where it does not.
    pub version: String,
    /// 26 for `go1.26.8`; 0 where unknown.
    pub minor: u32,
    /// Path of the main module (of the main package where there is no module); may be empty.
    pub module: String,
    /// It holds cgo's run-time support.
    pub cgo: bool,
    /// How it was linked.
    pub linkage: Linkage,
    /// Struct offsets, TLS slot, registers; what is not known is `UNKNOWN`.
    pub layout: GoLayout,
    /// Shared libraries: address of the word that holds the TLS slot once the library is loaded (an
    /// `R_X86_64_TPOFF64` entry of its GOT; the slot differs from process to process).
    pub tls_slot_word: Option<u64>,
    /// [`Probe::RouteStack`] sites: the pattern (pointer, length) is at this offset from rsp.
    pub route_stack: Option<i32>,
    /// Where to probe. At most two per probe (both are armed).
    pub sites: Vec<Site>,
    /// What is not known and what the user loses by it, in plain words.
    pub missing: Vec<String>,
    /// It holds `net/http`'s client.
    pub has_http_client: bool,
    /// It holds `net/http`'s server.
    pub has_http_server: bool,
}

/// Looks at `file`. `Ok(None)`: not a Go binary (or none that this machine could run).
pub fn inspect(file: &File) -> Result<Option<GoBinary>, GoError> {
    let Some(image) = Image::open(file)? else {
        return Ok(None);
    };
    let Some(build) = buildinfo::read(&image)? else {
        return Ok(None);
    };
    let mut binary = GoBinary {
        minor: build.minor(),
        version: build.version,
        module: build.module,
        cgo: false,
        linkage: image.linkage(),
        layout: GoLayout::NONE,
        tls_slot_word: None,
        route_stack: None,
        sites: Vec::new(),
        missing: Vec::new(),
        has_http_client: false,
        has_http_server: false,
    };
    if !image.is_amd64() {
        binary.missing.push(missing::MACHINE.to_owned());
        return Ok(Some(binary));
    }
    let Some(functions) = pclntab::functions(&image)? else {
        binary.missing.push(missing::NO_FUNCTIONS.to_owned());
        return Ok(Some(binary));
    };
    fill(&image, &functions, &mut binary)?;
    Ok(Some(binary))
}

/// Toolchain of `file`, e.g. `go1.26.8` (empty where it does not say). `Ok(None)`: not a Go binary.
/// Much cheaper than [`inspect`].
pub fn version(file: &File) -> Result<Option<String>, GoError> {
    let Some(image) = Image::open(file)? else {
        return Ok(None);
    };
    Ok(buildinfo::read(&image)?.map(|build| build.version))
}

fn fill(image: &Image, functions: &Functions, binary: &mut GoBinary) -> Result<(), GoError> {
    binary.cgo = functions.has("crosscall2");
    binary.has_http_client = functions.has("net/http.(*persistConn).roundTrip");
    binary.has_http_server = functions.has("net/http.serverHandler.ServeHTTP");
    binary.sites = sites::find(image, functions, &mut binary.missing)?;

    let route = route::find(image, functions)?;
    binary.route_stack = route.stack;
    if route.sites.iter().any(|site| site.probe == Probe::Route) {
        binary.layout.route_regs = route_regs::RCX_RDI;
    } else if route.sites.is_empty() && functions.has(route::SERVE_HTTP) {
        binary.missing.push(missing::ROUTE.to_owned());
    }
    binary.sites.extend(route.sites);

    offsets::fill(image, binary)?;
    match tls::slot(image, functions)? {
        tls::Slot::At(slot) => binary.layout.tls_slot = slot,
        tls::Slot::Word(word) => {
            binary.tls_slot_word = Some(word);
            binary.missing.push(missing::TLS_DYNAMIC.to_owned());
        }
        tls::Slot::Unknown => binary.missing.push(missing::TLS.to_owned()),
    }
    debug_assert!(binary.layout.tls_slot == UNKNOWN || binary.tls_slot_word.is_none());
    Ok(())
}
