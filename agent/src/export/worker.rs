//! An exporter's own thread: it empties the queue until that is closed and its rest sent, or the
//! deadline has come.

use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use super::queue::Queue;
use crate::span::model::Span;

/// How much longer than its deadline a worker may take to notice it.
const GRACE: Duration = Duration::from_millis(100);

/// One running exporter.
#[derive(Debug)]
pub(super) struct Worker {
    queue: Arc<Queue>,
    stopped: mpsc::Receiver<()>,
}

/// A runtime for a worker's thread.
pub(super) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

impl Worker {
    /// Runs `work` on a thread of its own. It has to end soon after the queue's deadline.
    pub(super) fn spawn<F>(
        name: &str,
        queue: Arc<Queue>,
        runtime: Runtime,
        work: F,
    ) -> io::Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (done, stopped) = mpsc::channel();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                // Dropped at the end, also of a panic; the other side sees it.
                let _done: mpsc::Sender<()> = done;
                runtime.block_on(work);
                // A name look-up may hang for long: it is not waited for.
                runtime.shutdown_background();
            })?;
        Ok(Self { queue, stopped })
    }

    /// Hands spans over; never waits.
    pub(super) fn send(&self, spans: Vec<Span>) {
        self.queue.push(spans);
    }

    /// No more spans; what is there may be sent until `deadline`.
    pub(super) fn close(&self, deadline: Instant) {
        self.queue.close(deadline);
    }

    /// Waits for the end of the work, not longer than `deadline`, and settles the books.
    pub(super) fn join(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        // Either way the work is over, or given up: a console may hang in a write for ever.
        let _ = self.stopped.recv_timeout(left + GRACE);
        self.queue.books.settle();
    }

    /// Spans whose fate is open.
    pub(super) fn pending(&self) -> u64 {
        self.queue.books.pending()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.close(Instant::now());
        self.join(Instant::now());
    }
}
