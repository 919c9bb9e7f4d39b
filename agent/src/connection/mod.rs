//! From records to requests: every end of every connection, the bytes of each direction in order,
//! requests matched with their responses. Owns no sockets and no clock: time is that of the
//! records, so a replay gives the same output. What the bytes mean is [`crate::protocol`]'s.

mod detecting;
mod end;
mod ending;
mod exchange;
mod feeding;
mod info;
mod proxy;
pub mod redact;
mod scrub;
mod stream;
mod timers;
pub mod transaction;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use threadline_common::record::{Close, Halt, Open, Segment, Short};

use self::end::ConnectionEnd;
use self::timers::{Kind, Timers};
use self::transaction::Progress;
use crate::health::{Ledger, Reason, Stage};
use crate::protocol::{Direction, Place};

/// Ends followed at once.
pub const MAX_CONNECTIONS: usize = 65_536;
/// Requests open on the node at once; more are counted and not told.
pub const MAX_OPEN: usize = 262_144;
/// Memory for unfinished header blocks of the whole node, bytes.
pub const MAX_BUFFERED: usize = 64 << 20;
/// How long a complete send waits for the record that says it moved less. The record comes with
/// the return of the call.
pub const SHORT_HOLD_NS: u64 = 2_000_000;
/// A socket that is closed may still have something to read: TCP_CLOSE is reached in softirq when
/// the peer's FIN or RST comes.
pub const CLOSE_LINGER_NS: u64 = 100_000_000;
/// When the table is full, ends unused for so long are forgotten.
pub const IDLE_NS: u64 = 300_000_000_000;
/// How often at most a full table is searched for them.
const SWEEP_EVERY_NS: u64 = 1_000_000_000;

/// What a user may choose.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Requests open for so long are reported while they go on.
    pub long_after_ns: u64,
    /// Replace query values.
    pub redact_query: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            long_after_ns: 60_000_000_000,
            redact_query: true,
        }
    }
}

/// One record, or time passing. In event-time order, a late one now and then.
#[derive(Clone, Debug)]
pub enum Input {
    /// Who talks to whom.
    Open(Open),
    /// Bytes moved, with those that were captured.
    Segment(Segment, Bytes),
    /// The last send moved fewer bytes.
    Short(Short),
    /// A receive met the end or an error.
    Halt(Halt),
    /// The end of a connection or of its sending half.
    Close(Close),
    /// Process (`tgid`) ended at this time.
    Exit(u32, u64),
    /// Nothing happened up to this time.
    Tick(u64),
}

impl Input {
    fn ktime_ns(&self) -> u64 {
        match self {
            Self::Open(open) => open.header.ktime_ns,
            Self::Segment(segment, _) => segment.header.ktime_ns,
            Self::Short(short) => short.header.ktime_ns,
            Self::Halt(halt) => halt.header.ktime_ns,
            Self::Close(close) => close.header.ktime_ns,
            Self::Exit(_, ktime_ns) | Self::Tick(ktime_ns) => *ktime_ns,
        }
    }
}

/// A stretch of one direction's stream and what it was.
#[derive(Clone, Copy, Debug)]
struct Placed {
    dir: Direction,
    offset: u64,
    len: u64,
    place: Place,
}

/// What an end needs of the node while it looks at one input.
struct Context<'a> {
    ledger: &'a Ledger,
    settings: &'a Settings,
    now_ns: u64,
    /// Last transaction id given.
    ids: &'a mut u64,
    /// Transactions open on the node.
    open: &'a mut usize,
    early_ends: &'a mut u64,
    out: &'a mut Vec<Progress>,
    places: Option<&'a mut Vec<Placed>>,
}

impl Context<'_> {
    /// A request that will never be told of.
    fn missed(&mut self, reason: Reason) {
        self.ledger.enter(Stage::Protocol, 1);
        self.ledger.lose(Stage::Protocol, reason, 1);
    }

    fn place(&mut self, dir: Direction, offset: u64, len: u64, place: Place) {
        if let Some(places) = &mut self.places {
            places.push(Placed {
                dir,
                offset,
                len,
                place,
            });
        }
    }
}

/// All ends of all connections.
#[derive(Debug)]
pub struct Connections {
    settings: Settings,
    ledger: Arc<Ledger>,
    ends: HashMap<u64, ConnectionEnd>,
    /// Ends by the process that used them last.
    owners: BTreeSet<(u32, u64)>,
    timers: Timers,
    now_ns: u64,
    swept_ns: u64,
    ids: u64,
    open: usize,
    early_ends: u64,
    buffered: usize,
}

impl Connections {
    /// Starts empty.
    pub fn new(settings: Settings, ledger: Arc<Ledger>) -> Self {
        Self {
            settings,
            ledger,
            ends: HashMap::new(),
            owners: BTreeSet::new(),
            timers: Timers::default(),
            now_ns: 0,
            swept_ns: 0,
            ids: 0,
            open: 0,
            early_ends: 0,
            buffered: 0,
        }
    }

    /// Ends followed now.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// No end is followed.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Requests open now.
    pub fn open_requests(&self) -> usize {
        self.open
    }

    /// Responses that went on after their end had been told.
    pub fn early_ends(&self) -> u64 {
        self.early_ends
    }

    /// Takes one input; appends what began and ended.
    pub fn push(&mut self, input: Input, out: &mut Vec<Progress>) {
        self.push_placed(input, out, None);
    }

    fn push_placed(
        &mut self,
        input: Input,
        out: &mut Vec<Progress>,
        places: Option<&mut Vec<Placed>>,
    ) {
        self.now_ns = self.now_ns.max(input.ktime_ns());
        self.run_timers(out);
        match input {
            Input::Open(open) => {
                if self.admit(open.conn, open.header.tgid) {
                    self.with(open.conn, out, None, |end, _| end.opened(&open));
                }
            }
            Input::Segment(segment, payload) => {
                if !self.admit(segment.conn, segment.header.tgid) {
                    self.ledger.enter(Stage::Connection, 1);
                    Ledger::lose(&self.ledger, Stage::Connection, Reason::OverLimit, 1);
                    return;
                }
                self.own(segment.conn, segment.header.tgid);
                self.with(segment.conn, out, places, |end, cx| {
                    end.segment(&segment, &payload, cx)
                });
            }
            Input::Short(short) => {
                self.with(short.conn, out, None, |end, cx| end.short(&short, cx))
            }
            Input::Halt(halt) => self.with(halt.conn, out, None, |end, cx| end.halt(&halt, cx)),
            Input::Close(close) => {
                self.with(close.conn, out, None, |end, cx| end.close(&close, cx))
            }
            Input::Exit(tgid, ktime_ns) => {
                for conn in self.owned(tgid) {
                    self.with(conn, out, None, |end, cx| end.exited(ktime_ns, cx));
                }
            }
            Input::Tick(_) => {}
        }
    }

    /// The agent stops: ends everything that is open, in the order of beginning.
    pub fn flush_open(&mut self, ktime_ns: u64, out: &mut Vec<Progress>) {
        self.now_ns = self.now_ns.max(ktime_ns);
        self.run_timers(out);
        let from = out.len();
        let mut conns: Vec<u64> = self.ends.keys().copied().collect();
        conns.sort_unstable();
        for conn in conns {
            self.with(conn, out, None, |end, cx| end.flush(ktime_ns, cx));
        }
        out[from..].sort_by_key(|progress| match progress {
            Progress::Begin(begin) => (begin.id, 0),
            Progress::End(end) => (end.id, 1),
        });
        self.ends.clear();
        self.owners.clear();
        self.timers = Timers::default();
        self.buffered = 0;
    }

    /// Calls `look` with an end that exists, then sets its timers and counts its memory.
    fn with(
        &mut self,
        conn: u64,
        out: &mut Vec<Progress>,
        places: Option<&mut Vec<Placed>>,
        look: impl FnOnce(&mut ConnectionEnd, &mut Context<'_>),
    ) {
        let Some(end) = self.ends.get_mut(&conn) else {
            return;
        };
        let mut cx = Context {
            ledger: &self.ledger,
            settings: &self.settings,
            now_ns: self.now_ns,
            ids: &mut self.ids,
            open: &mut self.open,
            early_ends: &mut self.early_ends,
            out,
            places,
        };
        end.seen_ns = self.now_ns;
        let before = end.buffered();
        look(end, &mut cx);
        self.buffered = (self.buffered + end.buffered()).saturating_sub(before);
        if self.buffered > MAX_BUFFERED {
            let held = end.buffered();
            end.forget(&mut cx);
            self.buffered = (self.buffered + end.buffered()).saturating_sub(held);
        }
        let (hold, long) = end.wanted(self.settings.long_after_ns);
        self.timers.set(&mut end.hold_timer, hold, conn, Kind::Hold);
        self.timers.set(&mut end.long_timer, long, conn, Kind::Long);
    }

    fn run_timers(&mut self, out: &mut Vec<Progress>) {
        while let Some((due, conn, kind)) = self.timers.due(self.now_ns) {
            let Some(end) = self.ends.get_mut(&conn) else {
                continue;
            };
            let slot = match kind {
                Kind::Hold => &mut end.hold_timer,
                Kind::Long => &mut end.long_timer,
            };
            if *slot != Some(due) {
                continue;
            }
            *slot = None;
            let seen_ns = end.seen_ns;
            let mut gone = false;
            self.with(conn, out, None, |end, cx| gone = end.tick(cx));
            if gone {
                self.remove(conn);
            } else if let Some(end) = self.ends.get_mut(&conn) {
                end.seen_ns = seen_ns;
            }
        }
    }

    /// True when the end exists now.
    fn admit(&mut self, conn: u64, tgid: u32) -> bool {
        if self.ends.contains_key(&conn) {
            return true;
        }
        if self.ends.len() >= MAX_CONNECTIONS {
            self.sweep();
            if self.ends.len() >= MAX_CONNECTIONS {
                return false;
            }
        }
        self.ends.insert(conn, ConnectionEnd::new(conn, tgid));
        self.owners.insert((tgid, conn));
        true
    }

    /// The close records of some ends were lost. Forgets those with nothing open and long unused.
    fn sweep(&mut self) {
        if self.now_ns < self.swept_ns.saturating_add(SWEEP_EVERY_NS) {
            return;
        }
        self.swept_ns = self.now_ns;
        let unused = self.now_ns.saturating_sub(IDLE_NS);
        let idle: Vec<u64> = self
            .ends
            .values()
            .filter(|end| end.exchange.is_empty() && end.seen_ns < unused)
            .map(|end| end.conn)
            .collect();
        for conn in idle {
            self.remove(conn);
        }
    }

    fn remove(&mut self, conn: u64) {
        if let Some(end) = self.ends.remove(&conn) {
            self.owners.remove(&(end.owner, conn));
            self.buffered = self.buffered.saturating_sub(end.buffered());
        }
    }

    fn own(&mut self, conn: u64, tgid: u32) {
        if let Some(end) = self.ends.get_mut(&conn)
            && end.owner != tgid
        {
            self.owners.remove(&(end.owner, conn));
            self.owners.insert((tgid, conn));
            end.owner = tgid;
        }
    }

    fn owned(&self, tgid: u32) -> Vec<u64> {
        self.owners
            .range((tgid, 0)..=(tgid, u64::MAX))
            .map(|(_, conn)| *conn)
            .collect()
    }
}
