//! How requests end that get no complete response.

use threadline_common::record::{CLOSE_DONE, CLOSE_SENT_FIN};

use super::support::{Rig, TGID, get, ok};
use crate::connection::transaction::{Outcome, Progress};
use crate::connection::{CLOSE_LINGER_NS, Input, Settings};
use crate::health::Reason;
use crate::protocol::Direction::{Rx, Tx};

#[test]
fn a_server_that_closes_without_an_answer_ends_the_request_then() {
    let mut rig = Rig::server();
    rig.rx(get("/panic"));
    let end = rig.close(CLOSE_SENT_FIN);
    assert_eq!(rig.outcomes(), [Outcome::Closed]);
    assert_eq!(
        (rig.ends()[0].end_ns, &rig.ends()[0].response),
        (end, &None)
    );
}

#[test]
fn a_client_that_leaves_does_not_end_the_request_at_the_server() {
    let mut rig = Rig::server();
    rig.rx(get("/slow"));
    rig.halt(0);
    rig.wait(5_000_000_000);
    assert!(rig.ends().is_empty());
    rig.tx(ok("late"));
    let end = rig.short(0, libc::EPIPE);
    assert_eq!(rig.outcomes(), [Outcome::Reset(libc::EPIPE as u32)]);
    assert_eq!(rig.ends()[0].end_ns, end);
}

#[test]
fn a_reset_ends_the_request_at_both_ends() {
    for requests in [Rx, Tx] {
        let mut rig = Rig::new(requests);
        rig.all(requests, get("/"));
        let end = rig.halt(libc::ECONNRESET);
        assert_eq!(rig.outcomes(), [Outcome::Reset(libc::ECONNRESET as u32)]);
        assert_eq!(rig.ends()[0].end_ns, end);
    }
}

#[test]
fn a_reset_is_told_from_a_close_by_what_is_read_after_it() {
    let mut rig = Rig::server();
    rig.rx(get("/"));
    rig.close(CLOSE_DONE);
    rig.halt(libc::ECONNRESET);
    assert_eq!(rig.outcomes(), [Outcome::Reset(libc::ECONNRESET as u32)]);
    let mut rig = Rig::server();
    rig.rx(get("/"));
    let end = rig.close(CLOSE_DONE);
    rig.wait(CLOSE_LINGER_NS);
    assert_eq!(rig.outcomes(), [Outcome::Closed]);
    assert_eq!(rig.ends()[0].end_ns, end);
    assert!(rig.connections.is_empty());
}

#[test]
fn a_client_that_closes_first_has_not_got_its_response() {
    let mut rig = Rig::client();
    rig.tx(get("/"));
    let end = rig.close(CLOSE_SENT_FIN);
    rig.close(CLOSE_DONE);
    rig.wait(CLOSE_LINGER_NS);
    assert_eq!(
        (rig.outcomes(), rig.ends()[0].end_ns),
        (vec![Outcome::Closed], end)
    );
}

#[test]
fn a_client_that_only_stops_sending_reads_on_after_the_socket_is_done() {
    let mut rig = Rig::client();
    rig.tx("GET / HTTP/1.0\r\n\r\n");
    rig.close(CLOSE_SENT_FIN);
    rig.close(CLOSE_DONE);
    rig.rx("HTTP/1.0 200 OK\r\n\r\nabc");
    let end = rig.halt(0);
    assert_eq!(
        (rig.outcomes(), rig.ends()[0].end_ns),
        (vec![Outcome::Complete], end)
    );
    assert_eq!(rig.ends()[0].response_body_bytes, Some(3));
}

#[test]
fn a_client_whose_send_fails_may_still_read_the_response() {
    let mut rig = Rig::client();
    rig.tx("POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n");
    rig.tx("abc");
    rig.short(0, libc::EPIPE);
    rig.rx("HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(rig.told(), [("/".into(), Some(413))]);
    let mut rig = Rig::client();
    rig.tx(get("/"));
    rig.short(0, libc::EPIPE);
    rig.close(CLOSE_SENT_FIN);
    rig.close(CLOSE_DONE);
    rig.wait(CLOSE_LINGER_NS);
    assert_eq!(rig.outcomes(), [Outcome::Reset(libc::EPIPE as u32)]);
}

#[test]
fn a_response_until_close_ends_with_the_servers_last_write() {
    let mut rig = Rig::server();
    rig.rx("GET / HTTP/1.0\r\n\r\n");
    rig.tx("HTTP/1.0 200 OK\r\n\r\n");
    let end = rig.tx("content");
    rig.close(CLOSE_SENT_FIN);
    assert_eq!(
        (rig.outcomes(), rig.ends()[0].end_ns),
        (vec![Outcome::Complete], end)
    );
}

#[test]
fn a_response_that_was_not_taken_whole_is_not_complete() {
    let mut rig = Rig::server();
    rig.rx(get("/"));
    rig.tx(ok("content"));
    rig.short(5, 0);
    rig.close(CLOSE_SENT_FIN);
    assert_eq!(rig.outcomes(), [Outcome::Closed]);
}

#[test]
fn the_end_of_a_process_ends_its_requests_and_no_others() {
    let mut rig = Rig::server();
    rig.rx(get("/"));
    rig.push(Input::Exit(TGID + 1, rig.wire.now_ns));
    assert!(rig.ends().is_empty());
    rig.push(Input::Exit(TGID, rig.wire.now_ns + 5));
    assert_eq!(rig.outcomes(), [Outcome::ProcessExited]);
    rig.close(CLOSE_SENT_FIN);
    rig.flush();
    rig.assert_balanced();
}

#[test]
fn long_requests_are_told_once_while_they_go_on() {
    let mut rig = Rig::server();
    let start = rig.rx(get("/events"));
    rig.tx("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    let after = Settings::default().long_after_ns;
    rig.wait(3 * after);
    let interim: Vec<_> = rig
        .out
        .iter()
        .filter_map(|progress| match progress {
            Progress::End(end) if end.outcome == Outcome::Interim => Some(end),
            _ => None,
        })
        .collect();
    assert_eq!(interim.len(), 1);
    assert_eq!(interim[0].end_ns, start + after);
    assert_eq!(
        interim[0].response.as_ref().map(|response| response.status),
        Some(200)
    );
    rig.close(CLOSE_SENT_FIN);
    assert_eq!(rig.outcomes(), [Outcome::Complete]);
    rig.assert_balanced();
}

#[test]
fn what_is_open_at_the_stop_is_told() {
    let mut rig = Rig::server();
    rig.rx(get("/1") + &get("/2") + "GET /half HT");
    rig.tx(ok("x"));
    rig.flush();
    assert_eq!(rig.outcomes(), [Outcome::Complete, Outcome::OpenAtStop]);
    assert_eq!(rig.dropped(Reason::Shutdown), 1);
    rig.assert_balanced();
}

#[test]
fn half_a_request_is_counted() {
    for half in ["G", "GET /half", "GET /half HTTP/1.1\r\nHost:"] {
        let mut rig = Rig::server();
        rig.rx(half);
        rig.halt(0);
        rig.close(CLOSE_DONE);
        rig.wait(CLOSE_LINGER_NS);
        assert_eq!(rig.dropped(Reason::ParseError), 1, "{half}");
        rig.assert_balanced();
    }
}
