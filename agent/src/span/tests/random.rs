//! Whatever comes, in whatever order.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
enum Step {
    Begin {
        client: bool,
        wire: u8,
        offset: u8,
        tgid: u8,
        goid: u8,
        header: u8,
    },
    End {
        nth: u8,
        outcome: u8,
    },
    Serve {
        tgid: u8,
        goid: u8,
        ctx: u8,
    },
    Call {
        tgid: u8,
        goid: u8,
        pconn: u8,
        ctx: Vec<u8>,
        ancestors: Vec<(u8, u8)>,
        sock: u8,
    },
    Conn {
        tgid: u8,
        goid: u8,
        pconn: u8,
    },
    Route {
        tgid: u8,
        goid: u8,
    },
    Exit {
        tgid: u8,
        goid: u8,
    },
    Process {
        tgid: u8,
        how: u8,
    },
    Wait {
        ms: u16,
    },
    Loss,
}

fn step() -> impl Strategy<Value = Step> {
    let (tgid, goid) = (|| 1u8..4, || 0u8..8);
    prop_oneof![
        6 => (any::<bool>(), 0u8..5, 0u8..4, tgid(), goid(), 0u8..6).prop_map(
            |(client, wire, offset, tgid, goid, header)| Step::Begin { client, wire, offset, tgid, goid, header }),
        6 => (any::<u8>(), 0u8..9).prop_map(|(nth, outcome)| Step::End { nth, outcome }),
        3 => (tgid(), goid(), 0u8..6).prop_map(|(tgid, goid, ctx)| Step::Serve { tgid, goid, ctx }),
        4 => (tgid(), goid(), 0u8..4, prop::collection::vec(0u8..8, 0..11),
              prop::collection::vec((0u8..8, any::<u8>()), 0..4), 0u8..3).prop_map(
            |(tgid, goid, pconn, ctx, ancestors, sock)| Step::Call { tgid, goid, pconn, ctx, ancestors, sock }),
        2 => (tgid(), goid(), 0u8..4).prop_map(|(tgid, goid, pconn)| Step::Conn { tgid, goid, pconn }),
        1 => (tgid(), goid()).prop_map(|(tgid, goid)| Step::Route { tgid, goid }),
        3 => (tgid(), goid()).prop_map(|(tgid, goid)| Step::Exit { tgid, goid }),
        1 => (tgid(), 0u8..3).prop_map(|(tgid, how)| Step::Process { tgid, how }),
        2 => (0u16..2000).prop_map(|ms| Step::Wait { ms }),
        1 => Just(Step::Loss),
    ]
}

/// What a run gave, and what it should have given.
struct Ran {
    world: World,
    reports: u64,
    /// Client and server transactions by hop.
    hops: BTreeMap<(u8, u8), (Vec<u64>, Vec<u64>)>,
}

fn run(steps: &[Step]) -> Ran {
    let mut world = World::new();
    let wires: Vec<Wire> = (0..5).map(|_| world.wire()).collect();
    let mut ran = Ran {
        world,
        reports: 0,
        hops: BTreeMap::new(),
    };
    let world = &mut ran.world;
    let mut open: Vec<u64> = Vec::new();
    let outcomes = [
        Outcome::Complete,
        Outcome::Complete,
        Outcome::Complete,
        Outcome::Interim,
        Outcome::Closed,
        Outcome::Reset(104),
        Outcome::Lost("gap"),
        Outcome::OpenAtStop,
        Outcome::Switched,
    ];
    for step in steps {
        match step {
            Step::Begin {
                client,
                wire,
                offset,
                tgid,
                goid,
                header,
            } => {
                // One transaction a hop and end, as in life.
                let ends = ran.hops.entry((*wire, *offset)).or_default();
                let (role, end) = if *client {
                    (Role::Client, &mut ends.0)
                } else {
                    (Role::Server, &mut ends.1)
                };
                if !end.is_empty() {
                    continue;
                }
                let wire = Wire {
                    offset: u64::from(*offset),
                    ..wires[usize::from(*wire)].clone()
                };
                let text = format!(
                    "00-{}-{}-0{}",
                    "1".repeat(32),
                    format!("{header}").repeat(16),
                    header % 2
                );
                let headers: &[&str] = if *header < 3 { &[] } else { &[&text] };
                let by = go(u32::from(*tgid), u64::from(*goid));
                let id = world.begin(role, &wire, by, headers);
                end.push(id);
                open.push(id);
            }
            Step::End { nth, outcome } if !open.is_empty() => {
                let at = usize::from(*nth) % open.len();
                let outcome = outcomes[usize::from(*outcome)];
                let id = if outcome == Outcome::Interim {
                    open[at]
                } else {
                    open.swap_remove(at)
                };
                world.end_as(id, outcome);
                ran.reports += 1;
            }
            Step::End { .. } => {}
            Step::Serve { tgid, goid, ctx } => {
                world.handler((*tgid).into(), (*goid).into(), (*ctx).into())
            }
            Step::Call {
                tgid,
                goid,
                pconn,
                ctx,
                ancestors,
                sock,
            } => {
                let now = world.now;
                let ancestors = ancestors
                    .iter()
                    .map(|(goid, age)| (u64::from(*goid), now - u64::from(*age) * 1000));
                let sock = wires.get(usize::from(*sock)).map_or(0, |wire| wire.sock);
                let caller = Caller {
                    goid: (*goid).into(),
                    sock: if *pconn == 0 { sock } else { 0 },
                    start_pc: u64::from(*goid % 3),
                    ctx: ctx.iter().map(|word| u64::from(*word)).collect(),
                    cut: ctx.len() > 9,
                    ancestors: ancestors.collect(),
                };
                world.call((*tgid).into(), (*pconn).into(), caller);
            }
            Step::Conn { tgid, goid, pconn } => {
                world.writer((*tgid).into(), (*goid).into(), (*pconn).into())
            }
            Step::Route { tgid, goid } => world.route((*tgid).into(), (*goid).into(), "/x"),
            Step::Exit { tgid, goid } => world.exit((*tgid).into(), (*goid).into()),
            Step::Process { tgid, how: 0 } => world.spans.on_exec((*tgid).into(), world.now),
            Step::Process { tgid, how: 1 } => world.spans.on_exit((*tgid).into(), world.now),
            Step::Process { tgid, .. } => world.process((*tgid).into(), true),
            Step::Wait { ms } => world.wait(u64::from(*ms) * MS),
            Step::Loss => world.spans.on_loss(world.now),
        }
    }
    for id in open {
        world.end_as(id, Outcome::OpenAtStop);
        ran.reports += 1;
    }
    world.done();
    ran
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_end_is_one_span_or_one_counted_reason(steps in prop::collection::vec(step(), 0..120)) {
        let mut ran = run(&steps);
        ran.world.balanced();
        prop_assert_eq!(ran.world.ledger.entered(Stage::Span), ran.reports);
        let out = ran.world.out().len() as u64;
        prop_assert_eq!(ran.world.ledger.left(Stage::Sampling), out);
        prop_assert!(ran.world.spans.holds.oldest().is_none());
    }

    #[test]
    fn hops_never_connect_different_requests(steps in prop::collection::vec(step(), 0..120)) {
        let mut ran = run(&steps);
        let mut other_end = BTreeMap::new();
        for (clients, servers) in ran.hops.values() {
            for server in servers {
                let clients: BTreeSet<SpanId> = clients.iter().map(|id| ran.world.ids[id]).collect();
                other_end.insert(ran.world.ids[server], clients);
            }
        }
        for span in ran.world.out() {
            if text(span, attributes::LINK_EVIDENCE).as_deref() == Some("hop") {
                let parent = span.parent_span_id.unwrap();
                prop_assert!(other_end[&span.span_id].contains(&parent));
            }
        }
    }

    #[test]
    fn a_local_parent_is_in_the_same_trace_and_began_before(steps in prop::collection::vec(step(), 0..120)) {
        let mut ran = run(&steps);
        let spans = ran.world.out();
        for span in spans {
            let evidence = text(span, attributes::LINK_EVIDENCE);
            if evidence.is_none() || evidence.as_deref() == Some("header") {
                continue;
            }
            let parent = spans.iter().rfind(|other| Some(other.span_id) == span.parent_span_id);
            if let Some(parent) = parent {
                prop_assert_eq!(parent.trace_id, span.trace_id);
                prop_assert!(evidence.as_deref() == Some("hop") || parent.start_unix_ns <= span.start_unix_ns);
            }
        }
    }

    #[test]
    fn the_same_steps_give_the_same_spans(steps in prop::collection::vec(step(), 0..120)) {
        let (mut one, mut two) = (run(&steps), run(&steps));
        prop_assert_eq!(one.world.out(), two.world.out());
    }
}
