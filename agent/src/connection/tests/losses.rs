//! Records that never come. A request may be lost; another one's status it never gets.

use super::support::{Rig, get, ok, status};
use crate::connection::Input;
use crate::connection::transaction::{NoHop, Outcome};
use crate::health::{Reason, Stage};
use crate::protocol::Direction::{Rx, Tx};
use threadline_common::record::{
    CLOSE_SENT_FIN, Close, Open, ROLE_ACCEPT, ROLE_UNKNOWN, SEGMENT_MORE, TRANSPORT_REPLACED,
    TRANSPORT_UNIX,
};

#[test]
fn a_lost_piece_of_a_known_length_harms_nobody() {
    let mut rig = Rig::client();
    rig.tx(get("/"));
    rig.rx("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n");
    rig.lose(Rx, "0123456789");
    let end = rig.rx("01234567890123456789");
    assert_eq!(
        (rig.outcomes(), rig.ends()[0].end_ns),
        (vec![Outcome::Complete], end)
    );
    assert_eq!(rig.ends()[0].response_body_bytes, Some(30));
}

#[test]
fn a_lost_end_is_not_guessed() {
    let mut rig = Rig::client();
    rig.tx(get("/1"));
    rig.rx("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
    rig.lose(Rx, "0123456789");
    rig.tx(get("/2"));
    rig.rx(status(404));
    rig.flush();
    assert_eq!(rig.outcomes(), [Outcome::Lost("gap"), Outcome::Complete]);
    assert_eq!(rig.ends()[0].incomplete, Some("gap"));
    assert_eq!(rig.told()[1], ("/2".into(), Some(404)));
}

#[test]
fn after_a_lost_response_the_next_one_is_not_taken_for_it() {
    for requests in [Rx, Tx] {
        let mut rig = Rig::new(requests);
        let answers = requests.other();
        rig.all(requests, get("/0"));
        rig.all(answers, status(200));
        rig.all(requests, get("/1"));
        rig.lose(answers, status(201));
        rig.all(requests, get("/2"));
        rig.all(answers, status(202));
        rig.flush();
        let told = [
            ("/0".into(), Some(200)),
            ("/1".into(), None),
            ("/2".into(), Some(202)),
        ];
        assert_eq!(rig.told(), told);
        rig.assert_balanced();
    }
}

#[test]
fn after_a_lost_exchange_the_ordinals_tell() {
    // The response to /1, the request /2 and nothing else is lost: what comes is the one to /2.
    let mut rig = Rig::server();
    rig.rx(get("/0"));
    rig.tx(status(200));
    rig.rx(get("/1"));
    rig.lose(Tx, status(201));
    rig.lose(Rx, get("/2"));
    rig.tx(status(202));
    rig.rx(get("/3"));
    rig.tx(status(203));
    rig.flush();
    let told = [
        ("/0".into(), Some(200)),
        ("/1".into(), None),
        ("/3".into(), Some(203)),
    ];
    assert_eq!(rig.told(), told);
    rig.assert_balanced();
}

#[test]
fn a_hole_in_pipelined_requests_ends_what_can_be_told() {
    let mut rig = Rig::server();
    rig.rx(get("/1") + &get("/2"));
    rig.lose(Rx, get("/3"));
    rig.rx(get("/4"));
    rig.tx(status(201) + &status(202) + &status(203) + &status(204));
    rig.flush();
    assert_eq!(rig.told(), [("/1".into(), None), ("/2".into(), None)]);
    rig.assert_balanced();
}

#[test]
fn a_connection_joined_under_way_is_followed_from_its_next_request() {
    let mut rig = Rig::server();
    rig.wire.offsets = [90_000, 50_000];
    rig.rx("rest of a request's content\r\n");
    rig.tx(status(500));
    rig.rx(get("/1"));
    rig.tx(ok(""));
    rig.flush();
    assert_eq!(rig.told(), [("/1".into(), Some(200))]);
    assert_eq!(rig.dropped(Reason::OpenAtStart), 1);
    assert!(
        rig.ledger
            .dropped(Stage::Connection, Reason::JoinedMidMessage)
            >= 1
    );
    rig.assert_balanced();
}

#[test]
fn a_connection_without_its_opening_record_is_followed() {
    let mut rig = Rig::bare();
    rig.rx(get("/1"));
    rig.tx(ok(""));
    rig.flush();
    assert_eq!(rig.told(), [("/1".into(), Some(200))]);
}

#[test]
fn a_response_that_could_not_be_read_has_no_status() {
    let mut rig = Rig::client();
    rig.tx(get("/0"));
    rig.rx(status(200));
    rig.tx(get("/1"));
    rig.part(Rx, "", 40);
    rig.tx(get("/2"));
    rig.rx(status(202));
    rig.flush();
    let told = [
        ("/0".into(), Some(200)),
        ("/1".into(), None),
        ("/2".into(), Some(202)),
    ];
    assert_eq!(rig.told(), told);
    assert_eq!(rig.outcomes()[1], Outcome::Lost("not_captured"));
    rig.assert_balanced();
}

#[test]
fn an_unread_response_before_the_close_is_not_called_closed() {
    let mut rig = Rig::server();
    rig.rx(get("/1"));
    rig.part(Tx, "", 40);
    rig.close(CLOSE_SENT_FIN);
    assert_eq!(rig.outcomes(), [Outcome::Lost("not_captured")]);
}

#[test]
fn a_header_block_that_was_not_captured_is_counted() {
    let mut rig = Rig::server();
    rig.part(Rx, "GET / HTTP/1.1\r\nX: ", 5000);
    rig.tx(status(200));
    rig.rx(get("/next"));
    rig.tx(status(201));
    rig.flush();
    assert_eq!(rig.told(), [("/next".into(), Some(201))]);
    assert_eq!(rig.dropped(Reason::NotCaptured), 1);
    rig.assert_balanced();
}

#[test]
fn a_record_that_comes_twice_changes_nothing() {
    let mut rig = Rig::server();
    let request = rig.wire.segment(Rx, get("/").as_bytes());
    let response = rig.wire.segment(Tx, ok("x").as_bytes());
    let twice: [Input; 4] = [request.clone(), request, response.clone(), response];
    twice.into_iter().for_each(|input| rig.push(input));
    rig.flush();
    assert_eq!(rig.told(), [("/".into(), Some(200))]);
    rig.assert_balanced();
}

#[test]
fn a_lost_last_response_is_not_called_closed() {
    let mut rig = Rig::server();
    rig.rx(get("/1"));
    rig.lose(Tx, ok("x"));
    let Input::Close(close) = rig.wire.close(CLOSE_SENT_FIN) else {
        panic!("not a close")
    };
    rig.push(Input::Close(Close {
        rx_messages: 1,
        tx_messages: 1,
        ..close
    }));
    assert_eq!(rig.outcomes(), [Outcome::Lost("gap")]);
}

#[test]
fn plain_text_after_a_tls_handshake_is_read() {
    let mut rig = Rig::server();
    rig.rx(b"\x16\x03\x01\x00\xc8");
    rig.tx(b"\x16\x03\x03\x00\x7a");
    let Input::Open(open) = rig.wire.open(ROLE_ACCEPT) else {
        panic!("not an open")
    };
    rig.push(Input::Open(Open {
        transport: TRANSPORT_REPLACED,
        ..open
    }));
    rig.rx(get("/1"));
    rig.tx(ok(""));
    rig.flush();
    assert_eq!(rig.told(), [("/1".into(), Some(200))]);
    assert_eq!(rig.begins()[0].connection.bases, Err(NoHop::Replaced));
}

#[test]
fn a_unix_pair_older_than_the_agent_is_joined_not_refused() {
    let mut rig = Rig::bare();
    let Input::Open(open) = rig.wire.open(ROLE_UNKNOWN) else {
        panic!("not an open")
    };
    rig.push(Input::Open(Open {
        transport: TRANSPORT_UNIX,
        ..open
    }));
    rig.rx(b"rest of something\0");
    rig.tx(b"and of its response\0");
    rig.rx(get("/1"));
    rig.tx(ok(""));
    rig.flush();
    assert_eq!(rig.told(), [("/1".into(), Some(200))]);
}

/// Bytes of a call whose end came in a record of its own, or did not.
fn a_body_and_the_next_request_in_one_call(told: bool) -> Rig {
    let mut rig = Rig::server();
    let head = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n";
    rig.part(Rx, head, head.len() + 2000);
    rig.tx(ok("hi"));
    let next = get("/2");
    let body = "z".repeat(1024);
    let input = rig.wire.partly(Rx, body.as_bytes(), 3000 + next.len());
    rig.push(input.clone());
    if let (true, Input::Segment(mut segment, _)) = (told, input) {
        let end = format!("zzz{next}");
        segment.offset += u64::from(segment.len) - end.len() as u64;
        (segment.len, segment.captured) = (end.len() as u32, end.len() as u32);
        segment.flags = SEGMENT_MORE;
        rig.push(Input::Segment(segment, end.into()));
    }
    rig.tx(ok("hi"));
    rig.flush();
    rig
}

#[test]
fn a_request_behind_a_body_in_one_call_is_seen() {
    let rig = a_body_and_the_next_request_in_one_call(true);
    let told = [("/1".into(), Some(200)), ("/2".into(), Some(200))];
    assert_eq!(rig.told(), told);
}

#[test]
fn a_request_that_was_not_captured_is_counted() {
    let rig = a_body_and_the_next_request_in_one_call(false);
    assert_eq!(rig.told(), [("/1".into(), Some(200))]);
    let missed = rig.ledger.dropped(Stage::Protocol, Reason::NotCaptured);
    assert_eq!(missed, 1);
}

#[test]
fn a_request_line_goes_on_behind_an_earlier_response() {
    let mut rig = Rig::server();
    let both = get("/1") + &get("/2");
    let cut = get("/1").len() + "GET /2 H".len();
    rig.rx(&both[..cut]);
    rig.tx(ok("hi"));
    rig.rx(&both[cut..cut + 2]);
    rig.rx(&both[cut + 2..]);
    rig.tx(ok("hi"));
    rig.flush();
    let told = [("/1".into(), Some(200)), ("/2".into(), Some(200))];
    assert_eq!(rig.told(), told);
}
