use super::super::vectors::{FINDERS, HANDLERS, bytes};
use super::*;

#[test]
fn the_pattern_is_read_after_the_call_where_its_registers_are_kept() {
    assert_eq!(FINDERS.len(), 12);
    for (name, address, callee, hex) in FINDERS {
        let code = instructions(&bytes(hex), *address);
        let found = after_call(&code, *callee);
        if *name == "go1.22.12 (*serveMux121)" {
            // mov 0x68(%rsp), %rdi comes before the jump: the length is gone.
            assert_eq!(found, None, "{name}");
            continue;
        }
        let (site, kind) = found.unwrap_or_else(|| panic!("{name}"));
        let want = match *name {
            "go1.27.0 (*ServeMux)" => SiteKind::Nop,
            name if name.ends_with("121)") => SiteKind::Jmp,
            _ => SiteKind::Jcc,
        };
        assert_eq!(kind, want, "{name}");
        assert!(
            site > *address && site < address + bytes(hex).len() as u64,
            "{name}"
        );
    }
}

#[test]
fn a_register_that_changes_before_the_site_gives_none() {
    let call = "e800000000";
    let site = |between: &str| {
        let code = bytes(&format!("{call}{between}eb00"));
        after_call(&instructions(&code, 0x1000), 0x1005)
    };
    assert_eq!(site(""), Some((0x1005, SiteKind::Jmp)));
    assert_eq!(site("488b542468"), Some((0x100a, SiteKind::Jmp)), "mov rdx");
    assert_eq!(site("31c9"), None, "xor ecx, ecx");
    assert_eq!(site("b701"), Some((0x1007, SiteKind::Jmp)), "mov bh");
    assert_eq!(site("40b701"), None, "mov dil");
    assert_eq!(site("4d8b36"), None, "mov r14");
    assert_eq!(site("ffd0"), None, "an indirect call");
    assert_eq!(site("4883c408"), None, "the frame is gone");
}

#[test]
fn two_calls_of_the_finder_give_no_site() {
    let code = bytes("e800000000eb00e8f9ffffffeb00");
    let code = instructions(&code, 0x1000);
    assert_eq!(code[2].near_branch_target(), 0x1005);
    assert_eq!(after_call(&code, 0x1005), None);
}

#[test]
fn the_old_mux_is_read_at_its_last_look_at_the_handler() {
    assert_eq!(HANDLERS.len(), 5);
    for (name, address, hex, site) in HANDLERS {
        let found =
            results(&instructions(&bytes(hex), *address)).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(found.site, *site, "{name}");
        let pattern = match name.split('.').nth(1) {
            Some("18") => 0xc0,
            Some("20" | "21") => 0xb8,
            _ => 0x80,
        };
        assert_eq!(found.pattern, pattern, "{name}");
    }
}

#[test]
fn an_old_mux_that_returns_otherwise_gives_no_site() {
    let (_, address, hex, site) = HANDLERS[0];
    let code = bytes(hex);
    let cut = &code[..code.len() - 1];
    assert_eq!(
        results(&instructions(cut, address)),
        None,
        "without its ret"
    );
    let mut other = code.clone();
    let branch = (site - address) as usize;
    // The compared slot, one word off the handler's.
    other[branch - 5] ^= 8;
    assert_eq!(
        results(&instructions(&other, address)),
        None,
        "another slot is compared"
    );
}
