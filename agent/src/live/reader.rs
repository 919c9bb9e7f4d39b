//! The live loop: ring buffer -> order -> pipeline. It comes by itself every few milliseconds (the
//! kernel wakes it only when much has piled up), so that no record costs a wake-up.

use std::collections::HashSet;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aya::maps::{MapData, RingBuf};
use threadline_common::record::{self, Header, KIND_COUNTERS, KIND_PROCESS};
use tracing::warn;

use super::clock;
use super::discovery::{Discovery, Judged, Seen, What};
use super::recorder::Recorder;
use crate::health::{Ledger, Note, Reason, Stage};
use crate::hook::counters::Counters;
use crate::order::Order;
use crate::pipeline::{Loss, Pipeline};
use crate::source::{Event, json_record};
use crate::span::model::Span;

/// Longest sleep between two looks at the ring.
const PERIOD: Duration = Duration::from_millis(5);
/// How often the clocks are read and recorded.
const CLOCK_PERIOD_NS: u64 = 1_000_000_000;

/// Everything the loop owns.
pub struct Reader {
    /// The kernel programs' records.
    pub ring: RingBuf<MapData>,
    /// The kernel programs' counters.
    pub counters: Arc<Counters>,
    /// Who the processes are.
    pub discovery: Discovery,
    /// From records to spans.
    pub pipeline: Pipeline,
    /// Copy of the stream, where asked for.
    pub recorder: Option<Recorder>,
    /// Counts.
    pub ledger: Arc<Ledger>,
    /// Machine's boot id.
    pub boot_id: [u8; 16],
    /// Processes selected, for `status`.
    pub processes: super::report::Processes,
    /// Processes that ran before, already handed to discovery.
    pub running: Vec<u32>,
}

/// Text in front of the first NUL.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}

/// Copies the next record out of the ring, whose room is free again then.
fn take_record(ring: &mut RingBuf<MapData>, record: &mut Vec<u8>) -> bool {
    let Some(item) = ring.next() else {
        return false;
    };
    record.clear();
    record.extend_from_slice(&item);
    true
}

/// State of one run of the loop.
struct Turn {
    order: Order,
    known: HashSet<u32>,
    skipped: HashSet<u32>,
    /// Skipped for now: asked about again at each new connection.
    undecided: HashSet<u32>,
    refused: u64,
    last_pass_ns: u64,
    clock_due_ns: u64,
    record: Vec<u8>,
}

impl Reader {
    /// Runs until `stop` is set or `until` has come; hands finished spans to `sink`.
    pub fn run(
        mut self,
        stop: &AtomicBool,
        until: Option<Instant>,
        mut sink: impl FnMut(Vec<Span>),
    ) -> Option<Recorder> {
        let mut turn = Turn {
            order: Order::new(self.ledger.clone()),
            known: self.running.drain(..).collect(),
            skipped: HashSet::new(),
            undecided: HashSet::new(),
            refused: self.counters.refused(),
            last_pass_ns: clock::monotonic_ns(),
            clock_due_ns: 0,
            record: Vec::new(),
        };
        while !stop.load(Ordering::Relaxed) && until.is_none_or(|until| Instant::now() < until) {
            let drained = self.pass(&mut turn);
            let spans = self.pipeline.take();
            if !spans.is_empty() {
                sink(spans);
            }
            if drained < 64 {
                self.sleep();
            }
        }
        // First nothing more is written, then what was written is read to the end.
        self.discovery.detach();
        while self.pass(&mut turn) > 0 {}
        turn.order.hold_after(u64::MAX);
        while let Some(event) = turn.order.take() {
            self.feed(event, &mut turn);
        }
        self.pipeline.finish(clock::monotonic_ns());
        sink(self.pipeline.take());
        self.report_spans();
        self.recorder
    }

    /// What the span stage counts, for `status`.
    fn report_spans(&self) {
        let counts = self.pipeline.span_counters().all();
        self.processes.set_counts(
            counts
                .into_iter()
                .map(|(name, n)| (name.to_owned(), n))
                .collect(),
        );
    }

    /// One look at everything that waits; how many records there were.
    fn pass(&mut self, turn: &mut Turn) -> usize {
        let now = clock::monotonic_ns();
        if now >= turn.clock_due_ns {
            turn.clock_due_ns = now + CLOCK_PERIOD_NS;
            self.report_spans();
            self.accept(record::bytes_of(&clock::clock_record(self.boot_id)), turn);
        }
        self.note_loss(now, turn);
        // What comes now may have holes that only the next look will tell of.
        turn.order.hold_after(now);
        while let Ok(judged) = self.discovery.judged.try_recv() {
            self.judged(judged, turn);
        }
        let mut record = std::mem::take(&mut turn.record);
        let mut n = 0;
        while take_record(&mut self.ring, &mut record) {
            self.accept(&record, turn);
            n += 1;
            if n >= 65_536 {
                break;
            }
        }
        turn.record = record;
        if n < 65_536 {
            turn.order.advance(now);
        }
        while let Some(event) = turn.order.pop() {
            self.feed(event, turn);
        }
        self.pipeline.tick(turn.order.watermark_ns());
        turn.last_pass_ns = now;
        n
    }

    fn note_loss(&mut self, now: u64, turn: &mut Turn) {
        let refused = self.counters.refused();
        if refused == turn.refused {
            return;
        }
        let loss = Loss {
            refused: refused - turn.refused,
            until_ns: now,
        };
        turn.refused = refused;
        self.ledger.note(Note::RingFullSeen, 1);
        warn!(
            records = loss.refused,
            "the ring was full; raise --ring-bytes if this goes on"
        );
        if let Ok(json) = serde_json::to_vec(&loss) {
            self.accept(
                &json_record(KIND_COUNTERS, 0, turn.last_pass_ns, &json),
                turn,
            );
        }
    }

    /// Decodes a record and puts it in order; a process not seen before is looked at.
    fn accept(&mut self, bytes: &[u8], turn: &mut Turn) {
        self.ledger.enter(Stage::Source, 1);
        match Event::decode(bytes) {
            Ok(event) => {
                self.ledger.leave(Stage::Source, 1);
                self.discover(&event, turn);
                turn.order.push(event);
            }
            Err(_) => self.ledger.lose(Stage::Source, Reason::BadRecord, 1),
        }
    }

    fn discover(&mut self, event: &Event, turn: &mut Turn) {
        let Header { tgid, ktime_ns, .. } = *event.header();
        let mut seen = Seen {
            tgid,
            ktime_ns,
            comm: String::new(),
            exe: String::new(),
            what: What::Process,
        };
        match event {
            Event::Exec(exec) => {
                seen.comm = text(&exec.comm);
                seen.exe = text(&exec.path);
                turn.skipped.remove(&tgid);
                turn.undecided.remove(&tgid);
            }
            Event::Open(_) if turn.undecided.contains(&tgid) => {}
            Event::Mapped(_) => {
                if !turn.known.contains(&tgid) || turn.skipped.contains(&tgid) {
                    return;
                }
                seen.what = What::Libraries;
            }
            Event::Exit(_) => {
                turn.known.remove(&tgid);
                turn.skipped.remove(&tgid);
                turn.undecided.remove(&tgid);
                self.processes.remove(tgid);
                seen.what = What::Ended;
                self.discovery.look_at(seen);
                return;
            }
            // Softirq records name whoever ran; agent records name nobody.
            Event::Close(_) | Event::Clock(_) | Event::Process(..) | Event::Counters(..) => return,
            _ if turn.known.contains(&tgid) => return,
            _ => {}
        }
        if self.discovery.look_at(seen) {
            turn.known.insert(tgid);
        }
    }

    fn judged(&mut self, judged: Judged, turn: &mut Turn) {
        match judged {
            Judged::Skipped { tgid, for_good } => {
                turn.skipped.insert(tgid);
                if !for_good {
                    turn.undecided.insert(tgid);
                }
            }
            Judged::Selected(ktime_ns, facts) => {
                turn.known.insert(facts.tgid);
                turn.skipped.remove(&facts.tgid);
                turn.undecided.remove(&facts.tgid);
                if let Ok(json) = serde_json::to_vec(&facts) {
                    let bytes = json_record(KIND_PROCESS, facts.tgid, ktime_ns, &json);
                    self.accept(&bytes, turn);
                }
                self.processes.insert(*facts);
            }
        }
    }

    fn feed(&mut self, event: Event, turn: &mut Turn) {
        let unselected = turn.skipped.contains(&event.header().tgid);
        if unselected && !matches!(event, Event::Close(_)) {
            if matches!(event, Event::Segment(..)) {
                self.ledger.enter(Stage::Connection, 1);
                self.ledger.lose(Stage::Connection, Reason::NotSelected, 1);
            }
            return;
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.record(&event);
        }
        // Time-outs up to now come before what happens now, in a replay as well.
        self.pipeline.tick(event.ktime_ns());
        self.pipeline.on_event(event);
    }

    /// Sleeps until the ring is worth a look.
    fn sleep(&self) {
        let mut wait = libc::pollfd {
            fd: self.ring.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let millis = i32::try_from(PERIOD.as_millis()).unwrap_or(5);
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&raw mut wait, 1, millis) };
    }
}
