//! The cases of the W3C conformance suite, said in our own words, and what must never happen.

use super::*;
use proptest::prelude::*;

const ID: &str = "12345678901234567890123456789012";
const GOOD: &str = "00-12345678901234567890123456789012-1234567890123456-01";

fn accepted(value: &str) -> bool {
    matches!(extract(&[value.to_owned()], None), Extracted::Context(c) if format!("{}", c.trace_id) == ID)
}

fn state(value: &str) -> String {
    match extract(&[GOOD.to_owned()], Some(value)) {
        Extracted::Context(context) => context.state,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_valid_header_gives_trace_parent_and_flag() {
    let Extracted::Context(context) = extract(&[GOOD.to_owned()], None) else {
        panic!()
    };
    assert_eq!(
        format!("{}/{}", context.trace_id, context.parent_id),
        format!("{ID}/1234567890123456")
    );
    assert!(context.sampled());
    let unsampled = GOOD.replace("-01", "-00");
    assert!(matches!(extract(&[unsampled], None), Extracted::Context(c) if !c.sampled()));
}

#[test]
fn white_space_around_the_header_is_no_part_of_it() {
    for value in [
        format!(" {GOOD}"),
        format!("\t{GOOD}"),
        format!("\t {GOOD} \t"),
    ] {
        assert!(accepted(&value), "{value:?}");
    }
}

#[test]
fn version_00_takes_exactly_55_characters() {
    for tail in [".", "-", "-what-the-future-will-be-like", "0"] {
        assert!(!accepted(&format!("{GOOD}{tail}")), "{tail}");
    }
}

#[test]
fn a_future_version_may_be_longer_after_a_dash() {
    let future = GOOD.replacen("00", "cc", 1);
    assert!(accepted(&future));
    assert!(accepted(&format!("{future}-what-the-future-will-be-like")));
    assert!(accepted(&format!("{future}-")));
    assert!(!accepted(&format!("{future}.what-the-future-will-be-like")));
    assert!(!accepted(&GOOD.replacen("00", "ff", 1)));
}

#[test]
fn broken_fields_are_refused() {
    for value in [
        ".0-12345678901234567890123456789012-1234567890123456-01",
        "0.-12345678901234567890123456789012-1234567890123456-01",
        "000-12345678901234567890123456789012-1234567890123456-01",
        "0000-12345678901234567890123456789012-1234567890123456-01",
        "0-12345678901234567890123456789012-1234567890123456-01",
        "00-00000000000000000000000000000000-1234567890123456-01",
        "00-.2345678901234567890123456789012-1234567890123456-01",
        "00-1234567890123456789012345678901.-1234567890123456-01",
        "00-123456789012345678901234567890123-1234567890123456-01",
        "00-1234567890123456789012345678901-1234567890123456-01",
        "00-12345678901234567890123456789012-0000000000000000-01",
        "00-12345678901234567890123456789012-.234567890123456-01",
        "00-12345678901234567890123456789012-123456789012345.-01",
        "00-12345678901234567890123456789012-12345678901234567-01",
        "00-12345678901234567890123456789012-123456789012345-01",
        "00-12345678901234567890123456789012-1234567890123456-.0",
        "00-12345678901234567890123456789012-1234567890123456-0.",
        "00-12345678901234567890123456789012-1234567890123456-001",
        "00-12345678901234567890123456789012-1234567890123456-1",
        "00-1234567890123456789012345678901A-1234567890123456-01",
        "",
    ] {
        assert_eq!(
            extract(&[value.to_owned()], None),
            Extracted::Invalid,
            "{value}"
        );
    }
}

#[test]
fn two_headers_count_only_when_they_say_the_same() {
    let other = GOOD.replace("9012-", "9011-");
    assert_eq!(
        extract(&[GOOD.to_owned(), other], None),
        Extracted::Contradicting
    );
    let twice = [GOOD.to_owned(), GOOD.to_owned()];
    assert!(matches!(extract(&twice, None), Extracted::Context(_)));
    assert_eq!(extract(&[], Some("foo=1")), Extracted::Absent);
}

#[test]
fn unknown_flags_are_not_passed_on() {
    let all = GOOD.replace("-01", "-ff");
    assert!(matches!(extract(&[all], None), Extracted::Context(c) if c.flags == SAMPLED | RANDOM));
}

#[test]
fn a_tracestate_is_carried_in_order() {
    assert_eq!(
        state("foo=1,bar=2,rojo=1,congo=2,baz=3"),
        "foo=1,bar=2,rojo=1,congo=2,baz=3"
    );
    assert_eq!(state("foo=1 \t , \t bar=2, \t baz=3"), "foo=1,bar=2,baz=3");
    assert_eq!(state("foo=1\t \t,\t \tbar=2"), "foo=1,bar=2");
    assert_eq!(state("foo=1,"), "foo=1");
    assert_eq!(state(",foo=1"), "foo=1");
    assert_eq!(state(""), "");
}

#[test]
fn every_legal_character_is_legal() {
    let key = "abcdefghijklmnopqrstuvwxyz0123456789_-*/";
    let value: String = (0x20..=0x7eu8)
        .filter(|b| !b",=".contains(b))
        .map(char::from)
        .collect();
    for member in [
        format!("{key}={value}"),
        format!("{key}@a-z0-9_-*/={value}"),
    ] {
        assert_eq!(state(&member), member);
    }
}

#[test]
fn a_broken_tracestate_is_dropped_whole() {
    for value in [
        "foo=1,foo=1",
        "foo=1,foo=2",
        "foo =1",
        "FOO=1",
        "foo.bar=1",
        "foo@=1,bar=2",
        "@foo=1,bar=2",
        "foo@@bar=1,bar=2",
        "foo@bar@baz=1,bar=2",
        "foo=bar=baz",
        "foo=,bar=3",
        "foo",
        "1foo=1",
        "foo=\u{e4}",
    ] {
        assert_eq!(state(value), "", "{value}");
    }
}

#[test]
fn tracestate_limits_are_exact() {
    let members = |n: usize| {
        (1..=n)
            .map(|i| format!("bar{i:02}={i:02}"))
            .collect::<Vec<_>>()
            .join(",")
    };
    assert_eq!(state(&members(32)), members(32));
    assert_eq!(state(&members(33)), "");
    let keyed = |key: String| format!("foo=1,{key}=1");
    for (key, legal) in [
        ("z".repeat(256), true),
        ("z".repeat(257), false),
        ("t".repeat(241) + "@" + &"v".repeat(14), true),
        ("t".repeat(242) + "@v", false),
        ("t@".to_owned() + &"v".repeat(15), false),
        ("0t@v".to_owned(), true),
    ] {
        assert_eq!(!state(&keyed(key.clone())).is_empty(), legal, "{key}");
    }
    assert_eq!(state(&format!("k={}", "v".repeat(257))), "");
    assert_ne!(state(&format!("k={}", "v".repeat(256))), "");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(parents in prop::collection::vec(".{0,70}", 0..4), state in ".{0,600}") {
        extract(&parents, Some(&state));
    }

    #[test]
    fn what_is_accepted_reads_back_the_same(trace in any::<[u8; 16]>(), parent in any::<[u8; 8]>(), flags in 0u8..4) {
        let text = format!("00-{}-{}-{flags:02x}", TraceId(trace), SpanId(parent));
        let legal = trace != [0; 16] && parent != [0; 8];
        prop_assert_eq!(parse_traceparent(&text), legal.then_some((TraceId(trace), SpanId(parent), flags)));
    }

    #[test]
    fn a_canonical_tracestate_is_left_alone(value in "[ -~]{0,80}") {
        if let Some(once) = parse_tracestate(&value) {
            prop_assert_eq!(parse_tracestate(&once), Some(once));
        }
    }
}
