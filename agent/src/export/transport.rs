//! One attempt to hand a request to a backend, whatever the protocol.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::bytes::Bytes;

use super::grpc::Grpc;
use super::http::Http;
use super::retry::Failure;
use super::settings::{Otlp, Protocol};
use super::{ExportError, otlp};
use crate::span::model::Span;

/// Sent as `User-Agent`.
pub(super) const USER_AGENT: &str = concat!("threadline/", env!("CARGO_PKG_VERSION"));

/// What the backend said to a request it accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Accepted {
    /// Spans it did not take.
    pub(super) rejected: u64,
    /// Why, or a warning.
    pub(super) message: String,
}

impl From<ExportTraceServiceResponse> for Accepted {
    fn from(response: ExportTraceServiceResponse) -> Self {
        let partial = response.partial_success.unwrap_or_default();
        Self {
            rejected: u64::try_from(partial.rejected_spans).unwrap_or(0),
            message: partial.error_message,
        }
    }
}

/// A connection to a backend.
pub(super) enum Transport {
    /// OTLP/gRPC.
    Grpc(Box<Grpc>),
    /// OTLP/HTTP.
    Http(Http),
}

impl Transport {
    /// Connects lazily: only the settings are checked here. Needs a runtime's context.
    pub(super) fn new(settings: &Otlp) -> Result<Self, ExportError> {
        let pem = Pem::read(settings)?;
        Ok(match settings.protocol {
            Protocol::Grpc => Self::Grpc(Box::new(Grpc::new(settings, pem)?)),
            Protocol::HttpProtobuf | Protocol::HttpJson => Self::Http(Http::new(settings, pem)?),
        })
    }

    /// The bytes of one request; the same ones serve every attempt.
    pub(super) fn encode(&self, spans: Vec<Span>) -> Result<Bytes, Failure> {
        let request = otlp::request(spans);
        match self {
            Self::Grpc(_) => Ok(prost::Message::encode_to_vec(&request).into()),
            Self::Http(http) => http.encode(&request),
        }
    }

    /// One attempt.
    pub(super) async fn send(&self, body: Bytes) -> Result<Accepted, Failure> {
        match self {
            Self::Grpc(grpc) => grpc.send(body).await,
            Self::Http(http) => http.send(body).await,
        }
    }
}

/// Certificates and key as read from their files.
pub(super) struct Pem {
    /// Authorities to trust instead of the system's.
    pub(super) authorities: Option<Vec<u8>>,
    /// Our certificate and its key.
    pub(super) identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Pem {
    fn read(settings: &Otlp) -> Result<Self, ExportError> {
        let certificate = |path: &Path| read(path, "CERTIFICATE-----");
        Ok(Self {
            authorities: settings
                .certificate
                .as_deref()
                .map(certificate)
                .transpose()?,
            identity: match &settings.identity {
                Some((path, key)) => Some((certificate(path)?, read(key, "PRIVATE KEY-----")?)),
                None => None,
            },
        })
    }
}

/// Reads a PEM file that holds `what`: the libraries take one without as an empty list, and only
/// the first connection would fail.
fn read(path: &Path, what: &str) -> Result<Vec<u8>, ExportError> {
    let unreadable = |source| ExportError::Certificate {
        path: PathBuf::from(path),
        source,
    };
    let pem = fs::read(path).map_err(unreadable)?;
    if !String::from_utf8_lossy(&pem).contains(what) {
        let problem = format!("no {} in it", what.trim_end_matches('-'));
        return Err(unreadable(io::Error::new(ErrorKind::InvalidData, problem)));
    }
    Ok(pem)
}

/// An error with its causes on one line; the outermost alone says too little ("transport error").
pub(super) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::export::{Settings, start};

    fn refusal(env: &[(&str, &str)]) -> String {
        let env: HashMap<_, _> = env.iter().copied().collect();
        let settings = Settings::from_env(|name| env.get(name).map(|&value| value.to_owned()));
        let error = start(&settings.unwrap(), Default::default()).unwrap_err();
        with_causes(&error)
    }

    #[test]
    fn certificates_that_cannot_be_used_are_refused_at_the_start() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let name = file.path().to_str().unwrap();
        for protocol in ["grpc", "http/protobuf"] {
            let base = [
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://localhost"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ];
            let with = |more: &[(&'static str, &str)]| refusal(&[&base, more].concat());
            let missing = with(&[("OTEL_EXPORTER_OTLP_CERTIFICATE", "/does/not/exist")]);
            assert!(
                missing.starts_with("cannot read /does/not/exist: No such file"),
                "{missing}"
            );
            let empty = with(&[("OTEL_EXPORTER_OTLP_CERTIFICATE", name)]);
            assert_eq!(empty, format!("cannot read {name}: no CERTIFICATE in it"));
            fs::write(
                name,
                "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n",
            )
            .unwrap();
            let keyless = with(&[
                ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", name),
                ("OTEL_EXPORTER_OTLP_CLIENT_KEY", name),
            ]);
            assert_eq!(keyless, format!("cannot read {name}: no PRIVATE KEY in it"));
            fs::write(name, "").unwrap();
        }
    }

    #[test]
    fn a_header_that_grpc_cannot_carry_is_refused_at_the_start() {
        let refused = refusal(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "trace-bin=1"),
        ]);
        assert!(refused.contains("`trace-bin`"), "{refused}");
    }
}
