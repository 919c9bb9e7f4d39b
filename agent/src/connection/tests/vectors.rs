//! `tests/vectors/http1/`: bytes of both directions and what is to be told of them, fed whole, one
//! byte at a time, and with a hole, to both ends.

use std::path::PathBuf;

use serde_json::Value;

use super::support::{Rig, ends};
use crate::connection::Input;
use crate::connection::transaction::{Begin, End, Outcome};
use crate::protocol::Direction::{self, Rx, Tx};
use threadline_common::record::{CLOSE_DONE, CLOSE_SENT_FIN};

pub struct Vector {
    pub name: String,
    steps: Vec<(String, Vec<u8>)>,
    expect: Vec<Value>,
}

pub fn all() -> Vec<Vector> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/http1");
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let vectors: Vec<_> = paths.iter().map(|path| read(path)).collect();
    assert!(vectors.len() >= 20);
    vectors
}

fn read(path: &std::path::Path) -> Vector {
    let value: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let step = |step: &Value| {
        // Characters are bytes.
        let bytes = step[1]
            .as_str()
            .unwrap()
            .chars()
            .map(|c| u8::try_from(c).unwrap())
            .collect();
        (step[0].as_str().unwrap().to_owned(), bytes)
    };
    Vector {
        name: path.file_stem().unwrap().to_string_lossy().into_owned(),
        steps: value["steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(step)
            .collect(),
        expect: value["expect"].as_array().unwrap().clone(),
    }
}

impl Vector {
    /// The records of the end whose requests go in direction `requests`, in pieces of `size`.
    pub fn inputs(&self, requests: Direction, size: usize, rig: &mut Rig) -> Vec<Input> {
        let mut inputs = Vec::new();
        for (who, bytes) in &self.steps {
            let from_client = who.starts_with('c');
            let dir = if from_client {
                requests
            } else {
                requests.other()
            };
            if !who.ends_with("-eof") {
                inputs.extend(bytes.chunks(size).map(|piece| rig.wire.segment(dir, piece)));
            } else if dir == Tx {
                inputs.push(rig.wire.close(CLOSE_SENT_FIN));
            } else {
                inputs.push(rig.wire.halt(0));
            }
        }
        inputs.push(rig.wire.close(CLOSE_DONE));
        inputs
    }

    pub fn run(
        &self,
        requests: Direction,
        inputs: impl IntoIterator<Item = Input>,
        mut rig: Rig,
    ) -> Rig {
        for input in inputs {
            rig.push(input);
        }
        assert!(rig.connections.len() == 1, "{} {requests:?}", self.name);
        rig.wait(1_000_000_000);
        assert!(rig.connections.is_empty(), "{} {requests:?}", self.name);
        rig.flush();
        rig.assert_balanced();
        rig
    }

    fn check(&self, rig: &Rig, how: &str) {
        let begins = rig.begins();
        assert_eq!(begins.len(), self.expect.len(), "{} {how}", self.name);
        for (begin, expect) in begins.iter().zip(&self.expect) {
            let end = *ends(&rig.out)
                .iter()
                .find(|end| end.id == begin.id)
                .unwrap();
            let told = describe(begin, end);
            for (key, value) in expect.as_object().unwrap() {
                assert_eq!(
                    &told[key], value,
                    "{} {how} {} {key}",
                    self.name, begin.request.path
                );
            }
            assert!(begin.start_ns <= begin.head_ns && begin.head_ns <= end.end_ns);
        }
    }
}

pub fn describe(begin: &Begin, end: &End) -> Value {
    let outcome = match end.outcome {
        Outcome::Complete => "complete",
        Outcome::Switched => "switched",
        Outcome::Closed => "closed",
        Outcome::Lost(_) => "lost",
        other => panic!("{other:?}"),
    };
    let request = &begin.request;
    serde_json::json!({
        "method": request.method, "path": request.path, "query": request.query,
        "host": request.host, "version": request.version, "user_agent": request.user_agent,
        "request_id": request.request_id, "traceparent": request.traceparent,
        "tracestate": request.tracestate,
        "proxied_for": request.proxied_for.map(|source| source.to_string()),
        "status": end.response.as_ref().map(|response| response.status), "outcome": outcome,
        "request_body": end.request_body_bytes, "response_body": end.response_body_bytes,
    })
}

fn rig(requests: Direction) -> Rig {
    if requests == Rx {
        Rig::server()
    } else {
        Rig::client()
    }
}

#[test]
fn whole_and_in_pieces_of_any_size_they_tell_the_same() {
    for vector in all() {
        for requests in [Rx, Tx] {
            for size in [1, 2, 3, 7, 64, usize::MAX] {
                let mut rig = rig(requests);
                let inputs = vector.inputs(requests, size, &mut rig);
                let rig = vector.run(requests, inputs, rig);
                vector.check(&rig, &format!("{requests:?} {size}"));
            }
        }
    }
}

#[test]
fn with_a_hole_nobody_gets_another_ones_status() {
    let mut holes = 0;
    for vector in all() {
        for (requests, size) in [
            (Rx, usize::MAX),
            (Tx, usize::MAX),
            (Rx, 9),
            (Tx, 9),
            (Rx, 1),
        ] {
            let count = vector.inputs(requests, size, &mut rig(requests)).len();
            for (from, lost) in (0..count).flat_map(|from| (1..4).map(move |lost| (from, lost))) {
                let mut rig = rig(requests);
                let mut inputs = vector.inputs(requests, size, &mut rig);
                let done = inputs.pop().unwrap();
                let hole = from..(from + lost).min(inputs.len());
                inputs.drain(hole);
                inputs.push(done);
                if !inputs
                    .iter()
                    .any(|input| matches!(input, Input::Segment(..)))
                {
                    continue;
                }
                holes += 1;
                let rig = vector.run(requests, inputs, rig);
                for begin in rig.begins() {
                    let end = *rig.ends().iter().find(|end| end.id == begin.id).unwrap();
                    let told = describe(begin, end);
                    let same = |expect: &&Value| {
                        expect["path"] == told["path"]
                            && (expect["host"].is_null() || expect["host"] == told["host"])
                    };
                    let Some(expect) = vector.expect.iter().find(same) else {
                        continue;
                    };
                    let right = told["status"] == expect["status"] || told["status"].is_null();
                    assert!(
                        right,
                        "{} {requests:?} {size} {from}+{lost}: {told}",
                        vector.name
                    );
                }
            }
        }
    }
    assert!(holes > 1000);
}
