//! `runtime.firstmoduledata`: where code starts, which Go 1.26 and later no longer store in the
//! function table itself. Found by its section, else by its first word, which points to that table.
//!
//! Layout: `src/runtime/symtab.go` (`moduledata`), the same up to `etext` in Go 1.18 to 1.27.

use super::GoError;
use super::elf::Image;
use super::pclntab::Table;
use super::window::{find, u64_at};

/// `moduledata.funcnametab`.
const NAMES: u64 = 8;
/// `moduledata.minpc`.
const MIN_PC: u64 = 160;
/// `moduledata.text`.
const TEXT: u64 = 176;

/// The first function is not further than this from the start of code.
const MAX_TEXT: u64 = 1 << 30;
/// Words tried as the first of a moduledata where no section names it.
const MAX_CANDIDATES: usize = 4;

/// Address of `runtime.text`.
pub(super) fn text(image: &Image, table: &Table) -> Result<Option<u64>, GoError> {
    if let Some(section) = image.section(".go.module")
        && let Some(text) = check(image, table, section.address)?
    {
        return Ok(Some(text));
    }
    if let Some(relative) = image.relative(|relative| relative.addend == table.address)? {
        return check(image, table, relative.place);
    }
    let mut candidates = MAX_CANDIDATES;
    for segment in image.segments.iter().filter(|segment| segment.writable) {
        let points_here = |word: &[u8]| u64_at(word, 0) == Some(table.address);
        let mut from = 0;
        while candidates > 0 {
            let Some(at) = find(image, segment, from, 8, points_here)? else {
                break;
            };
            candidates -= 1;
            if let Some(text) = check(image, table, segment.address.wrapping_add(at))? {
                return Ok(Some(text));
            }
            from = at + 8;
        }
    }
    Ok(None)
}

/// The start of code, when `address` really is a moduledata of `table`.
fn check(image: &Image, table: &Table, address: u64) -> Result<Option<u64>, GoError> {
    if image
        .locate(address)
        .is_none_or(|(_, left)| left < TEXT + 16)
    {
        return Ok(None);
    }
    let places = [0, NAMES, MIN_PC, TEXT].map(|at| address.wrapping_add(at));
    let [first, names, min_pc, text] = image.pointers(places)?;
    let ours = first == table.address
        && names == table.address.wrapping_add(table.names)
        && (text..=text.saturating_add(MAX_TEXT)).contains(&min_pc)
        && image.is_code(text);
    Ok(ours.then_some(text))
}
