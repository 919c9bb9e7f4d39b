//! Reading a long table through a small buffer.

use super::GoError;
use super::elf::{Image, Segment};

/// Bytes read at once.
pub(super) const WINDOW: usize = 64 * 1024;

/// Reads that mostly go forward through one range of the file.
pub(super) struct Window<'i, 'f> {
    image: &'i Image<'f>,
    start: u64,
    size: u64,
    at: u64,
    bytes: Vec<u8>,
    refills_left: u64,
}

impl<'i, 'f> Window<'i, 'f> {
    pub(super) fn new(image: &'i Image<'f>, start: u64, size: u64) -> Result<Self, GoError> {
        let end = start.checked_add(size).filter(|end| *end <= image.len);
        if end.is_none() {
            return Err(GoError::malformed(
                "a table reaches beyond the end of the file",
            ));
        }
        // A file whose entries jump to and fro would make each of them cost a read.
        let refills_left = size / WINDOW as u64 * 4 + 16;
        Ok(Self {
            image,
            start,
            size,
            at: 0,
            bytes: Vec::new(),
            refills_left,
        })
    }

    /// `len` bytes at `at`, counted from the start of the range.
    pub(super) fn get(&mut self, at: u64, len: usize) -> Result<&[u8], GoError> {
        let held = at.checked_sub(self.at).map(|skip| skip as usize);
        let held = held.filter(|skip| {
            skip.checked_add(len)
                .is_some_and(|end| end <= self.bytes.len())
        });
        let skip = match held {
            Some(skip) => skip,
            None => {
                self.refill(at, len)?;
                0
            }
        };
        Ok(&self.bytes[skip..skip + len])
    }

    /// As many bytes at `at` as a window holds; empty at the end of the range.
    pub(super) fn chunk(&mut self, at: u64) -> Result<&[u8], GoError> {
        let len = self.size.saturating_sub(at).min(WINDOW as u64) as usize;
        self.get(at, len)
    }

    fn refill(&mut self, at: u64, len: usize) -> Result<(), GoError> {
        let left = self.size.checked_sub(at).filter(|left| len as u64 <= *left);
        let left = left.ok_or_else(|| GoError::malformed("a table's entry is outside of it"))?;
        self.refills_left = self
            .refills_left
            .checked_sub(1)
            .ok_or_else(|| GoError::malformed("a table's entries are out of order"))?;
        self.bytes = self
            .image
            .read(self.start + at, left.min(WINDOW.max(len) as u64))?;
        self.at = at;
        Ok(())
    }
}

/// The first place in `segment`, counted from its start, not before `from`, at an address that is a
/// multiple of `step`, where `wanted` takes the `step` bytes. What is searched in one file has a limit.
pub(super) fn find(
    image: &Image,
    segment: &Segment,
    from: u64,
    step: usize,
    wanted: impl Fn(&[u8]) -> bool,
) -> Result<Option<u64>, GoError> {
    let left = image.search_left.get();
    let size = segment.size.min(from.saturating_add(left));
    let mut window = Window::new(image, segment.offset, size)?;
    let width = step as u64;
    // 2^64 is a multiple of `step`, a power of two.
    let mut at = from + segment.address.wrapping_add(from).wrapping_neg() % width;
    while at.checked_add(width).is_some_and(|end| end <= size) {
        if wanted(window.get(at, step)?) {
            image.search_left.set(left - (at - from));
            return Ok(Some(at));
        }
        at += width;
    }
    image.search_left.set(left - size.saturating_sub(from));
    Ok(None)
}

macro_rules! integer_at {
    ($name:ident, $t:ty) => {
        /// The little-endian integer at `at`.
        pub(super) fn $name(bytes: &[u8], at: usize) -> Option<$t> {
            let end = at.checked_add(size_of::<$t>())?;
            Some(<$t>::from_le_bytes(bytes.get(at..end)?.try_into().ok()?))
        }
    };
}
integer_at!(u16_at, u16);
integer_at!(u32_at, u32);
integer_at!(u64_at, u64);
