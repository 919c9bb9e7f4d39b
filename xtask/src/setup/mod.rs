//! `cargo xtask setup`: what building the kernel programs needs, found or installed.
//!
//! Two ways lead to a `core` for `bpfel-unknown-none`: a rustup nightly with the source of the
//! standard library, or the one that Debian ships prebuilt. Both need bpf-linker, made with an LLVM
//! that is not older than the compiler's.

mod apt;
mod debian;
mod linker;
mod nightly;
mod toolchain;

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::command;
pub use toolchain::Toolchain;

/// Longest time for anything that downloads and builds.
const LONG: Duration = Duration::from_secs(1800);

/// The command: says what is there, and what is missing for tests and the demo.
pub fn run() -> Result<bool> {
    let toolchain = ready()?;
    println!("kernel programs: {toolchain}");
    match go() {
        Ok(version) => println!("sample services: {version}"),
        Err(error) => println!("sample services (demo and tests only): {error:#}"),
    }
    Ok(true)
}

/// The toolchain of the kernel programs, installed where it is missing. Quick where nothing is.
pub fn ready() -> Result<Toolchain> {
    let found: Vec<_> = nightly::find().into_iter().chain(debian::find()).collect();
    for compiler in &found {
        if let Some(linker) = linker::find(compiler) {
            return Ok(compiler.with_linker(linker));
        }
    }
    let compiler = match found.into_iter().next() {
        Some(compiler) => compiler,
        None => install_compiler()?,
    };
    let linker = match linker::find(&compiler) {
        Some(linker) => linker,
        None => linker::install(&compiler)?,
    };
    Ok(compiler.with_linker(linker))
}

fn install_compiler() -> Result<toolchain::Compiler> {
    let no_nightly = match nightly::install() {
        Ok(compiler) => return Ok(compiler),
        Err(error) => error,
    };
    eprintln!("no rustup nightly with rust-src ({no_nightly:#}); trying Debian's packages");
    debian::install().with_context(|| {
        format!(
            "building the kernel programs needs one of\n  \
             - a rustup nightly with rust-src: rustup toolchain install {} --profile minimal --component rust-src\n    ({no_nightly:#})\n  \
             - Debian's: apt-get install {}",
            nightly::PINNED,
            debian::PACKAGES.join(" ")
        )
    })
}

/// Installs the linter of the kernel programs where Debian has it; says why where it cannot.
pub fn kernel_clippy(toolchain: &Toolchain) -> Result<()> {
    if toolchain.has_clippy() {
        return Ok(());
    }
    if toolchain.is_debian() {
        return apt::install(&[debian::CLIPPY]);
    }
    bail!(
        "no clippy: rustup component add clippy --toolchain {}",
        nightly::PINNED
    )
}

/// Version of Go, or what to do where there is none.
pub fn go() -> Result<String> {
    if command::which("go").is_none() {
        bail!(
            "go was not found: install Go 1.21 or newer from https://go.dev/dl or by apt-get install golang"
        );
    }
    let version = command::output(std::process::Command::new("go").arg("version"))?;
    Ok(version.trim().to_owned())
}
