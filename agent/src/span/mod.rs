//! Transactions become spans: ids, parents by evidence, attributes.
//!
//! Input comes in event-time order; the same input gives the same spans, byte for byte. What a
//! process is doing is followed per goroutine ([`goroutine`], [`golang`], [`pool`]) and per thread
//! ([`thread`]); [`link`] decides. Both ends of a connection meet in [`hop`]. A parent that cannot
//! be decided when its request is sent is held, with all that hangs on it ([`hold`]).
//!
//! A request that stays open for long is reported in between (`threadline.open`); the final span
//! has the same id and replaces it.
//!
//! Ledger: a transaction enters [`Stage::Span`] with its end (or interim report) and leaves it as a
//! span, at once or when its trace is decided. Sampling is decided here, by the trace's flags.

mod attributes;
mod begin;
mod bounded;
mod counters;
mod draft;
mod end;
mod golang;
mod goroutine;
mod hold;
mod hop;
mod identity;
mod link;
pub mod model;
mod pool;
mod process;
mod settle;
mod thread;
mod trace;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use threadline_common::record::{self, Clock, GoCall, GoConn, GoRoute, GoServe, ROLE_ACCEPT};

pub use self::counters::Counters;
pub use self::identity::HopId;
pub use self::link::Evidence;

use self::bounded::Bounded;
use self::draft::Open;
use self::hold::Holds;
use self::hop::Hops;
use self::link::Node;
use self::model::Span;
use self::process::{Process, Processes};
use self::trace::Clocks;
use crate::connection::transaction::{Outcome, Progress, TransactionId};
use crate::health::{Ledger, Reason, Stage};
use crate::process::facts::ProcessFacts;

/// Transactions open at once; the end of one that found no room is counted as over the limit.
const OPEN_MAX: usize = 262_144;
/// Ended transactions that others may still refer to.
const ENDED_MAX: usize = 65_536;
/// How long an ended transaction can still be a parent or be linked to.
const ENDED_KEEP_NS: u64 = 60_000_000_000;
/// Connections whose socket is remembered; needed only for those older than the probes.
const SOCKS_MAX: usize = 65_536;
/// How often old entries are looked for.
const SWEEP_NS: u64 = 1_000_000_000;

/// The span stage.
#[derive(Debug)]
pub struct Spans {
    ledger: Arc<Ledger>,
    counters: Counters,
    clocks: Clocks,
    now_ns: u64,
    sweep_ns: u64,
    /// Losses so far: nothing known before one proves anything after it.
    epoch: u64,
    nodes: Nodes,
    hops: Hops,
    processes: Processes,
    /// Connection: kernel socket.
    socks: Bounded<u64, u64>,
    holds: Holds,
    out: Vec<Span>,
}

impl Spans {
    /// A stage without anything known.
    pub fn new(ledger: Arc<Ledger>) -> Self {
        Self {
            ledger,
            counters: Counters::default(),
            clocks: Clocks::default(),
            now_ns: 0,
            sweep_ns: 0,
            epoch: 0,
            nodes: Nodes::default(),
            hops: Hops::default(),
            processes: Processes::default(),
            socks: Bounded::new(SOCKS_MAX),
            holds: Holds::default(),
            out: Vec::new(),
        }
    }

    /// A transaction begins or ends.
    pub fn on_progress(&mut self, progress: Progress) {
        match progress {
            Progress::Begin(begin) => self.begin(begin),
            Progress::End(end) if end.outcome == Outcome::Interim => self.interim(&end),
            Progress::End(end) => self.end(&end),
        }
    }

    /// A connection was seen for the first time: Go's pools name it by its socket.
    pub fn on_open(&mut self, open: &record::Open) {
        self.advance(open.header.ktime_ns);
        if open.role != ROLE_ACCEPT {
            self.socks
                .insert(open.conn, open.sock, open.header.ktime_ns);
        }
    }

    /// Go: a handler begins.
    pub fn on_go_serve(&mut self, serve: &GoServe) {
        self.advance(serve.header.ktime_ns);
        let epoch = self.epoch;
        self.process(serve.header.tgid).golang.serve(serve, epoch);
    }

    /// Go: a request is given to a pooled connection.
    pub fn on_go_call(&mut self, call: &GoCall) {
        self.advance(call.header.ktime_ns);
        let (epoch, tgid) = (self.epoch, call.header.tgid);
        let suspects = self.process(tgid).golang.call(call, epoch);
        self.reject_suspects(tgid, &suspects);
    }

    /// Go: a pooled connection got its writer goroutine.
    pub fn on_go_conn(&mut self, conn: &GoConn) {
        self.advance(conn.header.ktime_ns);
        self.process(conn.header.tgid).golang.writer(conn);
    }

    /// Go: a `ServeMux` matched `pattern`; the innermost match comes last.
    pub fn on_go_route(&mut self, route: &GoRoute, pattern: &[u8]) {
        self.advance(route.header.ktime_ns);
        let epoch = self.epoch;
        let golang = &self.process(route.header.tgid).golang;
        let Some(id) = golang.handled(route.goid, epoch) else {
            return;
        };
        let whole = route.full_len as usize == pattern.len();
        let text = std::str::from_utf8(pattern).ok().filter(|_| whole);
        match (
            text.and_then(attributes::route),
            self.nodes.open.get_mut(&id),
        ) {
            (Some(route), Some(open)) => open.route = Some(route),
            (None, _) => self.counters.routes_unusable += 1,
            (Some(_), None) => {}
        }
    }

    /// Go: a goroutine exited.
    pub fn on_go_exit(&mut self, tgid: u32, goid: u64, ktime_ns: u64) {
        self.advance(ktime_ns);
        self.process(tgid).golang.exited(goid, ktime_ns);
        for id in self.holds.exited(tgid, goid) {
            self.settle(id, true);
        }
    }

    /// The agent learned about a process.
    pub fn on_process(&mut self, facts: &ProcessFacts) {
        self.processes.learn(facts);
    }

    /// A process runs another program now.
    pub fn on_exec(&mut self, tgid: u32, ktime_ns: u64) {
        self.advance(ktime_ns);
        self.reject_process(tgid);
        if let Some(process) = self.processes.get_mut(tgid) {
            process.forget();
        }
    }

    /// A process ended.
    pub fn on_exit(&mut self, tgid: u32, ktime_ns: u64) {
        self.advance(ktime_ns);
        self.reject_process(tgid);
        self.processes.exit(tgid);
    }

    /// The clocks were read.
    pub fn on_clock(&mut self, clock: &Clock) {
        self.advance(clock.header.ktime_ns);
        self.clocks.set(clock.wall_offset_ns, clock.boot_id);
    }

    /// Records were lost about now: an end or a begin may be missing, so what was known of open
    /// requests proves no parent any more. Hops and headers are not touched.
    pub fn on_loss(&mut self, ktime_ns: u64) {
        self.advance(ktime_ns);
        self.epoch += 1;
    }

    /// Event time goes on without an event.
    pub fn tick(&mut self, ktime_ns: u64) {
        self.advance(ktime_ns);
    }

    /// Nothing comes any more: decides what is undecided. Transactions whose end was never told are
    /// counted.
    pub fn finish(&mut self) {
        while let Some(id) = self.holds.oldest() {
            self.settle(id, false);
        }
        let left = std::mem::take(&mut self.nodes.open).len() as u64;
        self.ledger.enter(Stage::Span, left);
        Ledger::lose(&self.ledger, Stage::Span, Reason::Shutdown, left);
    }

    /// The spans finished since the last call.
    pub fn take(&mut self) -> Vec<Span> {
        std::mem::take(&mut self.out)
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn process(&mut self, tgid: u32) -> &mut Process {
        self.processes.touch(tgid)
    }

    /// Decides what is due before `at_ns`, in order of time.
    fn advance(&mut self, at_ns: u64) {
        self.now_ns = self.now_ns.max(at_ns);
        while let Some((due_ns, tgid, goid)) = self.holds.due(self.now_ns) {
            self.judge(due_ns, tgid, goid);
        }
        while let Some(id) = self.holds.excess(self.now_ns) {
            self.settle(id, false);
        }
        if self.now_ns >= self.sweep_ns {
            self.sweep_ns = self.now_ns.saturating_add(SWEEP_NS);
            let before = self.now_ns.saturating_sub(ENDED_KEEP_NS);
            self.nodes.ended.expire(before, self.now_ns, |_, _| false);
            let open = &self.nodes.open;
            self.hops.expire(self.now_ns, |id| open.contains_key(&id));
        }
    }
}

/// Transactions, open and ended.
#[derive(Debug)]
struct Nodes {
    open: BTreeMap<TransactionId, Open>,
    ended: Bounded<TransactionId, Node>,
}

impl Default for Nodes {
    fn default() -> Self {
        Self {
            open: BTreeMap::new(),
            ended: Bounded::new(ENDED_MAX),
        }
    }
}

impl Nodes {
    fn get(&self, id: TransactionId) -> Option<&Node> {
        let open = self.open.get(&id).map(|open| &open.node);
        open.or_else(|| self.ended.get(&id))
    }

    fn get_mut(&mut self, id: TransactionId) -> Option<&mut Node> {
        match self.open.get_mut(&id) {
            Some(open) => Some(&mut open.node),
            None => self.ended.get_mut(&id),
        }
    }
}
