//! When, in event time, which connection wants to be looked at. At most two entries a connection:
//! a timer that is set is not moved; it goes off early, and the connection sets the next one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Which of a connection's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Something is held back for a moment.
    Hold,
    /// A request may have to be reported while it goes on.
    Long,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Timers(BinaryHeap<Reverse<(u64, u64, Kind)>>);

impl Timers {
    /// Sets the timer that `slot` stands for, where it is not set to an earlier time.
    pub(super) fn set(
        &mut self,
        slot: &mut Option<u64>,
        wanted: Option<u64>,
        conn: u64,
        kind: Kind,
    ) {
        let Some(wanted) = wanted else { return };
        if slot.is_none_or(|set| wanted < set) {
            *slot = Some(wanted);
            self.0.push(Reverse((wanted, conn, kind)));
        }
    }

    /// The next timer that is due.
    pub(super) fn due(&mut self, now_ns: u64) -> Option<(u64, u64, Kind)> {
        match self.0.peek() {
            Some(Reverse((due, ..))) if *due <= now_ns => self.0.pop().map(|Reverse(timer)| timer),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_timer_is_only_ever_moved_forward() {
        let (mut timers, mut slot) = (Timers::default(), None);
        for wanted in [50, 60, 55, 50] {
            timers.set(&mut slot, Some(wanted), 7, Kind::Hold);
        }
        assert_eq!((timers.0.len(), slot), (1, Some(50)));
        timers.set(&mut slot, Some(10), 7, Kind::Hold);
        assert_eq!(timers.due(9), None);
        assert_eq!(timers.due(10), Some((10, 7, Kind::Hold)));
        assert_eq!(timers.due(49), None);
    }
}
