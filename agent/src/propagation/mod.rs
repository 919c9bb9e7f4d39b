//! Trace contexts as programs put them on the wire. One file per header format; what a format's
//! specification calls invalid is treated as absent and told apart only for the counters.

pub mod w3c;

use crate::span::model::{SpanId, TraceId};

/// A trace context that came with a request.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceContext {
    /// Trace.
    pub trace_id: TraceId,
    /// The span that sent the request, in the words of whoever wrote the header.
    pub parent_id: SpanId,
    /// Trace flags that have a meaning today: bit 0 sampled, bit 1 random trace id.
    pub flags: u8,
    /// Vendor state that travels along, in canonical form; empty where there is none.
    pub state: String,
}

impl TraceContext {
    /// Did the sender decide to keep this trace?
    pub fn sampled(&self) -> bool {
        self.flags & w3c::SAMPLED != 0
    }
}

/// What a request's headers said.
#[derive(Clone, Debug, PartialEq)]
pub enum Extracted {
    /// No header of this format.
    Absent,
    /// A header that breaks the rules of its specification.
    Invalid,
    /// Several headers that do not say the same.
    Contradicting,
    /// A valid context.
    Context(TraceContext),
}
