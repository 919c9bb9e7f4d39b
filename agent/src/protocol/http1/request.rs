//! The direction in which requests go.

use super::body::{Body, Progress};
use super::head::{self, Collected, HeadBuffer};
use super::{Http1, MAX_OPEN_REQUESTS, State, Waiting, all, line, line_breaks};
use crate::health::Reason;
use crate::protocol::{Event, Mark, Piece, Place, Taken, Verdict, When};

impl Http1 {
    pub(super) fn take_request(
        &mut self,
        mark: Mark,
        piece: Piece<'_>,
        events: &mut Vec<Event>,
    ) -> Taken {
        if let State::Presumed(body) = &self.request {
            let mut body = *body;
            let goes_on = match piece {
                Piece::Bytes(bytes) => line::request(&bytes[line_breaks(bytes)..]) == Verdict::No,
                Piece::Skip { .. } => true,
                Piece::Lost { .. } => false,
            };
            body.resume();
            self.request = if goes_on {
                State::Body(body)
            } else {
                State::Idle
            };
        }
        match (&mut self.request, piece) {
            (State::Seek(_), Piece::Bytes(bytes)) if mark.first => {
                let front = line_breaks(bytes);
                if line::request(&bytes[front..]) == Verdict::No {
                    return all(&piece, Place::Unknown);
                }
                self.request_starts(mark, bytes, true, events)
            }
            (State::Seek(_), _) => all(&piece, Place::Unknown),
            (State::Idle, Piece::Bytes(bytes)) => self.request_starts(mark, bytes, false, events),
            (State::Idle, Piece::Skip { .. }) => Taken::new(0, Place::Unknown),
            (State::Idle, Piece::Lost { reason, .. }) => {
                self.request_gap(reason, events);
                all(&piece, Place::Unknown)
            }
            // What was taken for the beginning of a request line was none, and something else begins.
            // (Where nothing was lost the line goes on, although an earlier request's response was
            // sent in between: any few letters of it could begin a request.)
            (State::Head(buffer), Piece::Bytes(bytes))
                if mark.first
                    && buffer.tentative
                    && !buffer.is_sure()
                    && line::request(bytes) != Verdict::No =>
            {
                self.request_starts(mark, bytes, true, events)
            }
            (State::Head(_), Piece::Bytes(bytes)) => self.request_head(bytes, events),
            (State::Head(buffer), Piece::Skip { .. } | Piece::Lost { .. }) => {
                let reason = match piece {
                    Piece::Lost { reason, .. } => reason,
                    _ => Reason::NotCaptured,
                };
                if !buffer.tentative {
                    events.push(Event::Missed(reason));
                }
                self.request_gap(reason, events);
                all(&piece, Place::Unknown)
            }
            (State::Body(body), _) => {
                let (bytes, place, progress) = body.take(piece);
                if !matches!(piece, Piece::Lost { .. }) {
                    self.request_ordinal = mark.ordinal;
                }
                events.push(Event::RequestBody(self.next_key, body.moved()));
                match progress {
                    Progress::More => {}
                    // What follows a length that ends in a hole is a gap of its own.
                    Progress::End | Progress::EndLost => self.request = State::Idle,
                    Progress::PresumedEnd => self.request = State::Presumed(*body),
                    Progress::Broken => self.request = State::Seek(Reason::ParseError),
                    Progress::Unknown => self.request_gap(Reason::Gap, events),
                }
                Taken { bytes, place }
            }
            (State::Presumed(_), _) => all(&piece, Place::Unknown),
        }
    }

    /// Requests may have been lost. Those that wait were sent before them.
    fn request_gap(&mut self, reason: Reason, events: &mut Vec<Event>) {
        // With several under way at once, nobody can tell whose response comes next.
        if self.pipelined {
            return self.give_up(reason, events);
        }
        self.request = State::Seek(reason);
    }

    fn request_starts(
        &mut self,
        mark: Mark,
        bytes: &[u8],
        tentative: bool,
        events: &mut Vec<Event>,
    ) -> Taken {
        let front = line_breaks(bytes);
        if front == bytes.len() {
            return Taken::new(front, Place::Head);
        }
        let start = Mark {
            offset: mark.offset.saturating_add(front as u64),
            ..mark
        };
        let before = match std::mem::replace(
            &mut self.request,
            State::Head(HeadBuffer::new(start, tentative)),
        ) {
            State::Seek(reason) => reason,
            _ => Reason::ParseError,
        };
        let mut taken = self.request_head(&bytes[front..], events).starting();
        taken.bytes += front as u64;
        if let (State::Seek(reason), true) = (&mut self.request, tentative) {
            *reason = before;
        }
        taken
    }

    fn request_head(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Taken {
        let State::Head(buffer) = &mut self.request else {
            return Taken::new(bytes.len(), Place::Unknown);
        };
        let (start, tentative) = (buffer.start, buffer.tentative);
        let mut refuse = |reason: Reason, place: Place| {
            if !tentative || place == Place::Head {
                events.push(Event::Missed(reason));
            }
            (State::Seek(reason), Taken::new(bytes.len(), place))
        };
        let (state, taken) = match buffer.push(bytes, head::is_request) {
            Collected::More => {
                let sure = !tentative || buffer.is_plain();
                let place = if sure { Place::Head } else { Place::Unknown };
                return Taken::new(bytes.len(), place);
            }
            Collected::Foreign => refuse(Reason::ParseError, Place::Unknown),
            Collected::TooLong => refuse(Reason::OverLimit, Place::Head),
            Collected::Whole(n, block) => match head::request(&block, self.options.redact_query) {
                Err(head::Broken) => refuse(Reason::ParseError, Place::Head),
                Ok(parsed) => {
                    drop(block);
                    self.begin(start, parsed, events);
                    return Taken::new(n, Place::Head);
                }
            },
        };
        self.request = state;
        taken
    }

    fn begin(&mut self, start: Mark, parsed: head::ParsedRequest, events: &mut Vec<Event>) {
        if self.waiting.len() >= MAX_OPEN_REQUESTS {
            events.push(Event::Missed(Reason::OverLimit));
            return self.give_up(Reason::OverLimit, events);
        }
        if start.first {
            self.flip(events);
        }
        self.fresh = false;
        self.request_ordinal = self.current_ordinal.unwrap_or(start.ordinal);
        // Ordinals count from 1: with nothing seen before, the kernel's first message is this one.
        self.expected_step = self.response_ordinal.map_or(0, |answered| {
            answered.wrapping_add(1).wrapping_sub(self.request_ordinal)
        });
        self.heard = false;
        self.next_key += 1;
        let key = self.next_key;
        self.waiting.push_back(Waiting {
            key,
            head: parsed.head.method == "HEAD",
            connect: parsed.head.method == "CONNECT",
            first: start.first,
        });
        self.pipelined |= self.waiting.len() > 1;
        let body = Body::new(parsed.framing);
        self.request = body.map_or(State::Idle, State::Body);
        events.push(Event::Request {
            key,
            head: Box::new(parsed.head),
            start,
        });
        events.push(Event::RequestBody(key, Some(0)));
    }

    /// A request starts a message, so what was sent before has been answered, unless requests are
    /// pipelined. Ends a response whose own bytes did not tell.
    fn flip(&mut self, events: &mut Vec<Event>) {
        let open_ended = match &self.response {
            State::Body(body) => body.is_open_ended(),
            _ => false,
        };
        if open_ended && self.waiting.len() == 1 {
            self.complete(When::Last, false, None, events);
        }
        // Something was sent in between, and none of it was seen.
        if !self.heard && !self.waiting.is_empty() {
            if self.waiting.len() > 1 {
                self.response = State::Seek(Reason::Gap);
            }
            self.lose_all(Reason::Gap, events);
        }
        if self.waiting.is_empty() && matches!(self.response, State::Seek(_)) {
            self.response = State::Idle;
        }
    }
}
