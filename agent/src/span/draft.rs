//! A transaction on its way to a span: while open, and finished but not yet placed in a trace.

use std::sync::Arc;

use super::attributes;
use super::identity::HopId;
use super::link::{Node, Place};
use super::model::{Attribute, Link, Resource, Span, SpanId, SpanKind, Status, Value};
use super::trace::{Clocks, Identity, TraceRef};
use crate::connection::transaction::{Begin, End, Outcome, Role, TransactionId};

/// A transaction that is open.
#[derive(Debug)]
pub struct Open {
    /// How it began.
    pub begin: Begin,
    /// What others see of it.
    pub node: Node,
    /// Its hop.
    pub hop: Option<HopId>,
    /// Where its span belongs.
    pub place: Place,
    /// Client: entry of the call where it was seen, else as in `begin`.
    pub start_ns: u64,
    /// Route of the handler.
    pub route: Option<String>,
    /// Goroutines this call keeps busy, see [`super::hold`].
    pub busy: Vec<u64>,
    /// Resource, where it was known at the begin.
    pub resource: Option<Arc<Resource>>,
}

/// A finished span without its trace.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its transaction.
    pub id: TransactionId,
    /// Its trace.
    pub trace: TraceRef,
    /// Where it belongs.
    pub place: Place,
    span_id: SpanId,
    role: Role,
    start_ns: u64,
    end_ns: u64,
    name: String,
    attributes: Vec<Attribute>,
    status: Status,
    resource: Arc<Resource>,
}

impl Draft {
    /// The span of `open`, finished or reported in between.
    pub fn new(open: &Open, end: &End, resource: Arc<Resource>) -> Self {
        let begin = &open.begin;
        let (status, error) = attributes::status(begin.role, end);
        let mut attributes = attributes::http(begin, end, open.route.as_deref());
        attributes.extend(error.map(|error| (attributes::ERROR_TYPE, error)));
        if matches!(end.outcome, Outcome::OpenAtStop | Outcome::Interim) {
            attributes.push((attributes::THREADLINE_OPEN, Value::Bool(true)));
        }
        let lost = match end.outcome {
            Outcome::Lost(reason) => Some(reason),
            _ => end.incomplete,
        };
        attributes.extend(lost.map(|why| (attributes::THREADLINE_INCOMPLETE, Value::Static(why))));
        Self {
            id: begin.id,
            trace: open.node.trace.clone(),
            place: open.place.clone(),
            span_id: open.node.span_id,
            role: begin.role,
            start_ns: open.start_ns,
            end_ns: end.end_ns.max(open.start_ns),
            name: attributes::name(&begin.request, open.route.as_deref()),
            attributes,
            status,
            resource,
        }
    }

    /// The span; `links` are the resolved ones.
    pub fn into_span(self, identity: &Identity, links: Vec<Link>, clocks: &Clocks) -> Span {
        let mut attributes = self.attributes;
        let evidence = self.place.evidence.map(|e| Value::Static(e.name()));
        attributes.extend(evidence.map(|e| (attributes::LINK_EVIDENCE, e)));
        let candidates = self.place.candidates.map(|n| Value::Int(n as i64));
        attributes.extend(candidates.map(|n| (attributes::LINK_CANDIDATES, n)));
        Span {
            trace_id: identity.trace_id,
            span_id: self.span_id,
            parent_span_id: self.place.parent.map(|(id, _)| id),
            parent_is_remote: self.place.parent.is_some_and(|(_, remote)| remote),
            trace_state: identity.state.clone(),
            flags: identity.flags,
            name: self.name,
            kind: match self.role {
                Role::Client => SpanKind::Client,
                Role::Server => SpanKind::Server,
            },
            start_unix_ns: clocks.unix_ns(identity, self.start_ns),
            end_unix_ns: clocks.unix_ns(identity, self.end_ns),
            attributes,
            links,
            status: self.status,
            resource: self.resource,
        }
    }
}
