//! The content of one message: how long it is, and where it ends when not all of it was captured.

use super::chunked::{Chunked, Run};
use crate::protocol::{Piece, Place};

/// End of a chunked body without trailers.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// How the header block says the content is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// None follows.
    Empty,
    /// So many bytes (not 0).
    Length(u64),
    /// Chunked.
    Chunked,
    /// Until the connection ends.
    Close,
}

/// Result of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Goes on.
    More,
    /// Complete.
    End,
    /// It looks complete: the last bytes of a segment are those of a last chunk.
    PresumedEnd,
    /// Against the rules.
    Broken,
    /// Its known length ends among bytes that were lost: it is over, nobody knows since when.
    EndLost,
    /// Where it ends can no longer be told.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
enum Reader {
    Length(u64),
    Chunked(Chunked),
    /// Chunked, position unknown: the last bytes seen, newest last.
    Tail(Last),
    Close,
}

/// Content under way.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    reader: Reader,
    moved: Option<u64>,
}

impl Body {
    /// Starts; `None` where there is no content.
    pub fn new(framing: Framing) -> Option<Self> {
        let reader = match framing {
            Framing::Empty => return None,
            Framing::Length(n) => Reader::Length(n),
            Framing::Chunked => Reader::Chunked(Chunked::default()),
            Framing::Close => Reader::Close,
        };
        Some(Self {
            reader,
            moved: Some(0),
        })
    }

    /// Content bytes so far, without chunk framing; `None` where that got lost.
    pub fn moved(&self) -> Option<u64> {
        self.moved
    }

    /// Nothing but the next message or the end of the connection tells where it ends.
    pub fn is_open_ended(&self) -> bool {
        matches!(self.reader, Reader::Tail(_) | Reader::Close)
    }

    /// Chunked content whose framing is lost.
    pub fn is_tail(&self) -> bool {
        matches!(self.reader, Reader::Tail(_))
    }

    /// Is an end of the connection here the end of the content? `None`: cannot be told.
    pub fn ends_with_stream(&self) -> Option<bool> {
        match &self.reader {
            Reader::Close => Some(true),
            Reader::Tail(last) => last.ends_block(),
            Reader::Length(_) | Reader::Chunked(_) => Some(false),
        }
    }

    /// How many of the next bytes need not be seen.
    pub fn blind(&self) -> u64 {
        match &self.reader {
            Reader::Length(left) => *left,
            Reader::Chunked(chunked) => chunked.data_left(),
            Reader::Tail(_) => 0,
            Reader::Close => u64::MAX,
        }
    }

    /// Takes content off the front of `piece`, which is not empty.
    pub fn take(&mut self, piece: Piece<'_>) -> (u64, Place, Progress) {
        let place = match &self.reader {
            Reader::Chunked(chunked) => chunked.place(),
            Reader::Tail(_) => Place::Lines,
            Reader::Length(_) | Reader::Close => Place::Body,
        };
        let (n, progress) = match piece {
            Piece::Bytes(bytes) => self.bytes(bytes),
            Piece::Skip { len, tail } => self.skip(len, tail),
            Piece::Lost { len, .. } => self.lost(len),
        };
        (n, place, progress)
    }

    fn bytes(&mut self, bytes: &[u8]) -> (u64, Progress) {
        match &mut self.reader {
            Reader::Length(_) | Reader::Close => self.pass(bytes.len() as u64),
            Reader::Chunked(chunked) => {
                let data = chunked.data_left() > 0;
                let (n, run) = chunked.run(bytes);
                if data {
                    self.add(n as u64);
                }
                let progress = match run {
                    Run::More => Progress::More,
                    Run::End => Progress::End,
                    Run::Broken => Progress::Broken,
                };
                (n as u64, progress)
            }
            Reader::Tail(last) => {
                last.push(bytes);
                (bytes.len() as u64, presumed(last))
            }
        }
    }

    fn skip(&mut self, len: u64, tail: Option<[u8; 8]>) -> (u64, Progress) {
        match &mut self.reader {
            Reader::Length(_) | Reader::Close => self.pass(len),
            Reader::Chunked(chunked) if chunked.data_left() > 0 => {
                let n = len.min(chunked.data_left());
                chunked.skip(n);
                self.add(n);
                (n, Progress::More)
            }
            // All of them are known by the segment's tail: usually the last chunk's line.
            Reader::Chunked(_) if len <= 8 && tail.is_some() => {
                let tail = tail.unwrap_or_default();
                let known = usize::try_from(len).unwrap_or(tail.len());
                self.bytes(&tail[tail.len() - known..])
            }
            // From here on only the last bytes of each segment are looked at.
            Reader::Chunked(_) | Reader::Tail(_) => {
                let mut last = match &self.reader {
                    Reader::Tail(last) if len < 8 && tail.is_some() => *last,
                    _ => Last::default(),
                };
                if let Some(tail) = tail {
                    let known = usize::try_from(len).unwrap_or(usize::MAX).min(tail.len());
                    last.push(&tail[tail.len() - known..]);
                }
                self.moved = None;
                self.reader = Reader::Tail(last);
                (len, presumed(&last))
            }
        }
    }

    fn lost(&mut self, len: u64) -> (u64, Progress) {
        match &mut self.reader {
            // The last byte must be seen: it has the time.
            Reader::Length(left) if len < *left => self.pass(len),
            Reader::Length(left) => {
                let n = *left;
                self.add(n);
                (n, Progress::EndLost)
            }
            Reader::Close => self.pass(len),
            Reader::Chunked(chunked) if len <= chunked.data_left() => {
                chunked.skip(len);
                self.add(len);
                (len, Progress::More)
            }
            Reader::Chunked(_) | Reader::Tail(_) => {
                self.moved = None;
                (len, Progress::Unknown)
            }
        }
    }

    fn pass(&mut self, len: u64) -> (u64, Progress) {
        let mut n = len;
        let mut progress = Progress::More;
        if let Reader::Length(left) = &mut self.reader {
            n = len.min(*left);
            *left -= n;
            if *left == 0 {
                progress = Progress::End;
            }
        }
        self.add(n);
        (n, progress)
    }

    fn add(&mut self, n: u64) {
        self.moved = self.moved.map(|moved| moved.saturating_add(n));
    }

    /// The body goes on after a presumed end: from now on only tails are looked at.
    pub fn resume(&mut self) {
        self.reader = Reader::Tail(Last::default());
        self.moved = None;
    }
}

fn presumed(last: &Last) -> Progress {
    match last.ends_chunks() {
        true => Progress::PresumedEnd,
        false => Progress::More,
    }
}

/// The last bytes of a stream, as far as known.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    bytes: [u8; 8],
    known: usize,
}

impl Last {
    fn push(&mut self, more: &[u8]) {
        let more = &more[more.len().saturating_sub(8)..];
        self.bytes.rotate_left(more.len());
        self.bytes[8 - more.len()..].copy_from_slice(more);
        self.known = (self.known + more.len()).min(8);
    }

    fn known(&self) -> &[u8] {
        &self.bytes[8 - self.known..]
    }

    fn ends_chunks(&self) -> bool {
        self.known().ends_with(LAST_CHUNK)
    }

    /// An empty line ends what was seen, as it does after trailers.
    fn ends_block(&self) -> Option<bool> {
        (self.known >= 4).then(|| self.known().ends_with(b"\r\n\r\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Reason;

    fn body(framing: Framing) -> Body {
        Body::new(framing).unwrap()
    }

    #[test]
    fn a_rest_of_a_few_bytes_is_known_by_its_tail() {
        // One segment of which all but the last byte was captured.
        let mut one = body(Framing::Chunked);
        let mut captured: &[u8] = b"3\r\nabc\r\n0\r\n\r";
        while !captured.is_empty() {
            let (n, ..) = one.take(Piece::Bytes(captured));
            captured = &captured[n as usize..];
        }
        let skip = Piece::Skip {
            len: 1,
            tail: Some(*b"c\r\n0\r\n\r\n"),
        };
        assert_eq!((one.take(skip).2, one.moved()), (Progress::End, Some(3)));
    }

    #[test]
    fn a_length_is_counted_down_over_bytes_skips_and_losses() {
        let mut body = body(Framing::Length(100));
        assert_eq!(body.take(Piece::Bytes(&[b'a'; 10])).2, Progress::More);
        assert_eq!(
            body.take(Piece::Skip {
                len: 60,
                tail: None
            }),
            (60, Place::Body, Progress::More)
        );
        assert_eq!(
            body.take(Piece::Lost {
                len: 10,
                reason: Reason::Gap
            })
            .2,
            Progress::More
        );
        assert_eq!(
            body.take(Piece::Skip {
                len: 30,
                tail: None
            }),
            (20, Place::Body, Progress::End)
        );
        assert_eq!(body.moved(), Some(100));
    }

    #[test]
    fn a_length_whose_last_byte_was_lost_has_no_known_end() {
        let mut body = body(Framing::Length(10));
        let lost = Piece::Lost {
            len: 30,
            reason: Reason::Gap,
        };
        assert_eq!(body.take(lost), (10, Place::Body, Progress::EndLost));
    }

    #[test]
    fn chunks_stay_exact_while_only_their_data_is_unseen() {
        let mut body = body(Framing::Chunked);
        let mut bytes = &b"10\r\nab"[..];
        while !bytes.is_empty() {
            let (n, ..) = body.take(Piece::Bytes(bytes));
            bytes = &bytes[n as usize..];
        }
        assert_eq!(
            body.take(Piece::Skip {
                len: 14,
                tail: None
            })
            .2,
            Progress::More
        );
        assert_eq!(body.moved(), Some(16));
        let (n, place, _) = body.take(Piece::Bytes(b"\r\n0\r\n\r\n"));
        assert_eq!((n, place), (5, Place::ChunkLine));
        assert_eq!(body.take(Piece::Bytes(b"\r\n")).2, Progress::End);
    }

    #[test]
    fn an_unseen_chunk_size_leaves_the_tail() {
        let mut body = body(Framing::Chunked);
        let tail = |text: &[u8; 8]| Piece::Skip {
            len: 500,
            tail: Some(*text),
        };
        assert_eq!(body.take(tail(b"abcdef\r\n")).2, Progress::More);
        assert_eq!(body.moved(), None);
        assert_eq!(
            body.take(Piece::Bytes(b"0\r\n\r\n")).2,
            Progress::PresumedEnd
        );
        body.resume();
        assert_eq!(body.take(tail(b"a\r\n0\r\n\r\n")).2, Progress::PresumedEnd);
        assert_eq!(body.ends_with_stream(), Some(true));
    }
}
