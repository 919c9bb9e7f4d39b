//! One direction of one end: what comes next, and the bytes of the last call that were not
//! captured, kept back until it is sure that they were moved and will not be told of again.

use threadline_common::record::{SEGMENT_FIRST, SEGMENT_MORE, SEGMENT_TAIL, Segment};

use super::SHORT_HOLD_NS;
use crate::protocol::Mark;

/// The uncaptured rest of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    /// Its first byte.
    pub mark: Mark,
    /// Bytes.
    pub len: u64,
    /// Last bytes.
    pub tail: Option<[u8; 8]>,
}

impl Rest {
    /// Offset after it.
    pub(super) fn end(&self) -> u64 {
        self.mark.offset.saturating_add(self.len)
    }

    /// Taken for moved when event time reaches this.
    pub(super) fn due_ns(&self) -> u64 {
        self.mark.ktime_ns.saturating_add(SHORT_HOLD_NS)
    }

    /// Only the bytes before `end` were moved.
    pub(super) fn cut(self, end: u64) -> Option<Self> {
        if end >= self.end() {
            return Some(self);
        }
        let len = end.saturating_sub(self.mark.offset);
        (len > 0).then_some(Self {
            len,
            tail: None,
            ..self
        })
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Offset of the next byte wanted.
    pub next: Option<u64>,
    /// It was followed from its first byte on, so its first segment starts there or some were lost.
    pub from_origin: bool,
    /// Number of the last message seen.
    pub ordinal: Option<u32>,
    /// Time of the last segment.
    pub last_ns: u64,
    /// See [`Rest`].
    pub rest: Option<Rest>,
    /// Bytes up to here were told of and not captured (they may not have been moved, either).
    pub unseen_to: u64,
}

/// A segment against what its stream wants next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fit {
    /// Its first new byte.
    pub mark: Mark,
    /// Bytes missing before it.
    pub missing: u64,
    /// Bytes at its front that are known already.
    pub known: u64,
    /// Bytes it says it moved.
    pub len: u64,
    /// Its last bytes.
    pub tail: Option<[u8; 8]>,
}

impl Stream {
    /// Compares a segment with what is wanted next.
    pub(super) fn fit(&mut self, segment: &Segment) -> Fit {
        // A stream starts at 0, or at 1 where the SYN is counted.
        let first = if self.from_origin && segment.offset > 1 {
            1
        } else {
            segment.offset
        };
        let next = *self.next.get_or_insert(first);
        let len = u64::from(segment.len);
        let known = next.saturating_sub(segment.offset).min(len);
        let starts = segment.flags & (SEGMENT_FIRST | SEGMENT_MORE) == SEGMENT_FIRST;
        self.ordinal = Some(segment.ordinal);
        self.last_ns = segment.header.ktime_ns;
        Fit {
            mark: Mark {
                offset: segment.offset.saturating_add(known),
                ktime_ns: segment.header.ktime_ns,
                ordinal: segment.ordinal,
                first: starts && known == 0,
            },
            missing: segment.offset.saturating_sub(next),
            known,
            len,
            tail: tail(segment),
        }
    }
}

/// Last bytes of a segment, the very last one at the end also where there are fewer than eight.
fn tail(segment: &Segment) -> Option<[u8; 8]> {
    if segment.flags & SEGMENT_TAIL == 0 {
        return None;
    }
    let mut tail = segment.tail;
    let len = segment.len as usize;
    if len < tail.len() && tail[len..].iter().all(|&b| b == 0) {
        tail.rotate_right(8 - len);
    }
    Some(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(offset: u64, len: u32) -> Segment {
        Segment {
            offset,
            len,
            flags: SEGMENT_FIRST,
            ..Segment::default()
        }
    }

    #[test]
    fn overlaps_are_trimmed_and_holes_are_told() {
        let mut stream = Stream::default();
        let first = stream.fit(&segment(100, 10));
        assert_eq!((first.missing, first.known, first.mark.first), (0, 0, true));
        stream.next = Some(110);
        let again = stream.fit(&segment(105, 10));
        assert_eq!((again.missing, again.known, again.mark.offset), (0, 5, 110));
        assert!(!again.mark.first);
        assert_eq!(stream.fit(&segment(50, 10)).known, 10);
        assert_eq!(stream.fit(&segment(115, 10)).missing, 5);
        assert_eq!(stream.fit(&segment(u64::MAX, 10)).mark.offset, u64::MAX);
    }

    #[test]
    fn a_rest_is_cut_where_the_kernel_stopped() {
        let rest = Rest {
            mark: Mark {
                offset: 100,
                ..Mark::default()
            },
            len: 50,
            tail: Some([1; 8]),
        };
        assert_eq!(
            rest.cut(150).map(|rest| (rest.len, rest.tail)),
            Some((50, Some([1; 8])))
        );
        assert_eq!(
            rest.cut(120).map(|rest| (rest.len, rest.tail)),
            Some((20, None))
        );
        assert!(rest.cut(100).is_none() && rest.cut(10).is_none());
    }

    #[test]
    fn a_short_tail_ends_at_its_end() {
        let mut short = segment(0, 5);
        short.flags |= SEGMENT_TAIL;
        short.tail = *b"0\r\n\r\n\0\0\0";
        assert_eq!(tail(&short), Some(*b"\0\0\x000\r\n\r\n"));
    }
}
