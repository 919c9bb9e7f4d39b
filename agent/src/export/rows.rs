//! Spans of a trace in the order and with the branches of a tree.

use std::collections::HashMap;

use crate::span::model::{Span, SpanId};

/// Deeper levels are not moved further to the right.
const MAX_INDENT: usize = 12;

/// A span and where it hangs.
pub(super) struct Row<'a> {
    pub(super) span: &'a Span,
    pub(super) branches: String,
    pub(super) parent_missing: bool,
}

/// A span still to be placed: index, the branches of the level above it, its own branch.
type Waiting = (usize, String, &'static str);

/// Depth first, children by start. Every span is shown exactly once, whatever its ids claim: what
/// cannot be reached from a root (circles, repeated ids) is a root.
pub(super) fn rows(spans: &[Span]) -> Vec<Row<'_>> {
    let mut owner = HashMap::new();
    for (index, span) in spans.iter().enumerate() {
        owner.entry(span.span_id).or_insert(index);
    }
    let mut children: HashMap<SpanId, Vec<usize>> = HashMap::new();
    let mut roots = Vec::new();
    for (index, span) in spans.iter().enumerate() {
        match span.parent_span_id.filter(|id| owner.contains_key(id)) {
            Some(parent) => children.entry(parent).or_default().push(index),
            None => roots.push(index),
        }
    }
    let by_start = |index: &usize| spans[*index].start_unix_ns;
    roots.sort_by_key(by_start);
    let mut rows = Vec::with_capacity(spans.len());
    let mut placed = vec![false; spans.len()];
    for start in roots.into_iter().chain(0..spans.len()) {
        let mut stack: Vec<Waiting> = vec![(start, String::new(), "")];
        while let Some((index, above, branch)) = stack.pop() {
            if std::mem::replace(&mut placed[index], true) {
                continue;
            }
            let span = &spans[index];
            rows.push(Row {
                span,
                branches: format!("{above}{branch}"),
                parent_missing: span
                    .parent_span_id
                    .is_some_and(|id| !owner.contains_key(&id)),
            });
            // Taken out: of spans with the same id the first has the children.
            let mut below = children.remove(&span.span_id).unwrap_or_default();
            below.sort_by_key(by_start);
            let above = deeper(above, branch);
            for (nth, child) in below.into_iter().rev().enumerate() {
                let branch = if nth == 0 { "└─ " } else { "├─ " };
                stack.push((child, above.clone(), branch));
            }
        }
    }
    rows
}

/// What stands before the branches of a span's children.
fn deeper(mut above: String, branch: &str) -> String {
    if above.chars().count() < 3 * MAX_INDENT {
        above.push_str(match branch {
            "" => "",
            "├─ " => "│  ",
            _ => "   ",
        });
    }
    above
}
