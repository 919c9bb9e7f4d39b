//! Values of debug information, read one after another from a stream.

use std::io::{self, Read};

use gimli::DwForm;

/// Bytes buffered.
const BUFFER: usize = 32 * 1024;
/// Bytes of a text that are kept: longer ones are none of those looked for.
const MAX_TEXT: usize = 64;

/// How a unit's values are encoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    /// A version and kind of unit that is understood.
    pub(super) is_known: bool,
    pub(super) offset_size: usize,
    pub(super) address_size: usize,
}

/// A value that may be wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(u64),
    /// In [`Stream::text`].
    Text,
    Other,
}

/// Forward-only reader.
pub(super) struct Stream<R> {
    source: R,
    buffer: Vec<u8>,
    at: usize,
    /// Bytes that came before the buffer.
    before: u64,
    text: Vec<u8>,
}

impl<R: Read> Stream<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            at: 0,
            before: 0,
            text: Vec::with_capacity(MAX_TEXT),
        }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> u64 {
        self.before + self.at as u64
    }

    pub(super) fn has_more(&mut self) -> io::Result<bool> {
        if self.at == self.buffer.len() {
            self.refill()?;
        }
        Ok(!self.buffer.is_empty())
    }

    /// The text read last.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    pub(super) fn skip_to(&mut self, position: u64) -> io::Result<()> {
        match position.checked_sub(self.position()) {
            Some(len) => self.skip(len),
            None => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn skip(&mut self, mut len: u64) -> io::Result<()> {
        while len > 0 {
            if !self.has_more()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let step = len.min((self.buffer.len() - self.at) as u64);
            self.at += step as usize;
            len -= step;
        }
        Ok(())
    }

    fn byte(&mut self) -> io::Result<u8> {
        if !self.has_more()? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let byte = self.buffer[self.at];
        self.at += 1;
        Ok(byte)
    }

    /// A little-endian number of `size` (at most 8) bytes.
    pub(super) fn number(&mut self, size: usize) -> io::Result<u64> {
        (0..size).try_fold(0, |number, index| {
            Ok(number | u64::from(self.byte()?) << (8 * index))
        })
    }

    /// An unsigned LEB128; bits beyond 64 are dropped.
    pub(super) fn uleb(&mut self) -> io::Result<u64> {
        let (mut number, mut shift) = (0u64, 0u32);
        loop {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
            shift = shift.saturating_add(7);
        }
    }

    fn cut_text(&mut self) -> io::Result<()> {
        self.text.clear();
        loop {
            match self.byte()? {
                0 => return Ok(()),
                byte if self.text.len() < MAX_TEXT => self.text.push(byte),
                _ => {}
            }
        }
    }

    /// Reads (or skips) a value.
    pub(super) fn value(&mut self, form: DwForm, format: Format) -> io::Result<Value> {
        let skipped = match form {
            gimli::DW_FORM_string => {
                self.cut_text()?;
                return Ok(Value::Text);
            }
            gimli::DW_FORM_data1 => return self.number(1).map(Value::Number),
            gimli::DW_FORM_data2 => return self.number(2).map(Value::Number),
            gimli::DW_FORM_data4 => return self.number(4).map(Value::Number),
            gimli::DW_FORM_data8 => return self.number(8).map(Value::Number),
            gimli::DW_FORM_udata => return self.uleb().map(Value::Number),
            gimli::DW_FORM_sdata
            | gimli::DW_FORM_ref_udata
            | gimli::DW_FORM_strx
            | gimli::DW_FORM_addrx
            | gimli::DW_FORM_loclistx
            | gimli::DW_FORM_rnglistx => return self.uleb().map(|_| Value::Other),
            gimli::DW_FORM_flag_present => 0,
            gimli::DW_FORM_flag
            | gimli::DW_FORM_ref1
            | gimli::DW_FORM_strx1
            | gimli::DW_FORM_addrx1 => 1,
            gimli::DW_FORM_ref2 | gimli::DW_FORM_strx2 | gimli::DW_FORM_addrx2 => 2,
            gimli::DW_FORM_strx3 | gimli::DW_FORM_addrx3 => 3,
            gimli::DW_FORM_ref4 | gimli::DW_FORM_strx4 | gimli::DW_FORM_addrx4 => 4,
            gimli::DW_FORM_ref8 | gimli::DW_FORM_ref_sig8 => 8,
            gimli::DW_FORM_data16 => 16,
            gimli::DW_FORM_addr => format.address_size as u64,
            gimli::DW_FORM_sec_offset
            | gimli::DW_FORM_strp
            | gimli::DW_FORM_line_strp
            | gimli::DW_FORM_ref_addr => format.offset_size as u64,
            gimli::DW_FORM_block1 => self.number(1)?,
            gimli::DW_FORM_block2 => self.number(2)?,
            gimli::DW_FORM_block4 => self.number(4)?,
            gimli::DW_FORM_block | gimli::DW_FORM_exprloc => self.uleb()?,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        self.skip(skipped)?;
        Ok(Value::Other)
    }

    fn refill(&mut self) -> io::Result<()> {
        self.before += self.buffer.len() as u64;
        self.at = 0;
        self.buffer.resize(BUFFER, 0);
        let got = loop {
            match self.source.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                got => break got,
            }
        };
        self.buffer.truncate(*got.as_ref().unwrap_or(&0));
        got.map(|_| ())
    }
}
