use proptest::prelude::*;

use super::fake::{Fake, PLAIN, SERVE, file};
use super::*;

fn inspected(fake: Fake) -> GoBinary {
    inspect(&fake.file()).unwrap().unwrap()
}

#[test]
fn the_function_table_is_found_in_every_kind_of_file() {
    for sections in [true, false] {
        for text_in_table in [true, false] {
            for relocated in [true, false] {
                for magic in [0xf0, 0xf1] {
                    let fake = Fake {
                        sections,
                        text_in_table,
                        relocated,
                        magic,
                        ..PLAIN
                    };
                    let binary = inspected(fake);
                    let site = &binary.sites[0];
                    assert_eq!((site.probe, site.kind), (Probe::Serve, SiteKind::PushRbp));
                    assert_eq!(site.address, SERVE + 10, "{fake:?}");
                    assert_eq!(site.file_offset, SERVE + 10 - 0x40_0000);
                    assert_eq!(binary.layout.tls_slot, -8);
                    let linkage = if relocated {
                        Linkage::Pie
                    } else {
                        Linkage::Executable
                    };
                    assert_eq!(binary.linkage, linkage);
                    assert!(binary.has_http_server && !binary.has_http_client && !binary.cgo);
                }
            }
        }
    }
}

#[test]
fn a_known_version_has_its_offsets_and_an_unknown_one_says_what_is_lost() {
    let known = inspected(PLAIN);
    assert_eq!(
        (known.minor, known.layout.m_curg, known.layout.g_goid),
        (26, 184, 152)
    );
    assert_eq!(
        known.missing.len(),
        1,
        "only newproc1, which is not in it: {:?}",
        known.missing
    );
    for (version, minor) in [
        ("go1.30", 30),
        ("devel go1.27-abcdef", 27),
        ("", 0),
        ("go1.17.1", 17),
    ] {
        let binary = inspected(Fake { version, ..PLAIN });
        assert_eq!(binary.minor, minor);
        assert_eq!(
            (binary.layout.g_goid, binary.layout.tls_slot),
            (UNKNOWN, -8)
        );
        assert!(
            binary
                .missing
                .iter()
                .any(|text| text.contains("struct offsets are unknown"))
        );
        assert!(binary.missing.iter().any(|text| text == missing::GOROUTINE));
    }
}

#[test]
fn a_go_binary_that_cannot_be_probed_is_still_known_as_one() {
    let arm = inspected(Fake {
        machine: 183,
        ..PLAIN
    });
    assert_eq!((arm.minor, arm.sites.len()), (26, 0));
    assert_eq!(arm.missing, [missing::MACHINE]);
    let old = inspected(Fake {
        magic: 0xfa,
        ..PLAIN
    });
    assert_eq!(
        (old.sites.len(), &old.missing[..]),
        (0, &[missing::NO_FUNCTIONS.to_owned()][..])
    );
}

#[test]
fn files_that_are_no_go_binaries_are_none() {
    let mut other_order = PLAIN.bytes();
    other_order[5] = 2;
    let mut nameless = PLAIN.bytes();
    let names = nameless
        .windows(3)
        .position(|window| window == b".go")
        .unwrap();
    nameless[names..names + 40].fill(b'x');
    for bytes in [&b""[..], b"#!/bin/sh\n", b"\x7fEL", &other_order, &nameless] {
        assert_eq!(inspect(&file(bytes)).unwrap(), None);
    }
    let this = File::open(std::env::current_exe().unwrap()).unwrap();
    assert_eq!(inspect(&this).unwrap(), None);
}

#[test]
fn a_truncated_file_is_an_error_with_a_reason_or_no_go_binary() {
    let whole = PLAIN.bytes();
    let mut errors = 0;
    for end in (0..whole.len() - 0x100).step_by(7) {
        match inspect(&file(&whole[..end])) {
            Err(error) => {
                errors += 1;
                assert!(
                    error.to_string().starts_with("malformed binary: "),
                    "{error}"
                );
            }
            Ok(found) => assert_eq!(found, None, "{end}"),
        }
    }
    assert!(errors > 100);
    assert!(inspect(&File::open("/dev/null").unwrap()).is_err());
}

#[test]
fn counts_that_lie_are_refused() {
    for (at, what) in [
        (0x408, "functions"),
        (0x420, "names"),
        (0x428, "names"),
        (0x440, "entries"),
    ] {
        for value in [u64::MAX, u64::MAX / 8, 1 << 40, 0x10_0000] {
            let mut bytes = PLAIN.bytes();
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            let error = inspect(&file(&bytes)).unwrap_err().to_string();
            assert!(error.contains("contradicts its size"), "{what}: {error}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_change_of_a_word_breaks_the_inspection(
        at in 0usize..0x1000 / 4,
        value in prop_oneof![any::<u64>(), 0u64..0x2000, Just(u64::MAX), Just(1 << 63), 0x40_0000u64..0x40_2000],
        sections: bool,
        text_in_table: bool,
        relocated: bool,
    ) {
        let mut bytes = Fake { sections, text_in_table, relocated, ..PLAIN }.bytes();
        let at = (at * 4).min(bytes.len() - 8);
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        if let Ok(Some(binary)) = inspect(&file(&bytes)) {
            prop_assert!(binary.sites.iter().all(|site| site.file_offset < bytes.len() as u64));
            prop_assert!(binary.missing.len() < 10);
        }
    }

    #[test]
    fn no_random_bytes_break_the_inspection(
        places in prop::collection::vec((0usize..0x1000, any::<u8>()), 1..40),
    ) {
        let mut bytes = PLAIN.bytes();
        places.iter().for_each(|(at, byte)| bytes[*at] = *byte);
        let _any = inspect(&file(&bytes));
    }
}
