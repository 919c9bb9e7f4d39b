use super::super::vectors::{BEGINNINGS, STATE_CHANGES, bytes};
use super::*;

const BASE: u64 = 0x40_0000;

fn minor(name: &str) -> u32 {
    let digits = name.trim_start_matches("go1.").split('.').next().unwrap();
    digits.parse().unwrap()
}

#[test]
fn functions_of_all_toolchains_are_probed_on_an_emulated_instruction() {
    assert_eq!(BEGINNINGS.len(), 30);
    for (name, hex) in BEGINNINGS {
        let code = bytes(hex);
        let (address, kind) = beginning(&code, BASE);
        let under = &code[(address - BASE) as usize..];
        if minor(name) >= 21 {
            assert_eq!((kind, under[0]), (SiteKind::PushRbp, 0x55), "{name}");
        } else {
            assert_eq!(
                (kind, &under[..2]),
                (SiteKind::Jcc, &[0x0f, 0x86][..]),
                "{name}"
            );
        }
    }
}

#[test]
fn the_entry_is_taken_where_an_argument_changes_before_the_push() {
    for (what, hex) in [
        ("mov ebx, 1; push rbp", "bb0100000055"),
        ("mov al, 1; push rbp", "b00155"),
        ("xor r14d, r14d; push rbp", "4531f655"),
        ("sub rsp, 8; push rbp", "4883ec0855"),
        ("call; push rbp", "e80000000055"),
        ("jmp; push rbp", "eb0055"),
        ("ret", "c3"),
        ("push rbx", "53"),
        ("nothing", ""),
        ("half an instruction", "4c8d"),
    ] {
        assert_eq!(
            beginning(&bytes(hex), BASE),
            (BASE, SiteKind::Entry),
            "{what}"
        );
    }
}

#[test]
fn a_push_right_at_the_start_is_taken() {
    assert_eq!(
        beginning(&bytes("554889e5"), BASE),
        (BASE, SiteKind::PushRbp)
    );
}

#[test]
fn the_second_state_change_of_each_toolchain_is_found_and_the_first_is_not() {
    assert_eq!(STATE_CHANGES.len(), 20);
    for (index, (name, address, callee, hex)) in STATE_CHANGES.iter().enumerate() {
        let code = bytes(hex);
        let callee = Function {
            address: *callee,
            size: 1,
        };
        let call = address + code.len() as u64 - 5;
        let want = (index % 2 == 1).then_some((call, SiteKind::Call));
        assert_eq!(state_change(&code, *address, callee), want, "{name}");
    }
}

#[test]
fn two_state_changes_that_look_alike_give_no_site() {
    let (_, address, _, hex) = STATE_CHANGES[1];
    let one = bytes(hex);
    let relative = i32::from_le_bytes(*one.last_chunk().unwrap());
    // The copy behind calls the same function from further on.
    let mut two = one.clone();
    let at = two.len() - 4;
    two[at..].copy_from_slice(&(relative - one.len() as i32).to_le_bytes());
    let target = address
        .wrapping_add(one.len() as u64)
        .wrapping_add(relative as i64 as u64);
    let callee = Function {
        address: target,
        size: 1,
    };
    assert!(state_change(&one, address, callee).is_some());
    assert_eq!(state_change(&[one, two].concat(), address, callee), None);
}
