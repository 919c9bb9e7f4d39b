//! One file per command.

pub mod plan;
pub mod replay;
pub mod run;
pub mod status;

use std::error::Error;

use threadline::cli::{Exit, Invocation};
use threadline::config;
use threadline::export;

/// Why a command failed, and what to do about it.
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What went wrong, causes included.
    pub text: String,
    /// What helps.
    pub remedy: Option<String>,
}

impl Failure {
    pub fn new(exit: Exit, error: &dyn Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Some errors repeat their cause in their own words.
            if !text.contains(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            source = cause.source();
        }
        Self {
            exit,
            text,
            remedy: None,
        }
    }

    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// Exporter settings: the standard environment, and `--output` above it.
pub fn exporters(
    invocation: &Invocation,
    output: Option<config::Output>,
) -> Result<export::Settings, Failure> {
    let mut settings = export::Settings::from_env(|name| invocation.otel(name))
        .map_err(|error| Failure::new(Exit::Usage, &error))?;
    let (kind, format) = match output {
        None => return Ok(settings),
        Some(config::Output::Text) => (export::Kind::Console, export::Output::Trees),
        Some(config::Output::Json) => (export::Kind::Console, export::Output::Json),
        Some(config::Output::Otlp) => (export::Kind::Otlp, export::Output::Trees),
        Some(config::Output::None) => (export::Kind::None, export::Output::Trees),
    };
    settings.output = format;
    // A terminal format beside an OTLP exporter that the environment asks for is one more exporter.
    let asked = invocation.otel("OTEL_TRACES_EXPORTER").is_some();
    if !(asked && kind == export::Kind::Console && settings.exporters.contains(&kind)) {
        settings.exporters = vec![kind];
    }
    Ok(settings)
}
