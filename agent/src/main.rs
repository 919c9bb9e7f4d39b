//! The command line: reads settings, wires the stages, says how it ended.

use std::process::ExitCode;

use threadline::cli::{self, Command, Exit, Invocation};

mod command;

fn main() -> ExitCode {
    let invocation = match cli::parse() {
        Ok(invocation) => invocation,
        Err(error) => return error.report().into(),
    };
    start_log(&invocation);
    for warning in &invocation.warnings {
        tracing::warn!("{warning}");
    }
    let done = match &invocation.cli.command {
        Command::Run(args) => command::run::run(&invocation, args),
        Command::Record(args) => command::run::record(&invocation, args),
        Command::Replay(args) => command::replay::replay(&invocation, args),
        Command::Plan(args) => command::plan::plan(&invocation, args),
        Command::Status(args) => command::status::status(args),
    };
    match done {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => {
            eprintln!("error: {}", failure.text);
            if let Some(remedy) = failure.remedy {
                eprintln!("  {remedy}");
            }
            failure.exit.into()
        }
    }
}

fn start_log(invocation: &Invocation) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("RUST_LOG").unwrap_or_else(|_| {
        let level = invocation.cli.command.log_level();
        tracing_subscriber::EnvFilter::new(format!("off,threadline={}", level.name()))
    });
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr())
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false)
        .init();
}
