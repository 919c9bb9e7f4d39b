//! `cargo xtask demo`: three unchanged Go services traced whole, and the proof.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::rig::golang::{Build, Programs};
use crate::rig::{self, Collector, Exporter, Load, Outcome, Protocol};
use crate::{build, check, command, paths};

/// How the spans are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Otlp {
    /// To a real OpenTelemetry Collector by gRPC.
    Grpc,
    /// To a real OpenTelemetry Collector by HTTP/protobuf.
    Http,
    /// To a file, as JSON lines.
    None,
}

/// What to show.
#[derive(clap::Args)]
pub struct Options {
    /// How long to send requests, e.g. 20s or 500ms.
    #[arg(long = "for", default_value = "20s", value_parser = duration)]
    time: Duration,
    /// Concurrent clients.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Where the spans go; grpc and http build a collector first, which takes some minutes once.
    #[arg(long, value_enum, default_value_t = Otlp::None)]
    otlp: Otlp,
    /// Use a debug build of the agent.
    #[arg(long)]
    debug: bool,
    /// Use this agent instead of building one.
    #[arg(long, conflicts_with = "debug")]
    agent: Option<PathBuf>,
    /// Example traces to print.
    #[arg(long, default_value_t = 3)]
    trees: usize,
    /// Keep spans, ground truth and logs in .demo/ (they are removed after a good run).
    #[arg(long)]
    keep: bool,
}

/// The command.
pub fn run(options: &Options) -> Result<bool> {
    if !command::is_root() {
        bail!("tracing needs root: sudo env \"PATH=$PATH\" cargo xtask demo");
    }
    let dir = paths::root().join(".demo");
    eprintln!("building the agent and the sample services");
    let agent = match &options.agent {
        Some(agent) => agent.clone(),
        None => build::all(!options.debug)?,
    };
    let programs = Programs::build(&dir.join("bin"), Build::default())?;
    let exporter = exporter(options.otlp)?;
    eprintln!(
        "tracing services a, b and c for {:.1} s under {} clients",
        options.time.as_secs_f64(),
        options.clients
    );
    let load = Load::mixed(options.clients, options.time);
    let outcome = rig::trace(&agent, &programs, &dir, exporter, &load)
        .with_context(|| format!("logs are in {}", dir.display()))?;
    print(&outcome, options.trees);
    let good = outcome.report.is_good();
    if good && !options.keep {
        remove_files(&dir)?;
    } else {
        eprintln!("spans, ground truth and logs are in {}", dir.display());
    }
    Ok(good)
}

fn exporter(otlp: Otlp) -> Result<Exporter> {
    Ok(match otlp {
        Otlp::None => Exporter::Json,
        Otlp::Grpc => Exporter::Otlp(Collector::start("demo", Protocol::Grpc)?),
        Otlp::Http => Exporter::Otlp(Collector::start("demo", Protocol::Http)?),
    })
}

fn print(outcome: &Outcome, trees: usize) {
    println!("\n{}", check::examples(&outcome.spans, trees));
    for key in ["backend", "requests_seen", "spans_exported", "spans_lost"] {
        if !outcome.status[key].is_null() {
            println!("agent: {key} {}", outcome.status[key]);
        }
    }
    print!("{}", outcome.report);
}

fn remove_files(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir)?.flatten() {
        if entry.path().is_file() {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// `20s`, `500ms`, `2m`, or seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("`{text}` is not a time: 20s, 500ms, 2m"))?;
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(number)),
        "" | "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(60 * number)),
        unit => Err(format!("unknown unit `{unit}`: use ms, s or m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_a_unit() {
        assert_eq!(duration("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("3"), Ok(Duration::from_secs(3)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("2h").is_err() && duration("").is_err() && duration("s").is_err());
    }
}
