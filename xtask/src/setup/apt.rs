//! Debian packages, installed without questions and without starting anything.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::LONG;
use crate::{command, paths};

/// Debian's way to say "start no services on install".
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs the packages that are missing. The lists are fetched anew only if that fails.
pub fn install(packages: &[&str]) -> Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .copied()
        .filter(|name| !is_installed(name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if command::which("apt-get").is_none() {
        bail!(
            "these Debian packages are missing, and there is no apt-get: {}",
            missing.join(" ")
        );
    }
    if !command::is_root() {
        bail!(
            "packages are missing: sudo apt-get install {}",
            missing.join(" ")
        );
    }
    let _policy = Policy::install();
    let mut args = vec!["install", "-y", "--no-install-recommends"];
    args.extend(&missing);
    if apt_get(&args).is_ok() {
        return Ok(());
    }
    update()?;
    apt_get(&args).with_context(|| format!("apt-get install {}", missing.join(" ")))
}

/// Fetches the lists of packages.
pub fn update() -> Result<()> {
    if !command::is_root() {
        bail!("not root: sudo apt-get update");
    }
    apt_get(&["update"])
}

/// Does apt know this package?
pub fn knows(package: &str) -> bool {
    command::output(Command::new("apt-cache").args(["show", package]))
        .is_ok_and(|said| !said.is_empty())
}

fn is_installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f=${db:Status-Status}", package]);
    command::output(&mut query).is_ok_and(|said| said == "installed")
}

fn apt_get(args: &[&str]) -> Result<()> {
    let mut apt = Command::new("apt-get");
    apt.args(["-o", "DPkg::Lock::Timeout=300", "-q"]).args(args);
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    command::run_logged(
        "apt",
        &mut apt,
        &paths::target().join("setup-apt.log"),
        LONG,
    )
}

/// Keeps installed daemons from starting, for as long as it lives.
struct Policy;

impl Policy {
    fn install() -> Option<Self> {
        if Path::new(POLICY).exists() {
            return None;
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n").ok()?;
        let policy = Self;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)).ok()?;
        Some(policy)
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        // Where it stays, daemons stay down until somebody removes it: worth a word.
        if let Err(error) = fs::remove_file(POLICY) {
            eprintln!("cannot remove {POLICY}: {error}");
        }
    }
}
