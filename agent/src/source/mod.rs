//! Where events come from: the ring buffer or a recording. Both yield the same records; here bytes
//! become a type, in one place. From here on nothing needs root.

pub mod recording;

use bytes::Bytes;
use threadline_common::record::{
    self, Clock, Close, Exec, GoCall, GoConn, GoExit, GoRoute, GoServe, Halt, Header, Open,
    Segment, Short,
};

use crate::process::facts::ProcessFacts;

/// A decoded record.
#[derive(Clone, Debug)]
pub enum Event {
    /// A connection was seen for the first time.
    Open(Open),
    /// A connection (or its sending half) ended.
    Close(Close),
    /// Bytes moved; the captured ones.
    Segment(Segment, Bytes),
    /// A send moved fewer bytes than its segment said.
    Short(Short),
    /// A receive met the end of the stream or an error.
    Halt(Halt),
    /// A process started a program.
    Exec(Exec),
    /// A process ended.
    Exit(Header),
    /// A process mapped an executable file.
    Mapped(Header),
    /// Go: a request goes to its handler.
    GoServe(GoServe),
    /// Go: a request is sent on a pooled connection.
    GoCall(GoCall),
    /// Go: a pooled connection's writer goroutine.
    GoConn(GoConn),
    /// Go: a route matched.
    GoRoute(GoRoute, Bytes),
    /// Go: a goroutine that had called out exits.
    GoExit(GoExit),
    /// Wall clock and machine.
    Clock(Clock),
    /// What the agent learned of a process.
    Process(Header, Box<ProcessFacts>),
    /// The kernel's counters, as JSON.
    Counters(Header, Bytes),
}

/// The record's bytes make no sense: another version's, or damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record of kind {kind} with {len} bytes makes no sense")]
pub struct BadRecord {
    /// Its kind.
    pub kind: u16,
    /// Its length.
    pub len: usize,
}

impl Event {
    /// Decodes one whole record.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadRecord> {
        let header: Header = record::read(bytes).ok_or(BadRecord {
            kind: 0,
            len: bytes.len(),
        })?;
        let bad = BadRecord {
            kind: header.kind,
            len: bytes.len(),
        };
        let rest = |from: usize, len: usize| {
            bytes
                .get(from..from.saturating_add(len))
                .map(Bytes::copy_from_slice)
                .ok_or(bad)
        };
        macro_rules! fixed {
            ($variant:ident) => {
                record::read(bytes).map(Self::$variant).ok_or(bad)
            };
        }
        match header.kind {
            record::KIND_OPEN => fixed!(Open),
            record::KIND_CLOSE => fixed!(Close),
            record::KIND_SEGMENT => {
                let segment: Segment = record::read(bytes).ok_or(bad)?;
                if segment.captured > segment.len {
                    return Err(bad);
                }
                Ok(Self::Segment(
                    segment,
                    rest(size_of::<Segment>(), segment.captured as usize)?,
                ))
            }
            record::KIND_SHORT => fixed!(Short),
            record::KIND_HALT => fixed!(Halt),
            record::KIND_EXEC => fixed!(Exec),
            record::KIND_EXIT => Ok(Self::Exit(header)),
            record::KIND_MAPPED => Ok(Self::Mapped(header)),
            record::KIND_GO_SERVE => fixed!(GoServe),
            record::KIND_GO_CALL => fixed!(GoCall),
            record::KIND_GO_CONN => fixed!(GoConn),
            record::KIND_GO_ROUTE => {
                let route: GoRoute = record::read(bytes).ok_or(bad)?;
                Ok(Self::GoRoute(
                    route,
                    rest(size_of::<GoRoute>(), route.len as usize)?,
                ))
            }
            record::KIND_GO_EXIT => fixed!(GoExit),
            record::KIND_CLOCK => fixed!(Clock),
            record::KIND_PROCESS => {
                let facts = serde_json::from_slice(&bytes[size_of::<Header>()..]);
                Ok(Self::Process(header, Box::new(facts.map_err(|_| bad)?)))
            }
            record::KIND_COUNTERS => {
                let from = size_of::<Header>();
                Ok(Self::Counters(header, rest(from, bytes.len() - from)?))
            }
            _ => Err(bad),
        }
    }

    /// The common head.
    pub fn header(&self) -> &Header {
        match self {
            Self::Open(r) => &r.header,
            Self::Close(r) => &r.header,
            Self::Segment(r, _) => &r.header,
            Self::Short(r) => &r.header,
            Self::Halt(r) => &r.header,
            Self::Exec(r) => &r.header,
            Self::Exit(header)
            | Self::Mapped(header)
            | Self::Process(header, _)
            | Self::Counters(header, _) => header,
            Self::GoServe(r) => &r.header,
            Self::GoCall(r) => &r.header,
            Self::GoConn(r) => &r.header,
            Self::GoRoute(r, _) => &r.header,
            Self::GoExit(r) => &r.header,
            Self::Clock(r) => &r.header,
        }
    }

    /// Event time: monotonic nanoseconds.
    pub fn ktime_ns(&self) -> u64 {
        self.header().ktime_ns
    }

    /// Order among records of one moment: parts of one call by their offset, otherwise by kind and
    /// origin, so that the order of arrival never shows.
    pub fn tie_break(&self) -> (u16, u64, u64, u32) {
        let header = self.header();
        let (conn, offset) = match self {
            Self::Segment(segment, _) => (segment.conn, segment.offset),
            Self::Open(open) => (open.conn, 0),
            Self::Close(close) => (close.conn, u64::from(close.how)),
            _ => (u64::from(header.tgid), 0),
        };
        (header.kind, conn, offset, header.tid)
    }
}

/// A record made by the agent itself: a head and JSON.
pub fn json_record(kind: u16, tgid: u32, ktime_ns: u64, json: &[u8]) -> Vec<u8> {
    let size = size_of::<Header>() + json.len();
    let header = Header {
        ktime_ns,
        tgid,
        tid: tgid,
        size: u32::try_from(size).unwrap_or(u32::MAX),
        kind,
        pad: 0,
    };
    let mut out = record::bytes_of(&header).to_vec();
    out.extend_from_slice(json);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_segment_survives_the_way_through_bytes() {
        let mut segment: Segment = record::read(&[0; 80]).unwrap();
        segment.header.kind = record::KIND_SEGMENT;
        segment.len = 9;
        segment.captured = 3;
        let mut bytes = record::bytes_of(&segment).to_vec();
        bytes.extend_from_slice(b"GET");
        let Ok(Event::Segment(read, payload)) = Event::decode(&bytes) else {
            panic!()
        };
        assert_eq!(read, segment);
        assert_eq!(&payload[..], b"GET");
        assert!(Event::decode(&bytes[..82]).is_err(), "payload cut short");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_record_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 0u16..110) {
            let mut bytes = bytes;
            if bytes.len() >= 24 {
                bytes[20..22].copy_from_slice(&kind.to_le_bytes());
            }
            let _ = Event::decode(&bytes);
        }
    }
}
