//! `cargo xtask build`: the kernel programs, then the agent that embeds them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::setup::Toolchain;
use crate::{command, paths, setup};

/// What to build.
#[derive(clap::Args)]
pub struct Options {
    /// Build the agent optimised (the kernel programs always are).
    #[arg(long)]
    pub release: bool,
}

/// The command.
pub fn run(options: &Options) -> Result<bool> {
    let agent = all(options.release)?;
    eprintln!("built {}", agent.display());
    Ok(true)
}

/// Builds everything and gives the agent's path.
pub fn all(release: bool) -> Result<PathBuf> {
    let toolchain = setup::ready()?;
    kernel_programs(&toolchain)?;
    agent(release)
}

/// Builds the kernel programs; the object is touched only where it differs, so that the agent is
/// not built again for nothing.
pub fn kernel_programs(toolchain: &Toolchain) -> Result<()> {
    let build = paths::target().join("bpf/build");
    let mut cargo = toolchain.cargo("build");
    cargo.arg("--target-dir").arg(&build);
    command::run(&mut cargo).context("the kernel programs cannot be built")?;
    let built = build.join("bpfel-unknown-none/release/threadline-ebpf");
    copy_if_changed(&built, &paths::bpf_object())
}

fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let new = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(to, new).with_context(|| format!("cannot write {}", to.display()))
}

/// Builds the agent around the object.
fn agent(release: bool) -> Result<PathBuf> {
    let mut cargo = command::cargo();
    cargo.current_dir(paths::root()).args([
        "build",
        "--package",
        "threadline",
        "--bin",
        "threadline",
    ]);
    if release {
        cargo.arg("--release");
    }
    cargo.arg("--target-dir").arg(paths::target());
    cargo.env("THREADLINE_BPF_OBJECT", paths::bpf_object());
    command::run(&mut cargo).context("the agent cannot be built")?;
    Ok(paths::target()
        .join(if release { "release" } else { "debug" })
        .join("threadline"))
}
