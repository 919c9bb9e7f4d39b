//! Reading the `OTEL_*` variables: one function per kind of value, each naming what is allowed.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use super::settings::{Batch, Compression, Kind, Otlp, Protocol, SettingsError};

/// Longest time that can be set: a day. More would overflow clocks and means nothing.
const MAX_MS: u64 = 86_400_000;
/// Largest queue that can be set.
const MAX_QUEUE: u64 = 16 << 20;

/// A set variable.
struct Set {
    variable: String,
    value: String,
}

impl Set {
    fn refuse<T>(&self, allowed: impl Into<String>) -> Result<T, SettingsError> {
        Err(SettingsError {
            variable: self.variable.clone(),
            value: self.value.clone(),
            allowed: allowed.into(),
        })
    }

    fn number(&self, least: u64, most: u64) -> Result<u64, SettingsError> {
        match self.value.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => self.refuse(format!("allowed is a whole number, {least} to {most}")),
        }
    }

    fn millis(&self, least: u64) -> Result<Duration, SettingsError> {
        match self.number(least, MAX_MS) {
            Ok(ms) => Ok(Duration::from_millis(ms)),
            Err(_) => self.refuse(format!("allowed are milliseconds, {least} to {MAX_MS}")),
        }
    }

    fn choice<T: Copy>(&self, table: &[(&str, T)]) -> Result<T, SettingsError> {
        choice(&self.value, table).map_or_else(|| self.refuse(allowed(table)), Ok)
    }
}

fn choice<T: Copy>(value: &str, table: &[(&str, T)]) -> Option<T> {
    table
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(value))
        .map(|(_, choice)| *choice)
}

fn allowed<T>(table: &[(&str, T)]) -> String {
    let names: Vec<_> = table.iter().map(|(name, _)| *name).collect();
    format!("allowed: {}", names.join(", "))
}

/// The variables.
pub(super) struct Env<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
}

impl<'a> Env<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup }
    }

    fn get(&self, variable: impl Into<String>) -> Option<Set> {
        let variable = variable.into();
        let value = (self.lookup)(&variable)?.trim().to_owned();
        (!value.is_empty()).then_some(Set { variable, value })
    }

    /// `OTEL_EXPORTER_OTLP_TRACES_<name>`, else `OTEL_EXPORTER_OTLP_<name>`.
    fn otlp_var(&self, name: &str) -> Option<Set> {
        self.get(format!("OTEL_EXPORTER_OTLP_TRACES_{name}"))
            .or_else(|| self.get(format!("OTEL_EXPORTER_OTLP_{name}")))
    }

    pub(super) fn exporters(&self) -> Result<Vec<Kind>, SettingsError> {
        let Some(set) = self.get("OTEL_TRACES_EXPORTER") else {
            let otlp = self.otlp_var("ENDPOINT").is_some();
            return Ok(vec![if otlp { Kind::Otlp } else { Kind::Console }]);
        };
        let table = [
            ("otlp", Kind::Otlp),
            ("console", Kind::Console),
            ("none", Kind::None),
        ];
        let mut kinds = Vec::new();
        for name in set
            .value
            .split(',')
            .map(str::trim)
            .filter(|n| !n.is_empty())
        {
            match choice(name, &table) {
                Some(kind) if !kinds.contains(&kind) => kinds.push(kind),
                Some(_) => {}
                None => return set.refuse(allowed(&table) + " (a comma list)"),
            }
        }
        if kinds.is_empty() || (kinds.len() > 1 && kinds.contains(&Kind::None)) {
            return set.refuse("allowed: otlp, console or both; or none alone");
        }
        Ok(kinds)
    }

    pub(super) fn batch(&self) -> Result<Batch, SettingsError> {
        let mut batch = Batch::default();
        if let Some(set) = self.get("OTEL_BSP_SCHEDULE_DELAY") {
            batch.schedule_delay = set.millis(0)?;
        }
        if let Some(set) = self.get("OTEL_BSP_EXPORT_TIMEOUT") {
            batch.export_timeout = set.millis(1)?;
        }
        if let Some(set) = self.get("OTEL_BSP_MAX_QUEUE_SIZE") {
            batch.max_queue_size = set.number(1, MAX_QUEUE)? as usize;
        }
        let queue = batch.max_queue_size;
        batch.max_export_batch_size = match self.get("OTEL_BSP_MAX_EXPORT_BATCH_SIZE") {
            Some(set) => match set.number(1, queue as u64) {
                Ok(size) => size as usize,
                Err(_) => return set.refuse(format!("allowed: 1 to the queue's size, {queue}")),
            },
            None => batch.max_export_batch_size.min(queue),
        };
        Ok(batch)
    }

    pub(super) fn otlp(&self, notes: &mut Vec<String>) -> Result<Otlp, SettingsError> {
        let protocol = self.protocol(notes)?;
        let compression = match self.otlp_var("COMPRESSION") {
            Some(set) => set.choice(&[("gzip", Compression::Gzip), ("none", Compression::None)])?,
            None => Compression::None,
        };
        let timeout = match self.otlp_var("TIMEOUT") {
            Some(set) => set.millis(1)?,
            None => Duration::from_secs(10),
        };
        Ok(Otlp {
            endpoint: self.endpoint(protocol)?,
            protocol,
            headers: self.headers()?,
            compression,
            timeout,
            certificate: self.otlp_var("CERTIFICATE").map(|set| set.value.into()),
            identity: self.identity()?,
        })
    }

    fn protocol(&self, notes: &mut Vec<String>) -> Result<Protocol, SettingsError> {
        if let Some(set) = self.otlp_var("PROTOCOL") {
            return set.choice(&[
                ("grpc", Protocol::Grpc),
                ("http/protobuf", Protocol::HttpProtobuf),
                ("http/json", Protocol::HttpJson),
            ]);
        }
        match self.otlp_var("ENDPOINT") {
            Some(set) if port(&set.value) == Some(4317) => {
                notes.push(format!(
                    "{} names port 4317: using OTLP/gRPC (OTEL_EXPORTER_OTLP_PROTOCOL decides otherwise)",
                    set.variable
                ));
                Ok(Protocol::Grpc)
            }
            _ => Ok(Protocol::HttpProtobuf),
        }
    }

    /// The general endpoint is a base to which HTTP adds the signal's path, the signal's own one
    /// is taken as it is.
    fn endpoint(&self, protocol: Protocol) -> Result<Url, SettingsError> {
        let own = self.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        let is_base = own.is_none();
        let port = if protocol == Protocol::Grpc {
            4317
        } else {
            4318
        };
        let set = own
            .or_else(|| self.get("OTEL_EXPORTER_OTLP_ENDPOINT"))
            .unwrap_or_else(|| Set {
                variable: "OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(),
                value: format!("http://localhost:{port}"),
            });
        let mut text = set.value.clone();
        if !text.contains("://") {
            if protocol != Protocol::Grpc {
                return set.refuse("allowed is a URL that begins with http:// or https://");
            }
            // The one case for which the specification has this variable.
            text = format!(
                "{}://{text}",
                if self.insecure()? { "http" } else { "https" }
            );
        }
        let mut url = match Url::parse(&text) {
            Ok(url) if url.has_host() && matches!(url.scheme(), "http" | "https") => url,
            Ok(_) => return set.refuse("allowed is a URL that begins with http:// or https://"),
            Err(error) => return set.refuse(format!("not a URL: {error}")),
        };
        if is_base && protocol != Protocol::Grpc {
            let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        Ok(url)
    }

    fn insecure(&self) -> Result<bool, SettingsError> {
        self.otlp_var("INSECURE").map_or(Ok(false), |set| {
            set.choice(&[("true", true), ("false", false)])
        })
    }

    fn identity(&self) -> Result<Option<(PathBuf, PathBuf)>, SettingsError> {
        match (
            self.otlp_var("CLIENT_CERTIFICATE"),
            self.otlp_var("CLIENT_KEY"),
        ) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => {
                Ok(Some((certificate.value.into(), key.value.into())))
            }
            (Some(set), None) => set.refuse("needs OTEL_EXPORTER_OTLP_CLIENT_KEY beside it"),
            (None, Some(set)) => {
                set.refuse("needs OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE beside it")
            }
        }
    }

    /// `name=value,name=value`, values percent-encoded. An error shows no value: it may be a token.
    fn headers(&self) -> Result<Vec<(String, String)>, SettingsError> {
        let Some(set) = self.otlp_var("HEADERS") else {
            return Ok(Vec::new());
        };
        set.value
            .split(',')
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                header(pair).map_err(|(name, problem)| SettingsError {
                    variable: set.variable.clone(),
                    value: format!("{name}=..."),
                    allowed: format!(
                        "{problem}; allowed: name=value,name=value, values percent-encoded"
                    ),
                })
            })
            .collect()
    }
}

fn header(pair: &str) -> Result<(String, String), (String, &'static str)> {
    let (name, value) = pair
        .split_once('=')
        .ok_or((String::new(), "a header without `=`"))?;
    let name = name.trim();
    let fail = |problem| (name.to_owned(), problem);
    let name = HeaderName::from_str(name).map_err(|_| fail("not a header name"))?;
    let value = percent_decode_str(value.trim())
        .decode_utf8()
        .map_err(|_| fail("the value is not UTF-8"))?;
    if HeaderValue::from_str(&value).is_err() {
        return Err(fail("the value is not visible ASCII"));
    }
    Ok((name.as_str().to_owned(), value.into_owned()))
}

/// Port of an endpoint, with or without a scheme.
fn port(endpoint: &str) -> Option<u16> {
    match Url::parse(endpoint) {
        Ok(url) if url.has_host() => url.port(),
        _ => Url::parse(&format!("https://{endpoint}")).ok()?.port(),
    }
}
