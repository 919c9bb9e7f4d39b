//! Threads that handle one request at a time: blocking reads, no waiting on several descriptors,
//! never two requests at once. Not for Go, whose goroutines wander between threads.

use super::bounded::Bounded;
use crate::connection::transaction::{Activity, TransactionId};

/// Threads remembered per process.
const THREADS_MAX: usize = 16_384;

#[derive(Debug, Default)]
struct Thread {
    last: Option<TransactionId>,
    head_ns: u64,
    /// The last one was read from a blocking descriptor and is open.
    bound: bool,
    open: u32,
    /// Read a request while another one was open: it hands work over, so it proves nothing.
    hands_over: bool,
    epoch: u64,
}

/// The threads of one process that read requests.
#[derive(Debug)]
pub struct Threads(Bounded<u32, Thread>);

impl Default for Threads {
    fn default() -> Self {
        Self(Bounded::new(THREADS_MAX))
    }
}

impl Threads {
    /// A thread read the head of a request.
    pub fn read(&mut self, by: &Activity, id: TransactionId, head_ns: u64, epoch: u64) -> bool {
        let evicted = self.0.make_room(&by.tid).is_some();
        let thread = self.0.get_or_insert_with(by.tid, head_ns, Thread::default);
        thread.hands_over |= thread.open > 0 && thread.epoch == epoch;
        thread.open = thread.open.saturating_add(1);
        thread.last = Some(id);
        thread.head_ns = head_ns;
        thread.bound = !by.nonblocking;
        thread.epoch = epoch;
        evicted
    }

    /// A request that the thread read is over.
    pub fn ended(&mut self, tid: u32, id: TransactionId) {
        if let Some(thread) = self.0.get_mut(&tid) {
            thread.open = thread.open.saturating_sub(1);
            thread.bound &= thread.last != Some(id);
        }
    }

    /// The request this thread must be working for when it sends something.
    pub fn handling(&self, by: &Activity, epoch: u64) -> Option<TransactionId> {
        let thread = self.0.get(&by.tid)?;
        let waited = by.last_wait_ns > thread.head_ns;
        let sure = thread.bound && thread.open == 1 && !thread.hands_over && !waited;
        thread.last.filter(|_| sure && thread.epoch == epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TransactionId = TransactionId(1);
    const B: TransactionId = TransactionId(2);

    fn on(tid: u32) -> Activity {
        Activity {
            tid,
            ..Activity::default()
        }
    }

    #[test]
    fn a_blocking_thread_works_for_the_request_it_read() {
        let mut threads = Threads::default();
        threads.read(&on(1), A, 10, 0);
        assert_eq!(threads.handling(&on(1), 0), Some(A));
        assert_eq!(threads.handling(&on(2), 0), None);
        threads.ended(1, A);
        assert_eq!(threads.handling(&on(1), 0), None);
        threads.read(&on(1), B, 20, 0);
        assert_eq!(threads.handling(&on(1), 0), Some(B));
    }

    #[test]
    fn nothing_is_proven_by_a_thread_that_waits_polls_or_hands_over() {
        let mut threads = Threads::default();
        threads.read(
            &Activity {
                nonblocking: true,
                ..on(1)
            },
            A,
            10,
            0,
        );
        assert_eq!(threads.handling(&on(1), 0), None);
        threads.read(&on(2), A, 10, 0);
        assert_eq!(
            threads.handling(
                &Activity {
                    last_wait_ns: 11,
                    ..on(2)
                },
                0
            ),
            None
        );
        assert_eq!(
            threads.handling(
                &Activity {
                    last_wait_ns: 9,
                    ..on(2)
                },
                0
            ),
            Some(A)
        );
        assert_eq!(threads.handling(&on(2), 1), None, "something was lost");
        threads.read(&on(2), B, 12, 0);
        assert_eq!(threads.handling(&on(2), 0), None);
        threads.ended(2, A);
        assert_eq!(
            threads.handling(&on(2), 0),
            None,
            "it has handed a request over before"
        );
    }
}
