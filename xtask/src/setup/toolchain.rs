//! A compiler for kernel programs, and how cargo is told to use it.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{command, paths};

/// Where `core` for the kernel's target comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built from rust-src by a rustup nightly.
    Nightly,
    /// Prebuilt, by Debian's packages.
    Debian,
}

/// A compiler that can make kernel programs.
#[derive(Clone, Debug)]
pub struct Compiler {
    /// Where it comes from.
    pub origin: Origin,
    /// Folder of `cargo` and `rustc`.
    pub bin: PathBuf,
}

/// A compiler with a linker that reads what it writes.
pub struct Toolchain {
    compiler: Compiler,
    linker: PathBuf,
}

impl Compiler {
    /// Joins it with a linker.
    pub fn with_linker(&self, linker: PathBuf) -> Toolchain {
        Toolchain {
            compiler: self.clone(),
            linker,
        }
    }

    /// Major version of its LLVM.
    pub fn llvm(&self) -> Result<u32> {
        let said = command::output(Command::new(self.bin.join("rustc")).arg("-vV"))?;
        said.lines()
            .find_map(|line| {
                line.strip_prefix("LLVM version: ")?
                    .split('.')
                    .next()?
                    .parse()
                    .ok()
            })
            .with_context(|| {
                format!(
                    "rustc in {} does not tell its LLVM version",
                    self.bin.display()
                )
            })
    }
}

impl Toolchain {
    /// `cargo TASK` for the kernel programs, release profile.
    pub fn cargo(&self, task: &str) -> Command {
        let bin = &self.compiler.bin;
        let mut cargo = Command::new(bin.join("cargo"));
        command::forget_cargo(&mut cargo);
        cargo
            .current_dir(paths::root().join("ebpf"))
            .args([
                task,
                "--release",
                "--locked",
                "--target",
                "bpfel-unknown-none",
            ])
            .env("PATH", search_path(bin))
            .env("RUSTC", bin.join("rustc"))
            .env("RUSTFLAGS", self.flags());
        match self.compiler.origin {
            Origin::Nightly => cargo.arg("-Zbuild-std=core"),
            // The target is unstable; Debian's compiler is a stable one that has its `core`.
            Origin::Debian => cargo.env("RUSTC_BOOTSTRAP", "1"),
        };
        cargo
    }

    fn flags(&self) -> String {
        let linker = self.linker.display();
        let arch = std::env::consts::ARCH;
        format!("--cfg bpf_target_arch=\"{arch}\" -Cdebuginfo=2 -Clink-arg=--btf -Clinker={linker}")
    }

    /// Has it a linter?
    pub fn has_clippy(&self) -> bool {
        self.compiler.bin.join("cargo-clippy").exists()
    }

    /// Is it Debian's?
    pub fn is_debian(&self) -> bool {
        self.compiler.origin == Origin::Debian
    }
}

/// The compiler's own folder first: `cargo clippy` looks for its driver there.
fn search_path(bin: &std::path::Path) -> std::ffi::OsString {
    let old = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(bin.to_path_buf()).chain(std::env::split_paths(&old));
    std::env::join_paths(all).unwrap_or(old)
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = match self.compiler.origin {
            Origin::Nightly => "rustup nightly with rust-src",
            Origin::Debian => "Debian's rustc-web with its core for bpf",
        };
        write!(
            f,
            "{origin} ({}), {}",
            self.compiler.bin.display(),
            self.linker.display()
        )
    }
}
