//! Application protocols: what the bytes of one connection mean. The connection stage hands over
//! each direction's bytes in order, holes marked, and gets [`Event`]s back. A protocol keeps no
//! clock, sends nothing and knows nothing of spans.

pub mod http1;

use crate::connection::transaction::{RequestHead, ResponseHead};
use crate::health::Reason;

/// Longest front of a connection that [`detect`] looks at.
pub const DETECT_BYTES: usize = 1024;

/// Direction of bytes, seen from the process that moved them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Received.
    Rx,
    /// Sent.
    Tx,
}

impl Direction {
    /// Index into a pair kept per direction.
    pub const fn index(self) -> usize {
        match self {
            Self::Rx => 0,
            Self::Tx => 1,
        }
    }

    /// The opposite direction.
    pub const fn other(self) -> Self {
        match self {
            Self::Rx => Self::Tx,
            Self::Tx => Self::Rx,
        }
    }
}

/// Where and when a byte was moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Offset in its direction's stream as the kernel programs gave it.
    pub offset: u64,
    /// Time of the segment that moved it.
    pub ktime_ns: u64,
    /// Number of its message (direction flips) as the kernel programs gave it.
    pub ordinal: u32,
    /// It is the first byte of a message as the kernel programs saw it (the direction flipped).
    pub first: bool,
}

/// The next bytes of one direction.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// Bytes that were captured.
    Bytes(&'a [u8]),
    /// Bytes that were moved and not captured.
    Skip {
        /// How many.
        len: u64,
        /// The last ones, where known.
        tail: Option<[u8; 8]>,
    },
    /// Bytes whose records were lost: nobody knows which calls moved them, or when.
    Lost {
        /// How many.
        len: u64,
        /// Why.
        reason: Reason,
    },
}

impl<'a> Piece<'a> {
    /// Bytes of the stream in this piece.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Skip { len, .. } | Self::Lost { len, .. } => *len,
        }
    }

    /// Nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What remains after `n` bytes were taken.
    pub fn advance(self, n: u64) -> Self {
        match self {
            Self::Bytes(bytes) => {
                let n = usize::try_from(n).unwrap_or(usize::MAX).min(bytes.len());
                Self::Bytes(&bytes[n..])
            }
            Self::Skip { len, tail } => Self::Skip {
                len: len.saturating_sub(n),
                tail,
            },
            Self::Lost { len, reason } => Self::Lost {
                len: len.saturating_sub(n),
                reason,
            },
        }
    }
}

/// What a stretch of bytes was, for redaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The first bytes of a header block.
    HeadStart,
    /// Further bytes of a header block, or line breaks in front of one.
    Head,
    /// Header lines after the last chunk.
    Trailer,
    /// Line breaks and sizes around chunks.
    ChunkLine,
    /// Content.
    Body,
    /// Bytes of which only line breaks matter, and the last chunk (chunk extensions, chunked content
    /// whose framing is lost).
    Lines,
    /// A PROXY protocol header.
    Proxy,
    /// Not understood.
    Unknown,
}

/// How far one [`Protocol::parse`] went. 0 bytes: what follows is not this protocol's to explain
/// (bytes that were asked to be sent after the end of a message).
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Bytes taken off the front.
    pub bytes: u64,
    /// What they were.
    pub place: Place,
}

impl Taken {
    /// So many bytes of this sort.
    pub fn new(bytes: usize, place: Place) -> Self {
        Self {
            bytes: bytes as u64,
            place,
        }
    }
}

/// When something that a protocol tells happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// With the piece just given.
    Now,
    /// With the last bytes of its direction before that.
    Last,
}

/// What a protocol tells of its requests. `key` is its own number of a request.
#[derive(Debug)]
pub enum Event {
    /// A request's header block is complete.
    Request {
        /// The request.
        key: u64,
        /// Its header block.
        head: Box<RequestHead>,
        /// Its first byte.
        start: Mark,
    },
    /// Request body so far; `None`: moved, but how much is not known.
    RequestBody(u64, Option<u64>),
    /// Final response header block.
    Response(u64, ResponseHead),
    /// Response body so far; `None`: moved, but how much is not known.
    ResponseBody(u64, Option<u64>),
    /// The response is complete.
    Complete {
        /// The request.
        key: u64,
        /// When its last byte moved.
        when: When,
        /// It may yet turn out to go on ([`Event::Resumed`]).
        presumed: bool,
        /// What was not seen and may have mattered.
        incomplete: Option<Reason>,
    },
    /// A presumed end was none.
    Resumed(u64),
    /// The connection speaks another protocol from here on.
    Switched(u64),
    /// What became of this request cannot be told.
    Lost(u64, Reason),
    /// A request that will never be told of: its header block is broken, too long, or not there.
    Missed(Reason),
    /// Nothing that follows on this connection is understood.
    Opaque(Reason),
}

/// One application protocol on one connection. Detection and finding the way back after lost
/// bytes stand apart from parsing: see [`detect`] and [`Piece::Lost`].
pub trait Protocol: std::fmt::Debug {
    /// Takes something off the front of `piece`. Never panics; each call takes bytes or tells that
    /// the rest is not its own by taking none.
    fn parse(
        &mut self,
        dir: Direction,
        mark: Mark,
        piece: Piece<'_>,
        events: &mut Vec<Event>,
    ) -> Taken;
    /// No more bytes will come in this direction.
    fn finish(&mut self, dir: Direction, events: &mut Vec<Event>);
    /// How many of the next bytes need not be seen.
    fn blind(&self, dir: Direction) -> u64;
    /// A request's header block has begun and is not complete.
    fn is_in_request_head(&self) -> bool;
    /// Bytes of memory that hold an unfinished header block.
    fn buffered(&self) -> usize;
    /// Gives up unfinished header blocks: the node's memory for them is used up.
    fn forget(&mut self, events: &mut Vec<Event>);
    /// Why bytes of this direction are passed over just now, if they are.
    fn skipping(&self, dir: Direction) -> Option<Reason>;
}

/// What the first bytes of a message say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A request of this protocol.
    Request,
    /// A response of this protocol.
    Response,
    /// Too few bytes to tell.
    Maybe,
    /// Not this protocol.
    No,
}

/// What a protocol is told when its connection is recognised.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Direction in which requests go.
    pub requests: Direction,
    /// Replace query values.
    pub redact_query: bool,
    /// The connection's beginning was not seen.
    pub joined: bool,
    /// Number of the last message seen in the response direction.
    pub answered: Option<u32>,
}

/// One line of the table of protocols.
#[derive(Debug)]
pub struct Entry {
    /// `network.protocol.name`.
    pub name: &'static str,
    /// Looks at the first bytes of a message.
    pub detect: fn(&[u8]) -> Verdict,
    /// Are too few bytes for a verdict nevertheless nothing but the start of this protocol's
    /// message? A recording keeps them.
    pub plain: fn(&[u8]) -> bool,
    /// Starts on a connection.
    pub open: fn(Options) -> Box<dyn Protocol>,
}

/// Every protocol, in the order they are tried.
pub static PROTOCOLS: &[Entry] = &[Entry {
    name: "http",
    detect: http1::detect,
    plain: http1::starts_plainly,
    open: |options| Box::new(http1::Http1::new(options)),
}];

/// Asks every protocol; the first that is sure wins.
pub fn detect(head: &[u8]) -> (Verdict, Option<&'static Entry>) {
    let mut verdict = Verdict::No;
    for entry in PROTOCOLS {
        match (entry.detect)(head) {
            Verdict::No => {}
            Verdict::Maybe => verdict = Verdict::Maybe,
            sure => return (sure, Some(entry)),
        }
    }
    (verdict, None)
}

/// True where some protocol knows these first bytes well enough to keep them in a recording.
pub fn starts_plainly(head: &[u8]) -> bool {
    PROTOCOLS.iter().any(|entry| (entry.plain)(head))
}
