//! Bookkeeping of one exporter: `entered = left + dropped + pending` at every moment, and pending
//! becomes 0 with [`Books::settle`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::health::{Ledger, Reason, Stage};

/// Counts spans in and out of one exporter.
#[derive(Debug)]
pub(super) struct Books {
    ledger: Arc<Ledger>,
    pending: AtomicU64,
}

impl Books {
    /// Books that count into `ledger`.
    pub(super) fn new(ledger: Arc<Ledger>) -> Self {
        Self {
            ledger,
            pending: AtomicU64::new(0),
        }
    }

    /// `n` spans were taken into the queue.
    pub(super) fn admit(&self, n: u64) {
        self.ledger.enter(Stage::Export, n);
        self.pending.fetch_add(n, Ordering::AcqRel);
    }

    /// `n` spans were refused at the door.
    pub(super) fn refuse(&self, n: u64, reason: Reason) {
        if n > 0 {
            self.ledger.enter(Stage::Export, n);
            self.ledger().lose(Stage::Export, reason, n);
        }
    }

    /// `n` pending spans were accepted by the backend.
    pub(super) fn left(&self, n: u64) {
        self.ledger.leave(Stage::Export, self.resolve(n));
    }

    /// `n` pending spans are lost.
    pub(super) fn lost(&self, n: u64, reason: Reason) {
        let n = self.resolve(n);
        if n > 0 {
            self.ledger().lose(Stage::Export, reason, n);
        }
    }

    /// The exporter stops: whatever is pending is lost, and what a straggler reports afterwards
    /// counts no more.
    pub(super) fn settle(&self) {
        let n = self.pending.swap(0, Ordering::AcqRel);
        if n > 0 {
            self.ledger().lose(Stage::Export, Reason::Shutdown, n);
        }
    }

    /// Spans taken in whose fate is open.
    pub(super) fn pending(&self) -> u64 {
        self.pending.load(Ordering::Acquire)
    }

    /// Lost so far to a full queue and to a failing backend.
    pub(super) fn lost_so_far(&self) -> u64 {
        [Reason::QueueFull, Reason::ExportFailed]
            .iter()
            .map(|&reason| self.ledger.dropped(Stage::Export, reason))
            .sum()
    }

    /// Not through the `Arc`: its own `drop` would be found first.
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Takes up to `n` out of the pending ones, so that no span is counted twice.
    fn resolve(&self, n: u64) -> u64 {
        let before = self
            .pending
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |pending| {
                Some(pending.saturating_sub(n))
            })
            .unwrap_or_else(|pending| pending);
        before.min(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straggler_after_the_settlement_is_not_counted_twice() {
        let ledger = Arc::new(Ledger::default());
        let books = Books::new(Arc::clone(&ledger));
        books.admit(10);
        books.left(4);
        books.settle();
        books.left(6);
        books.lost(6, Reason::ExportFailed);
        let counts = ledger.counts(Stage::Export);
        assert_eq!((counts.entered, counts.left), (10, 4));
        assert_eq!(counts.dropped["shutdown"], 6);
        assert_eq!(counts.dropped.len(), 1);
        assert_eq!(books.pending(), 0);
    }
}
