//! A transaction begins: ids, place, trace.

use super::draft::Open;
use super::hold::Hold;
use super::identity::{self, HopId, Local};
use super::link::{self, CANDIDATE, CANDIDATE_LINKS, Evidence, Node, OUTLIVED, Origin, Place};
use super::model::{SpanId, TraceId};
use super::pool::{Caller, Written};
use super::trace::TraceRef;
use super::{OPEN_MAX, Spans};
use crate::connection::transaction::{Begin, Role, TransactionId};
use crate::propagation::{Extracted, TraceContext, w3c};

/// Who sent a request, and what for.
struct Sent {
    origin: Origin,
    /// Entry of the call, where it was seen.
    call_ns: Option<u64>,
    /// Caller and its ancestors.
    goids: [u64; 4],
    start_pc: u64,
}

/// Ids a transaction has whatever its parent is.
struct Ids {
    hop: Option<HopId>,
    span: SpanId,
    /// Trace, if it is the first of one.
    root: TraceId,
}

impl Spans {
    pub(super) fn begin(&mut self, begin: Begin) {
        self.advance(begin.head_ns);
        // The end of what is not taken here is counted in its place.
        if self.nodes.open.len() >= OPEN_MAX || self.nodes.get(begin.id).is_some() {
            return;
        }
        let ids = self.ids(&begin);
        let header = self.header(&begin);
        let met = ids.hop.and_then(|hop| {
            let evicted = &mut self.counters.evidence_evicted;
            self.hops
                .meet(hop, begin.role, begin.id, begin.head_ns, evicted)
        });
        let (tgid, id) = (begin.activity.tgid, begin.id);
        let mut start_ns = begin.start_ns;
        let mut busy = Vec::new();
        let (place, trace) = match begin.role {
            Role::Server => self.place_server(&begin, &ids, header.as_ref(), met),
            Role::Client => {
                let sent = self.sender(&begin);
                start_ns = sent.call_ns.map_or(start_ns, |call| call.min(start_ns));
                let goids = sent.goids;
                let placed = self.place_client(&begin, &ids, header.as_ref(), sent);
                busy = self.holds.call_began(tgid, &goids);
                placed
            }
        };
        let header = header.map(|header| (header.trace_id, header.parent_id));
        let process = self.processes.touch(tgid);
        process.open += 1;
        if begin.role == Role::Server {
            process.servers.insert(id);
            if let Some((trace, _)) = header {
                process.named.entry(trace).or_default().insert(id);
            }
            let (by, epoch) = (&begin.activity, self.epoch);
            if by.goid != 0 {
                let conn = begin.connection.conn;
                process.golang.read(by.goid, id, conn, begin.head_ns, epoch);
            } else {
                let evicted = process.threads.read(by, id, begin.head_ns, epoch);
                self.counters.evidence_evicted += u64::from(evicted);
            }
        }
        self.counters.evidence_evicted += std::mem::take(&mut process.golang.evicted);
        let node = Node {
            tgid,
            span_id: ids.span,
            trace,
            given: false,
            header,
            start_ns,
            ended_ns: None,
        };
        let open = Open {
            node,
            hop: ids.hop,
            place,
            start_ns,
            route: None,
            busy,
            resource: process.resource.clone(),
            begin,
        };
        let role = open.begin.role;
        self.nodes.open.insert(id, open);
        if let (Role::Client, Some(server)) = (role, met) {
            self.adopt(server, id);
        }
    }

    fn ids(&mut self, begin: &Begin) -> Ids {
        if let Ok(bases) = begin.connection.bases {
            let hop = identity::hop(bases, begin.request_offset);
            return Ids {
                hop: Some(hop),
                span: identity::hop_span(hop, begin.role),
                root: identity::hop_trace(hop),
            };
        }
        let tgid = begin.activity.tgid;
        let boot_id = self.clocks.boot_id();
        let process = self.processes.touch(tgid);
        process.events += 1;
        let local = Local {
            boot_id,
            start_ns: process.start_ns,
            tgid,
            event: process.events,
        };
        Ids {
            hop: None,
            span: identity::local_span(local),
            root: identity::local_trace(local),
        }
    }

    fn header(&mut self, begin: &Begin) -> Option<TraceContext> {
        let request = &begin.request;
        match w3c::extract(&request.traceparent, request.tracestate.as_deref()) {
            Extracted::Context(context) => return Some(context),
            Extracted::Absent => {}
            Extracted::Invalid => self.counters.header_invalid += 1,
            Extracted::Contradicting => self.counters.header_contradicting += 1,
        }
        None
    }

    fn place_server(
        &mut self,
        begin: &Begin,
        ids: &Ids,
        header: Option<&TraceContext>,
        met: Option<TransactionId>,
    ) -> (Place, TraceRef) {
        let client = met.and_then(|id| self.nodes.get(id).map(|node| (id, node)));
        let place = link::server(begin.activity.tgid, header, client);
        let trace = match (header, met.filter(|_| client.is_some())) {
            (Some(header), _) => self.clocks.named_trace(header, begin.head_ns),
            (None, Some(client)) => self.inherit(client, begin.id, ids),
            (None, None) => self.clocks.new_trace(ids.root, begin.head_ns),
        };
        self.count(&place);
        (place, trace)
    }

    fn place_client(
        &mut self,
        begin: &Begin,
        ids: &Ids,
        header: Option<&TraceContext>,
        sent: Sent,
    ) -> (Place, TraceRef) {
        let tgid = begin.activity.tgid;
        let origin = self.settled(tgid, sent.origin);
        if let Some(header) = header {
            let proven = match origin {
                Origin::Proven(id, evidence) => self.nodes.get(id).map(|node| (id, node, evidence)),
                _ => None,
            };
            let process = self.processes.get(tgid);
            let named = process.and_then(|process| process.only_of(header.trace_id));
            let named = named.and_then(|id| self.nodes.get(id));
            // What was called before the request came is not its work, whatever the ids say.
            let start_ns = sent.call_ns.unwrap_or(begin.start_ns);
            let named = named.filter(|node| node.start_ns <= start_ns);
            let place = link::client_with_header(tgid, header, proven, named);
            self.count(&place);
            return (place, self.clocks.named_trace(header, begin.head_ns));
        }
        let root = self.clocks.new_trace(ids.root, begin.head_ns);
        match origin {
            Origin::Proven(id, evidence) => {
                let node = self.nodes.get(id);
                let place = node.map(|node| Place::under(node, evidence, tgid));
                let place = place.unwrap_or_default();
                self.count(&place);
                (place, self.inherit(id, begin.id, ids))
            }
            Origin::Child { id, chain } if !self.holds.full() => {
                let hold = Hold {
                    client: begin.id,
                    origin: id,
                    tgid,
                    start_pc: sent.start_pc,
                    waits_for: chain,
                    born_ns: begin.head_ns,
                    instead: (self.gap(tgid, Some(id)), root),
                    dependents: vec![begin.id],
                    waiting: Vec::new(),
                };
                (Place::default(), TraceRef::Held(self.holds.add(hold)))
            }
            Origin::Child { id, .. } => {
                self.counters.holds_over_limit += 1;
                (self.counted_gap(tgid, Some(id)), root)
            }
            Origin::Outlived(id) => {
                let node = self.nodes.get(id);
                let link = |node| Place::default().linked(id, node, OUTLIVED);
                let place = node.map(link).unwrap_or_default();
                self.counters.outlived += 1;
                (place, root)
            }
            Origin::Unknown => (self.counted_gap(tgid, None), root),
        }
    }

    /// Who sent a request: asked when the first byte is written.
    fn sender(&mut self, begin: &Begin) -> Sent {
        let (by, epoch) = (&begin.activity, self.epoch);
        let process = self.processes.touch(by.tgid);
        let written = Written {
            goid: by.goid,
            sock: self.socks.get(&begin.connection.conn).copied().unwrap_or(0),
            established_ns: begin.connection.established_ns,
            start_ns: begin.start_ns,
        };
        let mut sent = Sent {
            origin: Origin::Unknown,
            call_ns: None,
            goids: [by.goid, 0, 0, 0],
            start_pc: 0,
        };
        match process.golang.caller(&written, epoch) {
            Caller::Call(call) => {
                sent = Sent {
                    call_ns: Some(call.began_ns()),
                    origin: call.origin,
                    goids: call.goids,
                    start_pc: call.start_pc,
                };
            }
            Caller::Pooled => {}
            Caller::Writer if by.goid != 0 => {
                sent.origin = process.golang.written_by(by.goid, epoch);
            }
            Caller::Writer if process.go == Some(false) => {
                let handled = process.threads.handling(by, epoch);
                let proven = handled.map(|id| Origin::Proven(id, Evidence::Thread));
                sent.origin = proven.unwrap_or(Origin::Unknown);
            }
            Caller::Writer => {}
        }
        sent
    }

    /// What of an origin still stands when the request is written.
    fn settled(&self, tgid: u32, origin: Origin) -> Origin {
        let id = match &origin {
            Origin::Proven(id, _) | Origin::Outlived(id) | Origin::Child { id, .. } => *id,
            Origin::Unknown => return Origin::Unknown,
        };
        if self.nodes.get(id).is_none() {
            return Origin::Unknown;
        }
        let Origin::Child { id, chain } = origin else {
            return origin;
        };
        let process = self.processes.get(tgid);
        let alive = process.map(|process| process.golang.alive(&chain));
        match alive.unwrap_or(chain) {
            // A cancelled call: everybody is gone before the bytes were written.
            alive if alive.is_empty() => Origin::Proven(id, Evidence::GoroutineChild),
            chain => Origin::Child { id, chain },
        }
    }

    /// The trace of `from`, from now on also that of `id`.
    fn inherit(&mut self, from: TransactionId, id: TransactionId, ids: &Ids) -> TraceRef {
        match self.nodes.get_mut(from) {
            Some(node) => {
                node.given = true;
                let trace = node.trace.clone();
                if let TraceRef::Held(hold) = trace {
                    self.holds.depend(hold, id);
                }
                trace
            }
            None => self.clocks.new_trace(ids.root, self.now_ns),
        }
    }

    /// No parent: links to what was open, `first` before the others.
    pub(super) fn gap(&self, tgid: u32, first: Option<TransactionId>) -> Place {
        let mut place = Place::default();
        let Some(process) = self.processes.get(tgid) else {
            return place;
        };
        let open = process.servers.iter().copied();
        let first = first.filter(|id| process.servers.contains(id));
        let others = open.filter(|id| Some(*id) != first);
        for id in first.into_iter().chain(others).take(CANDIDATE_LINKS) {
            if let Some(node) = self.nodes.get(id) {
                place = place.linked(id, node, CANDIDATE);
            }
        }
        let open = process.servers.len();
        place.candidates = (open > 0).then_some(open);
        place
    }

    fn counted_gap(&mut self, tgid: u32, first: Option<TransactionId>) -> Place {
        let place = self.gap(tgid, first);
        self.counters.gaps += u64::from(place.candidates.is_some());
        place
    }

    pub(super) fn count(&mut self, place: &Place) {
        if let Some(evidence) = place.evidence {
            self.counters.parent(evidence);
        }
        let replaced = |link: &link::PendingLink| link.reason == link::CONTEXT_REPLACED;
        self.counters.context_replaced += u64::from(place.links.iter().any(replaced));
    }

    /// The server's end was seen first (a late record): it takes its place under the client, as
    /// long as nobody has its trace from it.
    fn adopt(&mut self, server: TransactionId, client: TransactionId) {
        let Some(parent) = self.nodes.get(client).cloned() else {
            return;
        };
        let Some(open) = self.nodes.open.get_mut(&server) else {
            return;
        };
        let node = &mut open.node;
        let same = node.trace.id().is_some() && node.trace.id() == parent.trace.id();
        if node.header.is_none() && !node.given {
            node.trace = parent.trace.clone();
            if let TraceRef::Held(hold) = parent.trace {
                self.holds.depend(hold, server);
            }
        } else if !same {
            return;
        }
        open.place = Place::under(&parent, Evidence::Hop, open.node.tgid);
        let place = open.place.clone();
        if let Some(node) = self.nodes.get_mut(client) {
            node.given = true;
        }
        self.count(&place);
    }
}
