//! Whole traces over several processes; ids, times, counts.

use super::*;
use crate::health::Reason;
use crate::span::model::SpanKind;

/// a calls b, b's handler calls c twice, once on its goroutine, once on a child that exits.
fn chain(world: &mut World) -> [u64; 6] {
    let ab = world.wire();
    let a = world.send(&ab, go(1, 5));
    let b = world.serve(&ab, 2, 9, 0x100);
    let (bc, first) = world.pooled(
        2,
        Caller {
            goid: 9,
            ..Caller::default()
        },
    );
    let c = world.serve(&bc, 3, 4, 0x200);
    world.end(c);
    world.end(first);
    let created = world.now;
    let child = Caller {
        goid: 77,
        ancestors: vec![(9, created)],
        ..Caller::default()
    };
    let (bc, second) = world.pooled(2, child);
    let d = world.serve(&bc, 3, 5, 0x300);
    world.end(d);
    world.end(second);
    world.exit(2, 77);
    world.end(b);
    world.end(a);
    [a, b, first, c, second, d]
}

#[test]
fn a_chain_of_three_services_is_one_tree() {
    let mut world = World::new();
    let [a, b, first, c, second, d] = chain(&mut world);
    world.root(a, &[]);
    world.under(b, a, "hop");
    world.under(first, b, "goroutine");
    world.under(c, first, "hop");
    world.under(second, b, "goroutine_child");
    world.under(d, second, "hop");
    assert_eq!(world.candidates(second), None);
    assert_eq!(world.out().len(), 6);
    world.balanced();
}

#[test]
fn every_child_lies_inside_its_parent() {
    let mut world = World::new();
    chain(&mut world);
    let spans = world.done().to_vec();
    for span in &spans {
        assert!(span.start_unix_ns >= 6_000_000_000 && span.start_unix_ns <= span.end_unix_ns);
        for parent in spans
            .iter()
            .filter(|parent| Some(parent.span_id) == span.parent_span_id)
        {
            assert!(parent.start_unix_ns <= span.start_unix_ns);
            assert!(parent.end_unix_ns >= span.end_unix_ns);
        }
    }
}

#[test]
fn the_same_input_gives_the_same_spans() {
    let run = || {
        let mut world = World::new();
        chain(&mut world);
        world.done().to_vec()
    };
    assert_eq!(run(), run());
}

#[test]
fn ids_follow_from_the_hop_alone() {
    let mut world = World::new();
    let wire = world.wire();
    let client = world.send(&wire, go(1, 5));
    world.end(client);
    let span = world.span(client);
    // Another observer, other clocks, other transactions in between.
    let mut other = World::new();
    let same = other.wire();
    other.wait(77);
    let busy = other.wire();
    other.send(&busy, go(1, 5));
    let server = other.receive(&same, go(9, 9));
    other.end(server);
    let again = other.span(server);
    assert_eq!(span.trace_id, again.trace_id, "the trace of its first hop");
    assert_ne!(span.span_id, again.span_id);
}

#[test]
fn requests_of_one_connection_are_different_hops() {
    let mut world = World::new();
    let wire = world.wire();
    let first = world.send(&wire, go(1, 5));
    let first_server = world.receive(&wire, go(2, 9));
    world.end(first_server);
    world.end(first);
    let wire = World::again(&wire);
    let second = world.send(&wire, go(1, 5));
    let second_server = world.receive(&wire, go(2, 9));
    world.end(second_server);
    world.end(second);
    world.under(first_server, first, "hop");
    world.under(second_server, second, "hop");
    assert_ne!(world.span(first).trace_id, world.span(second).trace_id);
}

#[test]
fn a_server_that_is_seen_before_its_client_still_joins() {
    let mut world = World::new();
    let wire = world.wire();
    let server = world.receive(&wire, go(2, 9));
    let client = world.send(&wire, go(1, 5));
    world.end(server);
    world.end(client);
    world.under(server, client, "hop");
    // Not when somebody already has its trace, if the client's is another one.
    let wire = world.wire();
    let server = world.receive(&wire, go(2, 9));
    let inner = world.wire();
    let child = world.send(&inner, go(2, 9));
    let header = "00-12345678901234567890123456789012-1234567890123456-01";
    let client = world.send_with(&wire, go(1, 5), header);
    for id in [child, server, client] {
        world.end(id);
    }
    world.root(server, &[]);
    world.under(child, server, "goroutine");
}

#[test]
fn a_client_that_ended_is_met_for_a_minute() {
    for (wait, joined) in [(50_000 * MS, true), (70_000 * MS, false)] {
        let mut world = World::new();
        let wire = world.wire();
        let client = world.send(&wire, go(1, 5));
        world.end_as(client, Outcome::Reset(110));
        world.wait(wait);
        let server = world.receive(&wire, go(2, 9));
        world.end(server);
        assert_eq!(world.span(server).parent_span_id.is_some(), joined);
    }
}

#[test]
fn without_a_hop_ids_come_from_the_process() {
    let mut world = World::new();
    world.process(1, true);
    let wire = world.blind();
    let (a, b) = (world.send(&wire, go(1, 5)), world.receive(&wire, go(1, 6)));
    world.end(a);
    world.end(b);
    let (a, b) = (world.span(a), world.span(b));
    assert_ne!(a.trace_id, b.trace_id);
    assert_ne!(a.span_id, b.span_id);
    assert_eq!(b.parent_span_id, None);
}

#[test]
fn a_report_in_between_has_the_final_spans_id() {
    let mut world = World::new();
    let wire = world.wire();
    let server = world.receive(&wire, go(2, 9));
    world.end_as(server, Outcome::Interim);
    let interim = world.span(server);
    assert_eq!(
        value(&interim, attributes::THREADLINE_OPEN),
        Some(Value::Bool(true))
    );
    world.end(server);
    let last = world.span(server);
    assert_eq!(
        (last.span_id, last.trace_id),
        (interim.span_id, interim.trace_id)
    );
    assert_eq!(value(&last, attributes::THREADLINE_OPEN), None);
    assert_eq!(world.out().len(), 2);
    world.balanced();
}

#[test]
fn what_was_never_ended_is_counted() {
    let mut world = World::new();
    let wire = world.wire();
    world.receive(&wire, go(2, 9));
    world.end(12345);
    assert!(world.done().is_empty());
    assert_eq!(world.ledger.dropped(Stage::Span, Reason::Shutdown), 1);
    assert_eq!(world.ledger.dropped(Stage::Span, Reason::OverLimit), 1);
    world.balanced();
}

#[test]
fn facts_may_come_after_the_begin() {
    let mut world = World::new();
    let wire = world.wire();
    let (a, b) = (world.send(&wire, go(1, 5)), world.receive(&wire, go(2, 9)));
    let name = (
        "service.name".to_owned(),
        crate::process::facts::FactValue::String("b".to_owned()),
    );
    let facts = ProcessFacts {
        tgid: 2,
        resource: vec![name],
        ..ProcessFacts::default()
    };
    world.spans.on_process(&facts);
    world.spans.on_exit(2, world.now);
    world.end(b);
    world.end(a);
    assert_eq!(world.span(b).resource.service_name(), "b");
    assert_eq!(
        world.span(a).resource.attributes,
        vec![("process.pid".to_owned(), Value::Int(1))]
    );
    assert_eq!(world.span(a).kind, SpanKind::Client);
}

#[test]
fn the_innermost_route_names_the_span() {
    let mut world = World::new();
    let wire = world.wire();
    let server = world.serve(&wire, 2, 9, 0x100);
    world.route(2, 9, "/");
    world.route(2, 9, "GET example.com/items/{id}");
    world.route(2, 8, "/other");
    world.end(server);
    let span = world.span(server);
    assert_eq!(span.name, "GET /items/{id}");
    assert_eq!(text(&span, "http.route").as_deref(), Some("/items/{id}"));
}
