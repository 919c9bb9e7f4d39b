//! What both ends of a connection must agree on.

use threadline_common::record::{
    Open, ROLE_ACCEPT, ROLE_CONNECT, ROLE_UNKNOWN, TRANSPORT_MPTCP, TRANSPORT_UNIX,
};

use super::support::{Rig, get, ok};
use crate::connection::Input;
use crate::connection::transaction::{Endpoint, NoHop, Role};
use crate::protocol::Direction::{Rx, Tx};

type Hop = (Role, Result<(u64, u64), NoHop>, u64);

/// Role, bases and offset of every request of three, two of them pipelined.
fn hops(requests: crate::protocol::Direction, open: Open) -> Vec<Hop> {
    let mut rig = Rig::bare();
    let syn = u64::from(requests == Tx && open.transport != TRANSPORT_UNIX);
    rig.wire.offsets[Tx.index()] = syn;
    rig.push(Input::Open(Open {
        conn: rig.wire.conn,
        ..open
    }));
    rig.all(requests, get("/1"));
    rig.all(requests.other(), ok("1"));
    rig.all(requests, get("/2") + &get("/3"));
    rig.all(requests.other(), ok("2") + &ok("3"));
    rig.flush();
    let hop = |begin: &&crate::connection::transaction::Begin| {
        (begin.role, begin.connection.bases, begin.request_offset)
    };
    rig.begins().iter().map(hop).collect()
}

#[test]
fn offsets_and_bases_are_equal_at_both_ends() {
    for role in [ROLE_CONNECT, ROLE_UNKNOWN] {
        let client = hops(
            Tx,
            Open {
                role,
                tx_base: 99,
                rx_base: 7,
                ..Open::default()
            },
        );
        let role = if role == ROLE_UNKNOWN {
            role
        } else {
            ROLE_ACCEPT
        };
        let server = hops(
            Rx,
            Open {
                role,
                tx_base: 7,
                rx_base: 100,
                ..Open::default()
            },
        );
        let len = get("/1").len() as u64;
        let expected: Vec<_> = [0, len, 2 * len]
            .map(|offset| (Ok((100, 7)), offset))
            .into();
        let hop = |list: Vec<(Role, _, _)>| -> Vec<_> {
            list.into_iter()
                .map(|(_, bases, offset)| (bases, offset))
                .collect()
        };
        assert_eq!((client[0].0, server[0].0), (Role::Client, Role::Server));
        assert_eq!(hop(client), expected);
        assert_eq!(hop(server), expected);
    }
}

#[test]
fn unix_ends_agree_and_mptcp_is_refused() {
    let pair = Open {
        transport: TRANSPORT_UNIX,
        family: 1,
        sock: 1,
        peer_sock: 2,
        unix_epoch: 5,
        ..Open::default()
    };
    let (client, server) = (
        hops(Tx, pair),
        hops(
            Rx,
            Open {
                sock: 2,
                peer_sock: 1,
                ..pair
            },
        ),
    );
    assert_eq!((client[2].1, client[2].2), (server[2].1, server[2].2));
    let mptcp = hops(
        Tx,
        Open {
            transport: TRANSPORT_MPTCP,
            ..Open::default()
        },
    );
    assert_eq!(mptcp[0].1, Err(NoHop::Mptcp));
}

#[test]
fn an_opening_record_that_comes_late_is_used_from_then_on() {
    let mut rig = Rig::bare();
    rig.rx(get("/1"));
    rig.tx(ok(""));
    let open = rig.wire.open(ROLE_ACCEPT);
    rig.push(open);
    rig.rx(get("/2"));
    rig.tx(ok(""));
    rig.flush();
    let connections: Vec<_> = rig.begins().iter().map(|begin| &begin.connection).collect();
    assert_eq!(
        (&connections[0].local, connections[0].bases),
        (&Endpoint::Unknown, Err(NoHop::OpenLost))
    );
    assert_eq!(connections[1].bases, Ok((0, 0)));
    assert!(matches!(connections[1].local, Endpoint::Inet(_)));
}

#[test]
fn a_unix_pair_that_is_synchronised_anew_starts_counting_anew() {
    let mut rig = Rig::bare();
    let open = Open {
        transport: TRANSPORT_UNIX,
        conn: rig.wire.conn,
        unix_epoch: 1,
        ..Open::default()
    };
    rig.push(Input::Open(open));
    rig.rx(get("/1"));
    rig.tx(ok("1"));
    rig.push(Input::Open(Open {
        unix_epoch: 2,
        ..open
    }));
    rig.wire.offsets = [0, 0];
    rig.rx(get("/2"));
    rig.tx(ok("2"));
    rig.flush();
    assert_eq!(
        rig.told(),
        [("/1".into(), Some(200)), ("/2".into(), Some(200))]
    );
    assert_eq!(rig.begins()[1].request_offset, 0);
}
