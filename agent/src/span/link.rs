//! The evidence table: which parent a span gets, and what becomes a link instead. Pure decisions;
//! who handles what is known elsewhere.

use super::model::{SpanId, TraceId};
use super::trace::TraceRef;
use crate::connection::transaction::TransactionId;
use crate::propagation::TraceContext;

/// Candidates that become links; all are counted in `threadline.link.candidates`.
pub const CANDIDATE_LINKS: usize = 8;

/// `threadline.link.reason`: header and connection disagree about the trace; the header stands.
pub const CONTEXT_REPLACED: &str = "context replaced";
/// `threadline.link.reason`: the request that started this was over.
pub const OUTLIVED: &str = "outlived";
/// `threadline.link.reason`: was open, may be the origin.
pub const CANDIDATE: &str = "candidate";

/// What proves a parent; the name is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Both ends of one request on one connection.
    Hop,
    /// The request's own trace context.
    Header,
    /// Sent on the goroutine that handles the open request.
    Goroutine,
    /// The call's context descends from the handler's.
    GoContext,
    /// Sent on a goroutine that lived for the open request only.
    GoroutineChild,
    /// Sent by the thread that is bound to the open request.
    Thread,
    /// Exactly one open request has the trace id that was passed on.
    Context,
}

impl Evidence {
    /// The value of `threadline.link.evidence`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hop => "hop",
            Self::Header => "header",
            Self::Goroutine => "goroutine",
            Self::GoContext => "go_context",
            Self::GoroutineChild => "goroutine_child",
            Self::Thread => "thread",
            Self::Context => "context",
        }
    }
}

/// Whose work an outgoing request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This request's.
    Proven(TransactionId, Evidence),
    /// This request's, if the goroutines of `chain` (caller first) do not outlive it as workers.
    Child {
        /// The request.
        id: TransactionId,
        /// Caller, its creator, up to below the goroutine that handles the request.
        chain: Vec<u64>,
    },
    /// Started by this request, which is over.
    Outlived(TransactionId),
    /// Not known.
    Unknown,
}

/// What others may need to know of a transaction, open or ended.
#[derive(Clone, Debug)]
pub struct Node {
    /// Process.
    pub tgid: u32,
    /// Its span.
    pub span_id: SpanId,
    /// Its trace.
    pub trace: TraceRef,
    /// Others already took its trace: it must not change any more.
    pub given: bool,
    /// Trace and parent in its own header.
    pub header: Option<(TraceId, SpanId)>,
    /// When its span starts.
    pub start_ns: u64,
    /// When it ended.
    pub ended_ns: Option<u64>,
}

/// A link that is not resolved yet (the other trace may be undecided).
#[derive(Clone, Debug)]
pub struct PendingLink {
    /// The other transaction.
    pub id: TransactionId,
    /// Its span.
    pub span_id: SpanId,
    /// Its trace when the link was made.
    pub trace: TraceRef,
    /// Why.
    pub reason: &'static str,
}

/// A span's place: all but its trace.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// Parent, and whether it lies in another process.
    pub parent: Option<(SpanId, bool)>,
    /// What proves it.
    pub evidence: Option<Evidence>,
    /// Links.
    pub links: Vec<PendingLink>,
    /// Requests that were open, where none was proven.
    pub candidates: Option<usize>,
}

impl Place {
    /// Under a span of this agent.
    pub fn under(node: &Node, evidence: Evidence, tgid: u32) -> Self {
        Self {
            parent: Some((node.span_id, node.tgid != tgid)),
            evidence: Some(evidence),
            ..Self::default()
        }
    }

    /// Under the span that a header names.
    pub fn under_header(context: &TraceContext, remote: bool) -> Self {
        Self {
            parent: Some((context.parent_id, remote)),
            evidence: Some(Evidence::Header),
            ..Self::default()
        }
    }

    /// With a link.
    pub fn linked(mut self, id: TransactionId, node: &Node, reason: &'static str) -> Self {
        self.links.push(PendingLink {
            id,
            span_id: node.span_id,
            trace: node.trace.clone(),
            reason,
        });
        self
    }
}

/// Place of a server span. `client` is the other end of its hop. The trace is the header's where
/// there is one, else the client's.
pub fn server(
    tgid: u32,
    header: Option<&TraceContext>,
    client: Option<(TransactionId, &Node)>,
) -> Place {
    match (header, client) {
        (None, None) => Place::default(),
        (None, Some((_, client))) => Place::under(client, Evidence::Hop, tgid),
        (Some(header), None) => Place::under_header(header, true),
        (Some(header), Some((_, client))) if client.trace.id() == Some(header.trace_id) => {
            Place::under(client, Evidence::Hop, tgid)
        }
        (Some(header), Some((id, client))) => {
            Place::under_header(header, true).linked(id, client, CONTEXT_REPLACED)
        }
    }
}

/// Place of a client span whose request carries a header; the header's trace stands. `proven` is
/// the origin that the process itself proves, `named` the only open request of that trace.
///
/// A header that was passed on unchanged names the parent of the request it came with, so the
/// request itself is the nearer parent. Any other span id is the program's own client span.
pub fn client_with_header(
    tgid: u32,
    header: &TraceContext,
    proven: Option<(TransactionId, &Node, Evidence)>,
    named: Option<&Node>,
) -> Place {
    let unchanged = |node: &Node| node.header == Some((header.trace_id, header.parent_id));
    match proven {
        Some((id, node, _)) if node.trace.id() != Some(header.trace_id) => {
            Place::under_header(header, false).linked(id, node, CONTEXT_REPLACED)
        }
        Some((_, node, evidence)) if unchanged(node) => Place::under(node, evidence, tgid),
        Some(_) => Place::under_header(header, false),
        None => match named.filter(|node| unchanged(node)) {
            Some(node) => Place::under(node, Evidence::Context, tgid),
            None => Place::under_header(header, false),
        },
    }
}
