//! How requests end other than by a complete response: short sends, halts, closes, exits, time.

use threadline_common::record::{CLOSE_DONE, CLOSE_SENT_FIN, Close, Halt, Short, TRANSPORT_UNIX};

use super::detecting::Detecting;
use super::end::{Closed, ConnectionEnd, Phase};
use super::transaction::Outcome;
use super::{CLOSE_LINGER_NS, Context};
use crate::health::Reason;
use crate::protocol::{Direction, Mark};

impl ConnectionEnd {
    pub(super) fn short(&mut self, short: &Short, cx: &mut Context<'_>) {
        if let Some((offset, _)) = self.last_send {
            let taken = offset.saturating_add(u64::from(short.moved));
            self.sent_before(taken);
            self.settle(cx);
            if self.answers(Direction::Tx) {
                self.exchange.cut(taken);
            }
        }
        self.exchange.ripen();
        self.exchange.release(cx.now_ns, cx);
        if is_final(short.errno) {
            self.reset = Some(short.errno);
            // A client may still read a response that was sent before.
            if self.answers(Direction::Tx) {
                self.end_all(short.header.ktime_ns, Outcome::Reset(short.errno), cx);
            }
        }
    }

    pub(super) fn halt(&mut self, halt: &Halt, cx: &mut Context<'_>) {
        let now_ns = halt.header.ktime_ns;
        self.pause(cx);
        self.finish(Direction::Rx, now_ns, cx);
        if is_final(halt.errno) {
            self.end_all(now_ns, Outcome::Reset(halt.errno), cx);
        } else if halt.errno == 0 && self.answers(Direction::Rx) {
            self.end_all(now_ns, self.broken_off(), cx);
        }
    }

    pub(super) fn close(&mut self, close: &Close, cx: &mut Context<'_>) {
        let now_ns = close.header.ktime_ns;
        self.pause(cx);
        let unix = self
            .open
            .is_some_and(|open| open.transport == TRANSPORT_UNIX);
        self.count_messages(close);
        match close.how {
            CLOSE_SENT_FIN => self.fin_ns = Some(now_ns),
            CLOSE_DONE => {
                self.finish(Direction::Rx, now_ns, cx);
                let at_ns = self.fin_ns.unwrap_or(now_ns);
                let gone_ns = now_ns.saturating_add(CLOSE_LINGER_NS);
                self.closed.get_or_insert(Closed { at_ns, gone_ns });
            }
            _ => return,
        }
        // Nothing can be sent any more, but what came may still be read.
        if self.answers(Direction::Tx) && (close.how == CLOSE_SENT_FIN || unix) {
            self.finish(Direction::Tx, now_ns, cx);
            self.end_all(now_ns, self.broken_off(), cx);
        }
    }

    /// The kernel numbered more messages than came: the last response may have been among them.
    fn count_messages(&mut self, close: &Close) {
        let Some(requests) = self.requests else {
            return;
        };
        let numbered = match requests {
            Direction::Rx => close.tx_messages,
            Direction::Tx => close.rx_messages,
        };
        let seen = self.streams[requests.other().index()].ordinal;
        self.missed_responses |= numbered > seen.unwrap_or(0);
    }

    /// The process that used it last has ended.
    pub(super) fn exited(&mut self, now_ns: u64, cx: &mut Context<'_>) {
        self.pause(cx);
        if self.answers(Direction::Tx) {
            self.finish(Direction::Tx, now_ns, cx);
        }
        self.end_all(now_ns, Outcome::ProcessExited, cx);
    }

    /// The agent stops.
    pub(super) fn flush(&mut self, now_ns: u64, cx: &mut Context<'_>) {
        self.settle(cx);
        if self.is_in_head() {
            cx.missed(Reason::Shutdown);
        }
        self.end_all(now_ns, Outcome::OpenAtStop, cx);
    }

    /// Event time went on. True: this end is gone.
    pub(super) fn tick(&mut self, cx: &mut Context<'_>) -> bool {
        for dir in [Direction::Rx, Direction::Tx] {
            if self.streams[dir.index()]
                .rest
                .is_some_and(|rest| rest.due_ns() <= cx.now_ns)
            {
                self.settle_one(dir, cx);
            }
        }
        self.exchange.release(cx.now_ns, cx);
        self.exchange
            .interim(cx.now_ns, cx.settings.long_after_ns, cx);
        match self.closed {
            Some(closed) if closed.gone_ns <= cx.now_ns => {
                self.end_all(closed.at_ns, self.broken_off(), cx);
                true
            }
            _ => false,
        }
    }

    /// How what is open now ends with the connection.
    fn broken_off(&self) -> Outcome {
        self.reset.map_or(Outcome::Closed, Outcome::Reset)
    }

    /// Ends all that is open. Where responses were being passed over, nobody knows how it ended.
    fn end_all(&mut self, now_ns: u64, outcome: Outcome, cx: &mut Context<'_>) {
        let incomplete = self.unseen_responses().map(Reason::name);
        let outcome = match (outcome, incomplete) {
            (Outcome::Closed, Some(name)) => Outcome::Lost(name),
            _ => outcome,
        };
        self.exchange.end_all(now_ns, outcome, incomplete, cx);
    }

    fn unseen_responses(&self) -> Option<Reason> {
        let dir = self.requests?.other();
        let Phase::Speaking(protocol) = &self.phase else {
            return None;
        };
        let stream = &self.streams[dir.index()];
        let unseen = stream.next.is_some_and(|next| stream.unseen_to > next);
        let unseen = unseen.then_some(Reason::NotCaptured);
        let missed = self.missed_responses.then_some(Reason::Gap);
        protocol.skipping(dir).or(unseen).or(missed)
    }

    /// Another input came: what waited for a correction waits no more.
    fn pause(&mut self, cx: &mut Context<'_>) {
        self.settle(cx);
        self.exchange.ripen();
        self.exchange.release(cx.now_ns, cx);
    }

    /// No more bytes come in direction `dir`.
    pub(super) fn finish(&mut self, dir: Direction, now_ns: u64, cx: &mut Context<'_>) {
        if let Phase::Detecting(detecting) = &mut self.phase
            && detecting.is_under_way()
        {
            *detecting = Detecting::default();
            cx.missed(Reason::ParseError);
        }
        // A server's response ended with its last write, a client knows only now.
        let ktime_ns = match dir {
            Direction::Rx => now_ns,
            Direction::Tx => self.streams[dir.index()].last_ns,
        };
        let mark = Mark {
            ktime_ns,
            ..Mark::default()
        };
        self.tell_protocol(dir, mark, cx, |protocol, events| {
            protocol.finish(dir, events)
        });
        self.exchange.ripen();
        self.exchange.release(cx.now_ns, cx);
    }
}

/// Nothing more will be moved after this error.
fn is_final(errno: u32) -> bool {
    const FINAL: [i32; 11] = [
        libc::EPIPE,
        libc::ECONNRESET,
        libc::ECONNABORTED,
        libc::ECONNREFUSED,
        libc::ENOTCONN,
        libc::ESHUTDOWN,
        libc::ETIMEDOUT,
        libc::EHOSTUNREACH,
        libc::ENETUNREACH,
        libc::ENETDOWN,
        libc::ENETRESET,
    ];
    i32::try_from(errno).is_ok_and(|errno| FINAL.contains(&errno))
}
