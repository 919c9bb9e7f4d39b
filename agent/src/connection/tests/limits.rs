//! Bounds, and what is counted beyond them.

use super::support::{Rig, Wire, get, ok, status};
use crate::connection::{Input, MAX_BUFFERED, MAX_CONNECTIONS};
use crate::health::{Reason, Stage};
use crate::protocol::Direction::{Rx, Tx};
use crate::protocol::http1::MAX_OPEN_REQUESTS;

#[test]
fn a_header_block_that_is_too_long_is_counted_and_the_next_one_is_read() {
    let mut rig = Rig::server();
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(100_000));
    for piece in long.as_bytes().chunks(8192) {
        rig.rx(piece);
    }
    rig.tx(status(431));
    rig.rx(get("/next"));
    rig.tx(ok(""));
    rig.flush();
    assert_eq!(rig.told(), [("/next".into(), Some(200))]);
    assert_eq!(rig.dropped(Reason::OverLimit), 1);
    rig.assert_balanced();
}

#[test]
fn endless_pipelining_stops_being_followed() {
    let mut rig = Rig::server();
    let many: String = (0..MAX_OPEN_REQUESTS + 10)
        .map(|n| get(&format!("/{n}")))
        .collect();
    rig.rx(many);
    rig.tx(ok(""));
    rig.flush();
    assert_eq!(rig.begins().len(), MAX_OPEN_REQUESTS);
    assert!(rig.told().iter().all(|(_, status)| status.is_none()));
    assert_eq!(rig.dropped(Reason::OverLimit), 1);
    rig.assert_balanced();
}

#[test]
fn no_more_ends_than_the_limit_are_followed() {
    let mut rig = Rig::bare();
    for conn in 0..MAX_CONNECTIONS as u64 + 100 {
        rig.wire = Wire::new(conn);
        let input = rig
            .wire
            .segment(if conn % 2 == 0 { Rx } else { Tx }, b"\x16\x03\x01garbage");
        rig.push(input);
    }
    assert_eq!(rig.connections.len(), MAX_CONNECTIONS);
    assert_eq!(
        rig.ledger.dropped(Stage::Connection, Reason::OverLimit),
        100
    );
    // Long after, those that nobody uses make room.
    rig.wait(1_000_000_000_000);
    rig.rx(get("/"));
    assert_eq!(rig.connections.len(), 1);
    rig.flush();
    rig.assert_balanced();
}

#[test]
fn unfinished_header_blocks_of_the_node_have_a_bound() {
    let mut rig = Rig::bare();
    let half = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(60_000));
    let ends = 2 * MAX_BUFFERED as u64 / 60_000;
    for conn in 0..ends {
        rig.wire = Wire::new(conn);
        rig.rx(&half);
    }
    assert!(rig.dropped(Reason::OverLimit) > 0);
    rig.flush();
    let counted = rig.dropped(Reason::OverLimit) + rig.dropped(Reason::Shutdown);
    assert_eq!(counted, ends);
    rig.assert_balanced();
}

#[test]
fn what_is_not_http_costs_a_count_and_nothing_else() {
    let mut rig = Rig::server();
    rig.rx(b"\x16\x03\x01\x00\xc8");
    for _ in 0..100 {
        rig.tx(b"\x17\x03\x03");
        rig.rx(get("/not-looked-at"));
    }
    rig.push(Input::Tick(u64::MAX));
    assert!(rig.out.is_empty());
    assert_eq!(
        rig.ledger
            .dropped(Stage::Connection, Reason::UnknownProtocol),
        201
    );
    rig.assert_balanced();
}
