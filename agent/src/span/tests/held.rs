//! Children by goroutine descent: what is proven by how the goroutines live.

use super::*;

const CANDIDATE: &str = "candidate";
const START: u64 = 0x4000;

fn child(goid: u64, ancestors: &[(u64, u64)]) -> Caller {
    Caller {
        goid,
        start_pc: START,
        ancestors: ancestors.to_vec(),
        ..Caller::default()
    }
}

/// A process where some goroutine's exit was seen.
fn with_exits() -> World {
    let mut world = World::new();
    world.exit(2, 999_999);
    world
}

fn serve(world: &mut World, goid: u64) -> u64 {
    let wire = world.wire();
    world.serve(&wire, 2, goid, 0x100 * goid)
}

fn called(world: &mut World, caller: Caller) -> u64 {
    let (_, id) = world.pooled(2, caller);
    world.end(id);
    id
}

#[test]
fn a_fan_out_belongs_to_its_request() {
    let mut world = with_exits();
    let (a, b) = (serve(&mut world, 9), serve(&mut world, 10));
    let created = world.now;
    let calls: Vec<u64> = (0..5)
        .map(|n| called(&mut world, child(70 + n, &[(10, created)])))
        .collect();
    assert!(
        !world.is_out(calls[0]),
        "undecided while its goroutine lives"
    );
    for n in 0..5 {
        world.exit(2, 70 + n);
    }
    world.end(b);
    world.end(a);
    for call in calls {
        world.under(call, b, "goroutine_child");
    }
}

#[test]
fn nested_goroutines_wait_for_the_whole_line() {
    let mut world = with_exits();
    let a = serve(&mut world, 9);
    let created = world.now;
    let call = called(
        &mut world,
        child(72, &[(71, created + 5), (70, created + 3), (9, created)]),
    );
    world.exit(2, 72);
    world.exit(2, 71);
    assert!(!world.is_out(call));
    world.exit(2, 70);
    world.end(a);
    world.under(call, a, "goroutine_child");
}

#[test]
fn what_hangs_on_an_undecided_call_is_decided_with_it() {
    for proven in [true, false] {
        let mut world = with_exits();
        let a = serve(&mut world, 9);
        let created = world.now;
        let (wire, call) = world.pooled(2, child(70, &[(9, created)]));
        let b = world.serve(&wire, 3, 5, 0x900);
        let (wire, deeper) = {
            let wire = world.wire();
            world.writer(3, 50, 0xbb);
            world.call(
                3,
                0xbb,
                Caller {
                    goid: 5,
                    ..Caller::default()
                },
            );
            (wire.clone(), world.send(&wire, go(3, 50)))
        };
        let c = world.receive(&wire, go(4, 1));
        // And one undecided below the undecided.
        let created = world.now;
        let wire = world.wire();
        world.writer(3, 51, 0xcc);
        world.call(3, 0xcc, child(80, &[(5, created)]));
        let second = world.send(&wire, go(3, 51));
        world.end(second);
        world.exit(3, 80);
        for id in [c, deeper, b, call] {
            world.end(id);
        }
        assert!(!world.is_out(second) && !world.is_out(c));
        if proven {
            world.exit(2, 70);
        } else {
            world.wait(1000 * MS);
        }
        world.end(a);
        if proven {
            world.under(call, a, "goroutine_child");
        } else {
            world.root(call, &[(a, CANDIDATE)]);
        }
        world.under(b, call, "hop");
        world.under(deeper, b, "goroutine");
        world.under(c, deeper, "hop");
        world.under(second, b, "goroutine_child");
        assert_eq!(world.done().len(), 6);
        world.balanced();
    }
}

#[test]
fn a_chain_of_undecided_calls_may_be_decided_from_below() {
    for ended_first in [true, false] {
        let mut world = with_exits();
        let a = serve(&mut world, 9);
        let created = world.now;
        let (wire, upper) = world.pooled(2, child(70, &[(9, created)]));
        let b = world.serve(&wire, 3, 5, 0x900);
        let created = world.now;
        let (wire, lower) = world.pooled(3, child(80, &[(5, created)]));
        let c = world.receive(&wire, go(4, 1));
        world.exit(3, 80);
        let end = |world: &mut World| [c, lower, b, upper].map(|id| world.end(id));
        if ended_first {
            end(&mut world);
            assert!(world.out().is_empty());
            world.exit(2, 70);
        } else {
            world.exit(2, 70);
            end(&mut world);
        }
        world.end(a);
        for (child, parent, evidence) in [
            (upper, a, "goroutine_child"),
            (b, upper, "hop"),
            (lower, b, "goroutine_child"),
            (c, lower, "hop"),
        ] {
            world.under(child, parent, evidence);
        }
        world.balanced();
    }
}

#[test]
fn nothing_is_held_for_more_than_a_minute() {
    let mut world = with_exits();
    let a = serve(&mut world, 9);
    let created = world.now;
    let (wire, call) = world.pooled(2, child(70, &[(9, created)]));
    let b = world.receive(&wire, go(3, 1));
    world.end(b);
    world.wait(59_000 * MS);
    assert!(!world.is_out(b));
    world.wait(2000 * MS);
    assert!(world.is_out(b));
    world.end(call);
    world.exit(2, 70);
    world.end(a);
    world.root(call, &[(a, CANDIDATE)]);
    world.under(b, call, "hop");
}

#[test]
fn a_late_goroutine_starts_a_trace_of_its_own() {
    let mut world = with_exits();
    let a = serve(&mut world, 9);
    let created = world.now;
    let (_, in_time) = world.pooled(2, child(70, &[(9, created)]));
    world.end(a);
    world.end(in_time);
    let late = called(&mut world, child(70, &[(9, created)]));
    world.exit(2, 70);
    world.under(in_time, a, "goroutine_child");
    world.root(late, &[(a, "outlived")]);
    assert_ne!(world.span(late).trace_id, world.span(a).trace_id);
    assert_eq!(world.spans.counters().outlived, 1);
}

#[test]
fn a_goroutine_of_the_request_before_is_not_this_ones() {
    let mut world = with_exits();
    let wire = world.wire();
    let first = world.serve(&wire, 2, 9, 0x100);
    let created = world.now;
    world.end(first);
    let second = world.serve(&World::again(&wire), 2, 9, 0x100);
    let call = called(&mut world, child(70, &[(9, created)]));
    let unknown_age = called(&mut world, child(71, &[(9, 0)]));
    let line = [(72, 0), (9, world.now)];
    let unknown_line = called(&mut world, child(73, &line));
    for goid in [70, 71, 72, 73] {
        world.exit(2, goid);
    }
    world.end(second);
    world.root(call, &[(first, "outlived")]);
    world.root(unknown_age, &[(second, CANDIDATE)]);
    world.root(unknown_line, &[(second, CANDIDATE)]);
}

#[test]
fn an_unread_context_proves_no_child() {
    let mut world = with_exits();
    let a = serve(&mut world, 9);
    let created = world.now;
    let cut = called(
        &mut world,
        Caller {
            cut: true,
            ..child(70, &[(9, created)])
        },
    );
    world.exit(2, 70);
    world.end(a);
    world.root(cut, &[(a, CANDIDATE)]);
}

#[test]
fn a_goroutine_that_is_gone_before_the_write_is_proven_at_once() {
    let mut world = with_exits();
    let a = serve(&mut world, 9);
    let created = world.now;
    let wire = world.wire();
    world.writer(2, 50, 0xaa);
    world.call(2, 0xaa, child(70, &[(9, created)]));
    world.exit(2, 70);
    let call = world.send(&wire, go(2, 50));
    world.end(call);
    world.end(a);
    world.under(call, a, "goroutine_child");
}

#[test]
fn calls_in_sequence_keep_a_goroutine_busy() {
    let mut world = with_exits();
    let a = serve(&mut world, 9);
    let created = world.now;
    let mut calls = Vec::new();
    for n in 0..4 {
        let ctx = if n == 2 {
            vec![0x900, 0x901]
        } else {
            Vec::new()
        };
        let (_, call) = world.pooled(
            2,
            Caller {
                ctx,
                ..child(70, &[(9, created)])
            },
        );
        world.wait(2000 * MS);
        world.end(call);
        world.wait(500 * MS);
        calls.push(call);
    }
    world.exit(2, 70);
    world.end(a);
    for (n, call) in calls.into_iter().enumerate() {
        world.under(
            call,
            a,
            if n == 2 {
                "go_context"
            } else {
                "goroutine_child"
            },
        );
    }
}

#[test]
fn event_time_decides_not_how_often_somebody_looks() {
    let run = |looks: u64| {
        let mut world = with_exits();
        let a = serve(&mut world, 9);
        let created = world.now;
        let in_time = called(&mut world, child(70, &[(9, created)]));
        let too_late = called(&mut world, child(71, &[(9, created)]));
        let start = world.now;
        for look in 0..looks {
            world.spans.tick(start + look * 898 * MS / looks);
        }
        world.now = start + 899 * MS;
        world.exit(2, 70);
        world.now = start + 902 * MS;
        world.exit(2, 71);
        world.end(a);
        world.under(in_time, a, "goroutine_child");
        world.root(too_late, &[(a, CANDIDATE)]);
        world.done().to_vec()
    };
    assert_eq!(run(0), run(500));
}

#[test]
fn stopping_decides_everything() {
    let mut world = with_exits();
    let a = serve(&mut world, 9);
    let created = world.now;
    let call = called(&mut world, child(70, &[(9, created)]));
    world.end_as(a, Outcome::OpenAtStop);
    assert!(world.out().iter().all(|span| span.parent_span_id.is_none()));
    assert_eq!(world.done().len(), 2);
    world.root(call, &[(a, CANDIDATE)]);
    world.balanced();
}

#[test]
fn what_is_held_has_a_limit() {
    let mut world = with_exits();
    let a = serve(&mut world, 9);
    let created = world.now;
    let limit = crate::span::hold::HOLDS_MAX as u64;
    let ids: Vec<u64> = (0..limit + 5)
        .map(|n| world.pooled(2, child(100 + n, &[(9, created)])).1)
        .collect();
    assert_eq!(world.spans.counters().holds_over_limit, 5);
    ids.into_iter().for_each(|id| world.end(id));
    world.wait(2000 * MS);
    world.end(a);
    assert_eq!(world.done().len() as u64, limit + 6);
    world.balanced();
}
