//! One end of one connection: its records in, begins and ends of its requests out.

use threadline_common::record::{
    DIR_TX, Open, SEGMENT_MORE, SEGMENT_NONBLOCK, Segment, TRANSPORT_REPLACED,
};

use super::Context;
use super::detecting::Detecting;
use super::exchange::{Exchange, Info};
use super::stream::{Rest, Stream};
use super::transaction::Activity;
use crate::health::{Reason, Stage};
use crate::protocol::{Direction, Event, Mark, Piece, Protocol};

/// How far a connection is understood.
#[derive(Debug)]
pub(super) enum Phase {
    /// Not yet.
    Detecting(Detecting),
    /// It speaks a known protocol.
    Speaking(Box<dyn Protocol>),
    /// No more.
    Opaque(Reason),
}

/// The socket is gone; what it had received may still be read for a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closed {
    /// Reported as the end of what was open.
    pub(super) at_ns: u64,
    /// Forgotten when event time reaches this.
    pub(super) gone_ns: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct ConnectionEnd {
    pub(super) conn: u64,
    pub(super) open: Option<Open>,
    /// Process that was first seen using it.
    pub(super) tgid: u32,
    /// Process that used it last.
    pub(super) owner: u32,
    /// Time of the last record.
    pub(super) seen_ns: u64,
    pub(super) info: Option<Info>,
    pub(super) streams: [Stream; 2],
    pub(super) phase: Phase,
    pub(super) requests: Option<Direction>,
    pub(super) exchange: Exchange,
    pub(super) activity: Activity,
    pub(super) proxied_for: Option<std::net::SocketAddr>,
    /// Offset and length of the last send, as asked for.
    pub(super) last_send: Option<(u64, u64)>,
    /// A send failed for good.
    pub(super) reset: Option<u32>,
    pub(super) fin_ns: Option<u64>,
    pub(super) closed: Option<Closed>,
    /// Responses were numbered by the kernel and never seen here.
    pub(super) missed_responses: bool,
    /// Timers that are set in the node's list.
    pub(super) hold_timer: Option<u64>,
    pub(super) long_timer: Option<u64>,
    /// What became of the segment at hand.
    pub(super) used: bool,
    pub(super) passed: Option<Reason>,
    pub(super) events: Vec<Event>,
}

impl ConnectionEnd {
    pub(super) fn new(conn: u64, tgid: u32) -> Self {
        Self {
            conn,
            open: None,
            tgid,
            owner: tgid,
            seen_ns: 0,
            info: None,
            streams: [Stream::default(), Stream::default()],
            phase: Phase::Detecting(Detecting::default()),
            requests: None,
            exchange: Exchange::default(),
            activity: Activity::default(),
            proxied_for: None,
            last_send: None,
            reset: None,
            fin_ns: None,
            closed: None,
            missed_responses: false,
            hold_timer: None,
            long_timer: None,
            used: false,
            passed: None,
            events: Vec::new(),
        }
    }

    /// Who talks to whom, for the first time or again.
    pub(super) fn opened(&mut self, open: &Open) {
        let moved = self.open.is_some_and(|old| {
            (old.unix_epoch, old.rx_base, old.tx_base)
                != (open.unix_epoch, open.rx_base, open.tx_base)
        });
        if moved {
            // The counts have a new origin: whatever comes next follows.
            for stream in &mut self.streams {
                stream.next = None;
            }
        }
        let replaced = |open: &Open| open.transport == TRANSPORT_REPLACED;
        if replaced(open) && !self.open.as_ref().is_some_and(replaced) {
            // kTLS: the handshake is over, system calls carry plain text from here on.
            if let Phase::Opaque(_) = self.phase {
                self.phase = Phase::Detecting(Detecting::default());
            }
        }
        self.open = Some(*open);
        self.info = None;
    }

    pub(super) fn segment(&mut self, segment: &Segment, payload: &[u8], cx: &mut Context<'_>) {
        cx.ledger.enter(Stage::Connection, 1);
        let dir = if segment.dir == DIR_TX {
            Direction::Tx
        } else {
            Direction::Rx
        };
        let captured = payload
            .len()
            .min(segment.captured as usize)
            .min(segment.len as usize);
        let more = segment.flags & SEGMENT_MORE != 0;
        if let (Direction::Tx, false) = (dir, more) {
            self.sent_before(segment.offset);
        }
        if more && let Some(rest) = self.streams[dir.index()].rest.take() {
            // Later bytes of the same call: what lies between was moved and not captured.
            if let Some(before) = rest.cut(segment.offset) {
                let skip = Piece::Skip {
                    len: before.len,
                    tail: None,
                };
                self.feed(dir, before.mark, skip, cx);
            }
        }
        self.settle(cx);
        if !more {
            self.exchange.ripen();
        }
        self.activity = Activity {
            tgid: segment.header.tgid,
            tid: segment.header.tid,
            goid: segment.goid,
            last_wait_ns: segment.last_wait_ns,
            nonblocking: segment.flags & SEGMENT_NONBLOCK != 0,
        };
        if let (Direction::Tx, false) = (dir, more) {
            let len = u64::from(segment.len);
            self.last_send = Some((segment.offset, len));
            if self.answers(Direction::Tx) {
                let end = segment.offset.saturating_add(len);
                self.exchange
                    .rewrite(segment.offset, end, segment.header.ktime_ns);
            }
        }
        (self.used, self.passed) = (false, None);
        let known = self.take(dir, segment, &payload[..captured], cx);
        self.count(dir, known, cx);
        self.exchange.release(cx.now_ns, cx);
    }

    /// Feeds one segment; true when nothing in it is new.
    fn take(
        &mut self,
        dir: Direction,
        segment: &Segment,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> bool {
        let stream = &mut self.streams[dir.index()];
        let fit = stream.fit(segment);
        if fit.missing > 0 {
            let more = segment.flags & SEGMENT_MORE != 0;
            let unseen = more || segment.offset <= stream.unseen_to;
            let reason = if unseen {
                Reason::NotCaptured
            } else {
                Reason::Gap
            };
            let mark = Mark {
                offset: segment.offset.saturating_sub(fit.missing),
                first: false,
                ..fit.mark
            };
            self.feed(
                dir,
                mark,
                Piece::Lost {
                    len: fit.missing,
                    reason,
                },
                cx,
            );
        }
        let known = usize::try_from(fit.known)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        self.feed(dir, fit.mark, Piece::Bytes(&bytes[known..]), cx);
        let front = fit.known.max(bytes.len() as u64);
        let rest = Rest {
            mark: Mark {
                offset: segment.offset.saturating_add(front),
                first: false,
                ..fit.mark
            },
            len: fit.len.saturating_sub(front),
            tail: fit.tail,
        };
        if rest.len > 0 {
            self.streams[dir.index()].rest = Some(rest);
            // Nothing can change what was received, unless more of it is to be seen.
            if dir == Direction::Rx && self.blind(dir) >= rest.len {
                self.settle_one(dir, cx);
            }
        }
        fit.len > 0 && fit.known == fit.len
    }

    /// A send starts at `offset`: the one before it moved no more than that.
    pub(super) fn sent_before(&mut self, offset: u64) {
        let stream = &mut self.streams[Direction::Tx.index()];
        stream.rest = stream.rest.and_then(|rest| rest.cut(offset));
    }

    fn count(&self, dir: Direction, known: bool, cx: &mut Context<'_>) {
        let dropped = match &self.phase {
            _ if self.used || known => None,
            Phase::Opaque(reason) => Some(*reason),
            Phase::Speaking(protocol) => protocol.skipping(dir),
            Phase::Detecting(_) => self.passed,
        };
        match dropped {
            Some(reason) => cx.ledger.lose(Stage::Connection, reason, 1),
            None => cx.ledger.leave(Stage::Connection, 1),
        }
    }

    /// When [`Self::tick`] is wanted: for what is held back, and for long requests.
    pub(super) fn wanted(&self, long_after_ns: u64) -> (Option<u64>, Option<u64>) {
        let rests = self
            .streams
            .iter()
            .filter_map(|stream| stream.rest.map(|rest| rest.due_ns()));
        let gone = self.closed.map(|closed| closed.gone_ns);
        let hold = rests.chain(self.exchange.held_until()).chain(gone).min();
        let long = self
            .exchange
            .oldest_start()
            .map(|start| start.saturating_add(long_after_ns));
        (hold, long)
    }

    /// Memory that holds unfinished header blocks.
    pub(super) fn buffered(&self) -> usize {
        match &self.phase {
            Phase::Detecting(detecting) => detecting.buffered(),
            Phase::Speaking(protocol) => protocol.buffered(),
            Phase::Opaque(_) => 0,
        }
    }

    /// The node's memory for header blocks is used up: gives up those of this end.
    pub(super) fn forget(&mut self, cx: &mut Context<'_>) {
        if let Phase::Detecting(_) = self.phase {
            cx.missed(Reason::OverLimit);
            self.phase = Phase::Opaque(Reason::OverLimit);
        }
        self.tell_protocol(
            Direction::Rx,
            Mark {
                ktime_ns: cx.now_ns,
                ..Mark::default()
            },
            cx,
            |p, events| {
                p.forget(events);
            },
        );
    }

    /// True where responses go in direction `dir`.
    pub(super) fn answers(&self, dir: Direction) -> bool {
        self.requests == Some(dir.other())
    }

    pub(super) fn blind(&self, dir: Direction) -> u64 {
        match &self.phase {
            Phase::Detecting(_) => 0,
            Phase::Speaking(protocol) => protocol.blind(dir),
            Phase::Opaque(_) => u64::MAX,
        }
    }

    pub(super) fn is_in_head(&self) -> bool {
        match &self.phase {
            Phase::Detecting(detecting) => detecting.is_under_way(),
            Phase::Speaking(protocol) => protocol.is_in_request_head(),
            Phase::Opaque(_) => false,
        }
    }
}
