//! Each row of the evidence table beside what looks like it and is not.

use super::*;

const CANDIDATE: &str = "candidate";

fn caller(goid: u64) -> Caller {
    Caller {
        goid,
        ..Caller::default()
    }
}

/// A call that begins now.
fn called(world: &mut World, caller: Caller) -> u64 {
    let (_, id) = world.pooled(2, caller);
    world.end(id);
    id
}

fn two_open(world: &mut World) -> (u64, u64) {
    let (x, y) = (world.wire(), world.wire());
    (world.serve(&x, 2, 9, 0x100), world.serve(&y, 2, 10, 0x200))
}

#[test]
fn goroutine_the_handlers_own_call() {
    let mut world = World::new();
    let (a, b) = two_open(&mut world);
    let (of_b, of_a) = (
        called(&mut world, caller(10)),
        called(&mut world, caller(9)),
    );
    world.end(a);
    world.end(b);
    world.under(of_a, a, "goroutine");
    world.under(of_b, b, "goroutine");
}

#[test]
fn goroutine_by_a_connection_older_than_the_probes() {
    let mut world = World::new();
    let (a, b) = two_open(&mut world);
    let wire = world.wire();
    world.call(
        2,
        0xaa,
        Caller {
            sock: wire.sock,
            ..caller(10)
        },
    );
    let call = world.send(&wire, go(2, 4444));
    world.end(call);
    world.end(a);
    world.end(b);
    world.under(call, b, "goroutine");
}

#[test]
fn goroutine_the_writer_of_a_plain_socket() {
    let mut world = World::new();
    let (a, b) = two_open(&mut world);
    let (x, y) = (world.wire(), world.wire());
    let (own, foreign) = (world.send(&x, go(2, 9)), world.send(&y, go(2, 33)));
    for id in [own, foreign, a, b] {
        world.end(id);
    }
    world.under(own, a, "goroutine");
    world.root(foreign, &[(a, CANDIDATE), (b, CANDIDATE)]);
}

#[test]
fn a_call_starts_with_round_trip_not_with_the_write() {
    let mut world = World::new();
    let wire = world.wire();
    world.writer(2, 50, 0xaa);
    world.call(2, 0xaa, caller(9));
    let called_at = world.now;
    world.wait(5 * MS);
    let call = world.send(&wire, go(2, 50));
    world.end(call);
    assert_eq!(world.span(call).start_unix_ns, called_at + 5_000_000_000);
}

#[test]
fn a_reused_pooled_connection_follows_its_callers() {
    let mut world = World::new();
    let (a, b) = two_open(&mut world);
    let mut wire = world.wire();
    world.writer(2, 50, 0xaa);
    let mut calls = Vec::new();
    for goid in [9, 10, 9] {
        world.call(2, 0xaa, caller(goid));
        calls.push(world.send(&wire, go(2, 50)));
        world.end(calls[calls.len() - 1]);
        wire = World::again(&wire);
    }
    // A request whose roundTrip was lost: the last caller does not get it.
    let lost = world.send(&wire, go(2, 50));
    for id in [lost, a, b] {
        world.end(id);
    }
    for (call, request) in [(calls[0], a), (calls[1], b), (calls[2], a)] {
        world.under(call, request, "goroutine");
    }
    assert_eq!(
        (world.span(lost).parent_span_id, world.candidates(lost)),
        (None, Some(2))
    );
}

#[test]
fn a_cancelled_call_leaves_nothing_behind() {
    let mut world = World::new();
    let (a, b) = two_open(&mut world);
    let wire = world.wire();
    world.writer(2, 50, 0xaa);
    world.call(2, 0xaa, caller(9));
    world.call(2, 0xaa, caller(10));
    let call = world.send(&wire, go(2, 50));
    for id in [call, a, b] {
        world.end(id);
    }
    world.under(call, b, "goroutine");
}

#[test]
fn keep_alive_requests_on_one_goroutine_do_not_mix() {
    let mut world = World::new();
    let wire = world.wire();
    let first = world.serve(&wire, 2, 9, 0x100);
    let during_first = called(&mut world, caller(9));
    world.end(first);
    let after_first = called(&mut world, caller(9));
    let second = world.serve(&World::again(&wire), 2, 9, 0x100);
    let during_second = called(&mut world, caller(9));
    world.end(second);
    world.under(during_first, first, "goroutine");
    world.root(after_first, &[(first, "outlived")]);
    world.under(during_second, second, "goroutine");
    assert_eq!(world.candidates(after_first), None);
}

#[test]
fn a_call_made_in_time_and_written_late_still_belongs_to_the_request() {
    let mut world = World::new();
    let wire = world.wire();
    let (a, _) = two_open(&mut world);
    world.writer(2, 50, 0xaa);
    world.call(2, 0xaa, caller(9));
    world.end(a);
    let call = world.send(&wire, go(2, 50));
    world.end(call);
    world.under(call, a, "goroutine");
}

#[test]
fn go_context_through_a_worker_pool() {
    let mut world = World::new();
    let (a, b) = two_open(&mut world);
    let job = |ctx| Caller {
        ctx: vec![0x900, ctx, ctx + 1, 0x5],
        ..caller(70)
    };
    let (of_a, of_b) = (
        called(&mut world, job(0x100)),
        called(&mut world, job(0x200)),
    );
    world.end(a);
    let late = called(&mut world, job(0x100));
    world.end(b);
    world.under(of_a, a, "go_context");
    world.under(of_b, b, "go_context");
    world.under(late, a, "go_context");
}

#[test]
fn go_context_of_a_reused_address_is_refused() {
    let mut world = World::new();
    let (a, b) = two_open(&mut world);
    let stale = Caller {
        ctx: vec![0x100, 0x777],
        ..caller(70)
    };
    let last = Caller {
        ctx: vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 0x100],
        ..caller(70)
    };
    let (stale, last) = (called(&mut world, stale), called(&mut world, last));
    // The memory is the context of another request by now.
    let wire = world.wire();
    let c = world.serve(&wire, 2, 11, 0x100);
    let now = called(
        &mut world,
        Caller {
            ctx: vec![0x100, 0x101],
            ..caller(70)
        },
    );
    for id in [a, b, c] {
        world.end(id);
    }
    world.root(stale, &[(a, CANDIDATE), (b, CANDIDATE)]);
    world.root(last, &[(a, CANDIDATE), (b, CANDIDATE)]);
    world.under(now, c, "go_context");
}

#[test]
fn go_context_the_innermost_request_wins_and_goes_cold_after_a_minute() {
    let mut world = World::new();
    let (a, b) = two_open(&mut world);
    let nested = Caller {
        ctx: vec![0x200, 0x201, 0x100, 0x101],
        ..caller(70)
    };
    let inner = called(&mut world, nested.clone());
    world.end(b);
    world.end(a);
    world.under(inner, b, "go_context");
    world.wait(61_000 * MS);
    let cold = called(&mut world, nested);
    world.root(cold, &[]);
}

#[test]
fn a_handler_that_cannot_be_named_proves_nothing() {
    let mut world = World::new();
    let (a, b) = two_open(&mut world);
    // HTTP/2 or TLS: ServeHTTP without a transaction.
    world.handler(2, 60, 0x600);
    let created = world.now;
    let own = called(&mut world, caller(60));
    let ctx = called(
        &mut world,
        Caller {
            ctx: vec![0x600, 0x601],
            ..caller(70)
        },
    );
    let child = called(
        &mut world,
        Caller {
            ancestors: vec![(60, created), (9, created)],
            ..caller(71)
        },
    );
    world.end(a);
    world.end(b);
    for id in [own, ctx, child] {
        world.root(id, &[(a, CANDIDATE), (b, CANDIDATE)]);
    }
}

#[test]
fn a_ticker_is_nobodys_child() {
    let mut world = World::new();
    let idle = called(&mut world, caller(3));
    let wire = world.wire();
    let a = world.serve(&wire, 2, 9, 0x100);
    let beside = called(
        &mut world,
        Caller {
            ancestors: vec![(1, 5)],
            ..caller(3)
        },
    );
    world.end(a);
    world.root(idle, &[]);
    assert_eq!(world.candidates(idle), None);
    world.root(beside, &[(a, CANDIDATE)]);
    assert_eq!(world.candidates(beside), Some(1));
}

#[test]
fn candidates_are_all_counted_and_eight_linked() {
    let mut world = World::new();
    let open: Vec<u64> = (0..20)
        .map(|n| {
            let wire = world.wire();
            world.serve(&wire, 2, 100 + n, 0x1000 * (n + 1))
        })
        .collect();
    let gap = called(&mut world, caller(3));
    open.iter().for_each(|id| world.end(*id));
    assert_eq!(world.candidates(gap), Some(20));
    let links: Vec<_> = open[..8].iter().map(|id| (*id, CANDIDATE)).collect();
    world.root(gap, &links);
}

#[test]
fn thread_of_a_blocking_server() {
    let mut world = World::new();
    world.process(2, false);
    let (x, y) = (world.wire(), world.wire());
    let (a, b) = (
        world.receive(&x, thread(2, 21)),
        world.receive(&y, thread(2, 22)),
    );
    let mut calls = Vec::new();
    for by in [thread(2, 22), thread(2, 21), thread(2, 23)] {
        let wire = world.wire();
        calls.push(world.send(&wire, by));
    }
    let waited = Activity {
        last_wait_ns: world.now,
        ..thread(2, 21)
    };
    let wire = world.wire();
    calls.push(world.send(&wire, waited));
    for id in calls.iter().copied().chain([a, b]) {
        world.end(id);
    }
    world.under(calls[0], b, "thread");
    world.under(calls[1], a, "thread");
    world.root(calls[2], &[(a, CANDIDATE), (b, CANDIDATE)]);
    world.root(calls[3], &[(a, CANDIDATE), (b, CANDIDATE)]);
}

#[test]
fn threads_prove_nothing_in_go_or_in_unknown_programs() {
    for facts in [None, Some(true)] {
        let mut world = World::new();
        if let Some(go) = facts {
            world.process(2, go);
        }
        let (x, y) = (world.wire(), world.wire());
        let a = world.receive(&x, thread(2, 21));
        let call = world.send(&y, thread(2, 21));
        world.end(call);
        world.end(a);
        world.root(call, &[(a, CANDIDATE)]);
    }
}

#[test]
fn a_loss_takes_the_proof_away_but_not_the_hop() {
    let mut world = World::new();
    let (a, b) = two_open(&mut world);
    world.spans.on_loss(world.now);
    let (wire, own) = world.pooled(
        2,
        Caller {
            ctx: vec![0x200, 0x201],
            ..caller(9)
        },
    );
    let next = world.receive(&wire, go(3, 9));
    for id in [next, own, a, b] {
        world.end(id);
    }
    world.root(own, &[(a, CANDIDATE), (b, CANDIDATE)]);
    world.under(next, own, "hop");
}

#[test]
fn another_program_under_the_same_pid_inherits_nothing() {
    let mut world = World::new();
    let (a, b) = two_open(&mut world);
    world.spans.on_exec(2, world.now);
    let call = called(
        &mut world,
        Caller {
            ctx: vec![0x200, 0x201],
            ..caller(9)
        },
    );
    world.end(a);
    world.end(b);
    world.root(call, &[(a, CANDIDATE), (b, CANDIDATE)]);
}
