//! A rustup nightly with the source of the standard library.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::toolchain::{Compiler, Origin};
use crate::{command, paths};

/// The nightly that is installed where there is none.
pub const PINNED: &str = "nightly-2026-05-20";
/// Time to fetch the source for a nightly that is there: 6 MB.
const COMPONENT_LIMIT: Duration = Duration::from_secs(120);
/// Time to fetch a whole nightly.
const TOOLCHAIN_LIMIT: Duration = Duration::from_secs(600);

/// A nightly that has all it needs, the pinned one first.
pub fn find() -> Option<Compiler> {
    let mut found: Vec<_> = installed()
        .into_iter()
        .filter(|dir| has_source(dir))
        .collect();
    found.sort_by_key(|dir| !name(dir).starts_with(PINNED));
    let dir = found.first()?;
    Some(Compiler {
        origin: Origin::Nightly,
        bin: dir.join("bin"),
    })
}

/// Gets one through rustup.
pub fn install() -> Result<Compiler> {
    let rustup = command::which("rustup").context("rustup was not found")?;
    let log = paths::target().join("setup-rustup.log");
    let mut add = Command::new(rustup);
    let limit = if let Some(dir) = installed().first() {
        let toolchain = name(dir);
        add.args(["component", "add", "rust-src", "--toolchain", &toolchain]);
        COMPONENT_LIMIT
    } else {
        add.args([
            "toolchain",
            "install",
            PINNED,
            // The user's rustup is not ours to replace.
            "--no-self-update",
            "--profile",
            "minimal",
            "--component",
            "rust-src",
        ]);
        TOOLCHAIN_LIMIT
    };
    command::run_logged("rust-src", &mut add, &log, limit)?;
    match find() {
        Some(compiler) => Ok(compiler),
        None => bail!("rustup installed no rust-src"),
    }
}

fn installed() -> Vec<PathBuf> {
    let home = std::env::var_os("RUSTUP_HOME").map(PathBuf::from);
    let user = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".rustup"));
    let Some(home) = home.or(user) else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir(home.join("toolchains")) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|dir| name(dir).starts_with("nightly") && dir.join("bin/rustc").exists())
        .collect()
}

fn has_source(toolchain: &Path) -> bool {
    toolchain
        .join("lib/rustlib/src/rust/library/core/Cargo.toml")
        .exists()
}

fn name(toolchain: &Path) -> String {
    toolchain
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
