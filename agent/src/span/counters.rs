//! What the span stage did, beyond the ledger (whose unit here is transactions).

use super::link::Evidence;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// Counts of one run.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters { $($(#[$doc])* pub $name: u64,)+ }
        impl Counters {
            /// Every count with its name.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),+]
            }
        }
    };
}

counters! {
    /// Parents by the two ends of a connection.
    parent_hop,
    /// Parents by the request's header.
    parent_header,
    /// Parents by goroutine.
    parent_goroutine,
    /// Parents by Go context.
    parent_go_context,
    /// Parents by goroutine descent.
    parent_goroutine_child,
    /// Parents by thread.
    parent_thread,
    /// Parents by a trace id that one open request has.
    parent_context,
    /// Outgoing requests without a proven parent while requests were open: links instead.
    gaps,
    /// Of those, children by descent that were not proven in time.
    gaps_child,
    /// Outgoing requests whose origin was over: a new trace with a link.
    outlived,
    /// Header and connection or process named different traces.
    context_replaced,
    /// `traceparent` headers that break the specification.
    header_invalid,
    /// Requests with several, different `traceparent` headers.
    header_contradicting,
    /// Entries of evidence tables that made room for others.
    evidence_evicted,
    /// Parents not waited for because too many were undecided.
    holds_over_limit,
    /// Route patterns that had been cut or were not text.
    routes_unusable,
}

impl Counters {
    /// Counts a parent.
    pub fn parent(&mut self, evidence: Evidence) {
        let count = match evidence {
            Evidence::Hop => &mut self.parent_hop,
            Evidence::Header => &mut self.parent_header,
            Evidence::Goroutine => &mut self.parent_goroutine,
            Evidence::GoContext => &mut self.parent_go_context,
            Evidence::GoroutineChild => &mut self.parent_goroutine_child,
            Evidence::Thread => &mut self.parent_thread,
            Evidence::Context => &mut self.parent_context,
        };
        *count += 1;
    }
}
