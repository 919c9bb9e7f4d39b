//! `cargo xtask test`: every test this machine can run.

mod cargo;
mod tally;

use std::path::PathBuf;

use anyhow::Result;

use crate::rig::golang;
use crate::setup::Toolchain;
use crate::{build, command, live, paths, setup};
pub use tally::{Tally, Verdict};

/// What to run.
#[derive(clap::Args)]
pub struct Options {
    /// Only tests whose name contains this.
    filter: Option<String>,
    /// Leave out the live tests (which need root and BPF).
    #[arg(long)]
    offline: bool,
    /// Run the live tests only, of this agent instead of a new one.
    #[arg(long, value_name = "FILE", conflicts_with = "offline")]
    live: Option<PathBuf>,
}

/// The command.
pub fn run(options: &Options) -> Result<bool> {
    let filter = options.filter.as_deref().unwrap_or_default();
    let mut tally = Tally::new(filter);
    if let Some(agent) = &options.live {
        live::tests(&mut tally, Some(agent))?;
        return Ok(tally.finish());
    }
    let toolchain = setup::ready()?;
    // Everything else embeds or inspects the object.
    build::kernel_programs(&toolchain)?;
    style(&mut tally, &toolchain);
    services(&mut tally);
    cargo::tests(&mut tally)?;
    live::object_tests(&mut tally);
    if !options.offline {
        live::tests(&mut tally, None)?;
    }
    Ok(tally.finish())
}

/// Format and lints of both workspaces.
fn style(tally: &mut Tally, toolchain: &Toolchain) {
    tally.check("style: rustfmt", || {
        cargo::quiet(&["fmt", "--all", "--check"])
    });
    tally.check("style: rustfmt of the kernel programs", || {
        cargo::quiet(&["fmt", "--manifest-path", "ebpf/Cargo.toml", "--check"])
    });
    tally.check("style: clippy", || {
        cargo::quiet(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ])
    });
    tally.check("style: clippy of the kernel programs", || {
        kernel_clippy(toolchain)
    });
}

fn kernel_clippy(toolchain: &Toolchain) -> Result<Verdict> {
    if let Err(error) = setup::kernel_clippy(toolchain) {
        return Ok(Verdict::Skipped(format!("{error:#}")));
    }
    let mut clippy = toolchain.cargo("clippy");
    clippy
        .arg("--target-dir")
        .arg(paths::target().join("bpf/clippy"));
    clippy.args(["--", "--deny", "warnings"]);
    cargo::told(&mut clippy)
}

/// The sample services are Go; so are their tests.
fn services(tally: &mut Tally) {
    tally.check("services: gofmt and go test", || {
        if let Err(error) = setup::go() {
            return Ok(Verdict::Skipped(format!("{error:#}")));
        }
        let unformatted = command::output(
            std::process::Command::new("gofmt")
                .arg("-l")
                .arg(".")
                .current_dir(golang::sources()),
        )?;
        if !unformatted.trim().is_empty() {
            return Ok(Verdict::Failed(format!("gofmt: {}", unformatted.trim())));
        }
        let mut go = std::process::Command::new("go");
        go.args(["test", "./..."]).current_dir(golang::sources());
        cargo::told(&mut go)
    });
}
