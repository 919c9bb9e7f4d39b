//! Struct offsets from debug information, streamed: the section is inflated through a small buffer
//! and only the units that hold type descriptions are looked into, so a large binary costs little
//! memory. (Go's linker puts the types of all packages into units named `runtime`.)
//!
//! Anything unexpected ends the search with what was found so far; nothing here is an error.

use std::io::{self, BufReader, Read};

use gimli::{Abbreviation, Abbreviations, DebugAbbrev, DebugAbbrevOffset, DwForm, LittleEndian};

use super::dwarf_stream::{Format, Stream, Value};
use super::elf::{Image, Section};
use super::offsets::{FIELDS, Offsets};

/// Bytes of `.debug_info` looked at, inflated.
const MAX_INFO: u64 = 128 * 1024 * 1024;
/// Bytes of `.debug_abbrev` kept.
const MAX_ABBREV: u64 = 256 * 1024;
/// Abbreviation tables parsed; Go has one, each C unit one more.
const MAX_TABLES: usize = 512;
/// Name of the units with types.
const UNIT: &[u8] = b"runtime";
/// Larger member offsets are not believed.
const MAX_OFFSET: u64 = 64 * 1024;
/// Bytes before the data of an `SHF_COMPRESSED` section; the first four name the method.
const HEADER: u64 = 24;
const ZLIB: [u8; 4] = [1, 0, 0, 0];
/// Bytes before the data of a `.zdebug_` section (Go 1.18).
const OLD_HEADER: u64 = 12;

/// What the debug information says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Offset by field, as in [`FIELDS`].
    pub(super) offsets: Offsets,
    /// The field's struct was seen: without an offset, it has no such field.
    pub(super) seen: [bool; FIELDS.len()],
}

impl Found {
    const NOTHING: Self = Self {
        offsets: [None; FIELDS.len()],
        seen: [false; FIELDS.len()],
    };

    fn is_complete(&self) -> bool {
        self.seen.iter().all(|seen| *seen)
    }
}

pub(super) fn offsets(image: &Image) -> Found {
    let mut found = Found::NOTHING;
    let Some(info) = section(image, "info") else {
        return found;
    };
    let Some(abbrev) = section(image, "abbrev") else {
        return found;
    };
    let mut tables = Vec::new();
    if abbrev.take(MAX_ABBREV).read_to_end(&mut tables).is_ok() {
        let info = Stream::new(info.take(MAX_INFO));
        let _ended = search(info, &tables, &mut found);
    }
    found
}

/// The bytes of `.debug_NAME`, inflated.
fn section<'i>(image: &'i Image, name: &str) -> Option<Box<dyn Read + 'i>> {
    if let Some(old) = image.section(&format!(".zdebug_{name}")) {
        let header = image.read(old.offset, OLD_HEADER).ok()?;
        return header
            .starts_with(b"ZLIB")
            .then(|| inflated(image, old, OLD_HEADER))?;
    }
    let section = image.section(&format!(".debug_{name}"))?;
    if !section.compressed {
        return Some(Box::new(FileRange::new(image, section, 0)?));
    }
    let header = image.read(section.offset, HEADER).ok()?;
    header
        .starts_with(&ZLIB)
        .then(|| inflated(image, section, HEADER))?
}

fn inflated<'i>(image: &'i Image, section: &Section, skip: u64) -> Option<Box<dyn Read + 'i>> {
    let range = BufReader::with_capacity(32 * 1024, FileRange::new(image, section, skip)?);
    Some(Box::new(flate2::read::ZlibDecoder::new(range)))
}

struct FileRange<'i, 'f> {
    image: &'i Image<'f>,
    at: u64,
    left: u64,
}

impl<'i, 'f> FileRange<'i, 'f> {
    /// A section without its first `skip` bytes.
    fn new(image: &'i Image<'f>, section: &Section, skip: u64) -> Option<Self> {
        let left = section.size.checked_sub(skip)?;
        Some(Self {
            image,
            at: section.offset.checked_add(skip)?,
            left,
        })
    }
}

impl Read for FileRange<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.left.min(buffer.len() as u64).min(64 * 1024);
        let bytes = self.image.read(self.at, len).map_err(io::Error::other)?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        self.at += len;
        self.left -= len;
        Ok(bytes.len())
    }
}

fn search<R: Read>(mut info: Stream<R>, tables: &[u8], found: &mut Found) -> io::Result<()> {
    let (mut parsed, mut table) = (0, None);
    while !found.is_complete() && info.has_more()? {
        let (format, abbrev_offset, end) = unit_header(&mut info)?;
        if format.is_known {
            if table
                .as_ref()
                .is_none_or(|(offset, _)| *offset != abbrev_offset)
            {
                parsed += 1;
                table = Some((abbrev_offset, parse_table(tables, abbrev_offset)?));
            }
            if parsed > MAX_TABLES {
                break;
            }
            if let Some((_, table)) = &table {
                unit(&mut info, format, table, end, found)?;
            }
        }
        info.skip_to(end)?;
    }
    Ok(())
}

fn parse_table(tables: &[u8], offset: u64) -> io::Result<Abbreviations> {
    let offset = DebugAbbrevOffset(offset as usize);
    let table = DebugAbbrev::new(tables, LittleEndian).abbreviations(offset);
    table.map_err(io::Error::other)
}

/// Format, place of the abbreviations, and the offset at which the unit ends.
fn unit_header<R: Read>(info: &mut Stream<R>) -> io::Result<(Format, u64, u64)> {
    let mut length = info.number(4)?;
    let offset_size = if length == 0xffff_ffff { 8 } else { 4 };
    if offset_size == 8 {
        length = info.number(8)?;
    }
    let end = info.position().saturating_add(length);
    let version = info.number(2)?;
    let mut kind = u64::from(gimli::DW_UT_compile.0);
    let (address_size, abbrev_offset);
    if version >= 5 {
        kind = info.number(1)?;
        address_size = info.number(1)?;
        abbrev_offset = info.number(offset_size)?;
    } else {
        abbrev_offset = info.number(offset_size)?;
        address_size = info.number(1)?;
    }
    let is_known = (3..=5).contains(&version)
        && kind == u64::from(gimli::DW_UT_compile.0)
        && matches!(address_size, 4 | 8);
    let format = Format {
        is_known,
        offset_size,
        address_size: address_size as usize,
    };
    Ok((format, abbrev_offset, end))
}

/// Walks the entries of one unit, if it is one with types.
fn unit<R: Read>(
    info: &mut Stream<R>,
    format: Format,
    table: &Abbreviations,
    end: u64,
    found: &mut Found,
) -> io::Result<()> {
    let mut depth = 0u32;
    // The struct whose members are being read, and the depth of its own entry.
    let mut open: Option<(Vec<u8>, u32)> = None;
    while info.position() < end && !(found.is_complete() && open.is_none()) {
        let code = info.uleb()?;
        if code == 0 {
            depth = depth.saturating_sub(1);
            open = open.filter(|(_, at)| depth > *at);
            if depth == 0 {
                break;
            }
            continue;
        }
        let abbreviation = table.get(code).ok_or(io::ErrorKind::InvalidData)?;
        let entry = entry(info, format, abbreviation)?;
        if depth == 0 && entry.name != UNIT {
            break;
        }
        match abbreviation.tag() {
            gimli::DW_TAG_structure_type if FIELDS.iter().any(|(s, _)| is(s, &entry)) => {
                for (index, (name, _)) in FIELDS.iter().enumerate() {
                    found.seen[index] |= is(name, &entry);
                }
                open = Some((entry.name, depth)).filter(|_| abbreviation.has_children());
            }
            gimli::DW_TAG_member => {
                if let Some((parent, at)) = &open
                    && depth == at + 1
                {
                    member(parent, &entry, found);
                }
            }
            _ => {}
        }
        depth += u32::from(abbreviation.has_children());
    }
    Ok(())
}

fn is(name: &str, entry: &Entry) -> bool {
    name.as_bytes() == entry.name
}

fn member(parent: &[u8], entry: &Entry, found: &mut Found) {
    for (index, (name, field)) in FIELDS.iter().enumerate() {
        if name.as_bytes() == parent && is(field, entry) {
            let place = entry.location.filter(|place| *place < MAX_OFFSET);
            found.offsets[index] = place.map(|place| place as u32);
        }
    }
}

/// What is wanted of an entry.
#[derive(Default)]
struct Entry {
    name: Vec<u8>,
    location: Option<u64>,
}

fn entry<R: Read>(
    info: &mut Stream<R>,
    format: Format,
    abbreviation: &Abbreviation,
) -> io::Result<Entry> {
    let mut entry = Entry::default();
    for attribute in abbreviation.attributes() {
        let form: DwForm = attribute.form();
        let value = match attribute.implicit_const_value() {
            Some(value) => Value::Number(value as u64),
            None => info.value(form, format)?,
        };
        match (attribute.name(), value) {
            (gimli::DW_AT_name, Value::Text) => entry.name.extend(info.text()),
            (gimli::DW_AT_data_member_location, Value::Number(n)) => entry.location = Some(n),
            _ => {}
        }
    }
    Ok(entry)
}

#[cfg(test)]
#[path = "dwarf_tests.rs"]
mod tests;
