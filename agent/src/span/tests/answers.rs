//! Questions about the spans that came of it.

use super::*;
use crate::span::model::Link;

impl World {
    /// Everything that left so far.
    pub fn out(&mut self) -> &[Span] {
        self.out.extend(self.spans.take());
        &self.out
    }

    pub fn done(&mut self) -> &[Span] {
        self.spans.finish();
        self.out()
    }

    pub fn span(&mut self, id: u64) -> Span {
        let span_id = self.ids[&id];
        let found = self.out().iter().rfind(|span| span.span_id == span_id);
        found.unwrap_or_else(|| panic!("no span of {id}")).clone()
    }

    pub fn is_out(&mut self, id: u64) -> bool {
        let span_id = self.ids[&id];
        self.out().iter().any(|span| span.span_id == span_id)
    }

    /// Is `child` right under `parent`, in its trace, with that evidence?
    pub fn under(&mut self, child: u64, parent: u64, evidence: &str) {
        let parent_id = self.ids[&parent];
        let (child, parent) = (self.span(child), self.span(parent));
        assert_eq!(child.parent_span_id, Some(parent_id));
        assert_eq!(child.trace_id, parent.trace_id);
        assert_eq!(
            text(&child, attributes::LINK_EVIDENCE),
            Some(evidence.to_owned())
        );
    }

    /// Is it a root with these links (target, reason)?
    pub fn root(&mut self, id: u64, links: &[(u64, &str)]) {
        let span = self.span(id);
        assert_eq!(span.parent_span_id, None);
        assert_eq!(text(&span, attributes::LINK_EVIDENCE), None);
        self.links(id, links);
    }

    pub fn links(&mut self, id: u64, links: &[(u64, &str)]) {
        let span = self.span(id);
        let found: Vec<_> = span
            .links
            .iter()
            .map(|l| (l.trace_id, l.span_id, reason(l)))
            .collect();
        let wanted = links.iter().map(|(to, reason)| {
            let to = self.span(*to);
            (to.trace_id, to.span_id, (*reason).to_owned())
        });
        let wanted: Vec<_> = wanted.collect();
        assert_eq!(found, wanted);
    }

    pub fn candidates(&mut self, id: u64) -> Option<i64> {
        match value(&self.span(id), attributes::LINK_CANDIDATES)? {
            Value::Int(n) => Some(n),
            other => panic!("{other:?}"),
        }
    }

    /// Every transaction that ended is a span or counted.
    pub fn balanced(&self) {
        for stage in [Stage::Span, Stage::Sampling] {
            let counts = self.ledger.counts(stage);
            let dropped: u64 = counts.dropped.values().sum();
            assert_eq!(counts.entered, counts.left + dropped, "{counts:?}");
        }
    }
}

pub fn value(span: &Span, key: &str) -> Option<Value> {
    let mut found = span.attributes.iter().filter(|(name, _)| *name == key);
    let value = found.next().map(|(_, value)| value.clone());
    assert!(found.next().is_none(), "{key} twice");
    value
}

pub fn text(span: &Span, key: &str) -> Option<String> {
    value(span, key).map(|value| match value {
        Value::String(text) => text,
        Value::Static(text) => text.to_owned(),
        other => panic!("{other:?}"),
    })
}

fn reason(link: &Link) -> String {
    match &link.attributes[..] {
        [(attributes::LINK_REASON, Value::Static(reason))] => (*reason).to_owned(),
        other => panic!("{other:?}"),
    }
}
