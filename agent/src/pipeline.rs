//! From ordered records to finished spans: connection -> protocol -> span. Live and replay run the
//! same code; nothing here knows where the records came from.

use std::sync::Arc;

use crate::connection::transaction::Progress;
use crate::connection::{Connections, Input};
use crate::health::Ledger;
use crate::source::Event;
use crate::span::Spans;
use crate::span::model::Span;

/// Everything between the order of records and the exporters.
pub struct Pipeline {
    connections: Connections,
    spans: Spans,
    /// Records of up to this time may be missing.
    lossy_until_ns: u64,
    progress: Vec<Progress>,
}

/// What a counters record says of a loss.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Loss {
    /// Records the ring refused between the record's time and `until_ns`.
    pub refused: u64,
    /// End of that time, monotonic nanoseconds.
    pub until_ns: u64,
}

impl Pipeline {
    /// Empty. `settings` are those of the connection stage.
    pub fn new(settings: crate::connection::Settings, ledger: Arc<Ledger>) -> Self {
        Self {
            connections: Connections::new(settings, ledger.clone()),
            spans: Spans::new(ledger),
            lossy_until_ns: 0,
            progress: Vec::new(),
        }
    }

    /// One record, in event-time order.
    pub fn on_event(&mut self, event: Event) {
        if event.ktime_ns() <= self.lossy_until_ns {
            // What a missing record would have said cannot be told from what is here: nothing
            // known so far proves anything for this event.
            self.spans.on_loss(event.ktime_ns());
        }
        match event {
            Event::Open(open) => {
                self.spans.on_open(&open);
                self.connection(Input::Open(open));
            }
            Event::Close(close) => self.connection(Input::Close(close)),
            Event::Segment(segment, payload) => {
                self.connection(Input::Segment(segment, payload));
            }
            Event::Short(short) => self.connection(Input::Short(short)),
            Event::Halt(halt) => self.connection(Input::Halt(halt)),
            Event::Exec(exec) => self.spans.on_exec(exec.header.tgid, exec.header.ktime_ns),
            Event::Exit(header) => {
                self.connection(Input::Exit(header.tgid, header.ktime_ns));
                self.spans.on_exit(header.tgid, header.ktime_ns);
            }
            Event::GoServe(serve) => self.spans.on_go_serve(&serve),
            Event::GoCall(call) => self.spans.on_go_call(&call),
            Event::GoConn(conn) => self.spans.on_go_conn(&conn),
            Event::GoRoute(route, pattern) => self.spans.on_go_route(&route, &pattern),
            Event::GoExit(exit) => {
                self.spans
                    .on_go_exit(exit.header.tgid, exit.goid, exit.header.ktime_ns);
            }
            Event::Clock(clock) => self.spans.on_clock(&clock),
            Event::Process(_, facts) => self.spans.on_process(&facts),
            Event::Counters(header, json) => {
                if let Ok(loss) = serde_json::from_slice::<Loss>(&json) {
                    self.lossy_until_ns = self.lossy_until_ns.max(loss.until_ns);
                    self.spans.on_loss(header.ktime_ns);
                }
            }
            Event::Mapped(_) => {}
        }
    }

    /// Event time has reached `ktime_ns`.
    pub fn tick(&mut self, ktime_ns: u64) {
        self.connection(Input::Tick(ktime_ns));
        self.spans.tick(ktime_ns);
    }

    /// Nothing comes any more: what is open is told as open.
    pub fn finish(&mut self, ktime_ns: u64) {
        let mut progress = std::mem::take(&mut self.progress);
        self.connections.flush_open(ktime_ns, &mut progress);
        self.hand_over(progress);
        self.spans.finish();
    }

    /// What the span stage counts beside the ledger.
    pub fn span_counters(&self) -> crate::span::Counters {
        self.spans.counters()
    }

    /// Spans finished since the last call.
    pub fn take(&mut self) -> Vec<Span> {
        self.spans.take()
    }

    fn connection(&mut self, input: Input) {
        let mut progress = std::mem::take(&mut self.progress);
        self.connections.push(input, &mut progress);
        self.hand_over(progress);
    }

    /// Hands progress on; the vector is used again.
    fn hand_over(&mut self, mut progress: Vec<Progress>) {
        for step in progress.drain(..) {
            self.spans.on_progress(step);
        }
        self.progress = progress;
    }
}
