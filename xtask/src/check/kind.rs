//! What must hold for a call, by how its work got to the caller.

use super::truth::{Call, Truth};

/// How far a proof can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// No request's work: must have no parent.
    Root,
    /// Made before its handler ended, or with its context: must have its true parent.
    Proven,
    /// Made later and without the context: a trace of its own, linked to where it came from.
    Own,
    /// Only a context that nobody passed could tell: a gap with links, never a guess.
    NoProof,
}

impl Reach {
    /// Of a call.
    pub fn of(call: &Call, truth: &Truth) -> Self {
        if call.parent.is_empty() {
            Self::Root
        } else if !call.ctx && call.kind.contains("pool") {
            Self::NoProof
        } else if call.ctx || call.start < handler_end(&call.parent, truth) {
            Self::Proven
        } else {
            Self::Own
        }
    }
}

/// When the response of a request had left. A handler that panics never says: its calls are made
/// by the handler itself, before.
fn handler_end(request: &str, truth: &Truth) -> u64 {
    let ends = truth.served.get(request).into_iter().flatten();
    ends.map(|served| {
        if served.last == 0 {
            u64::MAX
        } else {
            served.last
        }
    })
    .max()
    .unwrap_or(u64::MAX)
}
