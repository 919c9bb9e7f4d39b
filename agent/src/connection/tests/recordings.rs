//! Redaction before recording: no secret stays, and a replay tells the same.

use super::support::Rig;
use super::vectors::{all, describe};
use crate::connection::Input;
use crate::connection::redact::Redactor;
use crate::protocol::Direction::{self, Rx, Tx};

/// Redacts a whole stream.
pub fn redact(inputs: &[Input]) -> Vec<Input> {
    let mut redactor = Redactor::default();
    let one = |input: &Input| match input {
        Input::Segment(segment, payload) => {
            let (mut segment, mut bytes) = (*segment, payload.to_vec());
            redactor.redact(&mut segment, &mut bytes);
            assert_eq!(bytes.len(), payload.len());
            Input::Segment(segment, bytes.into())
        }
        other => {
            redactor.note(other.clone());
            other.clone()
        }
    };
    inputs.iter().map(one).collect()
}

/// Bytes of all payloads of one direction, and all tails.
pub fn text(inputs: &[Input]) -> String {
    let mut bytes = [Vec::new(), Vec::new(), Vec::new()];
    for input in inputs {
        if let Input::Segment(segment, payload) = input {
            bytes[usize::from(segment.dir & 1)].extend_from_slice(payload);
            bytes[2].extend_from_slice(&segment.tail);
        }
    }
    bytes
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat()
}

fn told(rig: &Rig) -> Vec<(serde_json::Value, u64, u64, u64)> {
    let ends = rig.ends();
    let tell = |begin: &&crate::connection::transaction::Begin| {
        let end = *ends.iter().find(|end| end.id == begin.id).unwrap();
        (
            describe(begin, end),
            begin.start_ns,
            begin.request_offset,
            end.end_ns,
        )
    };
    rig.begins().iter().map(tell).collect()
}

#[test]
fn a_redacted_stream_tells_the_same() {
    for vector in all() {
        for requests in [Rx, Tx] {
            for size in [usize::MAX, 4096, 40] {
                let rig = || {
                    if requests == Rx {
                        Rig::server()
                    } else {
                        Rig::client()
                    }
                };
                let mut source = rig();
                let inputs = vector.inputs(requests, size, &mut source);
                let redacted = redact(&inputs);
                let before = vector.run(requests, inputs, source);
                let after = vector.run(requests, redacted, rig());
                assert_eq!(
                    told(&before).len(),
                    told(&after).len(),
                    "{} {size}",
                    vector.name
                );
                // A name cut in two by the size of pieces may be overwritten; the rest may not.
                if size > 40 {
                    assert_eq!(
                        told(&before),
                        told(&after),
                        "{} {requests:?} {size}",
                        vector.name
                    );
                }
            }
        }
    }
}

const SECRETS: &[&str] = &["hunter2", "s3cr3t", "t0k3n"];

fn stream(requests: Direction, size: usize) -> Vec<Input> {
    let mut rig = if requests == Rx {
        Rig::server()
    } else {
        Rig::client()
    };
    let request = "POST http://u:hunter2@h/a?t=t0k3n&t0k3n HTTP/1.1\r\nHost: u:hunter2@h\r\n\
        Authorization: Bearer t0k3n\r\nCOOKIE: a=s3cr3t\r\nX-Api-Key: t0k3n\r\nX-Any: s3cr3t\r\n\
        Referer: http://h/?q=t0k3n\r\nTransfer-Encoding: chunked\r\n\r\n\
        b\r\npw=hunter2&c\r\n0\r\nX-Sig: s3cr3t\r\n\r\n";
    let response = "HTTP/1.1 302 s3cr3t\r\nSet-Cookie: s=s3cr3t\r\nLocation: /?code=t0k3n\r\n\
        Content-Length: 7\r\n\r\nhunter2";
    let foreign = "AUTH hunter2\r\nSET k s3cr3t\r\n";
    let mut inputs = vec![];
    for (dir, text) in [
        (requests, request),
        (requests.other(), response),
        (requests, foreign),
    ] {
        inputs.extend(
            text.as_bytes()
                .chunks(size)
                .map(|piece| rig.wire.segment(dir, piece)),
        );
    }
    let tail = rig.wire.ending(requests, b"", 100, Some(b"hunter2\n"));
    inputs.push(tail);
    rig.wire.conn += 1;
    rig.wire.offsets = [0, 0];
    inputs.extend(
        foreign
            .as_bytes()
            .chunks(size)
            .map(|piece| rig.wire.segment(Tx, piece)),
    );
    inputs
}

#[test]
fn no_secret_stays_however_it_is_split() {
    for requests in [Rx, Tx] {
        for size in (1..60).chain([usize::MAX]) {
            let inputs = stream(requests, size);
            assert!(SECRETS.iter().all(|secret| text(&inputs).contains(secret)));
            let text = text(&redact(&inputs));
            for secret in SECRETS {
                for part in secret.as_bytes().windows(4) {
                    let part = std::str::from_utf8(part).unwrap();
                    assert!(!text.contains(part), "{requests:?} {size} {part}: {text}");
                }
            }
            assert!(text.contains("POST "), "{text}");
        }
    }
}
