//! The console exporter: trace trees for people, JSON lines for programs.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::look::Look;
use super::queue::Queue;
use super::settings::Output;
use super::tree::{Trace, Trees};
use super::{json, render};
use crate::health::Reason;
use crate::span::model::Span;

/// How often traces are looked through for complete ones.
const TICK: Duration = Duration::from_millis(50);

/// Writes spans to `out` and counts them.
struct Console<W> {
    out: W,
    queue: Arc<Queue>,
    output: Output,
    look: fn() -> Look,
    trees: Trees,
    /// Nobody reads any more.
    closed: bool,
}

/// Writes what `queue` gives to standard output until it is closed and empty.
pub(super) async fn run(queue: Arc<Queue>, output: Output) {
    run_on(io::stdout(), queue, output, Look::of_stdout).await;
}

async fn run_on<W: Write>(out: W, queue: Arc<Queue>, output: Output, look: fn() -> Look) {
    let mut console = Console {
        out,
        queue: Arc::clone(&queue),
        output,
        look,
        trees: Trees::default(),
        closed: false,
    };
    loop {
        match timeout(TICK, queue.next()).await {
            Ok(Some(spans)) => console.take(spans, Instant::now()),
            Ok(None) => break,
            Err(_) => {}
        }
        let due = console.trees.due(Instant::now());
        console.print(due);
    }
    let rest = console.trees.rest();
    console.print(rest);
}

impl<W: Write> Console<W> {
    fn take(&mut self, spans: Vec<Span>, now: Instant) {
        match self.output {
            Output::Json => self.lines(&spans),
            Output::Trees => {
                let trees = &mut self.trees;
                let full = spans.into_iter().filter_map(|span| trees.add(span, now));
                let full = full.collect();
                self.print(full);
            }
        }
    }

    fn lines(&mut self, spans: &[Span]) {
        let mut text = String::new();
        let mut written = 0;
        for line in spans.iter().filter_map(|span| json::line(span).ok()) {
            text.push_str(&line);
            text.push('\n');
            written += 1;
        }
        self.write(&text, written);
        let unwritten = spans.len() as u64 - written;
        self.queue.books.lost(unwritten, Reason::ExportFailed);
    }

    fn print(&mut self, traces: Vec<Trace>) {
        for trace in traces {
            let text = render::render(&trace, (self.look)());
            self.write(&text, trace.spans.len() as u64);
        }
    }

    /// Counted when it is out, not when it is in a buffer.
    fn write(&mut self, text: &str, spans: u64) {
        if !self.closed {
            let out = &mut self.out;
            match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
                Ok(()) => return self.queue.books.left(spans),
                Err(error) => self.close(&error),
            }
        }
        self.queue.books.lost(spans, Reason::ExportFailed);
    }

    /// A reader that left (`| head`) is no error; anything else is told, once.
    fn close(&mut self, error: &io::Error) {
        self.closed = true;
        if error.kind() != ErrorKind::BrokenPipe {
            tracing::warn!("cannot write spans to standard output: {error}");
        }
    }
}

#[cfg(test)]
#[path = "console_tests.rs"]
mod tests;
