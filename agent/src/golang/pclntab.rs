//! `.gopclntab`: functions by name, also in stripped binaries. Two passes: the name table gives the
//! offsets of the few names that are wanted, the function table the functions that carry them.
//!
//! Layout: `src/runtime/symtab.go` (`pcHeader`, `functab`, `_func`) of Go 1.18 to 1.27.

use super::elf::Image;
use super::window::{Window, find as find_in, u32_at, u64_at};
use super::{GoError, moduledata};

/// First bytes of the table: Go 1.18 and 1.20 numbers, two zeroes, instructions of one byte,
/// pointers of eight.
const MAGICS: [[u8; 8]; 2] = [
    [0xf0, 0xff, 0xff, 0xff, 0, 0, 1, 8],
    [0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8],
];
/// Bytes of the header.
const HEADER: u64 = 72;
/// Functions looked at; the largest known binaries have some 600,000.
const MAX_FUNCTIONS: u64 = 4_000_000;
/// Places tried where no section names the table.
const MAX_CANDIDATES: usize = 8;
/// Bytes of one function that are looked at.
const MAX_CODE: u64 = 32 * 1024;

/// Names that are looked up.
const WANTED: &[&str] = &[
    "crosscall2",
    "net/http.(*ServeMux).ServeHTTP",
    "net/http.(*ServeMux).findHandler",
    "net/http.(*ServeMux).handler",
    "net/http.(*Transport).roundTrip",
    "net/http.(*persistConn).roundTrip",
    "net/http.(*persistConn).writeLoop",
    "net/http.(*serveMux121).findHandler",
    "net/http.(*serveMux121).handler",
    "net/http.serverHandler.ServeHTTP",
    "runtime.casgstatus",
    "runtime.goexit1",
    "runtime.newproc1",
    "runtime.stackcheck",
];

/// A function's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Function {
    /// Virtual address of its first byte.
    pub(super) address: u64,
    /// Bytes up to the next function.
    pub(super) size: u64,
}

impl Function {
    /// Its machine code, the first bytes where it is very long.
    pub(super) fn code(&self, image: &Image) -> Result<Vec<u8>, GoError> {
        image.read_address(self.address, self.size.min(MAX_CODE))
    }
}

/// The wanted functions that the binary holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Functions(Vec<(&'static str, Function)>);

impl Functions {
    pub(super) fn get(&self, name: &str) -> Option<Function> {
        debug_assert!(WANTED.contains(&name));
        self.0
            .iter()
            .find(|(other, _)| *other == name)
            .map(|(_, function)| *function)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// The table's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Its virtual address.
    pub(super) address: u64,
    /// Its place in the file.
    offset: u64,
    /// Its bytes, at most (where no section tells: up to the end of the segment).
    size: u64,
    functions: u64,
    /// Start of code as the header says it; 0 from Go 1.26 on.
    text: u64,
    /// Place of the name table in this one.
    pub(super) names: u64,
    names_size: u64,
    /// Place of the function table in this one.
    entries: u64,
}

/// `None`: the binary has no table that is understood.
pub(super) fn functions(image: &Image) -> Result<Option<Functions>, GoError> {
    let Some(table) = find(image)? else {
        return Ok(None);
    };
    let text = match table.text {
        0 => moduledata::text(image, &table)?,
        text => Some(text),
    };
    let Some(text) = text else {
        return Ok(None);
    };
    if !image.is_code(text) {
        return Err(GoError::malformed(
            "the function table points outside of the code",
        ));
    }
    let names = names(image, &table)?;
    lookup(image, &table, text, &names).map(Some)
}

fn find(image: &Image) -> Result<Option<Table>, GoError> {
    for name in [".gopclntab", ".data.rel.ro.gopclntab"] {
        if let Some(section) = image.section(name) {
            return header(image, section.address, section.offset, section.size);
        }
    }
    // Linked by another linker into a shared library, or without section headers.
    let mut candidates = MAX_CANDIDATES;
    for segment in image.segments.iter().filter(|segment| !segment.executable) {
        let is_magic = |word: &[u8]| MAGICS.iter().any(|magic| magic == word);
        let mut from = 0;
        while candidates > 0 {
            let Some(at) = find_in(image, segment, from, 8, is_magic)? else {
                break;
            };
            candidates -= 1;
            let address = segment.address.wrapping_add(at);
            let size = segment.size - at;
            if let Ok(Some(table)) = header(image, address, segment.offset + at, size) {
                return Ok(Some(table));
            }
            from = at + 8;
        }
    }
    Ok(None)
}

/// `None`: a table of another version.
fn header(image: &Image, address: u64, offset: u64, size: u64) -> Result<Option<Table>, GoError> {
    let size = size.min(image.len.saturating_sub(offset));
    let bytes = image.read(offset, HEADER.min(size))?;
    if !MAGICS.iter().any(|magic| bytes.starts_with(magic)) {
        return Ok(None);
    }
    let word = |index: usize| u64_at(&bytes, 8 + 8 * index);
    let (Some(functions), Some(names), Some(names_end), Some(entries)) =
        (word(0), word(3), word(4), word(7))
    else {
        return Err(GoError::malformed(
            "the function table ends inside its header",
        ));
    };
    let rows = functions
        .checked_mul(8)
        .and_then(|rows| rows.checked_add(entries));
    let sound = functions <= MAX_FUNCTIONS
        && names <= names_end
        && names_end <= size
        && rows.is_some_and(|end| end.checked_add(4).is_some_and(|end| end <= size));
    if !sound {
        return Err(GoError::malformed(
            "the function table's header contradicts its size",
        ));
    }
    // Position-independent code: a relocation holds the value.
    let [text] = image.pointers([address.wrapping_add(24)])?;
    let names_size = names_end - names;
    Ok(Some(Table {
        address,
        offset,
        size,
        functions,
        text,
        names,
        names_size,
        entries,
    }))
}

/// Offsets of the wanted names in the name table, ascending.
fn names(image: &Image, table: &Table) -> Result<Vec<(u32, &'static str)>, GoError> {
    let mut window = Window::new(image, table.offset + table.names, table.names_size)?;
    let (mut at, mut cut, mut found) = (0u64, false, Vec::new());
    loop {
        let chunk = window.chunk(at)?;
        if chunk.is_empty() {
            break;
        }
        let mut start = 0;
        while let Some(len) = chunk[start..].iter().position(|byte| *byte == 0) {
            let name = &chunk[start..start + len];
            if let Some(wanted) = WANTED.iter().find(|wanted| wanted.as_bytes() == name)
                && !cut
            {
                found.push(((at + start as u64) as u32, *wanted));
            }
            cut = false;
            start += len + 1;
        }
        // A name longer than the window is none of ours: skip it piece by piece.
        if start == 0 {
            cut = true;
            start = chunk.len();
        }
        at += start as u64;
    }
    found.truncate(WANTED.len());
    Ok(found)
}

fn lookup(
    image: &Image,
    table: &Table,
    text: u64,
    names: &[(u32, &'static str)],
) -> Result<Functions, GoError> {
    let (start, size) = (table.offset + table.entries, table.size - table.entries);
    let mut rows = Window::new(image, start, table.functions * 8 + 4)?;
    let mut functions = Window::new(image, start, size)?;
    let mut found: Vec<(&'static str, Function)> = Vec::with_capacity(names.len());
    for index in 0..table.functions {
        if found.len() == names.len() {
            break;
        }
        let row = rows.get(index * 8, 12)?;
        let [Some(entry), Some(place), Some(next)] = [0, 4, 8].map(|at| u32_at(row, at)) else {
            break;
        };
        let name = u32_at(functions.get(u64::from(place) + 4, 4)?, 0);
        let Some((_, name)) = names.iter().find(|(offset, _)| Some(*offset) == name) else {
            continue;
        };
        let address = text.wrapping_add(u64::from(entry));
        let size = u64::from(next.saturating_sub(entry));
        if !found.iter().any(|(other, _)| other == name) {
            found.push((*name, Function { address, size }));
        }
    }
    Ok(Functions(found))
}
