//! The time before a connection's protocol is known. At the beginning of a connection the first
//! bytes decide; one that was joined later gets a few chances, each at the start of a message.

use std::net::SocketAddr;

use super::proxy;
use crate::health::Reason;
use crate::protocol::{self, DETECT_BYTES, Direction, Entry, Mark, Piece, Place, Verdict};

/// Message starts looked at on a connection that was joined under way.
const MAX_TRIES: u8 = 8;

/// What a piece led to.
#[derive(Debug)]
pub(super) enum Found {
    /// Not decided; the bytes are kept.
    Kept(Place),
    /// Not decided; the bytes are of no use.
    Passed(Reason),
    /// Nothing this agent knows.
    Foreign,
    /// Recognised.
    Known(Known),
}

/// A recognised connection.
#[derive(Debug)]
pub(super) struct Known {
    /// The protocol.
    pub entry: &'static Entry,
    /// Direction in which requests go.
    pub requests: Direction,
    /// Where the message starts.
    pub start: Mark,
    /// Its bytes that came earlier.
    pub earlier: Vec<u8>,
    /// Bytes of this piece that come before the message or are in `earlier` (PROXY header).
    pub front: u64,
    /// The connection's beginning was not seen.
    pub joined: bool,
}

/// First bytes of both directions.
#[derive(Debug, Default)]
pub(super) struct Detecting {
    ways: [Way; 2],
    tries: u8,
    /// Original client by a PROXY header.
    pub proxied_for: Option<SocketAddr>,
}

#[derive(Debug, Default)]
struct Way {
    bytes: Vec<u8>,
    start: Mark,
    origin: bool,
    proxied: bool,
}

impl Detecting {
    /// Memory held.
    pub(super) fn buffered(&self) -> usize {
        self.ways.iter().map(|way| way.bytes.capacity()).sum()
    }

    /// Bytes that may be the beginning of a message are held.
    pub(super) fn is_under_way(&self) -> bool {
        self.ways.iter().any(|way| !way.bytes.is_empty())
    }

    /// Looks at the next piece of one direction. `origin`: it starts the stream.
    pub(super) fn offer(
        &mut self,
        dir: Direction,
        mark: Mark,
        piece: Piece<'_>,
        origin: bool,
    ) -> Found {
        let Piece::Bytes(bytes) = piece else {
            return self.unseen(dir, piece);
        };
        let way = &mut self.ways[dir.index()];
        if mark.first && !way.origin {
            *way = Way::default();
        }
        if way.bytes.is_empty() && !(way.proxied && way.origin) {
            if !origin && !mark.first {
                return Found::Passed(Reason::JoinedMidMessage);
            }
            *way = Way {
                start: Mark {
                    first: true,
                    ..mark
                },
                origin,
                ..Way::default()
            };
        } else if way.bytes.is_empty() {
            way.start = Mark {
                first: true,
                ..mark
            };
        }
        let mut front = 0;
        if way.origin && !way.proxied {
            match self.strip_proxy(dir, bytes) {
                Ok(n) => front = n,
                Err(found) => return found,
            }
        }
        self.decide(dir, mark, bytes, front)
    }

    /// Takes a PROXY header off; the number of bytes of `bytes` in it.
    fn strip_proxy(&mut self, dir: Direction, bytes: &[u8]) -> Result<usize, Found> {
        let way = &mut self.ways[dir.index()];
        let held = way.bytes.len();
        let room = proxy::MAX_PROXY.saturating_sub(held).min(bytes.len());
        let joined;
        let view = if held == 0 {
            bytes
        } else {
            joined = [&way.bytes, &bytes[..room]].concat();
            &joined
        };
        match proxy::read(view) {
            proxy::Header::None => Ok(0),
            proxy::Header::Partial if room == bytes.len() => {
                way.bytes.extend_from_slice(bytes);
                Err(Found::Kept(Place::Proxy))
            }
            proxy::Header::Partial => Err(Found::Foreign),
            proxy::Header::Whole(len, source) => {
                let front = len.saturating_sub(held).min(bytes.len());
                way.bytes.clear();
                way.proxied = true;
                self.proxied_for = source;
                Ok(front)
            }
        }
    }

    fn decide(&mut self, dir: Direction, mark: Mark, bytes: &[u8], front: usize) -> Found {
        let way = &mut self.ways[dir.index()];
        let rest = &bytes[front..];
        if front > 0 {
            way.start = Mark {
                offset: mark.offset.saturating_add(front as u64),
                first: true,
                ..mark
            };
            if rest.is_empty() {
                return Found::Kept(Place::Proxy);
            }
        }
        let joined;
        let view = if way.bytes.is_empty() {
            &rest[..rest.len().min(2 * DETECT_BYTES)]
        } else {
            let room = (2 * DETECT_BYTES)
                .saturating_sub(way.bytes.len())
                .min(rest.len());
            joined = [&way.bytes, &rest[..room]].concat();
            &joined
        };
        let (requests, entry) = match protocol::detect(view) {
            (Verdict::Request, Some(entry)) => (dir, entry),
            (Verdict::Response, Some(entry)) => (dir.other(), entry),
            (Verdict::Maybe, _) if view.len() < 2 * DETECT_BYTES => {
                // Nothing else starts like this; what might be a secret of another protocol's is
                // not called a header block.
                let plain = protocol::starts_plainly(view);
                way.bytes.extend_from_slice(rest);
                return Found::Kept(if plain { Place::Head } else { Place::Unknown });
            }
            _ => return self.not_here(dir),
        };
        Found::Known(Known {
            entry,
            requests,
            start: way.start,
            earlier: std::mem::take(&mut way.bytes),
            front: front as u64,
            joined: !way.origin,
        })
    }

    fn not_here(&mut self, dir: Direction) -> Found {
        let way = std::mem::take(&mut self.ways[dir.index()]);
        self.tries += 1;
        if way.origin || self.tries >= MAX_TRIES {
            return Found::Foreign;
        }
        Found::Passed(Reason::JoinedMidMessage)
    }

    fn unseen(&mut self, dir: Direction, piece: Piece<'_>) -> Found {
        self.ways[dir.index()] = Way::default();
        match piece {
            Piece::Lost { reason, .. } => Found::Passed(reason),
            _ => Found::Passed(Reason::NotCaptured),
        }
    }
}
