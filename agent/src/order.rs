//! Event-time order. Records come out of causal order (several CPUs; a send is told at its entry,
//! a sendfile at its exit): they wait behind a short watermark and leave by kernel time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use crate::health::{Ledger, Note, Stage};
use crate::source::Event;

/// How long a record waits for older ones. Nanoseconds of event time.
pub const WATERMARK_NS: u64 = 20_000_000;
/// Records held at most; beyond, the oldest leave early.
const MAX_HELD: usize = 1 << 20;

/// A record and its place in the order.
struct Held(Event);

impl Held {
    fn key(&self) -> (u64, (u16, u64, u64, u32)) {
        (self.0.ktime_ns(), self.0.tie_break())
    }
}
impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}
impl Eq for Held {}
impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Held {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// Holds records until no older one is to be expected.
pub struct Order {
    held: BinaryHeap<Reverse<Held>>,
    newest_ns: u64,
    passed_ns: u64,
    limit_ns: u64,
    ledger: Arc<Ledger>,
}

impl Order {
    /// Empty.
    pub fn new(ledger: Arc<Ledger>) -> Self {
        Self {
            held: BinaryHeap::new(),
            newest_ns: 0,
            passed_ns: 0,
            limit_ns: u64::MAX,
            ledger,
        }
    }

    /// Nothing after `ktime_ns` leaves until this is called again: it is not known yet whether
    /// records of that time were lost.
    pub fn hold_after(&mut self, ktime_ns: u64) {
        self.limit_ns = ktime_ns;
    }

    /// Takes a record. One that is older than what already left is still used, and counted.
    pub fn push(&mut self, event: Event) {
        let ktime = event.ktime_ns();
        self.ledger.enter(Stage::Order, 1);
        if ktime < self.passed_ns {
            self.ledger.note(Note::LateRecords, 1);
        }
        self.newest_ns = self.newest_ns.max(ktime);
        self.held.push(Reverse(Held(event)));
    }

    /// Event time has reached `ktime_ns`, also where no record says so.
    pub fn advance(&mut self, ktime_ns: u64) {
        self.newest_ns = self.newest_ns.max(ktime_ns);
    }

    /// The next record that may leave.
    pub fn pop(&mut self) -> Option<Event> {
        let due = self.watermark_ns();
        let Reverse(first) = self.held.peek()?;
        if first.0.ktime_ns() > due && self.held.len() <= MAX_HELD {
            return None;
        }
        self.take()
    }

    /// The next record, due or not: nothing more will come.
    pub fn take(&mut self) -> Option<Event> {
        let Reverse(Held(event)) = self.held.pop()?;
        self.passed_ns = self.passed_ns.max(event.ktime_ns());
        self.ledger.leave(Stage::Order, 1);
        Some(event)
    }

    /// Time up to which all that was to come has left.
    pub fn watermark_ns(&self) -> u64 {
        self.newest_ns
            .saturating_sub(WATERMARK_NS)
            .min(self.limit_ns)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use threadline_common::record::{Header, KIND_EXIT};

    use super::*;

    fn exit(ktime_ns: u64, tid: u32) -> Event {
        Event::Exit(Header {
            ktime_ns,
            tgid: 1,
            tid,
            size: 24,
            kind: KIND_EXIT,
            pad: 0,
        })
    }

    #[test]
    fn a_record_waits_for_older_ones() {
        let mut order = Order::new(Arc::default());
        order.push(exit(50_000_000, 1));
        assert!(order.pop().is_none());
        order.push(exit(40_000_000, 2));
        order.advance(71_000_000);
        assert_eq!(order.pop().unwrap().ktime_ns(), 40_000_000);
        assert_eq!(order.pop().unwrap().ktime_ns(), 50_000_000);
        assert!(order.pop().is_none());
    }

    proptest! {
        #[test]
        fn records_displaced_less_than_the_watermark_leave_in_order(
            times in proptest::collection::vec(0u64..200_000_000, 1..100),
            shifts in proptest::collection::vec(0u64..5_000_000, 100),
        ) {
            let mut arrivals: Vec<_> = times.iter().zip(&shifts).map(|(t, s)| (t + s, *t)).collect();
            arrivals.sort_unstable();
            let mut order = Order::new(Arc::default());
            let mut left = Vec::new();
            for (tid, (_, ktime)) in arrivals.iter().enumerate() {
                order.push(exit(*ktime, tid as u32));
                while let Some(event) = order.pop() {
                    left.push(event.ktime_ns());
                }
            }
            while let Some(event) = order.take() {
                left.push(event.ktime_ns());
            }
            prop_assert!(left.is_sorted());
            prop_assert_eq!(left.len(), times.len());
        }
    }
}
