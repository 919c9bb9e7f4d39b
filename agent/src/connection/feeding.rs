//! The way of bytes through one end: from its segments to a protocol, and what the protocol tells
//! back.

use std::sync::Arc;

use super::detecting::{Found, Known};
use super::end::{ConnectionEnd, Phase};
use super::exchange::{Completion, next_id};
use super::transaction::{Begin, Outcome, RequestHead, Role};
use super::{Context, info};
use crate::health::Reason;
use crate::protocol::{Direction, Event, Mark, Options, Piece, Place, Protocol, When};

impl ConnectionEnd {
    pub(super) fn settle(&mut self, cx: &mut Context<'_>) {
        self.settle_one(Direction::Rx, cx);
        self.settle_one(Direction::Tx, cx);
    }

    /// Takes the uncaptured rest of the last call for moved.
    pub(super) fn settle_one(&mut self, dir: Direction, cx: &mut Context<'_>) {
        let stream = &mut self.streams[dir.index()];
        let Some(rest) = stream.rest.take() else {
            return;
        };
        let next = stream.next.unwrap_or(rest.mark.offset);
        let known = next.saturating_sub(rest.mark.offset).min(rest.len);
        let mark = Mark {
            offset: rest.mark.offset.saturating_add(known),
            ..rest.mark
        };
        let piece = Piece::Skip {
            len: rest.len - known,
            tail: rest.tail,
        };
        self.feed(dir, mark, piece, cx);
    }

    /// Gives the next bytes of one direction to whoever understands them.
    pub(super) fn feed(
        &mut self,
        dir: Direction,
        mut mark: Mark,
        mut piece: Piece<'_>,
        cx: &mut Context<'_>,
    ) {
        while !piece.is_empty() {
            let len = piece.len();
            let (bytes, place) = match &mut self.phase {
                Phase::Opaque(_) => (len, Place::Unknown),
                Phase::Detecting(detecting) => {
                    let origin = info::is_origin(self.open.as_ref(), dir, mark.offset);
                    match detecting.offer(dir, mark, piece, origin) {
                        Found::Kept(place) => (len, place),
                        Found::Passed(reason) => {
                            self.passed = Some(reason);
                            (len, Place::Unknown)
                        }
                        Found::Foreign => {
                            self.phase = Phase::Opaque(Reason::UnknownProtocol);
                            (len, Place::Unknown)
                        }
                        Found::Known(known) => return self.recognise(dir, known, mark, piece, cx),
                    }
                }
                Phase::Speaking(protocol) => {
                    let mut events = std::mem::take(&mut self.events);
                    let taken = protocol.parse(dir, mark, piece, &mut events);
                    let bytes = taken.bytes.min(len);
                    let end = Some(mark.offset.saturating_add(bytes));
                    self.streams[dir.index()].next = end;
                    self.apply_all(dir, mark, &mut events, cx);
                    self.events = events;
                    if bytes == 0 {
                        match self.not_wanted(dir, mark, piece, cx) {
                            Some(lost) => piece = lost,
                            None => return,
                        }
                        continue;
                    }
                    (bytes, taken.place)
                }
            };
            self.used |= place != Place::Unknown;
            cx.place(dir, mark.offset, bytes, place);
            mark.offset = mark.offset.saturating_add(bytes);
            mark.first = false;
            self.streams[dir.index()].next = Some(mark.offset);
            piece = piece.advance(bytes);
        }
    }

    /// Uncaptured bytes between two messages. Sent ones were perhaps only asked for, the next
    /// send's offset will tell; received ones are there.
    fn not_wanted<'a>(
        &mut self,
        dir: Direction,
        mark: Mark,
        piece: Piece<'a>,
        cx: &mut Context<'_>,
    ) -> Option<Piece<'a>> {
        match (dir, piece) {
            (Direction::Rx, Piece::Skip { len, .. }) => {
                if self.requests == Some(dir) {
                    // At least one request's head was among them.
                    cx.missed(Reason::NotCaptured);
                }
                Some(Piece::Lost {
                    len,
                    reason: Reason::NotCaptured,
                })
            }
            _ => {
                let stream = &mut self.streams[dir.index()];
                stream.unseen_to = mark.offset.saturating_add(piece.len());
                None
            }
        }
    }

    fn recognise(
        &mut self,
        dir: Direction,
        known: Known,
        mark: Mark,
        piece: Piece<'_>,
        cx: &mut Context<'_>,
    ) {
        if let Phase::Detecting(detecting) = &self.phase {
            self.proxied_for = detecting.proxied_for;
        }
        self.requests = Some(known.requests);
        self.streams[dir.other().index()].from_origin = !known.joined;
        let options = Options {
            requests: known.requests,
            redact_query: cx.settings.redact_query,
            joined: known.joined,
            answered: self.streams[known.requests.other().index()].ordinal,
        };
        self.phase = Phase::Speaking((known.entry.open)(options));
        cx.place(dir, mark.offset, known.front, Place::Proxy);
        let mut here = Mark {
            offset: mark.offset.saturating_add(known.front),
            first: false,
            ..mark
        };
        if known.earlier.is_empty() {
            here = known.start;
        } else {
            self.feed(dir, known.start, Piece::Bytes(&known.earlier), cx);
        }
        self.feed(dir, here, piece.advance(known.front), cx);
    }
    pub(super) fn tell_protocol(
        &mut self,
        dir: Direction,
        mark: Mark,
        cx: &mut Context<'_>,
        tell: impl FnOnce(&mut dyn Protocol, &mut Vec<Event>),
    ) {
        let Phase::Speaking(protocol) = &mut self.phase else {
            return;
        };
        let mut events = std::mem::take(&mut self.events);
        tell(protocol.as_mut(), &mut events);
        self.apply_all(dir, mark, &mut events, cx);
        self.events = events;
    }

    fn apply_all(
        &mut self,
        dir: Direction,
        mark: Mark,
        events: &mut Vec<Event>,
        cx: &mut Context<'_>,
    ) {
        for event in events.drain(..) {
            self.apply(dir, mark, event, cx);
        }
    }

    fn apply(&mut self, dir: Direction, mark: Mark, event: Event, cx: &mut Context<'_>) {
        match event {
            Event::Request { key, head, start } => self.begin(key, *head, start, mark.ktime_ns, cx),
            Event::RequestBody(key, bytes) => self.exchange.request_body(key, bytes),
            Event::Response(key, head) => self.exchange.response(key, head),
            Event::ResponseBody(key, bytes) => self.exchange.response_body(key, bytes),
            Event::Complete {
                key,
                when,
                presumed,
                incomplete,
            } => {
                let incomplete = incomplete.map(Reason::name);
                let done = self.completion(dir, mark, when, Outcome::Complete);
                let done = Completion {
                    hold: done.hold || presumed,
                    incomplete,
                    ..done
                };
                self.exchange.complete(key, done, cx);
            }
            Event::Switched(key) => {
                let done = self.completion(dir, mark, When::Now, Outcome::Switched);
                self.exchange.complete(key, done, cx);
            }
            Event::Resumed(key) => {
                if !self.exchange.resume(key) {
                    *cx.early_ends += 1;
                }
            }
            Event::Lost(key, reason) => self.exchange.lost(key, reason, mark.ktime_ns, cx),
            Event::Missed(reason) => cx.missed(reason),
            Event::Opaque(reason) => self.phase = Phase::Opaque(reason),
        }
    }

    fn completion(&self, dir: Direction, mark: Mark, when: When, outcome: Outcome) -> Completion {
        let requests = self.requests.unwrap_or(Direction::Rx);
        let stream = &self.streams[requests.other().index()];
        let sent = requests == Direction::Rx && dir == Direction::Tx && when == When::Now;
        Completion {
            end_ns: match when {
                When::Now => mark.ktime_ns,
                When::Last => stream.last_ns,
            },
            end_offset: stream.next.unwrap_or(0),
            outcome,
            incomplete: None,
            // What was asked to be sent is sent once the call is over.
            hold: sent,
        }
    }

    fn begin(
        &mut self,
        key: u64,
        mut head: RequestHead,
        start: Mark,
        head_ns: u64,
        cx: &mut Context<'_>,
    ) {
        let requests = self.requests.unwrap_or(Direction::Rx);
        head.proxied_for = self.proxied_for;
        let syn = requests == Direction::Tx && info::sends_syn(self.open.as_ref(), requests);
        let begin = Begin {
            id: next_id(cx),
            role: match requests {
                Direction::Tx => Role::Client,
                Direction::Rx => Role::Server,
            },
            connection: Arc::clone(self.info.get_or_insert_with(|| {
                Arc::new(info::describe(
                    self.conn,
                    self.tgid,
                    self.open.as_ref(),
                    requests,
                ))
            })),
            request_offset: start.offset.saturating_sub(u64::from(syn)),
            start_ns: start.ktime_ns,
            head_ns,
            activity: self.activity,
            request: Arc::new(head),
        };
        self.exchange.begin(key, begin, cx);
    }
}
