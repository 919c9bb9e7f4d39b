use super::*;

fn framing(block: &str) -> Result<Framing, Broken> {
    request(block.as_bytes(), true).map(|parsed| parsed.framing)
}

fn post(headers: &str) -> Result<Framing, Broken> {
    framing(&format!("POST / HTTP/1.1\r\nHost: h\r\n{headers}\r\n"))
}

#[test]
fn a_block_is_whole_at_any_split() {
    let block = b"GET /a HTTP/1.1\r\nHost: h\r\nX: \r\n\r\n";
    let stream = [&block[..], b"GET /next"].concat();
    for first in 1..block.len() {
        for second in first + 1..stream.len() {
            let mut buffer = HeadBuffer::new(Mark::default(), false);
            let mut taken = 0;
            let mut whole = None;
            for piece in [&stream[..first], &stream[first..second], &stream[second..]] {
                match buffer.push(piece, is_request) {
                    Collected::More => taken += piece.len(),
                    Collected::Whole(n, bytes) => {
                        whole = Some((taken + n, bytes.into_owned()));
                        break;
                    }
                    Collected::Foreign | Collected::TooLong => panic!("at {first}, {second}"),
                }
            }
            assert_eq!(whole, Some((block.len(), block.to_vec())));
        }
    }
}

#[test]
fn the_longest_block_is_whole_and_one_byte_more_is_not() {
    let block = |n: usize| {
        let front = "GET / HTTP/1.1\r\nX: ";
        format!("{front}{}\r\n\r\n", "a".repeat(n - front.len() - 4)).into_bytes()
    };
    let collect = |bytes: &[u8], step: usize| {
        let mut buffer = HeadBuffer::new(Mark::default(), false);
        for piece in bytes.chunks(step) {
            match buffer.push(piece, is_request) {
                Collected::More => assert!(buffer.held() <= 2 * MAX_HEAD),
                Collected::Whole(..) => return true,
                Collected::Foreign | Collected::TooLong => return false,
            }
        }
        false
    };
    for step in [7, 1000, MAX_HEAD * 2] {
        assert!(collect(&block(MAX_HEAD - 1), step), "step {step}");
        assert!(!collect(&block(MAX_HEAD + 1), step), "step {step}");
    }
}

#[test]
fn lengths_that_contradict_are_refused() {
    assert_eq!(post("Content-Length: 5\r\n"), Ok(Framing::Length(5)));
    assert_eq!(
        post("content-LENGTH: 5\r\nContent-Length: 5\r\n"),
        Ok(Framing::Length(5))
    );
    assert_eq!(post("Content-Length: 0\r\n"), Ok(Framing::Empty));
    for bad in [
        "5\r\nContent-Length: 6",
        "5, 6",
        "-1",
        "+5",
        "0x5",
        "",
        "5 5",
        "99999999999999999999",
    ] {
        assert_eq!(
            post(&format!("Content-Length: {bad}\r\n")),
            Err(Broken),
            "{bad}"
        );
    }
    assert_eq!(post("Content-Length : 5\r\n"), Err(Broken));
}

#[test]
fn chunked_wins_over_a_length() {
    assert_eq!(post("Transfer-Encoding: chunked\r\n"), Ok(Framing::Chunked));
    assert_eq!(
        post("Content-Length: 9\r\nTransfer-Encoding: gzip, Chunked\r\n"),
        Ok(Framing::Chunked)
    );
    assert_eq!(post("Transfer-Encoding: chunked, gzip\r\n"), Err(Broken));
    let (_, framing) = response(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n").unwrap();
    assert_eq!(framing, Framing::Close);
}

#[test]
fn kept_headers_are_read_and_others_are_not() {
    let block = b"GET http://u:pw@a.example/x?q=1 HTTP/1.1\r\nHOST: b\r\nuser-agent:  curl \r\n\
        X-Request-ID: r1\r\nTraceparent: one\r\ntraceparent: two\r\ntracestate: a=1\r\n\
        tracestate: b=2\r\nAuthorization: Bearer secret\r\nCookie: c=secret\r\n\r\n";
    let head = request(block, true).unwrap().head;
    assert_eq!(head.host.as_deref(), Some("a.example"));
    assert_eq!(head.user_agent.as_deref(), Some("curl"));
    assert_eq!(head.request_id.as_deref(), Some("r1"));
    assert_eq!(head.traceparent, ["one", "two"]);
    assert_eq!(head.tracestate.as_deref(), Some("a=1,b=2"));
    let all = format!("{head:?}");
    assert!(!all.contains("secret") && !all.contains("pw"), "{all}");
}

#[test]
fn folded_and_odd_lines_pass() {
    let block = b"GET / HTTP/1.1\nHost: h\nX: a\r\n  b\r\nbad name: x\r\nX: \x01\r\n\
        Traceparent:\r\n 00-1\r\nX-Last: \xff\r\n\n";
    let head = request(block, true).unwrap().head;
    assert_eq!((head.host.as_deref(), head.version), (Some("h"), "1.1"));
    assert_eq!(head.traceparent, ["00-1"]);
    assert!(request(b"GET / HTTP/1.1\r\nX: \0\r\n\r\n", true).is_err());
}

#[test]
fn many_headers_and_many_traceparents_are_bounded() {
    let lines = "traceparent: x\r\n".repeat(3000);
    let block = format!("GET / HTTP/1.0\r\n{lines}Host: h\r\n\r\n");
    let head = request(block.as_bytes(), true).unwrap().head;
    assert_eq!(
        (head.traceparent.len(), head.host.as_deref()),
        (MAX_TRACEPARENT, Some("h"))
    );
    let state = format!("tracestate: {}\r\n", "a".repeat(MAX_TRACESTATE));
    let block = format!("GET / HTTP/1.0\r\n{state}{state}\r\n");
    assert_eq!(
        request(block.as_bytes(), true).unwrap().head.tracestate,
        None
    );
}
