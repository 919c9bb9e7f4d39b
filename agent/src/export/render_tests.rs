use super::*;
use crate::export::samples::{client, link, server};

const LOOK: Look = Look {
    width: 110,
    colour: false,
};
const MS: u64 = 1_000_000;

fn show(spans: Vec<Span>, look: Look) -> String {
    let trace = Trace {
        spans,
        continued: false,
        cut: None,
    };
    format!("\n{}", render(&trace, look))
}

fn evidence(mut span: Span, evidence: &'static str) -> Span {
    span.attributes
        .push(("threadline.link.evidence", Value::Static(evidence)));
    span
}

fn shop() -> Vec<Span> {
    let mut failed = server(1, 7, Some(6), "db", (41 * MS, 44 * MS));
    failed.status = Status::Error(String::new());
    failed.attributes[2].1 = Value::Int(503);
    failed.attributes.push(("error.type", Value::Static("503")));
    let mut guess = client(1, 6, Some(3), "cart", (40 * MS, 45 * MS));
    guess.status = Status::Error("connection reset".into());
    vec![
        failed,
        evidence(guess, "go_context"),
        server(1, 3, Some(2), "cart", (31 * MS, 49 * MS)),
        evidence(
            client(1, 2, Some(1), "front", (30 * MS, 50 * MS)),
            "goroutine",
        ),
        evidence(
            client(1, 4, Some(1), "front", (10 * MS, 10 * MS + 900)),
            "thread",
        ),
        server(1, 1, None, "front", (0, 100 * MS)),
    ]
}

#[test]
fn a_trace_is_a_tree_with_evidence_times_and_bars() {
    assert_eq!(
        show(shop(), LOOK),
        r"
trace 01010101010101010101010101010101  6 spans, 3 services, 100.0 ms, 2 errors
front GET /items/{id}  /items/1  200                                           100.0 ms |████████████████████|
├─ front → GET  cart:8080/items/4  <- thread                                     900 ns |  █                 |
└─ front → GET  cart:8080/items/2  <- goroutine                                 20.0 ms |      ████          |
   └─ cart GET /items/{id}  /items/3  200                                       18.0 ms |      ███           |
      └─ cart → GET  cart:8080/items/6  connection reset  <- go_context         5.00 ms |        █           |
         └─ db GET /items/{id}  /items/7  503                                   3.00 ms |        █           |

"
    );
}

#[test]
fn what_is_not_proven_is_a_note_not_a_branch() {
    let mut guess = client(1, 2, None, "pool", (0, 5_000));
    guess
        .attributes
        .push(("threadline.link.candidates", Value::Int(3)));
    guess.links = vec![link(2, 2), link(2, 3)];
    let mut linked = client(1, 3, None, "pool", (1_000, 5_000));
    linked.links = vec![link(2, 2)];
    let mut entered = server(1, 4, Some(9), "edge", (2_000, 5_000));
    entered
        .attributes
        .push(("threadline.incomplete", Value::Static("gap")));
    assert_eq!(
        show(vec![entered, linked, guess], LOOK),
        r"
trace 01010101010101010101010101010101  3 spans, 2 services, 5 us
pool → GET  cart:8080/items/2  linked to 3 candidates                              5 us |████████████████████|
pool → GET  cart:8080/items/3  linked to 1 span                                    4 us |    ████████████████|
edge GET /items/{id}  /items/4  200  (parent 0909090909090909 not seen)  inc…      3 us |        ████████████|

"
    );
}

#[test]
fn branches_go_on_beside_deeper_levels() {
    let spans = vec![
        server(1, 1, None, "a", (0, 10)),
        client(1, 2, Some(1), "a", (1, 5)),
        server(1, 3, Some(2), "b", (2, 4)),
        client(1, 4, Some(1), "a", (6, 9)),
    ];
    let text = show(spans, LOOK);
    let branches: Vec<_> = text
        .lines()
        .skip(2)
        .map(|line| line.split(['a', 'b']).next())
        .collect();
    let expected = [Some(""), Some("├─ "), Some("│  └─ "), Some("└─ "), Some("")];
    assert_eq!(branches, expected);
}

#[test]
fn circles_and_repeated_ids_show_every_span_once_and_end() {
    let mut spans = vec![
        server(1, 1, Some(2), "a", (0, 1)),
        server(1, 2, Some(1), "a", (0, 1)),
        server(1, 3, Some(3), "a", (0, 1)),
        server(1, 4, None, "a", (0, 1)),
        server(1, 4, None, "a", (0, 1)),
        server(1, 5, Some(4), "a", (0, 1)),
    ];
    assert_eq!(rows(&spans).len(), 6);
    spans.reverse();
    assert_eq!(rows(&spans).len(), 6);
}

#[test]
fn a_long_chain_stays_within_the_width() {
    let spans: Vec<_> = (1..=100)
        .map(|id| server(1, id, (id > 1).then(|| id - 1), "a", (0, u64::MAX)))
        .collect();
    let text = show(spans, LOOK);
    assert_eq!(text.lines().count(), 103);
    for line in text.lines() {
        assert!(line.chars().count() <= 110, "{line}");
    }
    assert!(text.contains("a GET /items/{id}"));
}

#[test]
fn times_without_sense_do_not_break_the_bar() {
    for (start, end) in [(0, 0), (5, 5), (u64::MAX, 0), (0, u64::MAX)] {
        let spans = vec![
            server(1, 1, None, "a", (start, end)),
            server(1, 2, Some(1), "a", (7, 3)),
        ];
        for line in show(spans, LOOK).lines().skip(2).take(2) {
            let bar = line.split('|').nth(1).unwrap();
            assert!(bar.chars().count() == BAR && bar.contains('█'), "{line}");
        }
    }
}

#[test]
fn colour_marks_errors_and_what_stands_back() {
    let text = show(
        shop(),
        Look {
            colour: true,
            ..LOOK
        },
    );
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[1].ends_with("\u{1b}[31m2 errors\u{1b}[0m"),
        "{:?}",
        lines[1]
    );
    assert!(
        lines[3].contains("\u{1b}[2m  <- thread\u{1b}[0m"),
        "{:?}",
        lines[3]
    );
    assert!(
        lines[7].contains("\u{1b}[31m  503\u{1b}[0m"),
        "{:?}",
        lines[7]
    );
    assert!(lines[7].contains("\u{1b}[31m█\u{1b}[0m"), "{:?}", lines[7]);
}

#[test]
fn a_part_of_a_trace_says_so() {
    let trace = Trace {
        spans: vec![server(1, 1, None, "a", (0, 2_000_000_000))],
        continued: true,
        cut: Some("too many traces at once"),
    };
    let text = render(&trace, LOOK);
    let head = text.lines().next().unwrap();
    assert!(
        head.ends_with("1 span, 1 service, 2000.0 ms, continued, too many traces at once"),
        "{head}"
    );
}

#[test]
fn durations_have_few_figures() {
    for (ns, text) in [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_000, "1 us"),
        (999_999, "999 us"),
        (1_000_000, "1.00 ms"),
        (9_994_000, "9.99 ms"),
        (12_345_678, "12.3 ms"),
        (9_999_000_000, "9999.0 ms"),
        (61_000_000_000, "61.0 s"),
        (86_400_000_000_000, "86400 s"),
        (u64::MAX, "> 11 days"),
    ] {
        assert_eq!(duration(ns), text);
        assert!(text.len() <= DURATION);
    }
}
