//! Compares spans with the ground truth that sample services wrote: is every request there, under
//! its true parent, with its true times?

mod distribution;
mod judge;
mod kind;
mod otlp;
mod report;
mod span;
mod tree;
mod truth;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use anyhow::Result;

pub use report::Report;
pub use span::{Side, Span, Spans};
pub use truth::Truth;

/// Files to compare.
#[derive(clap::Args)]
pub struct Options {
    /// Spans: the agent's JSON lines, or the collector's OTLP JSON lines.
    #[arg(long)]
    spans: PathBuf,
    /// Ground truth, one file per process.
    #[arg(required = true)]
    truth: Vec<PathBuf>,
    /// Print so many example traces.
    #[arg(long, default_value_t = 0)]
    trees: usize,
}

/// The command.
pub fn run(options: &Options) -> Result<bool> {
    let truth = Truth::read(&options.truth)?;
    let spans = Spans::read(&options.spans)?;
    let report = compare(&truth, &spans);
    print!("{}{report}", tree::examples(&spans, options.trees));
    Ok(report.is_good())
}

/// Compares.
pub fn compare(truth: &Truth, spans: &Spans) -> Report {
    judge::judge(truth, spans)
}

/// A few whole traces as trees, for people.
pub fn examples(spans: &Spans, count: usize) -> String {
    tree::examples(spans, count)
}
