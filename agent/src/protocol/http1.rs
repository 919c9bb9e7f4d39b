//! HTTP/1.0 and HTTP/1.1: keep-alive, pipelining, every framing of content, 1xx, upgrades. Owns
//! which response answers which request; when bytes were lost it would rather lose a request than
//! give it another one's status.

pub mod body;
pub mod chunked;
pub mod head;
pub mod line;
mod request;
mod response;
pub mod target;

use std::collections::VecDeque;

use self::body::Body;
use self::head::HeadBuffer;
use super::{Direction, Event, Mark, Options, Piece, Place, Protocol, Taken, Verdict};
use crate::health::Reason;

/// Requests of one connection that wait for their response at once.
pub const MAX_OPEN_REQUESTS: usize = 1024;

/// Looks at the first bytes of a message.
pub fn detect(bytes: &[u8]) -> Verdict {
    line::classify(&bytes[line_breaks(bytes)..])
}

/// Only HTTP/1 starts with these bytes, as far as they go.
pub fn starts_plainly(bytes: &[u8]) -> bool {
    let bytes = &bytes[line_breaks(bytes)..];
    line::is_plain_start(bytes) || line::response(bytes) != Verdict::No
}

/// Line breaks in front of a message, which belong to none.
fn line_breaks(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|b| !matches!(b, b'\r' | b'\n'))
        .unwrap_or(bytes.len())
}

/// Where one direction is.
#[derive(Debug)]
enum State {
    /// The next byte starts a message.
    Idle,
    /// Lost: passes over everything up to the next message start.
    Seek(Reason),
    /// In a header block.
    Head(HeadBuffer),
    /// In a message's content.
    Body(Body),
    /// Between messages, if the last one's content really ended.
    Presumed(Body),
}

/// A request without its response.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    key: u64,
    /// HEAD: the response has no content.
    head: bool,
    /// CONNECT: a 2xx switches.
    connect: bool,
    /// It began with a flip of direction: what was sent before it had been answered at least in part.
    first: bool,
}

/// Both directions of one connection.
#[derive(Debug)]
pub struct Http1 {
    options: Options,
    request: State,
    response: State,
    waiting: VecDeque<Waiting>,
    /// The request whose response was presumed complete.
    presumed: Option<Waiting>,
    next_key: u64,
    /// Number of the message at hand in the request direction.
    current_ordinal: Option<u32>,
    /// Number of the message in which the last bytes of the last request came.
    request_ordinal: u32,
    /// Number of the message in which the last response bytes came.
    response_ordinal: Option<u32>,
    /// Ordinal of a response's message minus that of its request's: the same for the life of a
    /// connection, because messages alternate. Proves after a loss which request is answered.
    ordinal_step: Option<u32>,
    /// What `ordinal_step` has to be if nothing was lost before the first response.
    expected_step: u32,
    /// Bytes of a response to no request that still show what the connection speaks.
    orphan: usize,
    /// Bytes came in the response direction since the last request began.
    heard: bool,
    /// Several requests waited at once on this connection.
    pipelined: bool,
    /// No request was seen yet.
    fresh: bool,
    opaque: Option<Reason>,
}

impl Http1 {
    /// Starts on a connection.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            request: State::Idle,
            response: State::Idle,
            waiting: VecDeque::new(),
            presumed: None,
            next_key: 0,
            current_ordinal: None,
            request_ordinal: 0,
            response_ordinal: options.answered,
            ordinal_step: None,
            expected_step: 0,
            orphan: 0,
            heard: false,
            pipelined: false,
            fresh: true,
            opaque: None,
        }
    }

    /// Nothing can be told any more.
    fn give_up(&mut self, reason: Reason, events: &mut Vec<Event>) {
        self.lose_all(reason, events);
        self.request = State::Seek(reason);
        self.response = State::Seek(reason);
        self.opaque = Some(reason);
        events.push(Event::Opaque(reason));
    }

    fn lose_all(&mut self, reason: Reason, events: &mut Vec<Event>) {
        events.extend(
            self.waiting
                .drain(..)
                .map(|waiting| Event::Lost(waiting.key, reason)),
        );
    }

    fn lose_front(&mut self, reason: Reason, events: &mut Vec<Event>) {
        events.extend(
            self.waiting
                .pop_front()
                .map(|waiting| Event::Lost(waiting.key, reason)),
        );
    }

    /// Notes which message is at hand. One whose beginning was not seen is passed over.
    fn follow(&mut self, requests: bool, mark: Mark, piece: Piece<'_>) {
        let now = Some(mark.ordinal);
        let (before, state) = if requests {
            (
                self.current_ordinal.replace(mark.ordinal),
                &mut self.request,
            )
        } else {
            self.heard = true;
            (
                self.response_ordinal.replace(mark.ordinal),
                &mut self.response,
            )
        };
        let inside = before != now && !mark.first;
        if inside && matches!((&*state, piece), (State::Idle, Piece::Bytes(_))) {
            *state = State::Seek(Reason::Gap);
        }
    }

    fn state(&self, dir: Direction) -> &State {
        if dir == self.options.requests {
            &self.request
        } else {
            &self.response
        }
    }
}

impl Protocol for Http1 {
    fn parse(
        &mut self,
        dir: Direction,
        mark: Mark,
        piece: Piece<'_>,
        events: &mut Vec<Event>,
    ) -> Taken {
        if self.opaque.is_some() {
            return all(&piece, Place::Unknown);
        }
        let requests = dir == self.options.requests;
        // What was lost may have been of other messages than the one at hand.
        if !matches!(piece, Piece::Lost { .. }) {
            self.follow(requests, mark, piece);
        }
        if requests {
            self.take_request(mark, piece, events)
        } else {
            self.take_response(mark, piece, events)
        }
    }

    fn finish(&mut self, dir: Direction, events: &mut Vec<Event>) {
        if dir != self.options.requests {
            return self.finish_response(events);
        }
        if let State::Head(buffer) = &self.request {
            if !buffer.tentative {
                events.push(Event::Missed(Reason::ParseError));
            }
            self.request = State::Seek(Reason::ParseError);
        }
    }

    fn blind(&self, dir: Direction) -> u64 {
        match self.state(dir) {
            State::Body(body) => body.blind(),
            State::Seek(_) => u64::MAX,
            State::Idle | State::Head(_) | State::Presumed(_) => 0,
        }
    }

    fn is_in_request_head(&self) -> bool {
        matches!(&self.request, State::Head(buffer) if !buffer.tentative)
    }

    fn buffered(&self) -> usize {
        let held = |state: &State| match state {
            State::Head(buffer) => buffer.held(),
            _ => 0,
        };
        held(&self.request) + held(&self.response)
    }

    fn forget(&mut self, events: &mut Vec<Event>) {
        if let State::Head(_) = self.request {
            events.push(Event::Missed(Reason::OverLimit));
            self.request = State::Seek(Reason::OverLimit);
        }
        if let State::Head(_) = self.response {
            self.lose_front(Reason::OverLimit, events);
            self.response = State::Seek(Reason::OverLimit);
        }
    }

    fn skipping(&self, dir: Direction) -> Option<Reason> {
        match self.state(dir) {
            State::Seek(reason) => Some(*reason),
            _ => None,
        }
    }
}

fn all(piece: &Piece<'_>, place: Place) -> Taken {
    Taken {
        bytes: piece.len(),
        place,
    }
}

impl Taken {
    /// The header block that these bytes are of starts with them.
    fn starting(self) -> Self {
        match self.place {
            Place::Head => Self {
                place: Place::HeadStart,
                ..self
            },
            _ => self,
        }
    }
}
