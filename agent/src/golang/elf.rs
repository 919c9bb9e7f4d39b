//! The little of ELF that is needed, read in bounded pieces from a file that may lie.

use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt;

use object::elf;

use super::window::{Window, u16_at, u32_at, u64_at};
use super::{GoError, Linkage};

/// Sections looked at; linkers make some 50.
const MAX_SECTIONS: u64 = 4096;
/// Program headers looked at; linkers make some 15.
const MAX_SEGMENTS: u64 = 64;
/// Bytes of the section name table that are read.
const MAX_NAMES: u64 = 256 * 1024;
/// Bytes of one section name.
const MAX_NAME: usize = 64;
/// Largest single read.
const MAX_READ: u64 = 2 * 1024 * 1024;
/// Entries of the dynamic table looked at.
const MAX_DYNAMIC: usize = 512;
/// Bytes of relocations looked at; the largest known binaries have some 40 MiB.
const MAX_RELOCATIONS: u64 = 96 * 1024 * 1024;
/// Bytes of one file that are searched through.
const MAX_SEARCH: u64 = 512 * 1024 * 1024;
/// Bytes of a `Elf64_Rela`.
const RELA: u64 = 24;

/// A section as its header describes it.
#[derive(Clone, Debug)]
pub(super) struct Section {
    name: String,
    pub(super) address: u64,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) compressed: bool,
    in_file: bool,
}

/// A loaded segment's part that is in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) address: u64,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) executable: bool,
    pub(super) writable: bool,
}

/// A base-relative relocation: at load, `base + addend` is stored at `place`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relative {
    pub(super) place: u64,
    pub(super) addend: u64,
}

/// An ELF file.
#[derive(Debug)]
pub(super) struct Image<'f> {
    file: &'f File,
    pub(super) len: u64,
    wide: bool,
    machine: u16,
    pub(super) sections: Vec<Section>,
    pub(super) segments: Vec<Segment>,
    linkage: Linkage,
    /// Offset in the file and bytes of the relocations with addends.
    relocations: Option<(u64, u64)>,
    /// Bytes that may still be searched through ([`super::window::find`]).
    pub(super) search_left: Cell<u64>,
}

/// Fields of a header, little-endian, by class.
struct Fields<'b>(&'b [u8], bool);

impl Fields<'_> {
    fn half(&self, at: usize) -> u16 {
        u16_at(self.0, at).unwrap_or(0)
    }
    fn word(&self, at: usize) -> u32 {
        u32_at(self.0, at).unwrap_or(0)
    }
    /// Address-sized, `narrow` and `wide` are its places in the two classes.
    fn address(&self, narrow: usize, wide: usize) -> u64 {
        match self.1 {
            true => u64_at(self.0, wide).unwrap_or(0),
            false => u64::from(self.word(narrow)),
        }
    }
}

impl<'f> Image<'f> {
    /// `None`: not ELF, or of the other byte order.
    pub(super) fn open(file: &'f File) -> Result<Option<Self>, GoError> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(GoError::malformed("not a regular file"));
        }
        let len = metadata.len();
        let mut head = [0; 64];
        let got = read_up_to(file, 0, &mut head)?;
        if got < elf::ELFMAG.len() || head[..4] != elf::ELFMAG {
            return Ok(None);
        }
        let wide = head[4] == elf::ELFCLASS64;
        if got < if wide { 64 } else { 52 } {
            return Err(GoError::malformed("the file ends inside the ELF header"));
        }
        if head[5] != elf::ELFDATA2LSB || !(wide || head[4] == elf::ELFCLASS32) {
            return Ok(None);
        }
        let header = Fields(&head, wide);
        let mut image = Self {
            file,
            len,
            wide,
            machine: header.half(18),
            sections: Vec::new(),
            segments: Vec::new(),
            linkage: Linkage::Executable,
            relocations: None,
            search_left: Cell::new(MAX_SEARCH),
        };
        image.read_segments(&header)?;
        image.read_sections(&header)?;
        Ok(Some(image))
    }

    /// Built for 64-bit x86.
    pub(super) fn is_amd64(&self) -> bool {
        self.wide && self.machine == elf::EM_X86_64
    }

    pub(super) fn linkage(&self) -> Linkage {
        self.linkage
    }

    /// The first section with that name that has bytes in the file.
    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        let named = |section: &&Section| section.name == name && section.in_file;
        self.sections.iter().find(named)
    }

    /// Exactly `len` bytes at `offset` of the file.
    pub(super) fn read(&self, offset: u64, len: u64) -> Result<Vec<u8>, GoError> {
        let end = offset.checked_add(len).filter(|end| *end <= self.len);
        if end.is_none() || len > MAX_READ {
            let has = self.len;
            let text = format!("{len} bytes at {offset:#x} are outside of the file ({has} bytes)");
            return Err(GoError::malformed(text));
        }
        let mut bytes = vec![0; len as usize];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// Where the byte at virtual address `address` is in the file, and how many follow it.
    pub(super) fn locate(&self, address: u64) -> Option<(u64, u64)> {
        self.segments.iter().find_map(|segment| {
            let within = address.checked_sub(segment.address)?;
            let left = segment.size.checked_sub(within).filter(|left| *left > 0)?;
            Some((segment.offset.checked_add(within)?, left))
        })
    }

    /// Up to `len` bytes at a virtual address.
    pub(super) fn read_address(&self, address: u64, len: u64) -> Result<Vec<u8>, GoError> {
        let (offset, left) = self.locate(address).ok_or_else(|| {
            GoError::malformed(format!("address {address:#x} is not in the file"))
        })?;
        self.read(offset, len.min(left))
    }

    /// `address` is in code.
    pub(super) fn is_code(&self, address: u64) -> bool {
        self.segments.iter().any(|segment| {
            let within = address.checked_sub(segment.address);
            segment.executable && within.is_some_and(|within| within < segment.size)
        })
    }

    /// The pointers stored at `addresses`, as they will be when loaded at base 0.
    pub(super) fn pointers<const N: usize>(
        &self,
        addresses: [u64; N],
    ) -> Result<[u64; N], GoError> {
        let mut found = [None; N];
        let note = |relative: &Relative| {
            if let Some(index) = addresses.iter().position(|place| *place == relative.place) {
                found[index] = Some(relative.addend);
            }
            false
        };
        self.relative(note)?;
        let mut pointers = [0; N];
        for ((pointer, found), address) in pointers.iter_mut().zip(found).zip(addresses) {
            *pointer = match found {
                Some(pointer) => pointer,
                None => u64_at(&self.read_address(address, 8)?, 0)
                    .ok_or_else(|| GoError::malformed("a pointer is cut off"))?,
            };
        }
        Ok(pointers)
    }

    /// The first base-relative relocation that `wanted` takes.
    pub(super) fn relative(
        &self,
        mut wanted: impl FnMut(&Relative) -> bool,
    ) -> Result<Option<Relative>, GoError> {
        let Some((offset, size)) = self.relocations else {
            return Ok(None);
        };
        let mut window = Window::new(self, offset, size)?;
        for index in 0..size / RELA {
            let entry = window.get(index * RELA, RELA as usize)?;
            let [Some(place), Some(info), Some(addend)] = [0, 8, 16].map(|at| u64_at(entry, at))
            else {
                break;
            };
            let relative = Relative { place, addend };
            if info as u32 == elf::R_X86_64_RELATIVE && wanted(&relative) {
                return Ok(Some(relative));
            }
        }
        Ok(None)
    }

    fn read_segments(&mut self, header: &Fields) -> Result<(), GoError> {
        let wide = self.wide;
        let entry = if wide { 56 } else { 32 };
        let count = u64::from(header.half(if wide { 56 } else { 44 })).min(MAX_SEGMENTS);
        let bytes = self.read(header.address(28, 32), count * entry)?;
        let (mut interpreter, mut dynamic) = (false, None);
        for header in bytes.chunks_exact(entry as usize) {
            let header = Fields(header, wide);
            let (offset, size) = (header.address(4, 8), header.address(16, 32));
            match header.word(0) {
                elf::PT_LOAD => {
                    let flags = header.word(if wide { 4 } else { 24 });
                    self.segments.push(Segment {
                        address: header.address(8, 16),
                        offset,
                        size,
                        executable: flags & elf::PF_X != 0,
                        writable: flags & elf::PF_W != 0,
                    });
                }
                elf::PT_INTERP => interpreter = true,
                elf::PT_DYNAMIC => dynamic = Some((offset, size)),
                _ => {}
            }
        }
        let mut pie = interpreter;
        if let Some((offset, size)) = dynamic.filter(|_| wide) {
            pie |= self.read_dynamic(offset, size)?;
        }
        if header.half(16) == elf::ET_DYN {
            self.linkage = if pie {
                Linkage::Pie
            } else {
                Linkage::SharedLibrary
            };
        }
        Ok(())
    }

    /// Finds the relocations; true when the file calls itself a PIE.
    fn read_dynamic(&mut self, offset: u64, size: u64) -> Result<bool, GoError> {
        let bytes = self.read(offset, size.min(16 * MAX_DYNAMIC as u64))?;
        let (mut table, mut table_size, mut pie) = (0, 0, false);
        for entry in bytes.chunks_exact(16) {
            let (Some(tag), Some(value)) = (u64_at(entry, 0), u64_at(entry, 8)) else {
                break;
            };
            match tag as i64 {
                elf::DT_NULL => break,
                elf::DT_RELA => table = value,
                elf::DT_RELASZ => table_size = value,
                elf::DT_FLAGS_1 => pie = value & u64::from(elf::DF_1_PIE) != 0,
                _ => {}
            }
        }
        if let Some((offset, left)) = self.locate(table).filter(|_| table_size > 0) {
            self.relocations = Some((offset, table_size.min(left).min(MAX_RELOCATIONS)));
        }
        Ok(pie)
    }

    fn read_sections(&mut self, header: &Fields) -> Result<(), GoError> {
        let wide = self.wide;
        let entry = if wide { 64 } else { 40 };
        let [count, names] = if wide { [60, 62] } else { [48, 50] };
        let count = u64::from(header.half(count));
        let table = header.address(32, 40);
        if count == 0 || table == 0 {
            return Ok(());
        }
        if count > MAX_SECTIONS {
            return Err(GoError::malformed(format!("it claims {count} sections")));
        }
        let bytes = self.read(table, count * entry)?;
        let headers: Vec<Fields> = bytes
            .chunks_exact(entry as usize)
            .map(|bytes| Fields(bytes, wide))
            .collect();
        let range = |header: &Fields| (header.address(16, 24), header.address(20, 32));
        let names = match headers.get(usize::from(header.half(names))).map(range) {
            Some((offset, size)) => self.read(offset, size.min(MAX_NAMES))?,
            None => Vec::new(),
        };
        self.sections = headers
            .iter()
            .map(|header| Section {
                name: name_at(&names, header.word(0) as usize),
                address: header.address(12, 16),
                offset: range(header).0,
                size: range(header).1,
                compressed: header.address(8, 8) & u64::from(elf::SHF_COMPRESSED) != 0,
                in_file: header.word(4) != elf::SHT_NOBITS,
            })
            .collect();
        Ok(())
    }
}

fn read_up_to(file: &File, offset: u64, buffer: &mut [u8]) -> Result<usize, GoError> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read_at(&mut buffer[got..], offset + got as u64)? {
            0 => break,
            n => got += n,
        }
    }
    Ok(got)
}

fn name_at(names: &[u8], at: usize) -> String {
    let rest = names.get(at..).unwrap_or_default();
    let rest = &rest[..rest.len().min(MAX_NAME)];
    let end = rest
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(rest.len());
    String::from_utf8_lossy(&rest[..end]).into_owned()
}
