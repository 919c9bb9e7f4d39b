//! Ids of hops, traces and spans: hashes of what both ends of a socket, a replay and a second
//! observer all know. SipHash-128 with fixed keys, because the ids must be the same everywhere.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher24};

use super::model::{SpanId, TraceId};
use crate::connection::transaction::Role;

/// Keys of every hash here ("threadline" "identity"): changing them changes all ids.
const KEYS: (u64, u64) = (0x7468_7265_6164_6c69, 0x6964_656e_7469_7479);

/// One transaction as seen from both ends of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HopId([u8; 16]);

/// What an id is made of where there is no hop.
#[derive(Clone, Copy, Debug)]
pub struct Local {
    /// Boot id of the machine.
    pub boot_id: [u8; 16],
    /// Start of the process, 0 where unknown.
    pub start_ns: u64,
    /// Process.
    pub tgid: u32,
    /// Number of the event in that process.
    pub event: u64,
}

/// The hop of the request whose first byte has this offset: stream bases client to server and
/// server to client, S applied.
pub fn hop(bases: (u64, u64), request_offset: u64) -> HopId {
    HopId(hash(
        "hop",
        &[&le(bases.0), &le(bases.1), &le(request_offset)],
    ))
}

/// Span of one end of a hop.
pub fn hop_span(hop: HopId, role: Role) -> SpanId {
    let end: &[u8] = match role {
        Role::Client => b"client",
        Role::Server => b"server",
    };
    span_id(hash("span", &[&hop.0, end]))
}

/// Trace whose first hop this is.
pub fn hop_trace(hop: HopId) -> TraceId {
    trace_id(hash("trace", &[&hop.0]))
}

/// Span without a hop.
pub fn local_span(local: Local) -> SpanId {
    span_id(local.hash("local span"))
}

/// Trace that begins without a hop.
pub fn local_trace(local: Local) -> TraceId {
    trace_id(local.hash("local trace"))
}

impl Local {
    fn hash(self, domain: &str) -> [u8; 16] {
        let tgid = le(u64::from(self.tgid));
        hash(
            domain,
            &[&self.boot_id, &le(self.start_ns), &tgid, &le(self.event)],
        )
    }
}

fn hash(domain: &str, parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = SipHasher24::new_with_keys(KEYS.0, KEYS.1);
    // Lengths keep (ab, c) and (a, bc) apart.
    for part in std::iter::once(&domain.as_bytes()).chain(parts) {
        hasher.write(&le(part.len() as u64));
        hasher.write(part);
    }
    hasher.finish128().as_bytes()
}

fn le(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

/// All zero is not a legal id.
fn trace_id(hash: [u8; 16]) -> TraceId {
    TraceId(if hash == [0; 16] { [1; 16] } else { hash })
}

fn span_id(hash: [u8; 16]) -> SpanId {
    let mut id = [0; 8];
    id.copy_from_slice(&hash[..8]);
    SpanId(if id == [0; 8] { [1; 8] } else { id })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_never_change_between_releases() {
        let hop = hop((1, 2), 3);
        let text = format!("{} {}", hop_trace(hop), hop_span(hop, Role::Client));
        assert_eq!(text, PINNED);
    }

    const PINNED: &str = "1e5565104c933ffd61714c674a1c4220 e54660a76aa3da9d";

    #[test]
    fn every_input_counts() {
        let mut seen = BTreeSet::new();
        for bases in [(1, 2), (2, 1), (1, 3)] {
            for offset in [0, 1, 1 << 33] {
                let hop = hop(bases, offset);
                assert!(seen.insert(hop_trace(hop).0.to_vec()));
                assert!(seen.insert(hop_span(hop, Role::Client).0.to_vec()));
                assert!(seen.insert(hop_span(hop, Role::Server).0.to_vec()));
            }
        }
        let local = Local {
            boot_id: [7; 16],
            start_ns: 1,
            tgid: 2,
            event: 3,
        };
        for local in [
            local,
            Local { event: 4, ..local },
            Local { tgid: 3, ..local },
        ] {
            assert!(seen.insert(local_trace(local).0.to_vec()));
            assert!(seen.insert(local_span(local).0.to_vec()));
        }
    }

    #[test]
    fn each_of_the_low_56_bits_is_set_half_of_the_time() {
        let mut set = [0u32; 56];
        for offset in 0..4096 {
            let id = u128::from_be_bytes(hop_trace(hop((1, 2), offset)).0);
            (0..56).for_each(|bit| set[bit] += (id >> bit & 1) as u32);
        }
        assert!(set.iter().all(|n| (1850..2250).contains(n)), "{set:?}");
    }

    #[test]
    fn all_zero_is_refused() {
        assert_ne!(trace_id([0; 16]).0, [0; 16]);
        assert_ne!(span_id([0; 16]).0, [0; 8]);
    }
}
