//! The settings, each declared once: the field's `id` is its key in the YAML file, `long` the flag,
//! `env` the environment variable, the doc comment the text in help and reference.
//!
//! Order: flag, environment, file, default. Exporters are configured by the standard `OTEL_*`
//! environment, read elsewhere; the file may carry such variables under `otel`.

mod file;
mod layers;
mod reference;
#[cfg(test)]
mod tests;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

pub use file::{ConfigFile, FileError};
pub use layers::{SettingError, layer, unknown_variables};
pub use reference::reference;
pub use values::duration;

/// Where the running agent answers `threadline status`, unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/threadline/threadline.sock";

/// Everything that can be set by flag, environment and file.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Settings {
    /// Which processes.
    #[command(flatten)]
    pub select: SelectSettings,
    /// Kernel side.
    #[command(flatten)]
    pub capture: CaptureSettings,
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

/// Which processes are traced.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Which processes")]
pub struct SelectSettings {
    /// Trace only these: exe:GLOB, port:N or N-M, pid:N, container:GLOB, cgroup:GLOB,
    /// k8s:NAMESPACE/GLOB; a bare word is an exe: glob; `!` in front excludes. Repeatable,
    /// comma-separated. Not given: everything but the agent and telemetry backends.
    #[arg(id = "targets", long = "target", short = 't', env = "THREADLINE_TARGETS",
        value_name = "TARGET", value_delimiter = ',', value_parser = values::target)]
    pub targets: Vec<String>,
    /// Export process.command_args. Arguments often hold passwords.
    #[arg(id = "process.command_args", long = "command-args", env = "THREADLINE_COMMAND_ARGS",
        value_parser = BoolishValueParser::new())]
    pub command_args: bool,
}

/// How the kernel side works.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Kernel side")]
pub struct CaptureSettings {
    /// Which kernel hooks feed the agent; auto takes the cheapest that the kernel allows.
    #[arg(
        id = "backend",
        long = "backend",
        env = "THREADLINE_BACKEND",
        value_name = "BACKEND",
        value_enum,
        default_value = "auto"
    )]
    pub backend: Backend,
    /// Set no breakpoints in programs: requests are seen, goroutines are not. In the environment
    /// and the file: `false`.
    #[arg(id = "uprobes", long = "no-uprobes", env = "THREADLINE_UPROBES",
        action = clap::ArgAction::SetFalse, value_parser = BoolishValueParser::new())]
    pub uprobes: bool,
    /// Size of the ring buffer, all CPUs together; rounded up to a power of two.
    #[arg(id = "ring.bytes", long = "ring-bytes", env = "THREADLINE_RING_BYTES",
        value_name = "SIZE", default_value = "8MiB", value_parser = values::ring_bytes)]
    pub ring_bytes: u32,
    /// Bytes copied at most of one message whose header block is not complete yet.
    #[arg(id = "capture.max_bytes", long = "max-bytes", env = "THREADLINE_MAX_BYTES",
        value_name = "SIZE", default_value = "64KiB", value_parser = values::max_bytes)]
    pub max_bytes: u32,
}

/// What becomes a span, and what is in it.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Spans")]
pub struct SpanSettings {
    /// A request open for so long is reported while it goes on.
    #[arg(id = "span.long_after", long = "long-after", env = "THREADLINE_LONG_AFTER",
        value_name = "DURATION", default_value = "60s", value_parser = values::duration)]
    pub long_after: Duration,
    /// Values of URL queries: replaced, or exported as they are.
    #[arg(
        id = "queries",
        long = "queries",
        env = "THREADLINE_QUERIES",
        value_name = "HOW",
        value_enum,
        default_value = "redact"
    )]
    pub queries: Queries,
}

/// Where spans go.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Output")]
pub struct OutputSettings {
    /// text and json print to the terminal, otlp sends to the backend of
    /// OTEL_EXPORTER_OTLP_ENDPOINT. Not given: as OTEL_TRACES_EXPORTER says, else otlp where an
    /// endpoint is configured, else text.
    #[arg(
        id = "output",
        long = "output",
        env = "THREADLINE_OUTPUT",
        value_name = "FORMAT",
        value_enum
    )]
    pub output: Option<Output>,
}

/// The agent itself.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Agent")]
pub struct AgentSettings {
    /// Unix socket of `threadline status`. One agent runs per socket.
    #[arg(id = "status.socket", long = "socket", env = "THREADLINE_SOCKET",
        value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// Least urgent log lines that are printed (to standard error).
    #[arg(
        id = "log.level",
        long = "log-level",
        env = "THREADLINE_LOG_LEVEL",
        value_name = "LEVEL",
        value_enum,
        default_value = "info"
    )]
    pub log_level: LogLevel,
}

/// Kernel hooks that feed the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// The cheapest that works.
    #[default]
    Auto,
    /// Trampolines on kernel functions (BTF).
    Fentry,
    /// Breakpoints on kernel functions.
    Kprobe,
    /// System call tracepoints only.
    Tracepoint,
}

impl Backend {
    /// The name as typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tracepoint",
        }
    }
}

/// Values of URL queries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Queries {
    /// Names stay, values are replaced.
    #[default]
    Redact,
    /// Exported as sent.
    Keep,
}

/// Where spans go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Trace trees on standard output.
    #[value(alias = "console")]
    Text,
    /// One JSON line per span on standard output.
    Json,
    /// OTLP, configured by `OTEL_EXPORTER_OTLP_*`.
    Otlp,
    /// Nowhere; requests are still counted.
    None,
}

/// Urgency of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// Only what fails.
    Error,
    /// What is missing or wrong.
    Warn,
    /// What the agent does.
    #[default]
    Info,
    /// How it does it.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The name as typed, also a directive of `tracing_subscriber::EnvFilter`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// All settings as clap knows them: the one place that other modules ask for keys.
fn declared() -> clap::Command {
    Settings::augment_args(clap::Command::new("settings"))
}
