//! `cargo xtask`: everything a developer or a new user runs on this repository.

mod bench;
mod build;
mod check;
mod command;
mod demo;
mod live;
mod paths;
mod process;
mod rig;
mod setup;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Sets up, builds, tests and shows threadline.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find or install what building the kernel programs needs.
    Setup,
    /// Build the kernel programs and the agent.
    Build(build::Options),
    /// Run every test this machine can run, and say which it can't and why.
    Test(test::Options),
    /// Trace three sample Go services under load and compare the spans with what really happened.
    Demo(demo::Options),
    /// Compare spans with the ground truth that sample services wrote.
    Check(check::Options),
    /// Measure what tracing costs.
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Setup => setup::run(),
        Task::Build(options) => build::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Demo(options) => demo::run(&options),
        Task::Check(options) => check::run(&options),
        Task::Bench(options) => bench::run(&options),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
