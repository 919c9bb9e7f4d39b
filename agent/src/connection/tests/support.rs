//! Makes records as the kernel programs would, and collects what comes out.

use std::sync::Arc;

use bytes::Bytes;
use threadline_common::record::*;

use crate::connection::transaction::{Begin, End, Outcome, Progress};
use crate::connection::{Connections, Input, Settings};
use crate::health::{Ledger, Reason, Stage};
use crate::protocol::Direction::{self, Rx, Tx};

/// Time between two records of a [`Wire`].
pub const STEP_NS: u64 = 10_000_000;
pub const TGID: u32 = 40;

/// Makes the records of one end of one connection: keeps offsets, ordinals, time.
#[derive(Clone, Debug)]
pub struct Wire {
    pub conn: u64,
    pub now_ns: u64,
    pub offsets: [u64; 2],
    ordinals: [u32; 2],
    last: Option<Direction>,
    pub tid: u32,
}

impl Wire {
    pub fn new(conn: u64) -> Self {
        Self {
            conn,
            now_ns: 1_000_000_000,
            offsets: [0, 0],
            ordinals: [0, 0],
            last: None,
            tid: 41,
        }
    }

    pub fn header(&self) -> Header {
        Header {
            ktime_ns: self.now_ns,
            tgid: TGID,
            tid: self.tid,
            ..Header::default()
        }
    }

    pub fn tick(&mut self) -> u64 {
        self.now_ns += STEP_NS;
        self.now_ns
    }

    pub fn open(&self, role: u8) -> Input {
        let (local_port, peer_port) = if role == ROLE_ACCEPT {
            (80, 5000)
        } else {
            (5000, 80)
        };
        Input::Open(Open {
            header: self.header(),
            conn: self.conn,
            family: 2,
            local_addr: [127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            peer_addr: [127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            local_port,
            peer_port,
            role,
            ..Open::default()
        })
    }

    /// A segment of which everything is captured.
    pub fn segment(&mut self, dir: Direction, bytes: &[u8]) -> Input {
        self.partly(dir, bytes, bytes.len())
    }

    /// A segment of `len` bytes that begins with `captured`; an uncaptured end has a tail.
    pub fn partly(&mut self, dir: Direction, captured: &[u8], len: usize) -> Input {
        self.ending(dir, captured, len, None)
    }

    pub fn ending(
        &mut self,
        dir: Direction,
        captured: &[u8],
        len: usize,
        tail: Option<&[u8; 8]>,
    ) -> Input {
        self.tick();
        let mut flags = 0;
        if self.last != Some(dir) {
            self.ordinals[dir.index()] += 1;
            self.last = Some(dir);
            flags = SEGMENT_FIRST;
        }
        if tail.is_some() {
            flags |= SEGMENT_TAIL;
        }
        let segment = Segment {
            header: self.header(),
            conn: self.conn,
            offset: self.offsets[dir.index()],
            len: len as u32,
            captured: captured.len() as u32,
            ordinal: self.ordinals[dir.index()],
            dir: if dir == Tx { DIR_TX } else { DIR_RX },
            flags,
            tail: tail.copied().unwrap_or_default(),
            ..Segment::default()
        };
        self.offsets[dir.index()] += len as u64;
        Input::Segment(segment, Bytes::copy_from_slice(captured))
    }

    pub fn short(&self, moved: u32, errno: i32) -> Input {
        let header = Header {
            ktime_ns: self.now_ns + 50_000,
            ..self.header()
        };
        Input::Short(Short {
            header,
            conn: self.conn,
            moved,
            errno: errno as u32,
        })
    }

    pub fn halt(&mut self, errno: i32) -> Input {
        self.tick();
        Input::Halt(Halt {
            header: self.header(),
            conn: self.conn,
            errno: errno as u32,
            pad: 0,
        })
    }

    pub fn close(&mut self, how: u8) -> Input {
        self.tick();
        Input::Close(Close {
            header: self.header(),
            conn: self.conn,
            how,
            ..Close::default()
        })
    }
}

/// A connection stage under test.
pub struct Rig {
    pub connections: Connections,
    pub ledger: Arc<Ledger>,
    pub out: Vec<Progress>,
    pub wire: Wire,
}

impl Rig {
    /// One end that accepted (`Rx`: requests are received) or connected.
    pub fn new(requests: Direction) -> Self {
        let mut rig = Self::bare();
        let role = if requests == Rx {
            ROLE_ACCEPT
        } else {
            ROLE_CONNECT
        };
        let open = rig.wire.open(role);
        rig.push(open);
        rig
    }

    pub fn server() -> Self {
        Self::new(Rx)
    }

    pub fn client() -> Self {
        let mut rig = Self::new(Tx);
        // The SYN counts.
        rig.wire.offsets[Tx.index()] = 1;
        rig
    }

    pub fn bare() -> Self {
        let ledger = Arc::new(Ledger::default());
        let connections = Connections::new(Settings::default(), Arc::clone(&ledger));
        Self {
            connections,
            ledger,
            out: Vec::new(),
            wire: Wire::new(7),
        }
    }

    pub fn push(&mut self, input: Input) {
        self.connections.push(input, &mut self.out);
    }

    pub fn rx(&mut self, bytes: impl AsRef<[u8]>) -> u64 {
        self.all(Rx, bytes)
    }

    pub fn tx(&mut self, bytes: impl AsRef<[u8]>) -> u64 {
        self.all(Tx, bytes)
    }

    /// Time of the segment.
    pub fn all(&mut self, dir: Direction, bytes: impl AsRef<[u8]>) -> u64 {
        let input = self.wire.segment(dir, bytes.as_ref());
        self.push(input);
        self.wire.now_ns
    }

    pub fn part(&mut self, dir: Direction, captured: &str, len: usize) -> u64 {
        let input = self.wire.partly(dir, captured.as_bytes(), len);
        self.push(input);
        self.wire.now_ns
    }

    /// The kernel saw it, the agent never does.
    pub fn lose(&mut self, dir: Direction, bytes: impl AsRef<[u8]>) {
        let _ = self.wire.segment(dir, bytes.as_ref());
    }

    pub fn halt(&mut self, errno: i32) -> u64 {
        let input = self.wire.halt(errno);
        self.push(input);
        self.wire.now_ns
    }

    pub fn short(&mut self, moved: u32, errno: i32) -> u64 {
        let input = self.wire.short(moved, errno);
        self.push(input);
        self.wire.now_ns + 50_000
    }

    pub fn close(&mut self, how: u8) -> u64 {
        let input = self.wire.close(how);
        self.push(input);
        self.wire.now_ns
    }

    /// Lets event time pass.
    pub fn wait(&mut self, ns: u64) -> u64 {
        self.wire.now_ns += ns;
        self.push(Input::Tick(self.wire.now_ns));
        self.wire.now_ns
    }

    pub fn flush(&mut self) {
        self.connections.flush_open(self.wire.now_ns, &mut self.out);
        assert_eq!(self.connections.open_requests(), 0);
    }

    pub fn begins(&self) -> Vec<&Begin> {
        begins(&self.out)
    }

    pub fn ends(&self) -> Vec<&End> {
        ends(&self.out)
    }

    pub fn outcomes(&self) -> Vec<Outcome> {
        self.ends().iter().map(|end| end.outcome).collect()
    }

    /// Path and status of what ended, in the order of beginning.
    pub fn told(&self) -> Vec<(String, Option<u16>)> {
        let mut ends = self.ends();
        ends.sort_by_key(|end| end.id);
        let status = |end: &&End| end.response.as_ref().map(|response| response.status);
        let path = |end: &&End| {
            let begins = self.begins();
            let begin = begins.into_iter().find(|begin| begin.id == end.id).unwrap();
            begin.request.path.clone()
        };
        ends.iter().map(|end| (path(end), status(end))).collect()
    }

    pub fn dropped(&self, reason: Reason) -> u64 {
        self.ledger.dropped(Stage::Protocol, reason)
    }

    /// Every request ended once, and nothing is missing from the books.
    pub fn assert_balanced(&self) {
        balanced(&self.out, &self.ledger);
    }
}

pub fn begins(out: &[Progress]) -> Vec<&Begin> {
    out.iter()
        .filter_map(|progress| match progress {
            Progress::Begin(begin) => Some(begin),
            Progress::End(_) => None,
        })
        .collect()
}

/// Final ends.
pub fn ends(out: &[Progress]) -> Vec<&End> {
    out.iter()
        .filter_map(|progress| match progress {
            Progress::End(end) if end.outcome != Outcome::Interim => Some(end),
            _ => None,
        })
        .collect()
}

pub fn balanced(out: &[Progress], ledger: &Ledger) {
    let mut begun: Vec<_> = begins(out).iter().map(|begin| begin.id).collect();
    let mut ended: Vec<_> = ends(out).iter().map(|end| end.id).collect();
    begun.sort_unstable();
    ended.sort_unstable();
    assert_eq!(begun, ended);
    for stage in [Stage::Connection, Stage::Protocol] {
        let counts = ledger.counts(stage);
        let dropped: u64 = counts.dropped.values().sum();
        assert_eq!(
            counts.entered,
            counts.left + dropped,
            "{stage:?} {counts:?}"
        );
    }
    assert_eq!(ledger.left(Stage::Protocol), ended.len() as u64);
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

pub fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub fn status(code: u16) -> String {
    format!("HTTP/1.1 {code} X\r\nContent-Length: 0\r\n\r\n")
}
