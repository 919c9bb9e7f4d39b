//! What the spans of one trace share: its id, flags, state and one wall-clock offset.

use std::sync::Arc;

use super::bounded::Bounded;
use super::model::TraceId;
use crate::propagation::{TraceContext, w3c};

/// Traces whose wall-clock offset is remembered beyond the spans that carry it (a trace that
/// enters through several requests with the same header).
const OFFSETS_MAX: usize = 16_384;

/// Number of an undecided parent, see [`super::hold`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HoldId(pub u64);

/// What all spans of a trace have in common.
#[derive(Debug)]
pub struct Identity {
    /// Trace.
    pub trace_id: TraceId,
    /// W3C trace flags.
    pub flags: u8,
    /// W3C `tracestate`.
    pub state: String,
    /// Wall clock minus monotonic clock; `None` when the trace began before the first clock record.
    pub wall_offset_ns: Option<i64>,
}

impl Identity {
    /// Is the trace to be kept?
    pub fn sampled(&self) -> bool {
        self.flags & w3c::SAMPLED != 0
    }
}

/// The trace of a transaction: known, or hanging on an undecided parent.
#[derive(Clone, Debug)]
pub enum TraceRef {
    /// Decided.
    Known(Arc<Identity>),
    /// Decided when that hold is.
    Held(HoldId),
}

impl TraceRef {
    /// The id, once it is decided.
    pub fn id(&self) -> Option<TraceId> {
        match self {
            Self::Known(identity) => Some(identity.trace_id),
            Self::Held(_) => None,
        }
    }
}

/// The clocks, and the offset each trace began with.
#[derive(Debug)]
pub struct Clocks {
    offset_ns: Option<i64>,
    boot_id: [u8; 16],
    offsets: Bounded<TraceId, i64>,
}

impl Default for Clocks {
    fn default() -> Self {
        Self {
            offset_ns: None,
            boot_id: [0; 16],
            offsets: Bounded::new(OFFSETS_MAX),
        }
    }
}

impl Clocks {
    /// The clocks were read again.
    pub fn set(&mut self, wall_offset_ns: i64, boot_id: [u8; 16]) {
        self.offset_ns = Some(wall_offset_ns);
        self.boot_id = boot_id;
    }

    /// Boot id of the machine, zero before the first clock record.
    pub fn boot_id(&self) -> [u8; 16] {
        self.boot_id
    }

    /// A trace that begins here. New traces are kept; the random flag is not set, because the id
    /// is a hash, not random.
    pub fn new_trace(&mut self, trace_id: TraceId, now_ns: u64) -> TraceRef {
        self.identity(trace_id, w3c::SAMPLED, String::new(), now_ns)
    }

    /// A trace that a header names.
    pub fn named_trace(&mut self, context: &TraceContext, now_ns: u64) -> TraceRef {
        self.identity(
            context.trace_id,
            context.flags,
            context.state.clone(),
            now_ns,
        )
    }

    /// Nanoseconds since the epoch.
    pub fn unix_ns(&self, identity: &Identity, ktime_ns: u64) -> u64 {
        let offset = identity.wall_offset_ns.or(self.offset_ns).unwrap_or(0);
        ktime_ns.saturating_add_signed(offset)
    }

    fn identity(&mut self, trace_id: TraceId, flags: u8, state: String, now_ns: u64) -> TraceRef {
        let wall_offset_ns = match (self.offsets.get(&trace_id), self.offset_ns) {
            (Some(first), _) => Some(*first),
            (None, Some(now)) => {
                self.offsets.insert(trace_id, now, now_ns);
                Some(now)
            }
            (None, None) => None,
        };
        TraceRef::Known(Arc::new(Identity {
            trace_id,
            flags,
            state,
            wall_offset_ns,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(clocks: &Clocks, trace: &TraceRef, at: u64) -> u64 {
        match trace {
            TraceRef::Known(identity) => clocks.unix_ns(identity, at),
            TraceRef::Held(_) => unreachable!(),
        }
    }

    #[test]
    fn a_trace_keeps_its_first_offset() {
        let mut clocks = Clocks::default();
        let id = TraceId([1; 16]);
        let early = clocks.new_trace(TraceId([2; 16]), 0);
        clocks.set(1000, [9; 16]);
        let first = clocks.new_trace(id, 1);
        clocks.set(5000, [9; 16]);
        let again = clocks.new_trace(id, 2);
        assert_eq!(
            (unix(&clocks, &first, 10), unix(&clocks, &again, 10)),
            (1010, 1010)
        );
        assert_eq!(unix(&clocks, &early, 10), 5010);
        clocks.set(-20, [9; 16]);
        let below = clocks.new_trace(TraceId([3; 16]), 0);
        assert_eq!(unix(&clocks, &below, 10), 0);
    }
}
