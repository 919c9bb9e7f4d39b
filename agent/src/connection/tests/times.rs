//! When a request starts and ends.

use threadline_common::record::{SEGMENT_NONBLOCK, Segment};

use super::support::{Rig, STEP_NS, get, ok};
use crate::connection::transaction::Outcome;
use crate::connection::{Input, SHORT_HOLD_NS};
use crate::protocol::Direction::{Rx, Tx};

#[test]
fn a_server_starts_with_the_first_byte_and_acts_where_the_header_block_is_complete() {
    let mut rig = Rig::server();
    rig.wire.tid = 1;
    let start = rig.rx("G");
    rig.wire.tid = 2;
    rig.rx("ET / HTTP/1.1\r\nHost: h\r\n");
    rig.wire.tid = 3;
    let head = rig.rx("\r\n");
    let end = rig.tx(ok("x"));
    rig.wait(SHORT_HOLD_NS);
    let begin = rig.begins()[0];
    assert_eq!(
        (begin.start_ns, begin.head_ns, begin.activity.tid),
        (start, head, 3)
    );
    assert_eq!(rig.ends()[0].end_ns, end);
}

#[test]
fn what_moved_the_header_block_is_kept() {
    let mut rig = Rig::server();
    let Input::Segment(segment, payload) = rig.wire.segment(Rx, get("/").as_bytes()) else {
        panic!("not a segment");
    };
    let flags = segment.flags | SEGMENT_NONBLOCK;
    rig.push(Input::Segment(
        Segment {
            goid: 9,
            last_wait_ns: 5,
            flags,
            ..segment
        },
        payload,
    ));
    let activity = rig.begins()[0].activity;
    assert_eq!(
        (activity.goid, activity.last_wait_ns, activity.nonblocking),
        (9, 5, true)
    );
}

#[test]
fn a_client_ends_with_the_last_byte_it_read() {
    let mut rig = Rig::client();
    let start = rig.tx(get("/"));
    rig.rx("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
    let end = rig.rx("cd");
    assert_eq!(rig.begins()[0].start_ns, start);
    assert_eq!(
        (rig.ends()[0].end_ns, rig.outcomes()[0]),
        (end, Outcome::Complete)
    );
}

#[test]
fn pipelined_messages_have_their_own_times() {
    let mut rig = Rig::server();
    let both = get("/1") + &get("/2");
    let first = rig.rx(&both[..40]);
    let second = rig.rx(&both[40..]);
    let one = rig.tx(ok("a"));
    let two = rig.tx(ok("b"));
    rig.flush();
    let starts: Vec<_> = rig
        .begins()
        .iter()
        .map(|begin| (begin.start_ns, begin.head_ns))
        .collect();
    assert_eq!(starts, [(first, first), (first, second)]);
    let ends: Vec<_> = rig.ends().iter().map(|end| end.end_ns).collect();
    assert_eq!(ends, [one, two]);
}

#[test]
fn an_end_that_was_sent_waits_for_a_correction_only_so_long() {
    let mut rig = Rig::server();
    rig.rx(get("/"));
    let end = rig.tx(ok("x"));
    rig.push(Input::Tick(end + SHORT_HOLD_NS - 1));
    assert!(rig.ends().is_empty());
    rig.push(Input::Tick(end + SHORT_HOLD_NS));
    assert_eq!(rig.ends()[0].end_ns, end);
}

#[test]
fn a_short_send_moves_the_end_to_the_send_that_took_the_last_byte() {
    for moved in [0, 10, 30] {
        let mut rig = Rig::server();
        rig.rx(get("/"));
        let response = ok("content");
        rig.tx(&response);
        rig.short(moved, if moved == 0 { libc::EAGAIN } else { 0 });
        rig.wait(1_000_000_000);
        assert!(rig.ends().is_empty(), "not sent yet");
        rig.wire.offsets[Tx.index()] = u64::from(moved);
        let end = rig.tx(&response[moved as usize..]);
        rig.rx(get("/next"));
        assert_eq!(rig.ends()[0].end_ns, end, "{moved}");
        assert_eq!(rig.ends()[0].response_body_bytes, Some(7));
        rig.tx(ok(""));
        rig.flush();
        assert_eq!(rig.told().len(), 2);
        rig.assert_balanced();
    }
}

#[test]
fn a_short_send_shows_without_its_record_too() {
    let mut rig = Rig::server();
    rig.rx(get("/"));
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    let len = head.len() + 100_000;
    rig.part(Tx, head, len);
    rig.wire.offsets[Tx.index()] = 60_000;
    rig.wire.now_ns -= STEP_NS - SHORT_HOLD_NS / 2;
    let end = rig.part(Tx, "", len - 60_000);
    rig.flush();
    assert_eq!(
        (rig.ends()[0].end_ns, rig.outcomes()[0]),
        (end, Outcome::Complete)
    );
}

#[test]
fn a_sendfile_that_asks_for_too_much_does_not_disturb_the_next_response() {
    for wait in [0, SHORT_HOLD_NS * 5] {
        let mut rig = Rig::server();
        rig.rx(get("/file"));
        rig.tx("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
        let at = rig.wire.offsets[Tx.index()];
        let end = rig.part(Tx, "", 4 << 20);
        rig.wait(wait);
        rig.short(5000, 0);
        // It asks again, and there is nothing.
        rig.wire.offsets[Tx.index()] = at + 5000;
        rig.part(Tx, "", 4 << 20);
        rig.wait(wait);
        rig.short(0, 0);
        rig.wire.offsets[Tx.index()] = at + 5000;
        rig.rx(get("/next"));
        rig.tx(ok("y"));
        rig.flush();
        assert_eq!(
            rig.told(),
            [("/file".into(), Some(200)), ("/next".into(), Some(200))]
        );
        assert_eq!(rig.ends()[0].end_ns, end);
        assert_eq!(rig.ends()[0].response_body_bytes, Some(5000));
        rig.assert_balanced();
    }
}

#[test]
fn a_header_block_seen_in_several_records_of_one_call_is_whole() {
    use threadline_common::record::SEGMENT_MORE;
    for dir in [Rx, Tx] {
        let mut rig = Rig::new(dir);
        let request = format!("GET /long HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(3000));
        let Input::Segment(first, _) = rig.wire.segment(dir, request.as_bytes()) else {
            panic!("not a segment");
        };
        for (from, to) in [(0, 1024), (1024, 2048), (2048, request.len())] {
            let mut piece = first;
            piece.offset += from as u64;
            piece.len -= from as u32;
            piece.captured = (to - from) as u32;
            piece.flags |= if from > 0 { SEGMENT_MORE } else { 0 };
            rig.push(Input::Segment(
                piece,
                request.as_bytes()[from..to].to_vec().into(),
            ));
        }
        assert_eq!(rig.begins()[0].request.path, "/long");
        assert_eq!(rig.begins()[0].start_ns, first.header.ktime_ns);
        rig.all(dir.other(), ok(""));
        rig.flush();
        rig.assert_balanced();
    }
}

#[test]
fn a_chunked_response_of_unseen_framing_ends_with_its_last_chunk() {
    for (dir, tail) in [(Rx, b"a\r\n0\r\n\r\n"), (Tx, b"a\r\n0\r\n\r\n")] {
        let mut rig = Rig::new(dir.other());
        rig.all(dir.other(), get("/"));
        rig.part(
            dir,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\nabc",
            5000,
        );
        let input = rig.wire.ending(dir, b"", 900, Some(tail));
        let end = rig.wire.now_ns;
        rig.push(input);
        rig.wait(2 * SHORT_HOLD_NS);
        assert_eq!(rig.outcomes(), [Outcome::Complete]);
        assert_eq!(rig.ends()[0].end_ns, end);
        assert_eq!(rig.ends()[0].response_body_bytes, None);
    }
}

#[test]
fn a_last_chunk_that_was_none_is_taken_back() {
    let mut rig = Rig::client();
    rig.tx(get("/"));
    rig.part(
        Rx,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\nabc",
        9000,
    );
    let input = rig.wire.ending(Rx, b"", 900, Some(b"a\r\n0\r\n\r\n"));
    rig.push(input);
    rig.wire.now_ns -= STEP_NS - 1;
    let input = rig.wire.ending(Rx, b"abc", 900, Some(b"a\r\n0\r\n\r\n"));
    rig.wire.now_ns -= STEP_NS - 1;
    let Input::Segment(mut more, payload) = input else {
        panic!("not a segment")
    };
    more.header.ktime_ns = rig.wire.now_ns;
    rig.push(Input::Segment(more, payload));
    rig.wait(2 * SHORT_HOLD_NS);
    assert_eq!(rig.outcomes(), [Outcome::Complete]);
    assert_eq!(rig.ends()[0].end_ns, more.header.ktime_ns);
    assert_eq!(rig.connections.early_ends(), 0);
}

#[test]
fn the_next_request_ends_a_response_whose_end_was_not_seen() {
    let mut rig = Rig::server();
    rig.rx(get("/1"));
    rig.part(
        Tx,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\nabc",
        9000,
    );
    let end = rig.part(Tx, "", 500);
    rig.rx(get("/2"));
    rig.tx(ok(""));
    rig.flush();
    assert_eq!(
        rig.told(),
        [("/1".into(), Some(200)), ("/2".into(), Some(200))]
    );
    assert_eq!(rig.ends()[0].end_ns, end);
}
