//! Binaries of real toolchains, built by `xtask/go-offsets/matrix.sh DIR`:
//! `THREADLINE_GO_MATRIX=DIR cargo test -p threadline go_matrix -- --ignored`

use std::collections::BTreeMap;
use std::path::Path;

use threadline_common::map::{GoLayout, UNKNOWN, route_regs};

use super::elf::Image;
use super::fake::file;
use super::*;

/// (probe, kind) of every site.
fn kinds(binary: &GoBinary) -> Vec<(Probe, SiteKind)> {
    let mut kinds: Vec<_> = binary
        .sites
        .iter()
        .map(|site| (site.probe, site.kind))
        .collect();
    kinds.sort();
    kinds
}

fn wanted(minor: u32) -> Vec<(Probe, SiteKind)> {
    use {Probe::*, SiteKind::*};
    let begin = if minor >= 21 { PushRbp } else { SiteKind::Jcc };
    let mut wanted = vec![
        (Serve, begin),
        (Begin, begin),
        (Probe::Call, begin),
        (Conn, begin),
        (Create, SiteKind::Call),
        (Exit, begin),
    ];
    wanted.extend(match minor {
        ..22 => vec![(RouteStack, Jcc)],
        22 => vec![(Route, Jcc), (RouteStack, Jcc)],
        23..=26 => vec![(Route, Jcc), (Route, Jmp)],
        27.. => vec![(Route, Jmp), (Route, Nop)],
    });
    wanted.sort();
    wanted
}

fn check(name: &str, path: &Path) -> GoBinary {
    let opened = File::open(path).unwrap();
    let binary = inspect(&opened)
        .unwrap()
        .unwrap_or_else(|| panic!("{name} is not Go"));
    let (version, kind) = name.split_once('-').unwrap();
    assert_eq!(binary.version, version);
    assert!(
        binary.module.ends_with("go-offsets"),
        "{name}: {}",
        binary.module
    );
    assert_eq!(binary.cgo, kind.starts_with('c'), "{name}");
    let linkage = match kind.trim_end_matches("-stripped") {
        "pie" | "cgopie" => Linkage::Pie,
        "cshared" => Linkage::SharedLibrary,
        _ => Linkage::Executable,
    };
    assert_eq!(binary.linkage, linkage, "{name}");
    assert_eq!(kinds(&binary), wanted(binary.minor), "{name}");
    let shared = linkage == Linkage::SharedLibrary;
    assert_eq!(
        binary.layout.tls_slot,
        if shared { UNKNOWN } else { -8 },
        "{name}"
    );
    assert_eq!(binary.tls_slot_word.is_some(), shared, "{name}");
    assert_eq!(
        binary.missing.len(),
        usize::from(shared),
        "{name}: {:?}",
        binary.missing
    );
    let registers = if binary.minor >= 22 {
        route_regs::RCX_RDI
    } else {
        UNKNOWN
    };
    assert_eq!(binary.layout.route_regs, registers, "{name}");
    assert_eq!(binary.route_stack.is_some(), binary.minor <= 22, "{name}");

    let image = Image::open(&opened).unwrap().unwrap();
    let found = dwarf::offsets(&image);
    let described = !name.ends_with("-stripped");
    assert!(
        found.seen.iter().all(|seen| *seen == described),
        "{name}: {:?}",
        found.seen
    );
    binary
}

/// The same file without section headers.
fn without_sections(path: &Path) -> GoBinary {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[40..48].fill(0);
    bytes[60..64].fill(0);
    inspect(&file(&bytes)).unwrap().unwrap()
}

#[test]
#[ignore = "set THREADLINE_GO_MATRIX to a directory that xtask/go-offsets/matrix.sh filled"]
fn go_matrix_every_toolchain_and_way_of_linking_is_understood() {
    let directory = std::env::var("THREADLINE_GO_MATRIX").unwrap();
    let mut layouts: BTreeMap<String, GoLayout> = BTreeMap::new();
    let mut checked = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let binary = check(&name, &path);
        // Described or stripped: the table says what the debug information says.
        let key = name.replace("-stripped", "");
        let layout = *layouts.entry(key).or_insert(binary.layout);
        assert_eq!(layout, binary.layout, "{name}");
        let bare = without_sections(&path);
        assert_eq!(
            (bare.sites, bare.layout),
            (binary.sites, binary.layout),
            "{name}, no sections"
        );
        println!("{name}: {layout:?}");
        checked += 1;
    }
    assert!(checked >= 2, "an empty matrix proves nothing");
}
