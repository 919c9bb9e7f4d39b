//! Workers descend from a request and work for others: they must not be taken for its children.

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
fn a_worker_that_stays_is_a_gap_within_a_second() {
    // A pool started in the first handler; jobs come without a context.
    let mut world = with_exits();
    let (a, b) = (serve(&mut world, 9), serve(&mut world, 10));
    let created = world.now;
    let jobs: Vec<u64> = (0..8)
        .map(|n| called(&mut world, child(70 + n, &[(9, created)])))
        .collect();
    world.wait(901 * MS);
    world.end(a);
    world.end(b);
    for job in jobs {
        world.root(job, &[(a, CANDIDATE), (b, CANDIDATE)]);
    }
    assert_eq!(world.spans.counters().gaps_child, 8);
    // Later jobs of the pool: their origin is over, so not even held.
    let late = called(&mut world, child(70, &[(9, created)]));
    world.root(late, &[(a, "outlived")]);
}

#[test]
fn a_dispatcher_that_stays_hides_its_short_lived_children() {
    let mut world = with_exits();
    let a = serve(&mut world, 9);
    let created = world.now;
    let call = called(&mut world, child(71, &[(70, created), (9, created)]));
    world.exit(2, 71);
    world.wait(1000 * MS);
    world.end(a);
    world.root(call, &[(a, CANDIDATE)]);
}

#[test]
fn a_context_for_another_request_gives_a_worker_away() {
    let mut world = with_exits();
    let (a, b) = (serve(&mut world, 9), serve(&mut world, 10));
    let created = world.now;
    let without = called(&mut world, child(70, &[(9, created)]));
    let with = Caller {
        ctx: vec![0xa00, 0xa01],
        ..child(70, &[(9, created)])
    };
    let with = called(&mut world, with);
    assert!(world.is_out(without), "decided at once");
    let again = called(&mut world, child(70, &[(9, created)]));
    assert!(world.is_out(again), "not asked again");
    world.exit(2, 70);
    world.end(a);
    world.end(b);
    world.under(with, b, "go_context");
    world.root(without, &[(a, CANDIDATE), (b, CANDIDATE)]);
    world.root(again, &[(a, CANDIDATE), (b, CANDIDATE)]);
}

#[test]
fn a_goroutine_started_by_a_known_worker_is_not_asked() {
    let mut world = with_exits();
    let (a, b) = (serve(&mut world, 9), serve(&mut world, 10));
    let created = world.now;
    let job = Caller {
        ctx: vec![0xa00, 0xa01],
        ..child(70, &[(9, created)])
    };
    called(&mut world, job);
    let line = [(70, world.now), (9, created)];
    let below = called(
        &mut world,
        Caller {
            start_pc: 0x5000,
            ..child(71, &line)
        },
    );
    assert!(world.is_out(below));
    for goid in [71, 70] {
        world.exit(2, goid);
    }
    world.end(a);
    world.end(b);
    world.root(below, &[(a, CANDIDATE), (b, CANDIDATE)]);
}

#[test]
fn a_start_function_seen_serving_two_requests_starts_workers() {
    let mut world = with_exits();
    let (a, b) = (serve(&mut world, 9), serve(&mut world, 10));
    let created = world.now;
    let held = called(&mut world, child(80, &[(9, created)]));
    for ctx in [0x900, 0xa00] {
        called(
            &mut world,
            Caller {
                ctx: vec![ctx, ctx + 1],
                ..child(70, &[])
            },
        );
    }
    let other = called(&mut world, child(81, &[(9, created)]));
    let elsewhere = called(
        &mut world,
        Caller {
            start_pc: 0x5000,
            ..child(82, &[(9, created)])
        },
    );
    for goid in [80, 81, 82] {
        world.exit(2, goid);
    }
    world.end(a);
    world.end(b);
    world.root(held, &[(a, CANDIDATE), (b, CANDIDATE)]);
    world.root(other, &[(a, CANDIDATE), (b, CANDIDATE)]);
    world.under(elsewhere, a, "goroutine_child");
}

#[test]
fn without_exits_told_a_quiet_start_function_of_several_requests_is_trusted() {
    let mut world = World::new();
    let (a, b) = (serve(&mut world, 9), serve(&mut world, 10));
    let created = world.now;
    let of_a = called(&mut world, child(70, &[(9, created)]));
    let of_b = called(&mut world, child(71, &[(10, created)]));
    let pool = called(
        &mut world,
        Caller {
            start_pc: 0x5000,
            ..child(72, &[(9, created)])
        },
    );
    let late = called(&mut world, child(73, &[(9, created)]));
    world.end(a);
    world.end(b);
    called(&mut world, child(73, &[(9, created)]));
    world.wait(1000 * MS);
    world.under(of_a, a, "goroutine_child");
    world.under(of_b, b, "goroutine_child");
    world.root(pool, &[(a, CANDIDATE), (b, CANDIDATE)]);
    world.root(late, &[(a, CANDIDATE), (b, CANDIDATE)]);
}
