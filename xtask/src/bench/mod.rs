//! `cargo xtask bench http`: what tracing costs a small HTTP service, beside the OpenTelemetry SDK.
//!
//! One server, three ways: with nothing, watched by threadline, and with the SDK's own middleware.
//! The rounds are interleaved, so that whatever else the machine does hits all three alike; load is
//! steady, so that all three do the same work.

mod round;
mod table;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::rig::golang;
use crate::{build, command, paths};
use round::{Bench, Mode};
use table::Table;

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// A hello server: application CPU per request, agent CPU per span, memory, spans lost.
    Http(Http),
}

/// How to measure it.
#[derive(clap::Args)]
pub struct Http {
    /// Rounds of each way.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds a round.
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Requests a second (0: as many as the server answers).
    #[arg(long, default_value_t = 4000)]
    rate: u32,
    /// Kept connections.
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// Use this agent instead of building one.
    #[arg(long)]
    agent: Option<PathBuf>,
}

/// The command.
pub fn run(options: &Options) -> Result<bool> {
    let What::Http(http) = &options.what;
    if !command::is_root() {
        bail!("tracing needs root: sudo env \"PATH=$PATH\" cargo xtask bench http");
    }
    let bin = paths::target().join("bench/bin");
    let agent = match &http.agent {
        Some(agent) => agent.clone(),
        None => build::all(true)?,
    };
    let bench_sources = paths::root().join("tests/bench");
    go_build(&bench_sources, "./hello", &bin)?;
    go_build(&bench_sources, "./hello-sdk", &bin)?;
    go_build(&golang::sources(), "./blast", &bin)?;
    let bench = Bench { bin, agent, http };
    let mut table = Table::default();
    for round in 1..=http.rounds {
        for mode in Mode::ALL {
            eprintln!("round {round} of {}: {}", http.rounds, mode.name());
            table.add(mode, bench.round(mode)?);
        }
    }
    print!("{table}");
    Ok(true)
}

fn go_build(sources: &std::path::Path, package: &str, bin: &std::path::Path) -> Result<()> {
    std::fs::create_dir_all(bin)?;
    let mut go = Command::new("go");
    go.current_dir(sources)
        .args(["build", "-buildvcs=false", "-o"])
        .arg(bin)
        .arg(package);
    command::output(&mut go).map(drop)
}
