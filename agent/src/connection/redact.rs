//! Redaction of recordings, before they are written. The payload keeps its length and everything
//! that decides spans; content, secrets and whatever is not understood is overwritten. It follows
//! the connections itself, so it understands exactly what a replay will.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use threadline_common::record::{DIR_TX, Segment};

use super::proxy::ADDRESSES;
use super::scrub::{COVER, Scrub};
use super::{Connections, Input, MAX_CONNECTIONS, Placed, Settings};
use crate::health::Ledger;
use crate::protocol::{Direction, Place};

/// Overwrites what a recording must not tell. Wants every record, in the order in which a replay
/// will see them.
#[derive(Debug)]
pub struct Redactor {
    connections: Connections,
    lines: HashMap<u64, [Lines; 2]>,
}

/// Place in the header block of one direction.
#[derive(Clone, Copy, Debug, Default)]
struct Lines {
    scrub: Scrub,
    place: Option<Place>,
}

impl Default for Redactor {
    fn default() -> Self {
        Self {
            connections: Connections::new(Settings::default(), Arc::new(Ledger::default())),
            lines: HashMap::new(),
        }
    }
}

impl Redactor {
    /// Takes any record that is not a segment.
    pub fn note(&mut self, input: Input) {
        self.connections.push(input, &mut Vec::new());
    }

    /// Redacts a segment and its payload in place.
    pub fn redact(&mut self, segment: &mut Segment, payload: &mut [u8]) {
        let input = Input::Segment(*segment, Bytes::copy_from_slice(payload));
        let mut places = Vec::new();
        self.connections
            .push_placed(input, &mut Vec::new(), Some(&mut places));
        cover_but_lines(&mut segment.tail);
        let mut original = payload.to_vec();
        payload.fill(COVER);
        let dir = if segment.dir == DIR_TX {
            Direction::Tx
        } else {
            Direction::Rx
        };
        let Some(lines) = self.lines(segment.conn) else {
            return;
        };
        for placed in places.iter().filter(|placed| placed.dir == dir) {
            let Some(range) = within(placed, segment.offset, original.len()) else {
                continue;
            };
            let bytes = &mut original[range.clone()];
            lines[dir.index()].redact(placed, bytes);
            payload[range].copy_from_slice(bytes);
        }
    }

    fn lines(&mut self, conn: u64) -> Option<&mut [Lines; 2]> {
        if !self.connections.ends.contains_key(&conn) {
            return None;
        }
        if self.lines.len() >= 2 * MAX_CONNECTIONS {
            let ends = &self.connections.ends;
            self.lines.retain(|conn, _| ends.contains_key(conn));
        }
        Some(self.lines.entry(conn).or_default())
    }
}

impl Lines {
    fn redact(&mut self, placed: &Placed, bytes: &mut [u8]) {
        let before = self.place.replace(placed.place);
        match placed.place {
            Place::HeadStart => {
                self.scrub.restart();
                self.scrub.scrub(bytes);
            }
            Place::Head => self.scrub.scrub(bytes),
            Place::Trailer => {
                if before != Some(Place::Trailer) {
                    self.scrub.restart_in_lines();
                }
                self.scrub.scrub(bytes);
            }
            Place::ChunkLine => {
                let kept = |b: u8| b.is_ascii_hexdigit() || b"\r\n; \t".contains(&b);
                bytes
                    .iter_mut()
                    .filter(|b| !kept(**b))
                    .for_each(|b| *b = COVER);
            }
            Place::Lines => cover_but_lines(bytes),
            // Addresses only; what follows them may be anything.
            Place::Proxy => {
                let kept = ADDRESSES.saturating_sub(placed.offset);
                let kept = usize::try_from(kept).unwrap_or(usize::MAX).min(bytes.len());
                bytes[kept..].fill(COVER);
            }
            Place::Body | Place::Unknown => bytes.fill(COVER),
        }
    }
}

/// Keeps what may be part of a last chunk: line breaks, and a zero that starts a line.
fn cover_but_lines(bytes: &mut [u8]) {
    let mut before = b'\n';
    for byte in bytes {
        let this = *byte;
        if !matches!((this, before), (b'\r' | b'\n', _) | (b'0', b'\n')) {
            *byte = COVER;
        }
        before = this;
    }
}

/// Part of a payload that starts at `offset` and has `len` bytes.
fn within(placed: &Placed, offset: u64, len: usize) -> Option<std::ops::Range<usize>> {
    let end = placed.offset.saturating_add(placed.len);
    let from = usize::try_from(placed.offset.saturating_sub(offset)).ok()?;
    let to = usize::try_from(end.saturating_sub(offset))
        .unwrap_or(usize::MAX)
        .min(len);
    (from < to).then_some(from..to)
}
