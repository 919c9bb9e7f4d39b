//! Commands, flags, help and exit codes.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{
    self, AgentSettings, ConfigFile, FileError, LogLevel, OutputSettings, SelectSettings,
    SettingError, Settings, SpanSettings,
};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  something failed while running
  2  usage: a flag, a variable or the configuration file is wrong
  3  not permitted, or this kernel cannot do it
  4  another instance runs already";

const RUN_EXAMPLES: &str = "\
Examples:
  threadline run                                  trace the node, print trace trees
  threadline run --target exe:shop --for 30s      one program, half a minute
  threadline run -t 'port:8080-8090,!exe:envoy'   by listening port, without envoy
  threadline run --output json | jq .name         one JSON line per span
  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 threadline run
                                                  send to any OTLP backend";

const EXAMPLES: &str = "\
Examples:
  sudo threadline run                             trace the node, print trace trees
  sudo threadline plan                            what would be traced, and how
  threadline status --json                        what the running agent counts
  sudo threadline record --output a.tl --for 10s  keep an event stream
  threadline replay a.tl --output json            turn it into spans, without root";

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Something failed while running.
    Failure = 1,
    /// A flag, a variable or the configuration file is wrong.
    Usage = 2,
    /// Not permitted, or this kernel cannot do it.
    NotPermitted = 3,
    /// Another instance runs.
    AlreadyRuns = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Distributed traces of unchanged programs: read only, nothing restarted.
#[derive(Parser, Clone, Debug)]
#[command(name = "threadline", version, propagate_version = true, after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Cli {
    /// YAML file with settings; flags and environment win over it.
    #[arg(
        long,
        global = true,
        env = "THREADLINE_CONFIG",
        value_name = "FILE",
        help_heading = "Agent"
    )]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Trace everything on this node.
    #[command(after_help = format!("{RUN_EXAMPLES}\n\n{EXIT_CODES}"))]
    Run(Box<RunArgs>),
    /// Tell what would be traced, by which probes, what is missing and why; change nothing.
    #[command(after_help = EXIT_CODES)]
    Plan(Box<PlanArgs>),
    /// Tell what the running agent sees, counts and costs.
    #[command(after_help = EXIT_CODES)]
    Status(StatusArgs),
    /// Write the event stream to a file instead of making spans.
    #[command(after_help = EXIT_CODES)]
    Record(Box<RecordArgs>),
    /// Make spans of a recorded event stream; needs no root.
    #[command(after_help = EXIT_CODES)]
    Replay(Box<ReplayArgs>),
}

/// `threadline run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Stop after this time (10s, 5m); not given: at Ctrl-C.
    #[arg(long = "for", value_name = "DURATION", value_parser = config::duration)]
    pub for_: Option<Duration>,
    /// Also write the event stream to this file (mode 0600, redacted).
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Do not redact the recording: it will hold passwords and tokens.
    #[arg(long, requires = "record")]
    pub record_raw: bool,
    /// Write the last status (as `status --json` tells it) to this file at the end.
    #[arg(long, value_name = "FILE")]
    pub status_file: Option<PathBuf>,
    /// Settings.
    #[command(flatten)]
    pub settings: Settings,
}

/// `threadline plan`.
#[derive(Args, Clone, Debug)]
pub struct PlanArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Settings.
    #[command(flatten)]
    pub settings: Settings,
}

/// `threadline status`.
#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    /// Print the agent's JSON document.
    #[arg(long)]
    pub json: bool,
    /// Settings.
    #[command(flatten)]
    pub agent: AgentSettings,
}

/// `threadline record`.
#[derive(Args, Clone, Debug)]
pub struct RecordArgs {
    /// The file to write (mode 0600, redacted).
    #[arg(
        long = "output",
        short = 'o',
        id = "record-output",
        value_name = "FILE"
    )]
    pub file: PathBuf,
    /// Stop after this time (10s, 5m); not given: at Ctrl-C.
    #[arg(long = "for", value_name = "DURATION", value_parser = config::duration)]
    pub for_: Option<Duration>,
    /// Do not redact: the recording will hold passwords and tokens.
    #[arg(long)]
    pub record_raw: bool,
    /// Which processes.
    #[command(flatten)]
    pub select: SelectSettings,
    /// Kernel side.
    #[command(flatten)]
    pub capture: config::CaptureSettings,
    /// The agent itself.
    #[command(flatten)]
    pub agent: AgentSettings,
}

/// `threadline replay`.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// The recording.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What becomes a span.
    #[command(flatten)]
    pub spans: SpanSettings,
    /// Where spans go.
    #[command(flatten)]
    pub output: OutputSettings,
    /// The agent itself.
    #[command(flatten)]
    pub agent: AgentSettings,
}

impl Command {
    /// Least urgent log lines that are printed.
    pub fn log_level(&self) -> LogLevel {
        match self {
            Self::Run(args) => args.settings.agent.log_level,
            Self::Plan(args) => args.settings.agent.log_level,
            Self::Status(args) => args.agent.log_level,
            Self::Record(args) => args.agent.log_level,
            Self::Replay(args) => args.agent.log_level,
        }
    }
}

/// What was asked for, all layers applied.
#[derive(Debug)]
pub struct Invocation {
    /// Command and settings.
    pub cli: Cli,
    /// The file, for its `otel` variables.
    pub file: Option<ConfigFile>,
    /// Given, but without effect.
    pub warnings: Vec<String>,
}

impl Invocation {
    /// An `OTEL_*` variable: from the environment, else from the file.
    pub fn otel(&self, name: &str) -> Option<String> {
        std::env::var(name)
            .ok()
            .filter(|value| !value.is_empty())
            .or_else(|| self.file.as_ref()?.otel.get(name).cloned())
    }
}

/// Why the agent does not know what to do.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Flags; also `--help` and `--version`.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// A value of the environment or the file.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
}

impl CliError {
    /// Prints it as clap does and says how the process ends.
    pub fn report(&self) -> Exit {
        if let Self::Usage(error) = self {
            // Nothing is left to do when even the terminal is gone.
            let _ = error.print();
        } else {
            eprintln!("error: {self}");
            let mut source = std::error::Error::source(self);
            while let Some(error) = source {
                eprintln!("  because: {error}");
                source = error.source();
            }
        }
        self.exit()
    }

    /// How the process ends.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(error)
                if matches!(
                    error.kind(),
                    ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
                ) =>
            {
                Exit::Ok
            }
            _ => Exit::Usage,
        }
    }
}

/// Reads flags, environment and file of this process.
pub fn parse() -> Result<Invocation, CliError> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let unknown = config::unknown_variables(names, &Cli::command());
    let mut invocation = parse_from(std::env::args_os(), &|name| std::env::var_os(name))?;
    invocation.warnings.extend(
        unknown
            .into_iter()
            .map(|name| format!("environment variable {name} is no setting of threadline")),
    );
    Ok(invocation)
}

/// The same from given words and variables.
pub fn parse_from(
    words: impl IntoIterator<Item = OsString>,
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Invocation, CliError> {
    let words: Vec<OsString> = words.into_iter().collect();
    // First without the file: flags and environment tell where it is.
    let mut cli = parse_layered(&words, env, None)?;
    let file = cli.config.as_deref().map(ConfigFile::read).transpose()?;
    if file.is_some() {
        cli = parse_layered(&words, env, file.as_ref())?;
    }
    Ok(Invocation {
        cli,
        file,
        warnings: Vec::new(),
    })
}

fn parse_layered(
    words: &[OsString],
    env: &dyn Fn(&str) -> Option<OsString>,
    file: Option<&ConfigFile>,
) -> Result<Cli, CliError> {
    let command = config::layer(Cli::command(), env, file)?;
    let matches = command.try_get_matches_from(words)?;
    Ok(Cli::from_arg_matches(&matches)?)
}
