//! Debian's compiler with a prebuilt `core` for kernel programs (security suite of Debian 12, and
//! Debian 13 and newer).

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::apt;
use super::toolchain::{Compiler, Origin};

/// What is installed where it is missing.
pub const PACKAGES: &[&str] = &["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"];
/// The linter that goes with it.
pub const CLIPPY: &str = "rust-web-clippy";

const CORE: &str = "/usr/lib/rustlib/bpfel-unknown-none/lib";

/// Debian's compiler, if its `core` for the kernel is there.
pub fn find() -> Option<Compiler> {
    let core = fs::read_dir(CORE)
        .ok()?
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"));
    let programs = ["/usr/bin/rustc", "/usr/bin/cargo"]
        .iter()
        .all(|path| Path::new(path).exists());
    (core && programs).then(|| Compiler {
        origin: Origin::Debian,
        bin: "/usr/bin".into(),
    })
}

/// Installs it.
pub fn install() -> Result<Compiler> {
    apt::install(PACKAGES)?;
    find().with_context(|| format!("the packages are installed, but {CORE} holds no core"))
}
