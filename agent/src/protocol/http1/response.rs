//! The direction in which responses go.

use super::body::{Body, Framing, Progress};
use super::head::{self, Collected, HeadBuffer};
use super::{Http1, State, all, line, line_breaks};
use crate::connection::transaction::ResponseHead;
use crate::health::Reason;
use crate::protocol::{Event, Mark, Piece, Place, Taken, Verdict, When};

impl Http1 {
    pub(super) fn take_response(
        &mut self,
        mark: Mark,
        piece: Piece<'_>,
        events: &mut Vec<Event>,
    ) -> Taken {
        if let State::Presumed(body) = &self.response {
            let body = *body;
            self.after_presumed(body, &piece, events);
        }
        match (&mut self.response, piece) {
            (State::Seek(_), _) => self.seek_response(mark, piece, events),
            (State::Idle, Piece::Bytes(bytes)) => self.response_starts(mark, bytes, events),
            (State::Idle, Piece::Skip { .. }) => Taken::new(0, Place::Unknown),
            (State::Idle, Piece::Lost { reason, .. }) => {
                self.response = State::Seek(reason);
                all(&piece, Place::Unknown)
            }
            (State::Head(_), Piece::Bytes(bytes)) => self.response_head(bytes, events),
            (State::Head(_), Piece::Skip { .. }) => {
                self.lose_response(Reason::NotCaptured, events);
                all(&piece, Place::Unknown)
            }
            (State::Head(_), Piece::Lost { reason, .. }) => {
                self.lose_response(reason, events);
                all(&piece, Place::Unknown)
            }
            (State::Body(body), _) => {
                let (bytes, place, progress) = body.take(piece);
                let body = *body;
                self.response_moves(body, progress, events);
                Taken { bytes, place }
            }
            (State::Presumed(_), _) => all(&piece, Place::Unknown),
        }
    }

    fn response_moves(&mut self, body: Body, progress: Progress, events: &mut Vec<Event>) {
        // What is not seen may hold the end of this response and the whole of the next.
        if body.is_tail() && self.waiting.len() > 1 {
            return self.lose_response(Reason::NotCaptured, events);
        }
        if let Some(front) = self.waiting.front() {
            events.push(Event::ResponseBody(front.key, body.moved()));
        }
        match progress {
            Progress::More => {}
            Progress::End => self.complete(When::Now, false, None, events),
            Progress::PresumedEnd => {
                self.presumed = self.waiting.front().copied();
                self.complete(When::Now, true, None, events);
                self.response = State::Presumed(body);
            }
            Progress::Broken => self.lose_response(Reason::ParseError, events),
            Progress::Unknown => self.lose_response(Reason::Gap, events),
            Progress::EndLost => {
                self.lose_response(Reason::Gap, events);
                self.response = State::Idle;
            }
        }
    }

    /// The response under way cannot be followed; the ones after it have to be found again.
    fn lose_response(&mut self, reason: Reason, events: &mut Vec<Event>) {
        self.lose_front(reason, events);
        self.response = State::Seek(reason);
    }

    fn after_presumed(&mut self, mut body: Body, piece: &Piece<'_>, events: &mut Vec<Event>) {
        let goes_on = match piece {
            Piece::Bytes(bytes) => line::response(&bytes[line_breaks(bytes)..]) == Verdict::No,
            Piece::Skip { .. } => true,
            Piece::Lost { .. } => false,
        };
        self.response = State::Idle;
        if let (true, Some(waiting)) = (goes_on, self.presumed.take()) {
            events.push(Event::Resumed(waiting.key));
            self.waiting.push_front(waiting);
            body.resume();
            self.response = State::Body(body);
        }
    }

    fn seek_response(&mut self, mark: Mark, piece: Piece<'_>, events: &mut Vec<Event>) -> Taken {
        let State::Seek(reason) = self.response else {
            return all(&piece, Place::Unknown);
        };
        let orphan = std::mem::take(&mut self.orphan);
        match piece {
            Piece::Bytes(bytes) if orphan > 0 && !mark.first => {
                let n = orphan.min(bytes.len());
                self.orphan = orphan - n;
                return Taken::new(n, Place::Head);
            }
            Piece::Lost { .. } => {}
            _ if self.waiting.is_empty() => {}
            Piece::Bytes(bytes) if mark.first && line::response(bytes) != Verdict::No => {
                self.realign(mark, reason, events);
                if !self.waiting.is_empty() {
                    self.response = State::Head(HeadBuffer::new(mark, true));
                    return self.response_head(bytes, events).starting();
                }
            }
            // The start of a response was not seen.
            _ => self.lose_all(reason, events),
        }
        all(&piece, Place::Unknown)
    }

    /// A response starts after a loss. Messages alternate, so its ordinal tells whether it answers
    /// the last request; what waited before that one was answered in the hole.
    fn realign(&mut self, mark: Mark, reason: Reason, events: &mut Vec<Event>) {
        // Requests may be missing after the last one.
        let sure = !matches!(self.request, State::Seek(_) | State::Head(_));
        let step = mark.ordinal.wrapping_sub(self.request_ordinal);
        let follows = sure && self.ordinal_step == Some(step);
        let keep = match self.waiting.back() {
            Some(last) if last.first && follows => 1,
            _ => 0,
        };
        while self.waiting.len() > keep {
            self.lose_front(reason, events);
        }
    }

    fn response_starts(&mut self, mark: Mark, bytes: &[u8], events: &mut Vec<Event>) -> Taken {
        let front = line_breaks(bytes);
        if front == bytes.len() {
            return Taken::new(front, Place::Head);
        }
        if self.waiting.is_empty() {
            let mut reason = Reason::ParseError;
            if self.fresh && self.options.joined {
                events.push(Event::Missed(Reason::OpenAtStart));
                reason = Reason::JoinedMidMessage;
            }
            self.response = State::Seek(reason);
            if line::response(&bytes[front..]) == Verdict::No {
                return Taken::new(bytes.len(), Place::Unknown);
            }
            let status = (front + line::STATUS_BYTES).min(bytes.len());
            self.orphan = front + line::STATUS_BYTES - status;
            return Taken::new(status, Place::HeadStart);
        }
        if mark.first && self.ordinal_step.is_none() {
            let step = mark.ordinal.wrapping_sub(self.request_ordinal);
            // Offsets cannot tell yet whether a response was lost before.
            if self.options.joined && self.expected_step != step {
                self.response = State::Seek(Reason::Gap);
                return self.seek_response(mark, Piece::Bytes(bytes), events);
            }
            self.ordinal_step = Some(step);
        }
        self.response = State::Head(HeadBuffer::new(mark, false));
        let mut taken = self.response_head(&bytes[front..], events).starting();
        taken.bytes += front as u64;
        taken
    }

    fn response_head(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Taken {
        let State::Head(buffer) = &mut self.response else {
            return Taken::new(bytes.len(), Place::Unknown);
        };
        let whole = Taken::new(bytes.len(), Place::Head);
        match buffer.push(bytes, head::is_response) {
            Collected::More => whole,
            Collected::Foreign => {
                self.lose_response(Reason::ParseError, events);
                Taken {
                    place: Place::Unknown,
                    ..whole
                }
            }
            Collected::TooLong => {
                self.lose_response(Reason::OverLimit, events);
                whole
            }
            Collected::Whole(n, block) => {
                match head::response(&block) {
                    Ok((status, framing)) => self.answer(status, framing, events),
                    Err(head::Broken) => self.lose_response(Reason::ParseError, events),
                }
                Taken::new(n, Place::Head)
            }
        }
    }

    fn answer(&mut self, status: u16, framing: Framing, events: &mut Vec<Event>) {
        let Some(front) = self.waiting.front().copied() else {
            self.response = State::Idle;
            return;
        };
        let switched = status == 101 || (front.connect && (200..300).contains(&status));
        if (100..200).contains(&status) && !switched {
            self.response = State::Idle;
            return;
        }
        events.push(Event::Response(front.key, ResponseHead { status }));
        if switched {
            self.waiting.pop_front();
            events.push(Event::Switched(front.key));
            return self.give_up(Reason::UnknownProtocol, events);
        }
        let none = front.head || matches!(status, 204 | 304);
        events.push(Event::ResponseBody(front.key, Some(0)));
        match Body::new(if none { Framing::Empty } else { framing }) {
            Some(body) => self.response = State::Body(body),
            None => self.complete(When::Now, false, None, events),
        }
    }

    pub(super) fn complete(
        &mut self,
        when: When,
        presumed: bool,
        incomplete: Option<Reason>,
        events: &mut Vec<Event>,
    ) {
        self.response = State::Idle;
        if let Some(front) = self.waiting.pop_front() {
            events.push(Event::Complete {
                key: front.key,
                when,
                presumed,
                incomplete,
            });
        }
    }

    pub(super) fn finish_response(&mut self, events: &mut Vec<Event>) {
        let State::Body(body) = &self.response else {
            return;
        };
        match body.ends_with_stream() {
            Some(true) => self.complete(When::Now, false, None, events),
            Some(false) => {}
            None => self.complete(When::Now, false, Some(Reason::NotCaptured), events),
        }
    }
}
