//! A small Go binary made by hand, for tests.

use std::fs::File;
use std::io::Write;

/// What the binary is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fake {
    pub(super) version: &'static str,
    /// Section headers are there.
    pub(super) sections: bool,
    /// `textStart` is in the function table (before Go 1.26).
    pub(super) text_in_table: bool,
    /// Pointers are in relocations.
    pub(super) relocated: bool,
    pub(super) machine: u16,
    pub(super) magic: u8,
}

pub(super) const PLAIN: Fake = Fake {
    version: "go1.26.8",
    sections: true,
    text_in_table: false,
    relocated: false,
    machine: 62,
    magic: 0xf1,
};

const BASE: u64 = 0x40_0000;
const CODE: u64 = 0x200;
const TABLE: u64 = 0x400;
const DATA: u64 = 0x800;
const RELA: u64 = 0xb00;
const DYNAMIC: u64 = 0xc00;
const HEADERS: u64 = 0xd00;
const LEN: usize = 0x1000;

/// Functions, and their code: `ServeHTTP` and `stackcheck` of Go 1.27.
pub(super) const SERVE: u64 = BASE + CODE + 0x40;
const FUNCTIONS: [(&str, u64, &[u8]); 3] = [
    (
        "runtime.stackcheck",
        0,
        b"\x64\x48\x8b\x04\x25\xf8\xff\xff\xff\x48\x39\x60\x08",
    ),
    (
        "net/http.serverHandler.ServeHTTP",
        0x40,
        b"\x49\x3b\x66\x10\x0f\x86\x8a\0\0\0\x55\x48\x89\xe5",
    ),
    ("main.main", 0x80, b"\xc3"),
];

fn put(bytes: &mut [u8], at: u64, value: &[u8]) {
    bytes[at as usize..at as usize + value.len()].copy_from_slice(value);
}

fn word(bytes: &mut [u8], at: u64, value: u64) {
    put(bytes, at, &value.to_le_bytes());
}

impl Fake {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut elf = vec![0; LEN];
        self.header(&mut elf);
        for (_, at, code) in FUNCTIONS {
            put(&mut elf, CODE + at, code);
        }
        self.table(&mut elf);
        self.data(&mut elf);
        if self.sections {
            sections(&mut elf);
        }
        elf
    }

    pub(super) fn file(&self) -> File {
        file(&self.bytes())
    }

    fn header(&self, elf: &mut [u8]) {
        put(elf, 0, b"\x7fELF\x02\x01\x01");
        put(elf, 16, &[if self.relocated { 3 } else { 2 }, 0]);
        put(elf, 18, &self.machine.to_le_bytes());
        word(elf, 32, 64);
        put(elf, 54, &[56, 0, 4, 0]);
        if self.sections {
            word(elf, 40, HEADERS);
            put(elf, 58, &[64, 0, 6, 0, 5, 0]);
        }
        let segments = [
            (1, 5, 0, TABLE),
            (1, 4, TABLE, DATA - TABLE),
            (1, 6, DATA, 0x500),
            (2, 6, DYNAMIC, 0x40),
        ];
        for (index, (kind, flags, at, size)) in segments.into_iter().enumerate() {
            let head = 64 + 56 * index as u64;
            put(elf, head, &[kind, 0, 0, 0, flags]);
            word(elf, head + 8, at);
            word(elf, head + 16, BASE + at);
            word(elf, head + 32, size);
        }
    }

    fn table(&self, elf: &mut [u8]) {
        put(elf, TABLE, &[self.magic, 0xff, 0xff, 0xff, 0, 0, 1, 8]);
        let names: String = FUNCTIONS
            .iter()
            .map(|(name, ..)| format!("{name}\0"))
            .collect();
        let entries = 0x100;
        let text = if self.text_in_table && !self.relocated {
            BASE + CODE
        } else {
            0
        };
        let header = [
            FUNCTIONS.len() as u64,
            1,
            text,
            72,
            72 + names.len() as u64,
            0,
            0,
            entries,
        ];
        for (index, value) in header.into_iter().enumerate() {
            word(elf, TABLE + 8 + 8 * index as u64, value);
        }
        put(elf, TABLE + 72, names.as_bytes());
        for (index, (name, at, _)) in FUNCTIONS.into_iter().enumerate() {
            let (row, function) = (8 * index as u64, 0x40 + 16 * index as u64);
            let name = names.find(name).unwrap() as u32;
            put(elf, TABLE + entries + row, &(at as u32).to_le_bytes());
            put(
                elf,
                TABLE + entries + row + 4,
                &(function as u32).to_le_bytes(),
            );
            put(elf, TABLE + entries + function + 4, &name.to_le_bytes());
        }
        put(elf, TABLE + entries + 24, &0xc0u32.to_le_bytes());
    }

    fn data(&self, elf: &mut [u8]) {
        put(elf, DATA, b"\xff Go buildinf:\x08\x02");
        let version = [&[self.version.len() as u8], self.version.as_bytes()].concat();
        put(elf, DATA + 32, &version);
        let text = BASE + CODE;
        let mut pointers = vec![];
        if self.text_in_table {
            pointers.push((TABLE + 24, text));
        } else {
            let module = DATA + 0x80;
            let words = [
                (0, BASE + TABLE),
                (8, BASE + TABLE + 72),
                (160, text),
                (176, text),
            ];
            pointers.extend(words.map(|(at, value)| (module + at, value)));
        }
        for (index, (at, value)) in pointers.iter().enumerate() {
            if self.relocated {
                let rela = RELA + 24 * index as u64;
                [BASE + at, 8, *value]
                    .iter()
                    .enumerate()
                    .for_each(|(index, value)| {
                        word(elf, rela + 8 * index as u64, *value);
                    });
            } else {
                word(elf, *at, *value);
            }
        }
        let size = 24 * pointers.len() as u64;
        let dynamic = [
            (7, BASE + RELA),
            (8, size),
            (0x6fff_fffb, 0x0800_0000),
            (0, 0),
        ];
        for (index, (tag, value)) in dynamic.into_iter().enumerate().filter(|_| self.relocated) {
            word(elf, DYNAMIC + 16 * index as u64, tag);
            word(elf, DYNAMIC + 16 * index as u64 + 8, value);
        }
    }
}

fn sections(elf: &mut [u8]) {
    let names = b"\0.text\0.gopclntab\0.go.buildinfo\0.go.module\0.shstrtab\0";
    let name_at = HEADERS + 0x200;
    put(elf, name_at, names);
    for (index, (name, at, size)) in [
        (".text", CODE, TABLE - CODE),
        (".gopclntab", TABLE, DATA - TABLE),
        (".go.buildinfo", DATA, 0x80),
        (".go.module", DATA + 0x80, 0x100),
        (".shstrtab", name_at, names.len() as u64),
    ]
    .into_iter()
    .enumerate()
    {
        let head = HEADERS + 64 * (index as u64 + 1);
        let place = names
            .windows(name.len())
            .position(|window| window == name.as_bytes());
        put(elf, head, &[place.unwrap() as u8, 0, 0, 0, 1]);
        word(elf, head + 16, BASE + at);
        word(elf, head + 24, at);
        word(elf, head + 32, size);
    }
}

pub(super) fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}
