use proptest::prelude::*;

use super::*;

/// Abbreviations: 1 unit, 2 struct with members, 3 member, 4 base type, 5 struct without members.
fn tables() -> Vec<u8> {
    let mut table = Vec::new();
    let (text, number, reference) = (0x08, 0x0f, 0x10);
    for (code, tag, children, attributes) in [
        (1, 0x11, 1, &[(0x03, text), (0x13, 0x0b)][..]),
        (2, 0x13, 1, &[(0x03, text), (0x0b, number)]),
        (
            3,
            0x0d,
            0,
            &[(0x03, text), (0x38, number), (0x49, reference)],
        ),
        (4, 0x24, 0, &[(0x03, text)]),
        (5, 0x13, 0, &[(0x03, text), (0x0b, number)]),
    ] {
        table.extend([code, tag, children]);
        attributes
            .iter()
            .for_each(|(name, form)| table.extend([*name, *form]));
        table.extend([0, 0]);
    }
    table.push(0);
    table
}

fn text(code: u8, text: &str) -> Vec<u8> {
    [&[code], text.as_bytes(), &[0]].concat()
}

fn structure(name: &str, members: &[(&str, u8)]) -> Vec<u8> {
    let mut bytes = [text(2, name), vec![64]].concat();
    for (member, at) in members {
        bytes.extend([text(3, member), vec![*at, 1, 2, 3, 4]].concat());
    }
    bytes.push(0);
    bytes
}

fn unit_of(version: u8, name: &str, entries: &[Vec<u8>]) -> Vec<u8> {
    let root = [text(1, name), vec![22]].concat();
    let head = if version >= 5 {
        vec![version, 0, 1, 8, 0, 0, 0, 0]
    } else {
        vec![version, 0, 0, 0, 0, 0, 8]
    };
    let body = [head, root, entries.concat(), vec![0]].concat();
    [&(body.len() as u32).to_le_bytes()[..], &body].concat()
}

fn found(info: &[u8]) -> Found {
    let mut found = Found::NOTHING;
    let _ended = search(Stream::new(info), &tables(), &mut found);
    found
}

fn sample(version: u8) -> Vec<u8> {
    let g = structure("runtime.g", &[("stack", 0), ("m", 48), ("goid", 120)]);
    let inner = [
        text(2, "runtime.m"),
        vec![9],
        structure("other", &[("curg", 7)]),
    ]
    .concat();
    let m = [inner, text(3, "curg"), vec![99, 0, 0, 0, 0], vec![0]].concat();
    let request = [text(5, "net/http.Request"), vec![0]].concat();
    let unit = unit_of(version, "runtime", &[text(4, "int"), g, m, request]);
    [
        unit_of(version, "main", &[structure("runtime.g", &[("m", 3)])]),
        unit,
    ]
    .concat()
}

#[test]
fn members_are_read_from_units_with_types_of_both_versions() {
    for version in [3, 4, 5] {
        let found = found(&sample(version));
        assert_eq!(
            found.offsets[..6],
            [Some(48), Some(120), None, None, Some(99), None]
        );
        assert_eq!(
            found.seen[..8],
            [true, true, true, true, true, true, true, false]
        );
    }
}

#[test]
fn units_of_unknown_versions_are_passed_over() {
    assert_eq!(
        found(&unit_of(
            6,
            "runtime",
            &[structure("runtime.g", &[("m", 3)])]
        )),
        Found::NOTHING
    );
    let after = [unit_of(9, "runtime", &[]), sample(4)].concat();
    assert_eq!(found(&after).offsets[0], Some(48));
}

#[test]
fn an_offset_that_cannot_be_is_not_believed() {
    let huge = [
        text(2, "runtime.g"),
        vec![1],
        text(3, "m"),
        vec![0xff, 0xff, 0x7f, 0, 0, 0, 0, 0],
    ];
    let found = found(&unit_of(4, "runtime", &[huge.concat()]));
    assert_eq!((found.offsets[0], found.seen[0]), (None, true));
}

#[test]
fn what_was_read_before_the_end_of_a_cut_section_is_kept() {
    let whole = sample(4);
    let mut seen = 0;
    for end in 0..whole.len() {
        seen = seen.max(found(&whole[..end]).offsets.iter().flatten().count());
    }
    assert_eq!(seen, 3);
}

proptest! {
    #[test]
    fn any_bytes_end_the_search(
        tables in prop::collection::vec(any::<u8>(), 0..200),
        info in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let _ended = search(Stream::new(&info[..]), &tables, &mut Found::NOTHING.clone());
    }

    #[test]
    fn changed_bytes_end_the_search(at in 0usize..250, byte: u8) {
        let mut info = sample(5);
        let at = at % info.len();
        info[at] = byte;
        let found = found(&info);
        prop_assert!(found.offsets.iter().flatten().all(|offset| u64::from(*offset) < MAX_OFFSET));
    }
}
