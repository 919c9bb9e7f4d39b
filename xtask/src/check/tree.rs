//! A few traces as trees.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;

use super::span::{Side, Span, Spans};

/// A trace larger than this fills the screen.
const LARGEST: usize = 24;

/// Some traces of different entry points, the larger first.
pub fn examples(spans: &Spans, count: usize) -> String {
    let mut traces: HashMap<&str, Vec<&Span>> = HashMap::new();
    for span in &spans.all {
        traces.entry(&span.trace).or_default().push(span);
    }
    let mut shown: Vec<_> = traces
        .into_values()
        .filter(|trace| trace.len() <= LARGEST)
        .collect();
    shown.sort_by(|a, b| {
        b.len()
            .cmp(&a.len())
            .then_with(|| a[0].trace.cmp(&b[0].trace))
    });
    let mut seen = HashSet::new();
    shown.retain(|trace| seen.insert(entry(trace)));
    shown.iter().take(count).map(|trace| tree(trace)).collect()
}

/// The handler a trace began with.
fn entry(trace: &[&Span]) -> String {
    let first = trace
        .iter()
        .min_by_key(|span| (span.parent.is_some(), span.start));
    let path = first.map_or("", |span| span.path.as_str());
    path.rsplit_once('/')
        .map_or("", |(handler, _)| handler)
        .to_owned()
}

fn tree(trace: &[&Span]) -> String {
    let known: HashSet<&str> = trace.iter().map(|span| span.id.as_str()).collect();
    let mut children: BTreeMap<&str, Vec<&Span>> = BTreeMap::new();
    for span in trace {
        let parent = span
            .parent
            .as_deref()
            .filter(|parent| known.contains(parent))
            .unwrap_or("");
        children.entry(parent).or_default().push(span);
    }
    for below in children.values_mut() {
        below.sort_by_key(|span| span.start);
    }
    let mut out = format!("trace {} ({} spans)\n", trace[0].trace, trace.len());
    branch(&children, "", "", &mut out);
    out.push('\n');
    out
}

fn branch(children: &BTreeMap<&str, Vec<&Span>>, parent: &str, indent: &str, out: &mut String) {
    let below = children.get(parent).map_or(&[][..], Vec::as_slice);
    for (at, span) in below.iter().enumerate() {
        let last = at + 1 == below.len();
        let (edge, next) = if last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{indent}{edge}{}", line(span));
        if !span.id.is_empty() {
            branch(children, &span.id, &format!("{indent}{next}"), out);
        }
    }
}

fn line(span: &Span) -> String {
    let side = if span.side == Side::Server {
        "server"
    } else {
        "client"
    };
    let mut line = format!("{} {side} {}", span.service, span.name);
    if span.side == Side::Client {
        line += &format!(" {}", span.path);
    }
    if let Some(status) = span.status {
        line += &format!(" {status}");
    }
    line += &format!(" {:.1} ms", span.duration() as f64 / 1e6);
    if let Some(evidence) = &span.evidence {
        line += &format!(" [{evidence}]");
    }
    line
}
