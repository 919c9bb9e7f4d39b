//! Whatever comes, in whatever pieces.

use proptest::prelude::*;
use threadline_common::record::*;

use super::recordings::redact;
use super::support::{Rig, balanced};
use crate::connection::{Input, MAX_BUFFERED};
use crate::protocol::Direction::{self, Rx, Tx};

/// Pieces that real messages are made of, and some that are not.
fn words() -> impl Strategy<Value = Vec<u8>> {
    let fixed = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /a?b=c HTTP/1.1\r\n",
        "HEAD /x HTTP/1.0\r\n",
        "\r\n",
        "\n",
        "\r",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 100 X\r\n",
        "HTTP/1.1 101 X\r\n",
        "HTTP/1.0 304 X\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 99999999999999999\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Host: h\r\n",
        " folded\r\n",
        "hello",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "ffffffffffffffff\r\n",
        "G",
        "CONNECT a:1 HTTP/1.1\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n",
        "PRI * HTTP/2.0\r\n\r\n",
    ]);
    prop_oneof![
        4 => fixed.prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}

/// Any record at all of a few connections.
fn input() -> impl Strategy<Value = Input> {
    let header = (0..50_u64, 1..3_u32).prop_map(|(ms, tgid)| Header {
        ktime_ns: ms * 1_000_000,
        tgid,
        ..Header::default()
    });
    let bytes = prop::collection::vec(words(), 0..6).prop_map(|words| words.concat());
    let number = prop_oneof![0..200_u64, Just(u64::MAX), Just(u64::MAX - 3)];
    let length = prop_oneof![0..100_u32, Just(u32::MAX)];
    let segment = (
        header.clone(),
        0..3_u64,
        number,
        bytes,
        length.clone(),
        any::<(u8, u8, [u8; 8], bool)>(),
    )
        .prop_map(
            |(header, conn, offset, bytes, more, (dir, flags, tail, exact))| {
                let captured = bytes.len() as u32;
                let len = if exact {
                    captured
                } else {
                    captured.saturating_add(more)
                };
                let segment = Segment {
                    header,
                    conn,
                    offset,
                    len,
                    captured,
                    dir,
                    flags,
                    tail,
                    ..Segment::default()
                };
                Input::Segment(segment, bytes.into())
            },
        );
    prop_oneof![
        8 => segment,
        1 => (header.clone(), 0..3_u64, any::<(u8, u8, u32, u32)>()).prop_map(
            |(header, conn, (role, transport, tx_base, unix_epoch))| Input::Open(Open {
                header, conn, role: role % 3, transport: transport % 4, tx_base, unix_epoch,
                ..Open::default()
            })
        ),
        1 => (header.clone(), 0..3_u64, length, 0..120_u32)
            .prop_map(|(header, conn, moved, errno)| Input::Short(Short { header, conn, moved, errno })),
        1 => (header.clone(), 0..3_u64, 0..120_u32)
            .prop_map(|(header, conn, errno)| Input::Halt(Halt { header, conn, errno, pad: 0 })),
        1 => (header.clone(), 0..3_u64, 0..3_u8)
            .prop_map(|(header, conn, how)| Input::Close(Close { header, conn, how, ..Close::default() })),
        1 => (1..3_u32, 0..50_u64).prop_map(|(tgid, ms)| Input::Exit(tgid, ms * 1_000_000)),
        1 => (0..200_u64).prop_map(|ms| Input::Tick(ms * 1_000_000)),
    ]
}

/// One request of a conversation: what it costs to tell it from the others.
#[derive(Clone, Debug)]
struct Exchange {
    request_body: usize,
    response_body: usize,
    chunked: bool,
    /// Sent together with the next one.
    pipelined: bool,
}

fn exchange() -> impl Strategy<Value = Exchange> {
    (
        0..30_usize,
        0..300_usize,
        any::<bool>(),
        prop::bool::weighted(0.2),
    )
        .prop_map(
            |(request_body, response_body, chunked, pipelined)| Exchange {
                request_body,
                response_body,
                chunked,
                pipelined,
            },
        )
}

fn conversation(
    exchanges: &[Exchange],
    requests: Direction,
    rig: &mut Rig,
    sizes: &[usize],
) -> Vec<Input> {
    let mut inputs = Vec::new();
    let mut sizes = sizes.iter().cycle();
    let mut send = |dir, bytes: &str, rig: &mut Rig| {
        let mut rest = bytes.as_bytes();
        while !rest.is_empty() {
            let n = sizes.next().copied().unwrap_or(1).clamp(1, rest.len());
            inputs.push(rig.wire.segment(dir, &rest[..n]));
            rest = &rest[n..];
        }
    };
    let (mut asked, mut answered) = (String::new(), String::new());
    for (n, exchange) in exchanges.iter().enumerate() {
        let (length, body) = (exchange.request_body, "r".repeat(exchange.request_body));
        asked += &format!("PUT /{n} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{body}");
        let (length, body) = (exchange.response_body, "s".repeat(exchange.response_body));
        answered += &if exchange.chunked && length > 0 {
            format!(
                "HTTP/1.1 {} X\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n",
                205 + n
            )
        } else {
            format!(
                "HTTP/1.1 {} X\r\nContent-Length: {length}\r\n\r\n{body}",
                205 + n
            )
        };
        if !exchange.pipelined || n + 1 == exchanges.len() {
            send(requests, &std::mem::take(&mut asked), rig);
            send(requests.other(), &std::mem::take(&mut answered), rig);
        }
    }
    inputs
}

proptest! {
    #[test]
    fn nothing_panics_and_the_books_balance(inputs in prop::collection::vec(input(), 0..60)) {
        let mut rig = Rig::bare();
        for input in &inputs {
            rig.push(input.clone());
            prop_assert!(rig.connections.buffered <= MAX_BUFFERED);
        }
        rig.flush();
        balanced(&rig.out, &rig.ledger);
        redact(&inputs);
    }

    #[test]
    fn any_bytes_in_any_pieces_keep_the_books(
        both in prop::collection::vec((any::<bool>(), words(), 1..20_usize), 0..60)
    ) {
        let mut rig = Rig::server();
        for (sent, bytes, size) in both {
            for piece in bytes.chunks(size) {
                rig.all(if sent { Tx } else { Rx }, piece);
            }
        }
        rig.halt(0);
        rig.close(CLOSE_SENT_FIN);
        rig.flush();
        balanced(&rig.out, &rig.ledger);
    }

    #[test]
    fn a_conversation_is_told_whole_in_any_pieces(
        exchanges in prop::collection::vec(exchange(), 1..8),
        sizes in prop::collection::vec(1..200_usize, 1..10),
        server in any::<bool>(),
    ) {
        let requests = if server { Rx } else { Tx };
        let mut rig = if server { Rig::server() } else { Rig::client() };
        let inputs = conversation(&exchanges, requests, &mut rig, &sizes);
        inputs.into_iter().for_each(|input| rig.push(input));
        rig.flush();
        let expected: Vec<_> =
            (0..exchanges.len()).map(|n| (format!("/{n}"), Some(205 + n as u16))).collect();
        prop_assert_eq!(rig.told(), expected);
        let mut ends = rig.ends();
        ends.sort_by_key(|end| end.id);
        for (end, exchange) in ends.iter().zip(&exchanges) {
            prop_assert_eq!(end.request_body_bytes, Some(exchange.request_body as u64));
            prop_assert_eq!(end.response_body_bytes, Some(exchange.response_body as u64));
        }
        balanced(&rig.out, &rig.ledger);
    }

    #[test]
    fn with_records_lost_nobody_gets_another_ones_status(
        exchanges in prop::collection::vec(exchange(), 1..8),
        sizes in prop::collection::vec(1..200_usize, 1..10),
        lost in prop::collection::vec(prop::bool::weighted(0.1), 1..60),
        server in any::<bool>(),
        joined in any::<bool>(),
    ) {
        let requests = if server { Rx } else { Tx };
        let mut rig = if server { Rig::server() } else { Rig::client() };
        if joined {
            rig.wire.offsets = [70_000, 80_000];
        }
        let inputs = conversation(&exchanges, requests, &mut rig, &sizes);
        let inputs: Vec<_> = inputs
            .into_iter()
            .zip(lost.iter().cycle())
            .filter_map(|(input, lost)| (!lost).then_some(input))
            .collect();
        let open = rig.wire.open(if server { ROLE_ACCEPT } else { ROLE_CONNECT });
        let inputs = [vec![open], inputs].concat();
        let redacted = redact(&inputs);
        inputs.into_iter().for_each(|input| rig.push(input));
        rig.flush();
        let mut replayed = if server { Rig::server() } else { Rig::client() };
        redacted.into_iter().for_each(|input| replayed.push(input));
        replayed.flush();
        prop_assert_eq!(rig.told(), replayed.told());
        for (path, status) in rig.told() {
            let n: u16 = path[1..].parse().unwrap();
            prop_assert!(status.is_none_or(|status| status == 205 + n), "{} {:?}", path, status);
        }
        balanced(&rig.out, &rig.ledger);
    }
}
