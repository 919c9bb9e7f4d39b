//! Building the sample services.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{command, paths, setup};

/// Built programs in one folder: `a`, `b`, `c` and `load`.
pub struct Programs {
    bin: PathBuf,
}

/// How they are built.
#[derive(Clone, Copy, Default)]
pub struct Build<'a> {
    /// `GOTOOLCHAIN`; the machine's own where there is none.
    pub toolchain: Option<&'a str>,
    /// Without symbol table and debug information. (Else only b is.)
    pub stripped: bool,
}

const STRIP: &str = "-s -w";

impl Programs {
    /// Builds them into `bin`.
    pub fn build(bin: &Path, build: Build<'_>) -> Result<Self> {
        setup::go()?;
        fs::create_dir_all(bin).with_context(|| format!("cannot make {}", bin.display()))?;
        let flags = if build.stripped { STRIP } else { "" };
        go_build(build, flags, "./service", &bin.join("a"))?;
        // Two differently built copies of one program run at once.
        go_build(build, STRIP, "./service", &bin.join("b"))?;
        copy(&bin.join("a"), &bin.join("c"))?;
        go_build(Build::default(), "", "./load", &bin.join("load"))?;
        Ok(Self {
            bin: bin.to_path_buf(),
        })
    }

    /// Path of a service.
    pub fn service(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// Path of the load generator.
    pub fn load(&self) -> PathBuf {
        self.bin.join("load")
    }
}

/// Folder of the sources.
pub fn sources() -> PathBuf {
    paths::root().join("tests/services")
}

fn go_build(build: Build<'_>, ldflags: &str, package: &str, out: &Path) -> Result<()> {
    let mut go = Command::new("go");
    go.current_dir(sources())
        .args(["build", "-buildvcs=false", "-ldflags", ldflags, "-o"]);
    go.arg(out).arg(package);
    if let Some(toolchain) = build.toolchain {
        go.env("GOTOOLCHAIN", toolchain);
    }
    command::output(&mut go)?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    // Remove first: a running program's file cannot be written.
    if to.exists() {
        fs::remove_file(to)?;
    }
    fs::copy(from, to).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(())
}
