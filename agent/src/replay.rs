//! Spans from a recorded stream: the live pipeline, without root and without the kernel.

use std::path::Path;
use std::sync::Arc;

use crate::health::{Ledger, Reason, Stage};
use crate::order::Order;
use crate::pipeline::Pipeline;
use crate::source::Event;
use crate::source::recording::{Reader, RecordingError};
use crate::span::model::Span;

/// Replays the recording at `path`; hands finished spans to `sink`.
pub fn replay(
    path: &Path,
    settings: crate::connection::Settings,
    ledger: &Arc<Ledger>,
    sink: impl FnMut(Vec<Span>),
) -> Result<(), RecordingError> {
    let mut reader = Reader::open(path)?;
    let mut record = Vec::new();
    let mut stream = Stream::new(settings, ledger.clone(), sink);
    while reader.next(&mut record)?.is_some() {
        stream.push(&record);
    }
    stream.finish();
    Ok(())
}

/// A stream of records on its way to spans.
pub struct Stream<S> {
    order: Order,
    pipeline: Pipeline,
    ledger: Arc<Ledger>,
    newest_ns: u64,
    sink: S,
}

impl<S: FnMut(Vec<Span>)> Stream<S> {
    /// An empty stream.
    pub fn new(settings: crate::connection::Settings, ledger: Arc<Ledger>, sink: S) -> Self {
        Self {
            order: Order::new(ledger.clone()),
            pipeline: Pipeline::new(settings, ledger.clone()),
            ledger,
            newest_ns: 0,
            sink,
        }
    }

    /// The next record as it was recorded.
    pub fn push(&mut self, record: &[u8]) {
        self.ledger.enter(Stage::Source, 1);
        let Ok(event) = Event::decode(record) else {
            self.ledger.lose(Stage::Source, Reason::BadRecord, 1);
            return;
        };
        self.ledger.leave(Stage::Source, 1);
        self.newest_ns = self.newest_ns.max(event.ktime_ns());
        self.order.push(event);
        while let Some(event) = self.order.pop() {
            self.feed(event);
        }
    }

    /// The stream is over.
    pub fn finish(mut self) {
        while let Some(event) = self.order.take() {
            self.feed(event);
        }
        self.pipeline.finish(self.newest_ns);
        (self.sink)(self.pipeline.take());
    }

    fn feed(&mut self, event: Event) {
        // Time-outs up to now come before what happens now.
        self.pipeline.tick(event.ktime_ns());
        self.pipeline.on_event(event);
        let spans = self.pipeline.take();
        if !spans.is_empty() {
            (self.sink)(spans);
        }
    }
}
