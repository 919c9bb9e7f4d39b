//! Requests that carry a trace context.

use super::*;
use crate::health::Reason;

const TRACE: &str = "12345678901234567890123456789012";

fn header(parent: &str) -> String {
    format!("00-{TRACE}-{parent}-01")
}

fn parent(span: &Span) -> String {
    span.parent_span_id
        .map(|id| id.to_string())
        .unwrap_or_default()
}

#[test]
fn a_header_from_elsewhere_is_the_parent() {
    let mut world = World::new();
    let wire = world.wire();
    let server = world.receive_with(&wire, go(2, 9), &header("1111111111111111"));
    world.end(server);
    let span = world.span(server);
    assert_eq!(
        (span.trace_id.to_string().as_str(), parent(&span).as_str()),
        (TRACE, "1111111111111111")
    );
    assert!(span.parent_is_remote);
    assert_eq!(
        text(&span, attributes::LINK_EVIDENCE).as_deref(),
        Some("header")
    );
}

#[test]
fn the_hop_is_the_nearer_parent_when_traces_agree() {
    let mut world = World::new();
    let wire = world.wire();
    let sent = header("1111111111111111");
    let client = world.send_with(&wire, go(1, 5), &sent);
    let server = world.receive_with(&wire, go(2, 9), &sent);
    world.end(server);
    world.end(client);
    world.under(server, client, "hop");
    let client = world.span(client);
    assert_eq!(
        (parent(&client).as_str(), client.parent_is_remote),
        ("1111111111111111", false)
    );
}

#[test]
fn a_replaced_context_keeps_the_headers_trace_and_a_link() {
    let mut world = World::new();
    let wire = world.wire();
    let client = world.send(&wire, go(1, 5));
    let server = world.receive_with(&wire, go(2, 9), &header("1111111111111111"));
    world.end(server);
    world.end(client);
    assert_eq!(parent(&world.span(server)), "1111111111111111");
    assert_eq!(world.span(server).trace_id.to_string(), TRACE);
    world.links(server, &[(client, "context replaced")]);
    assert_eq!(world.spans.counters().context_replaced, 1);
}

#[test]
fn a_context_passed_on_unchanged_gets_the_request_as_parent() {
    for evidence in ["goroutine", "context"] {
        let mut world = World::new();
        let (outer, inner) = (world.wire(), world.wire());
        let sent = header("1111111111111111");
        let server = world.receive_with(&outer, go(2, 9), &sent);
        let by = if evidence == "goroutine" { 9 } else { 10 };
        let client = world.send_with(&inner, go(2, by), &sent);
        world.end(client);
        world.end(server);
        world.under(client, server, evidence);
    }
}

#[test]
fn a_call_older_than_the_request_is_not_its_work() {
    let mut world = World::new();
    let (outer, inner) = (world.wire(), world.wire());
    world.writer(2, 50, 0xaa);
    world.call(2, 0xaa, Caller::default());
    let sent = header("1111111111111111");
    let server = world.receive_with(&outer, go(2, 9), &sent);
    let client = world.send_with(&inner, go(2, 50), &sent);
    world.end(client);
    world.end(server);
    assert_eq!(parent(&world.span(client)), "1111111111111111");
}

#[test]
fn two_open_requests_of_one_trace_prove_nothing() {
    let mut world = World::new();
    let wires = [world.wire(), world.wire(), world.wire()];
    let sent = header("1111111111111111");
    let servers = [
        world.receive_with(&wires[0], go(2, 8), &sent),
        world.receive_with(&wires[1], go(2, 9), &sent),
    ];
    let client = world.send_with(&wires[2], go(2, 10), &sent);
    world.end(client);
    assert_eq!(parent(&world.span(client)), "1111111111111111");
    // One is over: the other is the only one.
    world.end(servers[0]);
    let wire = world.wire();
    let client = world.send_with(&wire, go(2, 10), &sent);
    world.end(client);
    world.end(servers[1]);
    world.under(client, servers[1], "context");
}

#[test]
fn a_programs_own_span_is_the_parent_of_the_hop() {
    let mut world = World::new();
    let (outer, inner) = (world.wire(), world.wire());
    let server = world.receive_with(&outer, go(2, 9), &header("1111111111111111"));
    let client = world.send_with(&inner, go(2, 9), &header("2222222222222222"));
    world.end(client);
    world.end(server);
    let (client, server) = (world.span(client), world.span(server));
    assert_eq!(parent(&client), "2222222222222222");
    assert_eq!(
        (client.parent_is_remote, client.trace_id),
        (false, server.trace_id)
    );
}

#[test]
fn a_contradicting_trace_id_is_a_veto() {
    let mut world = World::new();
    let (outer, inner) = (world.wire(), world.wire());
    let server = world.receive(&outer, go(2, 9));
    let client = world.send_with(&inner, go(2, 9), &header("2222222222222222"));
    world.end(client);
    world.end(server);
    assert_eq!(parent(&world.span(client)), "2222222222222222");
    world.links(client, &[(server, "context replaced")]);
}

#[test]
fn bad_headers_are_ignored_and_counted() {
    let mut world = World::new();
    let wire = world.wire();
    let two = [header("1111111111111111"), header("2222222222222222")];
    let two: Vec<&str> = two.iter().map(String::as_str).collect();
    let a = world.begin(Role::Server, &wire, go(2, 9), &two);
    let wire = world.wire();
    let b = world.receive_with(&wire, go(2, 8), "rubbish");
    world.end(a);
    world.end(b);
    world.root(a, &[]);
    world.root(b, &[]);
    let counters = world.spans.counters();
    assert_eq!(
        (counters.header_contradicting, counters.header_invalid),
        (1, 1)
    );
}

#[test]
fn what_is_not_sampled_is_counted_down_the_whole_trace() {
    let mut world = World::new();
    let (outer, inner) = (world.wire(), world.wire());
    let server = world.receive_with(
        &outer,
        go(2, 9),
        &header("1111111111111111").replace("-01", "-00"),
    );
    let client = world.send(&inner, go(2, 9));
    let next = world.receive(&inner, go(3, 9));
    for id in [next, client, server] {
        world.end(id);
    }
    assert!(world.done().is_empty());
    assert_eq!(world.ledger.dropped(Stage::Sampling, Reason::SampledOut), 3);
    world.balanced();
}

#[test]
fn tracestate_travels_with_the_trace() {
    let mut world = World::new();
    let (outer, inner) = (world.wire(), world.wire());
    let mut request = RequestHead {
        method: "GET".to_owned(),
        ..RequestHead::default()
    };
    request.traceparent = vec![header("1111111111111111")];
    request.tracestate = Some("a=1, b=2".to_owned());
    world.spans.on_progress(Progress::Begin(Begin {
        id: TransactionId(900),
        role: Role::Server,
        connection: outer.server.clone(),
        request_offset: 0,
        start_ns: world.now,
        head_ns: world.now,
        activity: go(2, 9),
        request: Arc::new(request),
    }));
    let client = world.send(&inner, go(2, 9));
    world.end(client);
    let span = world.span(client);
    assert_eq!((span.trace_state.as_str(), span.flags), ("a=1,b=2", 1));
}
