//! A small language for what programs do.

mod answers;
mod evidence;
mod header;
mod held;
mod random;
mod tree;
mod workers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use threadline_common::record::{
    ANCESTORS, Ancestor, CTX_CHAIN, Clock, GoCall, GoConn, GoRoute, GoServe, Header, Open,
};

pub use self::answers::{text, value};
use super::model::{Span, SpanId, Value};
use super::{Spans, attributes};
use crate::connection::transaction::*;
use crate::health::{Ledger, Stage};
use crate::process::facts::ProcessFacts;

pub const MS: u64 = 1_000_000;

/// Both ends of one connection.
#[derive(Clone)]
pub struct Wire {
    client: Arc<Connection>,
    server: Arc<Connection>,
    pub sock: u64,
    offset: u64,
}

/// One call on a pooled connection.
#[derive(Clone, Default)]
pub struct Caller {
    pub goid: u64,
    pub sock: u64,
    pub start_pc: u64,
    pub ctx: Vec<u64>,
    pub cut: bool,
    pub ancestors: Vec<(u64, u64)>,
}

pub struct World {
    pub spans: Spans,
    pub ledger: Arc<Ledger>,
    pub now: u64,
    next: u64,
    ids: BTreeMap<u64, SpanId>,
    out: Vec<Span>,
}

pub fn go(tgid: u32, goid: u64) -> Activity {
    Activity {
        tgid,
        tid: tgid,
        goid,
        nonblocking: true,
        ..Activity::default()
    }
}

pub fn thread(tgid: u32, tid: u32) -> Activity {
    Activity {
        tgid,
        tid,
        ..Activity::default()
    }
}

impl World {
    pub fn new() -> Self {
        let ledger = Arc::new(Ledger::default());
        let mut world = Self {
            spans: Spans::new(ledger.clone()),
            ledger,
            now: 1_000_000_000,
            next: 0,
            ids: BTreeMap::new(),
            out: Vec::new(),
        };
        let header = world.header(0);
        world.spans.on_clock(&Clock {
            header,
            wall_offset_ns: 5_000_000_000,
            boot_id: [3; 16],
        });
        world
    }

    pub fn process(&mut self, tgid: u32, go: bool) {
        let facts = ProcessFacts {
            tgid,
            start_ns: u64::from(tgid),
            go,
            ..ProcessFacts::default()
        };
        self.spans.on_process(&facts);
    }

    /// A connection whose client end is `tgid`'s.
    pub fn wire(&mut self) -> Wire {
        self.next += 1;
        let n = self.next;
        let end = |conn, local: &str, peer: &str| {
            Arc::new(Connection {
                conn,
                tgid: 0,
                local: Endpoint::Inet(local.parse::<SocketAddr>().unwrap()),
                peer: Endpoint::Inet(peer.parse::<SocketAddr>().unwrap()),
                bases: Ok((n * 7, n * 13)),
                connect_ns: 0,
                established_ns: 0,
            })
        };
        let wire = Wire {
            client: end(2 * n, "10.0.0.1:40000", "10.0.0.2:8080"),
            server: end(2 * n + 1, "10.0.0.2:8080", "10.0.0.1:40000"),
            sock: 0xffff_0000 + n,
            offset: 0,
        };
        let header = self.header(0);
        let open = Open {
            header,
            conn: 2 * n,
            sock: wire.sock,
            role: 1,
            ..Open::default()
        };
        self.spans.on_open(&open);
        wire
    }

    /// A connection without stream bases.
    pub fn blind(&mut self) -> Wire {
        let wire = self.wire();
        let without = |end: &Connection| {
            Arc::new(Connection {
                bases: Err(NoHop::Mptcp),
                ..end.clone()
            })
        };
        Wire {
            client: without(&wire.client),
            server: without(&wire.server),
            ..wire
        }
    }

    pub fn wait(&mut self, ns: u64) {
        self.now += ns;
        self.spans.tick(self.now);
    }

    pub fn send(&mut self, wire: &Wire, by: Activity) -> u64 {
        self.begin(Role::Client, wire, by, &[])
    }

    pub fn send_with(&mut self, wire: &Wire, by: Activity, traceparent: &str) -> u64 {
        self.begin(Role::Client, wire, by, &[traceparent])
    }

    pub fn receive(&mut self, wire: &Wire, by: Activity) -> u64 {
        self.begin(Role::Server, wire, by, &[])
    }

    pub fn receive_with(&mut self, wire: &Wire, by: Activity, traceparent: &str) -> u64 {
        self.begin(Role::Server, wire, by, &[traceparent])
    }

    /// A whole server side: read and handed to a `net/http` handler with context `ctx`.
    pub fn serve(&mut self, wire: &Wire, tgid: u32, goid: u64, ctx: u64) -> u64 {
        let id = self.receive(wire, go(tgid, goid));
        self.handler(tgid, goid, ctx);
        id
    }

    pub fn begin(&mut self, role: Role, wire: &Wire, by: Activity, traceparent: &[&str]) -> u64 {
        self.step();
        self.next += 1;
        let id = TransactionId(self.next);
        let connection = match role {
            Role::Client => &wire.client,
            Role::Server => &wire.server,
        };
        let request = RequestHead {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            version: "1.1",
            traceparent: traceparent.iter().map(|text| (*text).to_owned()).collect(),
            ..RequestHead::default()
        };
        self.spans.on_progress(Progress::Begin(Begin {
            id,
            role,
            connection: connection.clone(),
            request_offset: wire.offset,
            start_ns: self.now,
            head_ns: self.now,
            activity: by,
            request: Arc::new(request),
        }));
        if let Some(open) = self.spans.nodes.open.get(&id) {
            self.ids.insert(id.0, open.node.span_id);
        }
        id.0
    }

    /// The next request on the same connection.
    pub fn again(wire: &Wire) -> Wire {
        Wire {
            offset: wire.offset + 100,
            ..wire.clone()
        }
    }

    pub fn end(&mut self, id: u64) {
        self.end_as(id, Outcome::Complete);
    }

    pub fn end_as(&mut self, id: u64, outcome: Outcome) {
        self.step();
        self.spans.on_progress(Progress::End(End {
            id: TransactionId(id),
            end_ns: self.now,
            response: Some(ResponseHead { status: 200 }),
            request_body_bytes: None,
            response_body_bytes: None,
            outcome,
            incomplete: None,
        }));
    }

    /// `ServeHTTP` with a context whose parent is `ctx + 1`.
    pub fn handler(&mut self, tgid: u32, goid: u64, ctx: u64) {
        self.step();
        let header = self.header(tgid);
        self.spans.on_go_serve(&GoServe {
            header,
            goid,
            ctx,
            ctx_parent: ctx + 1,
        });
    }

    pub fn route(&mut self, tgid: u32, goid: u64, pattern: &str) {
        self.step();
        let len = pattern.len() as u32;
        let route = GoRoute {
            header: self.header(tgid),
            goid,
            len,
            full_len: len,
        };
        self.spans.on_go_route(&route, pattern.as_bytes());
    }

    pub fn writer(&mut self, tgid: u32, goid: u64, pconn: u64) {
        self.step();
        let header = self.header(tgid);
        self.spans.on_go_conn(&GoConn {
            header,
            goid,
            pconn,
        });
    }

    pub fn call(&mut self, tgid: u32, pconn: u64, caller: Caller) {
        self.step();
        let mut call = GoCall {
            header: self.header(tgid),
            goid: caller.goid,
            pconn,
            sock: caller.sock,
            start_pc: caller.start_pc,
            ancestors: [Ancestor::default(); ANCESTORS],
            ctx: [0; CTX_CHAIN],
            begin_ns: 0,
            ctx_whole: u8::from(!caller.cut),
            pad: [0; 7],
        };
        for (to, (goid, created_ns)) in call.ancestors.iter_mut().zip(caller.ancestors) {
            *to = Ancestor { goid, created_ns };
        }
        call.ctx
            .iter_mut()
            .zip(caller.ctx)
            .for_each(|(to, word)| *to = word);
        self.spans.on_go_call(&call);
    }

    /// `caller` calls through a pooled connection of its own; the writer's goroutine is new.
    pub fn pooled(&mut self, tgid: u32, caller: Caller) -> (Wire, u64) {
        let wire = self.wire();
        let (writer, pconn) = (1_000_000 + self.next, 0xc000_0000 + self.next);
        self.writer(tgid, writer, pconn);
        self.call(tgid, pconn, caller);
        let id = self.send(&wire, go(tgid, writer));
        (wire, id)
    }

    pub fn exit(&mut self, tgid: u32, goid: u64) {
        self.step();
        self.spans.on_go_exit(tgid, goid, self.now);
    }

    fn step(&mut self) {
        self.now += 1000;
    }

    fn header(&self, tgid: u32) -> Header {
        Header {
            ktime_ns: self.now,
            tgid,
            tid: tgid,
            ..Header::default()
        }
    }
}
