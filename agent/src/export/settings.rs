//! Where spans go: the standard `OTEL_*` environment as one plain value, checked when it is read.
//! What each variable means is OpenTelemetry's; what differs here is said at the field.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

/// Everything the exporters need to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `OTEL_TRACES_EXPORTER`, a comma list. Not set: `otlp` if an endpoint is set, else `console`.
    pub exporters: Vec<Kind>,
    /// `OTEL_EXPORTER_OTLP_*`.
    pub otlp: Otlp,
    /// `OTEL_BSP_*`.
    pub batch: Batch,
    /// How the console exporter writes.
    pub output: Output,
    /// Decisions worth a log line, e.g. a protocol chosen by port.
    pub notes: Vec<String>,
}

/// An exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// OTLP to a collector or backend.
    Otlp,
    /// To standard output.
    Console,
    /// Nowhere; spans count as exported.
    None,
}

/// Format of the console exporter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// Trace trees for people.
    #[default]
    Trees,
    /// One JSON object per span and line.
    Json,
}

/// How OTLP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with protobuf.
    HttpProtobuf,
    /// OTLP/HTTP with JSON.
    HttpJson,
}

/// Compression of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As is.
    None,
    /// gzip.
    Gzip,
}

/// Where OTLP goes, and how.
#[derive(Clone, PartialEq)]
pub struct Otlp {
    /// Complete URL; for HTTP with the path that is posted to.
    pub endpoint: Url,
    /// `OTEL_EXPORTER_OTLP_PROTOCOL`. Not set: `grpc` if the endpoint's port is 4317, else
    /// `http/protobuf`.
    pub protocol: Protocol,
    /// `OTEL_EXPORTER_OTLP_HEADERS`, decoded; names in lower case.
    pub headers: Vec<(String, String)>,
    /// `OTEL_EXPORTER_OTLP_COMPRESSION`.
    pub compression: Compression,
    /// `OTEL_EXPORTER_OTLP_TIMEOUT`: of one attempt.
    pub timeout: Duration,
    /// `OTEL_EXPORTER_OTLP_CERTIFICATE`: PEM file; the only authorities trusted then.
    pub certificate: Option<PathBuf>,
    /// `OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE` and `_CLIENT_KEY`: PEM files.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Otlp {
    /// The endpoint for logs: without user, password and query.
    pub fn shown_endpoint(&self) -> String {
        let mut shown = self.endpoint.clone();
        // Both fail only for URLs without a host, which have none of these.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        shown.set_query(None);
        shown.to_string()
    }
}

/// Headers are credentials as a rule: their values are not shown.
impl fmt::Debug for Otlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Otlp")
            .field("endpoint", &self.shown_endpoint())
            .field("protocol", &self.protocol)
            .field("header_names", &names)
            .field("compression", &self.compression)
            .field("timeout", &self.timeout)
            .field("certificate", &self.certificate)
            .field("identity", &self.identity)
            .finish()
    }
}

/// How spans are batched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// `OTEL_BSP_SCHEDULE_DELAY`: how long a span waits for company. 200 ms here, not 5 s: a lone
    /// span should be seen within a second.
    pub schedule_delay: Duration,
    /// `OTEL_BSP_MAX_QUEUE_SIZE`: 32,768 spans here, not 2,048: one agent speaks for a whole node,
    /// and that many (about 40 MiB) bridge a second or two of a busy one. Also bounded in bytes.
    pub max_queue_size: usize,
    /// `OTEL_BSP_MAX_EXPORT_BATCH_SIZE`.
    pub max_export_batch_size: usize,
    /// `OTEL_BSP_EXPORT_TIMEOUT`: of a batch with all its attempts.
    pub export_timeout: Duration,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            schedule_delay: Duration::from_millis(200),
            max_queue_size: 32_768,
            max_export_batch_size: 512,
            export_timeout: Duration::from_secs(30),
        }
    }
}

/// A variable with a value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable}={value}: {allowed}")]
pub struct SettingsError {
    /// The variable.
    pub variable: String,
    /// Its value; of headers only the name.
    pub value: String,
    /// What is allowed.
    pub allowed: String,
}

impl Settings {
    /// Reads the environment through `lookup`. Empty values count as not set.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let env = super::env::Env::new(&lookup);
        let mut notes = Vec::new();
        let otlp = env.otlp(&mut notes)?;
        Ok(Self {
            exporters: env.exporters()?,
            otlp,
            batch: env.batch()?,
            output: Output::default(),
            notes,
        })
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
