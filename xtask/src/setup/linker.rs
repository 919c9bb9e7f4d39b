//! bpf-linker: turns the compiler's bitcode into an object the kernel takes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::toolchain::Compiler;
use super::{LONG, apt};
use crate::{command, paths};

/// The version the object is built with.
const VERSION: &str = "0.13.0";
/// LLVM versions it can be built with, the best one first.
const LLVM: [u32; 3] = [22, 23, 21];

/// A linker of the pinned version that reads what this compiler writes.
pub fn find(compiler: &Compiler) -> Option<PathBuf> {
    let own = paths::tools().join("bin/bpf-linker");
    let wanted = compiler.llvm().ok()?;
    [Some(own), command::which("bpf-linker")]
        .into_iter()
        .flatten()
        .filter(|linker| linker.exists())
        .find(|linker| is_pinned(linker) && llvm_of(linker).is_none_or(|llvm| llvm >= wanted))
}

/// Builds it, in the repository's own folder of tools.
pub fn install(compiler: &Compiler) -> Result<PathBuf> {
    let llvm = llvm_for(compiler.llvm()?)?;
    let prefix = prefix(llvm);
    let mut cargo = command::cargo();
    command::forget_cargo(&mut cargo);
    cargo.args([
        "install",
        "bpf-linker",
        "--version",
        VERSION,
        "--no-default-features",
    ]);
    cargo
        .arg("--features")
        .arg(format!("llvm-{llvm}"))
        .arg("--root")
        .arg(paths::tools());
    cargo.env("LLVM_PREFIX", &prefix);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(prefix.join("bin")).chain(std::env::split_paths(&path));
    cargo.env("PATH", std::env::join_paths(path)?);
    let log = paths::target().join("setup-bpf-linker.log");
    command::run_logged("bpf-linker (a minute or two)", &mut cargo, &log, LONG)?;
    find(compiler).context("the bpf-linker just built does not fit the compiler")
}

/// An LLVM not older than the compiler's: a newer one reads older bitcode, not the other way round.
fn llvm_for(least: u32) -> Result<u32> {
    let fitting: Vec<u32> = LLVM.into_iter().filter(|llvm| *llvm >= least).collect();
    if let Some(llvm) = fitting.iter().copied().find(|llvm| is_complete(*llvm)) {
        return Ok(llvm);
    }
    let known = || {
        fitting
            .iter()
            .copied()
            .find(|llvm| apt::knows(&package(*llvm)))
    };
    let Some(llvm) = known().or_else(|| apt::update().ok().and_then(|()| known())) else {
        bail!(
            "bpf-linker {VERSION} needs LLVM {least} or newer with headers, and no package has it; \
             get a built one: cargo binstall bpf-linker@{VERSION}"
        );
    };
    apt::install(&[&package(llvm), &format!("libpolly-{llvm}-dev")])?;
    Ok(llvm)
}

fn package(llvm: u32) -> String {
    format!("llvm-{llvm}-dev")
}

fn prefix(llvm: u32) -> PathBuf {
    format!("/usr/lib/llvm-{llvm}").into()
}

fn is_complete(llvm: u32) -> bool {
    let prefix = prefix(llvm);
    prefix.join("bin/llvm-config").exists()
        && prefix.join("include/llvm-c/Core.h").exists()
        && prefix.join("lib/libPolly.a").exists()
}

fn is_pinned(linker: &Path) -> bool {
    let said = command::output(Command::new(linker).arg("--version"));
    said.is_ok_and(|said| said.trim() == format!("bpf-linker {VERSION}"))
}

/// Version of the LLVM library it loads; `None` where that is built in.
fn llvm_of(linker: &Path) -> Option<u32> {
    llvm_in(&command::output(Command::new("ldd").arg(linker)).ok()?)
}

fn llvm_in(ldd: &str) -> Option<u32> {
    let name = ldd
        .lines()
        .find_map(|line| line.trim().strip_prefix("libLLVM"))?;
    let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    digits[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::llvm_in;

    #[test]
    fn llvm_version_is_read_from_both_forms_of_the_library_name() {
        assert_eq!(
            llvm_in("\tlibLLVM.so.22.1 => /usr/lib/llvm-22/lib/libLLVM.so.22.1 (0x7f)\n"),
            Some(22)
        );
        assert_eq!(
            llvm_in("\tlibc.so.6 => /lib/libc.so.6\n\tlibLLVM-19.so => /usr/lib/x\n"),
            Some(19)
        );
        assert_eq!(
            llvm_in("\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6\n"),
            None
        );
    }
}
