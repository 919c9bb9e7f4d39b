//! OTLP over HTTP/1.1, as protobuf or JSON.

use std::io::Write;
use std::net::IpAddr;
use std::time::SystemTime;

use flate2::Compression as Level;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use prost::bytes::Bytes;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::{Certificate, Client, Identity, Response, Url};

use super::ExportError;
use super::look::harmless;
use super::retry::{self, Failure, Retry};
use super::settings::{Compression, Otlp, Protocol};
use super::transport::{Accepted, Pem, USER_AGENT, with_causes};

/// As much of an answer is read as this; an honest one has a few hundred bytes.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// As much of a refusal's text goes into the log.
const MAX_REASON_CHARS: usize = 200;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// A client for one URL.
pub(super) struct Http {
    client: Client,
    url: Url,
    headers: HeaderMap,
    json: bool,
    gzip: bool,
}

impl Http {
    pub(super) fn new(settings: &Otlp, pem: Pem) -> Result<Self, ExportError> {
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .timeout(settings.timeout)
            .http1_only()
            // A redirected POST would arrive as a GET.
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(&settings.endpoint) {
            builder = builder.no_proxy();
        }
        if let Some(authorities) = &pem.authorities {
            builder = builder.tls_built_in_root_certs(false);
            for authority in Certificate::from_pem_bundle(authorities).map_err(refused)? {
                builder = builder.add_root_certificate(authority);
            }
        }
        if let Some((certificate, key)) = &pem.identity {
            let both = [certificate.as_slice(), b"\n", key].concat();
            builder = builder.identity(Identity::from_pem(&both).map_err(refused)?);
        }
        let json = settings.protocol == Protocol::HttpJson;
        let gzip = settings.compression == Compression::Gzip;
        Ok(Self {
            client: builder.build().map_err(refused)?,
            url: settings.endpoint.clone(),
            headers: headers(settings, json, gzip)?,
            json,
            gzip,
        })
    }

    pub(super) fn encode(&self, request: &ExportTraceServiceRequest) -> Result<Bytes, Failure> {
        let plain = if self.json {
            serde_json::to_vec(request).map_err(|error| Failure::last(error.to_string()))?
        } else {
            request.encode_to_vec()
        };
        if !self.gzip {
            return Ok(plain.into());
        }
        let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
        encoder
            .write_all(&plain)
            .and_then(|()| encoder.finish())
            .map(Bytes::from)
            .map_err(|error| Failure::last(error.to_string()))
    }

    pub(super) async fn send(&self, body: Bytes) -> Result<Accepted, Failure> {
        let response = self
            .client
            .post(self.url.clone())
            .headers(self.headers.clone())
            .body(body)
            .send()
            .await
            .map_err(not_sent)?;
        let status = response.status();
        if status.is_success() {
            return accepted(response).await;
        }
        let after = response.headers().get(RETRY_AFTER);
        let after = after.and_then(|value| value.to_str().ok());
        let retry = retry::http(status.as_u16(), after, SystemTime::now());
        let why = format!("HTTP {status}{}", reason(response).await);
        Err(Failure { why, retry })
    }
}

fn headers(settings: &Otlp, json: bool, gzip: bool) -> Result<HeaderMap, ExportError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &settings.headers {
        let bad = || ExportError::Header(name.clone());
        let mut value = HeaderValue::from_str(value).map_err(|_| bad())?;
        value.set_sensitive(true);
        headers.append(HeaderName::try_from(name).map_err(|_| bad())?, value);
    }
    let content_type = if json { JSON } else { PROTOBUF };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(headers)
}

/// Reads what the backend says of partial success. An answer that is not OTLP's still means
/// "taken", with two exceptions: a web page (the port is something else's), and one cut short.
async fn accepted(response: Response) -> Result<Accepted, Failure> {
    let kind = content_type(&response);
    if kind.starts_with("text/html") {
        return Err(Failure::last("the answer is a web page, not OTLP"));
    }
    let body = body(response).await.map_err(not_sent)?;
    let decoded = if kind.starts_with(JSON) {
        serde_json::from_slice::<ExportTraceServiceResponse>(&body).ok()
    } else {
        ExportTraceServiceResponse::decode(body.as_slice()).ok()
    };
    Ok(decoded.map_or_else(Accepted::default, Accepted::from))
}

fn content_type(response: &Response) -> String {
    let value = response.headers().get(CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_ascii_lowercase()
}

async fn body(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = MAX_ANSWER_BYTES - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == MAX_ANSWER_BYTES {
            break;
        }
    }
    Ok(body)
}

/// The text of a refusal, if it is one for people, shortened and harmless for a terminal.
async fn reason(response: Response) -> String {
    let kind = content_type(&response);
    if !(kind.starts_with("text/plain") || kind.starts_with(JSON)) {
        return String::new();
    }
    let body = body(response).await.unwrap_or_default();
    let text: String = String::from_utf8_lossy(&body)
        .trim()
        .chars()
        .take(MAX_REASON_CHARS)
        .collect();
    match text.is_empty() {
        true => text,
        false => format!(": {}", harmless(&text)),
    }
}

/// No answer at all: worth another attempt unless the request itself cannot be made.
fn not_sent(error: reqwest::Error) -> Failure {
    // The address is in the log line already, and may hold credentials.
    let error = error.without_url();
    let why = if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        with_causes(&error)
    };
    let retry = match error.is_builder() {
        true => Retry::Never,
        false => Retry::Soon,
    };
    Failure { why, retry }
}

fn refused(error: reqwest::Error) -> ExportError {
    ExportError::Tls(with_causes(&error))
}

/// A proxy has no business with a collector on this machine.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_from_the_rest() {
        for url in [
            "http://localhost:1",
            "http://127.0.0.9",
            "https://[::1]:4318/x",
        ] {
            assert!(is_loopback(&Url::parse(url).unwrap()), "{url}");
        }
        for url in [
            "http://localhost.example",
            "http://10.0.0.1",
            "http://[::2]",
        ] {
            assert!(!is_loopback(&Url::parse(url).unwrap()), "{url}");
        }
    }
}
