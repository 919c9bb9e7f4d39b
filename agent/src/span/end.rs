//! A transaction ends: its span is drafted, placed and given out.

use super::draft::{Draft, Open};
use super::link::{Node, PendingLink};
use super::model::{Link, Value};
use super::process::bare_resource;
use super::trace::{HoldId, Identity, TraceRef};
use super::{Spans, attributes};
use crate::connection::transaction::{End, Role};
use crate::health::{Ledger, Reason, Stage};
use std::sync::Arc;

impl Spans {
    pub(super) fn end(&mut self, end: &End) {
        self.advance(end.end_ns);
        self.ledger.enter(Stage::Span, 1);
        let Some(mut open) = self.nodes.open.remove(&end.id) else {
            Ledger::lose(&self.ledger, Stage::Span, Reason::OverLimit, 1);
            return;
        };
        let begin = &open.begin;
        let by = begin.activity;
        if let Some(hop) = open.hop {
            self.hops.ended(hop, begin.role, end.id, end.end_ns);
        }
        self.holds.call_ended(by.tgid, &open.busy, end.end_ns);
        let draft = self.draft(&open, end);
        if begin.role == Role::Server
            && let Some(process) = self.processes.get_mut(by.tgid)
        {
            process.server_ended(end.id, open.node.header.map(|(trace, _)| trace));
            if by.goid != 0 {
                process.golang.ended(by.goid, end.id, end.end_ns);
            } else {
                process.threads.ended(by.tid, end.id);
            }
        }
        self.processes.closed(by.tgid);
        open.node.ended_ns = Some(end.end_ns);
        self.nodes.ended.insert(end.id, open.node, self.now_ns);
        self.emit(draft);
    }

    /// A report of what is still open; the final span comes with the same id.
    pub(super) fn interim(&mut self, end: &End) {
        self.advance(end.end_ns);
        self.ledger.enter(Stage::Span, 1);
        let Some(open) = self.nodes.open.get_mut(&end.id) else {
            Ledger::lose(&self.ledger, Stage::Span, Reason::OverLimit, 1);
            return;
        };
        open.node.given = true;
        if let Some(open) = self.nodes.open.get(&end.id) {
            let draft = self.draft(open, end);
            self.emit(draft);
        }
    }

    fn draft(&self, open: &Open, end: &End) -> Draft {
        let tgid = open.begin.activity.tgid;
        let known = self
            .processes
            .get(tgid)
            .and_then(|process| process.resource.clone());
        let resource = open.resource.clone().or(known);
        Draft::new(open, end, resource.unwrap_or_else(|| bare_resource(tgid)))
    }

    /// Gives the span out, or lets it wait for what is undecided about it.
    pub(super) fn emit(&mut self, draft: Draft) {
        let links = draft.place.links.iter().map(|link| self.current(link));
        let traces = std::iter::once(Some(&draft.trace)).chain(links);
        let mut held = traces.filter_map(|trace| match trace {
            Some(TraceRef::Held(hold)) => Some(*hold),
            _ => None,
        });
        if let Some(hold) = held.next() {
            // Own trace first, so that links are looked at when it is known.
            if !self.holds.wait(hold, draft) {
                Ledger::lose(&self.ledger, Stage::Span, Reason::OverLimit, 1);
            }
        } else if let TraceRef::Known(identity) = draft.trace.clone() {
            self.give_out(draft, &identity);
        }
    }

    fn give_out(&mut self, draft: Draft, identity: &Arc<Identity>) {
        self.ledger.leave(Stage::Span, 1);
        self.ledger.enter(Stage::Sampling, 1);
        if !identity.sampled() {
            Ledger::lose(&self.ledger, Stage::Sampling, Reason::SampledOut, 1);
            return;
        }
        self.ledger.leave(Stage::Sampling, 1);
        let links = draft.place.links.iter();
        let links = links.filter_map(|link| {
            let trace_id = self.current(link)?.id()?;
            Some(Link {
                trace_id,
                span_id: link.span_id,
                attributes: vec![(attributes::LINK_REASON, Value::Static(link.reason))],
            })
        });
        let links = links.collect();
        self.out
            .push(draft.into_span(identity, links, &self.clocks));
    }

    /// The trace a link leads to, as it is known now; `None` when the other end is forgotten.
    fn current<'a>(&'a self, link: &'a PendingLink) -> Option<&'a TraceRef> {
        let undecided = |hold: &HoldId| self.holds.contains(*hold);
        match &link.trace {
            TraceRef::Held(hold) if !undecided(hold) => {
                let node: Option<&Node> = self.nodes.get(link.id);
                node.map(|node| &node.trace)
            }
            trace => Some(trace),
        }
    }
}
