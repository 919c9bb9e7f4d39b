//! The bounded queue between the pipeline's thread and an exporter's thread. Handing over never
//! waits; what does not fit is dropped and counted. Bounded in spans and in bytes, because the
//! names and paths in spans come from traced programs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use super::books::Books;
use crate::health::{Ledger, Reason};
use crate::span::model::{Attribute, Link, Span, Status, Value};

/// Bound of a queue's estimated size in memory, whatever its bound in spans.
pub(super) const MAX_QUEUE_BYTES: usize = 64 << 20;

/// Estimated size of a batch that is not exceeded unless a single span does: receivers refuse
/// gRPC messages over 4 MiB by default.
pub(super) const MAX_BATCH_BYTES: usize = 2 << 20;

/// How spans are cut into batches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Most spans of a batch.
    pub(super) spans: usize,
    /// How long a span waits for company.
    pub(super) delay: Duration,
}

/// Spans on their way to one exporter.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    capacity: usize,
    cut: Cut,
    news: Notify,
    closing: watch::Sender<Option<Instant>>,
    /// The exporter's counts.
    pub(super) books: Books,
}

#[derive(Debug, Default)]
struct State {
    spans: VecDeque<(Span, usize)>,
    bytes: usize,
    waiting_since: Option<Instant>,
    closed: bool,
}

impl Queue {
    /// A queue of at most `capacity` spans.
    pub(super) fn new(capacity: usize, cut: Cut, ledger: Arc<Ledger>) -> Self {
        Self {
            state: Mutex::default(),
            capacity,
            cut,
            news: Notify::new(),
            closing: watch::Sender::new(None),
            books: Books::new(ledger),
        }
    }

    /// Takes in what fits and counts the rest as dropped.
    pub(super) fn push(&self, spans: Vec<Span>) {
        let mut incoming = spans
            .into_iter()
            .map(|span| {
                let size = estimated_size(&span);
                (span, size)
            })
            .peekable();
        let wake = {
            let mut state = self.lock();
            let before = state.spans.len();
            let bytes_before = state.bytes;
            while let Some((_, size)) = incoming.peek() {
                if state.closed
                    || state.spans.len() >= self.capacity
                    || state.bytes + size > MAX_QUEUE_BYTES
                {
                    break;
                }
                state.bytes += size;
                state.spans.extend(incoming.next());
            }
            let after = state.spans.len();
            if before == 0 && after > 0 {
                state.waiting_since = Some(Instant::now());
            }
            // Counted under the lock: the other end must not report a span before it is known.
            self.books.admit((after - before) as u64);
            let reason = if state.closed {
                Reason::Shutdown
            } else {
                Reason::QueueFull
            };
            self.books.refuse(incoming.len() as u64, reason);
            // Each wake costs a switch of threads: only the first span and a full batch do it.
            (before == 0 && after > 0)
                || (before < self.cut.spans && after >= self.cut.spans)
                || (bytes_before < MAX_BATCH_BYTES && state.bytes >= MAX_BATCH_BYTES)
        };
        if wake {
            self.news.notify_one();
        }
    }

    /// The next batch, when it is full or its oldest span has waited long enough. `None` once the
    /// queue is closed and empty. Nothing is lost when the future is dropped.
    pub(super) async fn next(&self) -> Option<Vec<Span>> {
        loop {
            let due = {
                let mut state = self.lock();
                let due = state.waiting_since.map(|since| since + self.cut.delay);
                let full = state.spans.len() >= self.cut.spans || state.bytes >= MAX_BATCH_BYTES;
                if state.closed || full || due.is_some_and(|due| due <= Instant::now()) {
                    return state.take(self.cut.spans);
                }
                due
            };
            match due {
                Some(due) => {
                    // Timing out is the other way to become due: the loop looks again.
                    let _ = timeout_at(due, self.news.notified()).await;
                }
                None => self.news.notified().await,
            }
        }
    }

    /// Takes no more spans; what is in it may be sent until `deadline`.
    pub(super) fn close(&self, deadline: Instant) {
        self.lock().closed = true;
        self.closing.send_replace(Some(deadline));
        self.news.notify_one();
    }

    /// Tells when the queue was closed, and until when its rest may be sent.
    pub(super) fn closing(&self) -> watch::Receiver<Option<Instant>> {
        self.closing.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// `None`: empty.
    fn take(&mut self, most: usize) -> Option<Vec<Span>> {
        let mut batch = Vec::with_capacity(most.min(self.spans.len()));
        let mut bytes = 0;
        while let Some((_, size)) = self.spans.front() {
            if batch.len() >= most || (bytes > 0 && bytes + size > MAX_BATCH_BYTES) {
                break;
            }
            bytes += size;
            batch.extend(self.spans.pop_front().map(|(span, _)| span));
        }
        self.bytes -= bytes;
        self.waiting_since = (!self.spans.is_empty()).then(Instant::now);
        (!batch.is_empty()).then_some(batch)
    }
}

/// What a span holds in memory and, near enough, on the wire; its resource is shared.
fn estimated_size(span: &Span) -> usize {
    let error = match &span.status {
        Status::Unset => 0,
        Status::Error(message) => message.len(),
    };
    size_of::<Span>()
        + span.name.len()
        + span.trace_state.len()
        + error
        + attributes_size(&span.attributes)
        + span
            .links
            .iter()
            .map(|link| size_of::<Link>() + attributes_size(&link.attributes))
            .sum::<usize>()
}

fn attributes_size(attributes: &[Attribute]) -> usize {
    size_of_val(attributes)
        + attributes
            .iter()
            .map(|(_, value)| match value {
                Value::String(text) => text.len(),
                _ => 0,
            })
            .sum::<usize>()
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
