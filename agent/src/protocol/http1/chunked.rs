//! Chunked transfer coding, byte for byte (RFC 9112, 7.1). Bare line feeds are tolerated, as most
//! receivers do.

use crate::protocol::Place;

/// Longest chunk extension.
pub const MAX_EXTENSION: u32 = 4 * 1024;
/// Longest trailer section.
pub const MAX_TRAILERS: u32 = 64 * 1024;

/// Where the next byte belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In a chunk size, after so many digits.
    Size { size: u64, digits: u8 },
    /// In a chunk extension.
    Extension { size: u64, len: u32 },
    /// In a chunk with so many bytes left.
    Data(u64),
    /// Before the line break after a chunk.
    DataEnd,
    /// In the trailer section; `empty`: the line has no byte yet.
    Trailer { empty: bool, len: u32 },
}

/// Result of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Goes on.
    More,
    /// The last chunk and its trailers are complete.
    End,
    /// Not chunked coding.
    Broken,
}

/// Reader of one chunked body.
#[derive(Clone, Copy, Debug)]
pub struct Chunked(At);

impl Default for Chunked {
    fn default() -> Self {
        Self(At::Size { size: 0, digits: 0 })
    }
}

impl Chunked {
    /// What the next byte is.
    pub fn place(&self) -> Place {
        match self.0 {
            At::Size { .. } | At::DataEnd => Place::ChunkLine,
            At::Extension { .. } => Place::Lines,
            At::Data(_) => Place::Body,
            At::Trailer { .. } => Place::Trailer,
        }
    }

    /// Bytes of chunk data that come next for sure.
    pub fn data_left(&self) -> u64 {
        match self.0 {
            At::Data(left) => left,
            _ => 0,
        }
    }

    /// Passes over chunk data without seeing it; `n` is at most [`Self::data_left`].
    pub fn skip(&mut self, n: u64) {
        if let At::Data(left) = self.0 {
            self.0 = after_data(left.saturating_sub(n));
        }
    }

    /// Takes bytes of one [`Place`] off the front of `bytes`, which is not empty.
    pub fn run(&mut self, bytes: &[u8]) -> (usize, Run) {
        if let At::Data(left) = self.0 {
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            self.skip(n as u64);
            return (n, Run::More);
        }
        let place = self.place();
        for (at, &byte) in bytes.iter().enumerate() {
            match self.step(byte) {
                Run::More if self.place() == place && self.data_left() == 0 => {}
                result => return (at + 1, result),
            }
        }
        (bytes.len(), Run::More)
    }

    fn step(&mut self, byte: u8) -> Run {
        let next = match (self.0, byte) {
            (At::DataEnd, b'\r') => Some(At::DataEnd),
            (At::DataEnd, b'\n') => Some(At::Size { size: 0, digits: 0 }),
            (At::DataEnd, _) => None,
            (At::Size { size, digits }, _) => step_size(size, digits, byte),
            (At::Extension { size, .. }, b'\n') => Some(after_size(size)),
            (At::Extension { size, len }, _) if len < MAX_EXTENSION => {
                Some(At::Extension { size, len: len + 1 })
            }
            (At::Trailer { empty: true, .. }, b'\n') => return Run::End,
            (At::Trailer { len, .. }, _) if len >= MAX_TRAILERS => None,
            (At::Trailer { len, .. }, b'\n') => Some(At::Trailer {
                empty: true,
                len: len + 1,
            }),
            (At::Trailer { empty, len }, b'\r') => Some(At::Trailer {
                empty,
                len: len + 1,
            }),
            (At::Trailer { len, .. }, _) => Some(At::Trailer {
                empty: false,
                len: len + 1,
            }),
            (At::Extension { .. } | At::Data(_), _) => None,
        };
        match next {
            Some(at) => {
                self.0 = at;
                Run::More
            }
            None => Run::Broken,
        }
    }
}

fn step_size(size: u64, digits: u8, byte: u8) -> Option<At> {
    match byte {
        b'\r' if digits > 0 => Some(At::Size { size, digits }),
        b'\n' if digits > 0 => Some(after_size(size)),
        b';' | b' ' | b'\t' if digits > 0 => Some(At::Extension { size, len: 0 }),
        _ => {
            let digit = char::from(byte).to_digit(16)?;
            let size = size.checked_mul(16)?.checked_add(u64::from(digit))?;
            // Leading zeros are legal; 32 of them are a joke.
            (digits < 32).then_some(At::Size {
                size,
                digits: digits + 1,
            })
        }
    }
}

fn after_size(size: u64) -> At {
    match size {
        0 => At::Trailer {
            empty: true,
            len: 0,
        },
        size => At::Data(size),
    }
}

fn after_data(left: u64) -> At {
    match left {
        0 => At::DataEnd,
        left => At::Data(left),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds all of it in pieces of `step`; returns bytes taken, data bytes and the last result.
    fn feed(bytes: &[u8], step: usize) -> (usize, usize, Run) {
        let (mut chunked, mut taken, mut data) = (Chunked::default(), 0, 0);
        for piece in bytes.chunks(step) {
            let mut rest = piece;
            while !rest.is_empty() {
                let is_data = chunked.data_left() > 0;
                let (n, run) = chunked.run(rest);
                taken += n;
                data += if is_data { n } else { 0 };
                rest = &rest[n..];
                if run != Run::More {
                    return (taken, data, run);
                }
            }
        }
        (taken, data, Run::More)
    }

    #[test]
    fn the_end_is_found_at_any_split() {
        let body =
            b"5\r\nhello\r\n1A;name=\"v\"\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nX: y\r\n\r\n";
        let with_more = [&body[..], b"HTTP/1.1"].concat();
        for step in 1..with_more.len() {
            assert_eq!(
                feed(&with_more, step),
                (body.len(), 31, Run::End),
                "step {step}"
            );
        }
    }

    #[test]
    fn bare_line_feeds_pass_and_nonsense_does_not() {
        assert_eq!(feed(b"1\na\n0\n\n", 3).2, Run::End);
        for body in [
            &b"\r\n"[..],
            b"x\r\n",
            b"1\r\nab\r\n",
            b"fffffffffffffffff\r\n",
            b"-1\r\n",
        ] {
            assert_eq!(feed(body, 1).2, Run::Broken, "{}", body.escape_ascii());
        }
        let long = [b"1;".as_slice(), &[b'a'; MAX_EXTENSION as usize + 2]].concat();
        assert_eq!(feed(&long, 100).2, Run::Broken);
        let long = [b"0\r\n".as_slice(), &[b'a'; MAX_TRAILERS as usize + 2]].concat();
        assert_eq!(feed(&long, 1000).2, Run::Broken);
    }
}
