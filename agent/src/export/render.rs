//! A trace as lines of text: a tree, durations at the right, a bar for where in the trace each
//! span lies.

use std::collections::HashSet;

use super::look::{Look, Paint, Text};
use super::rows::{Row, rows};
use super::tree::Trace;
use crate::span::model::{Span, SpanKind, Status, Value};

/// Columns of a bar.
const BAR: usize = 20;
/// Columns of a duration.
const DURATION: usize = 9;
/// Columns at the right that the text leaves free: a space, the duration, a space, the bar in
/// its frame.
const RESERVED: usize = 1 + DURATION + 1 + BAR + 2;
/// The trace as text, with an empty line after it.
pub(super) fn render(trace: &Trace, look: Look) -> String {
    let extent = Extent::of(&trace.spans);
    let mut out = head(trace, &extent, look);
    for row in rows(&trace.spans) {
        out.push_str(&row.line(&extent, look));
    }
    out.push('\n');
    out
}

/// From the first start to the last end.
struct Extent {
    start: u64,
    end: u64,
}

impl Extent {
    fn of(spans: &[Span]) -> Self {
        let start = spans.iter().map(|span| span.start_unix_ns).min();
        let end = spans.iter().map(|span| span.end_unix_ns).max();
        Self {
            start: start.unwrap_or(0),
            end: end.unwrap_or(0),
        }
    }

    fn column(&self, at: u64) -> usize {
        let length = u128::from(self.end.saturating_sub(self.start)).max(1);
        let place = u128::from(at.saturating_sub(self.start)) * BAR as u128 / length;
        place.min(BAR as u128) as usize
    }

    fn bar(&self, span: &Span) -> (usize, usize) {
        let from = self.column(span.start_unix_ns).min(BAR - 1);
        let to = self.column(span.end_unix_ns).clamp(from + 1, BAR);
        (from, to)
    }
}

fn head(trace: &Trace, extent: &Extent, look: Look) -> String {
    let mut line = Text::new(look, 0);
    let id = trace.spans.first().map(|span| span.trace_id.to_string());
    let services: HashSet<_> = trace.spans.iter().map(service).collect();
    let errors = trace.spans.iter().filter(|span| is_error(span)).count();
    line.push(Paint::Dim, "trace ");
    line.push(Paint::Bold, &id.unwrap_or_default());
    let facts = format!(
        "  {}, {}, {}",
        count(trace.spans.len(), "span"),
        count(services.len(), "service"),
        duration(extent.end.saturating_sub(extent.start)),
    );
    line.push(Paint::Dim, &facts);
    if errors > 0 {
        line.push(Paint::Dim, ", ");
        line.push(Paint::Red, &count(errors, "error"));
    }
    if trace.continued {
        line.push(Paint::Dim, ", continued");
    }
    if let Some(cut) = trace.cut {
        line.push(Paint::Dim, &format!(", {cut}"));
    }
    line.finish()
}

impl Row<'_> {
    fn line(&self, extent: &Extent, look: Look) -> String {
        let span = self.span;
        let mut line = Text::new(look, RESERVED);
        line.push(Paint::Dim, &self.branches);
        self.describe(&mut line);
        line.align();
        let long = duration(span.end_unix_ns.saturating_sub(span.start_unix_ns));
        line.push(Paint::Plain, &format!(" {long:>DURATION$} "));
        let (from, to) = extent.bar(span);
        let bar = if is_error(span) {
            Paint::Red
        } else {
            Paint::Blue
        };
        line.push(Paint::Dim, "|");
        line.push(Paint::Plain, &" ".repeat(from));
        line.push(bar, &"█".repeat(to - from));
        line.push(Paint::Plain, &" ".repeat(BAR - to));
        line.push(Paint::Dim, "|");
        line.finish()
    }

    fn describe(&self, line: &mut Text) {
        let span = self.span;
        let error = is_error(span);
        line.push(Paint::Bold, service(span));
        if span.kind == SpanKind::Client {
            line.push(Paint::Dim, " →");
        }
        line.push(Paint::Plain, " ");
        line.push(if error { Paint::Red } else { Paint::Plain }, &span.name);
        if let Some(target) = target(span) {
            line.push(Paint::Dim, &format!("  {target}"));
        }
        let status = status(span);
        if !status.is_empty() {
            line.push(
                if error { Paint::Red } else { Paint::Plain },
                &format!("  {status}"),
            );
        }
        for note in self.notes() {
            line.push(Paint::Dim, &format!("  {note}"));
        }
    }

    /// Evidence and gaps.
    fn notes(&self) -> Vec<String> {
        let span = self.span;
        let mut notes = Vec::new();
        if let Some(evidence) = text(span, "threadline.link.evidence") {
            notes.push(format!("<- {evidence}"));
        }
        if let (true, Some(parent)) = (self.parent_missing, span.parent_span_id) {
            notes.push(format!("(parent {parent} not seen)"));
        }
        match number(span, "threadline.link.candidates") {
            Some(1) => notes.push("linked to 1 candidate".into()),
            Some(n) => notes.push(format!("linked to {n} candidates")),
            None if span.links.is_empty() => {}
            None => notes.push(format!("linked to {}", count(span.links.len(), "span"))),
        }
        if let Some(reason) = text(span, "threadline.incomplete") {
            notes.push(format!("incomplete: {reason}"));
        }
        notes
    }
}

/// Where a request went: the server of a client span, and the path unless the name tells it.
fn target(span: &Span) -> Option<String> {
    let path = text(span, "url.path").filter(|path| !span.name.ends_with(path));
    let server = match span.kind {
        SpanKind::Client => text(span, "server.address"),
        SpanKind::Server => None,
    };
    let port = number(span, "server.port").map_or_else(String::new, |port| format!(":{port}"));
    match (server, path) {
        (Some(server), path) => Some(format!("{server}{port}{}", path.unwrap_or_default())),
        (None, path) => path.map(str::to_owned),
    }
}

/// Status code, and what went wrong where a code does not say it.
fn status(span: &Span) -> String {
    let code = number(span, "http.response.status_code").map(|code| code.to_string());
    let kind = text(span, "error.type").filter(|kind| Some(*kind) != code.as_deref());
    let message = match &span.status {
        Status::Error(message) if !message.is_empty() => Some(message.as_str()),
        Status::Error(_) if kind.is_none() && code.is_none() => Some("error"),
        _ => None,
    };
    let parts = [code.as_deref(), kind, message];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn is_error(span: &Span) -> bool {
    matches!(span.status, Status::Error(_))
}

fn service(span: &Span) -> &str {
    span.resource.service_name()
}

fn attribute<'a>(span: &'a Span, key: &str) -> Option<&'a Value> {
    let found = span.attributes.iter().find(|(name, _)| *name == key);
    found.map(|(_, value)| value)
}

fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    match attribute(span, key)? {
        Value::String(text) => Some(text),
        Value::Static(text) => Some(text),
        _ => None,
    }
}

fn number(span: &Span, key: &str) -> Option<i64> {
    match attribute(span, key)? {
        Value::Int(number) => Some(*number),
        _ => None,
    }
}

fn count(n: usize, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {what}{plural}")
}

/// Three or four figures and a unit, never wider than its column.
fn duration(ns: u64) -> String {
    let value = |unit: f64| ns as f64 / unit;
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.0} us", value(1e3).floor()),
        1_000_000..10_000_000 => format!("{:.2} ms", value(1e6)),
        10_000_000..10_000_000_000 => format!("{:.1} ms", value(1e6)),
        10_000_000_000..1_000_000_000_000 => format!("{:.1} s", value(1e9)),
        1_000_000_000_000..1_000_000_000_000_000 => format!("{:.0} s", value(1e9)),
        _ => "> 11 days".to_owned(),
    }
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
