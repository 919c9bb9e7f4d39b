//! Spans, whichever exporter wrote them.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::otlp;

/// Which side of a request a span shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Side {
    /// The one that sent it.
    #[default]
    Client,
    /// The one that received it.
    Server,
}

/// What is compared of a span.
#[derive(Clone, Debug, Default)]
pub struct Span {
    /// Trace, as hexadecimal text.
    pub trace: String,
    /// Span, as hexadecimal text.
    pub id: String,
    /// Parent, if it has one.
    pub parent: Option<String>,
    /// Side.
    pub side: Side,
    /// Name.
    pub name: String,
    /// `service.name`.
    pub service: String,
    /// Nanoseconds since the epoch.
    pub start: u64,
    /// Nanoseconds since the epoch.
    pub end: u64,
    /// `url.path`, or the path in `url.full`.
    pub path: String,
    /// `http.route`.
    pub route: Option<String>,
    /// `http.response.status_code`.
    pub status: Option<i64>,
    /// `threadline.link.evidence`.
    pub evidence: Option<String>,
    /// Number of span links.
    pub links: usize,
}

impl Span {
    /// The request it belongs to: the path's last segment.
    pub fn request(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// How long it took, in nanoseconds.
    pub fn duration(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Takes the attributes that matter here.
    pub fn set(&mut self, key: &str, value: &Value) {
        let text = || value.as_str().map(str::to_owned);
        match key {
            "url.path" => self.path = text().unwrap_or_default(),
            "url.full" if self.path.is_empty() => self.path = path_of(&text().unwrap_or_default()),
            "http.route" => self.route = text(),
            "http.response.status_code" => {
                self.status = value.as_i64().or_else(|| value.as_str()?.parse().ok());
            }
            "threadline.link.evidence" => self.evidence = text(),
            "service.name" => self.service = text().unwrap_or_default(),
            _ => {}
        }
    }
}

fn path_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    path.split(['?', '#']).next().unwrap_or_default().to_owned()
}

/// All spans, found by id and by request.
#[derive(Default)]
pub struct Spans {
    /// In the order of the file.
    pub all: Vec<Span>,
    by_id: HashMap<String, usize>,
    by_request: HashMap<(Side, String), Vec<usize>>,
    /// Spans whose id another span had already.
    pub repeated_ids: usize,
}

impl Spans {
    /// Reads the agent's JSON lines or the collector's.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// Parses lines.
    pub fn parse(text: &str) -> Result<Self> {
        let mut all = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line: Value =
                serde_json::from_str(line).with_context(|| format!("line {}", number + 1))?;
            if line.get("resourceSpans").is_some() {
                otlp::spans(&line, &mut all);
            } else if let Some(span) = agent_line(&line) {
                all.push(span);
            }
        }
        Ok(Self::index(all))
    }

    /// Indexes them.
    pub fn index(all: Vec<Span>) -> Self {
        let mut spans = Self::default();
        for (at, span) in all.iter().enumerate() {
            if spans.by_id.insert(span.id.clone(), at).is_some() {
                spans.repeated_ids += 1;
            }
            let key = (span.side, span.request().to_owned());
            spans.by_request.entry(key).or_default().push(at);
        }
        for found in spans.by_request.values_mut() {
            found.sort_by_key(|at| all[*at].start);
        }
        spans.all = all;
        spans
    }

    /// By id.
    pub fn get(&self, id: &str) -> Option<&Span> {
        self.by_id.get(id).map(|at| &self.all[*at])
    }

    /// Of a request at one side, in order of time.
    pub fn of(&self, side: Side, request: &str) -> Vec<&Span> {
        let key = (side, request.to_owned());
        self.by_request
            .get(&key)
            .into_iter()
            .flatten()
            .map(|at| &self.all[*at])
            .collect()
    }
}

/// One line of `threadline run --output json`; other lines are not spans.
fn agent_line(line: &Value) -> Option<Span> {
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let side = match line["kind"].as_str()? {
        "server" | "SERVER" => Side::Server,
        "client" | "CLIENT" => Side::Client,
        _ => return None,
    };
    let mut span = Span {
        trace: text("trace_id"),
        id: text("span_id"),
        parent: line["parent_span_id"]
            .as_str()
            .filter(|id| !id.is_empty())
            .map(str::to_owned),
        side,
        name: text("name"),
        service: text("service"),
        start: line["start_unix_ns"].as_u64()?,
        end: line["end_unix_ns"].as_u64()?,
        links: line["links"].as_array().map_or(0, Vec::len),
        ..Span::default()
    };
    for (key, value) in line["attributes"].as_object().into_iter().flatten() {
        span.set(key, value);
    }
    Some(span)
}
