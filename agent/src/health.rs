//! The ledger: at each stage `in = out + dropped{reason}`, counted where it happens, never
//! computed as a difference. Cheap enough for the hot path (relaxed atomics), shared by reference.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Declares an enum whose values have a ledger name.
macro_rules! named {
    ($(#[$doc:meta])* $t:ident { $($(#[$vdoc:meta])* $v:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(usize)]
        pub enum $t { $($(#[$vdoc])* $v,)+ }
        impl $t {
            /// All values, in order.
            pub const ALL: &'static [Self] = &[$(Self::$v),+];
            /// The name in the ledger.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$v => $name,)+ }
            }
        }
    };
}

named! {
    /// Where something is counted, and in which unit.
    Stage {
        /// Ring buffer and recordings: records.
        Source = "source",
        /// Event-time order: records.
        Order = "order",
        /// Connections: segments.
        Connection = "connection",
        /// Parser: requests (in: header blocks parsed; out: transactions ended).
        Protocol = "protocol",
        /// Spans: in: transactions; out: spans made.
        Span = "span",
        /// Sampling: spans.
        Sampling = "sampling",
        /// Export: spans (out: accepted by the backend).
        Export = "export",
    }
}

named! {
    /// Why something was dropped.
    Reason {
        /// A record's bytes made no sense (unknown kind, short).
        BadRecord = "bad_record",
        /// Bytes of a connection whose opening record was lost.
        OpenLost = "open_lost",
        /// The connection was joined in the middle of a message.
        JoinedMidMessage = "joined_mid_message",
        /// A request was already under way when the agent came.
        OpenAtStart = "open_at_start",
        /// The bytes are of no known protocol.
        UnknownProtocol = "unknown_protocol",
        /// The bytes began as a known protocol and broke its rules.
        ParseError = "parse_error",
        /// Bytes that were needed had not been captured.
        NotCaptured = "not_captured",
        /// Bytes were lost on the way (ring full).
        Gap = "gap",
        /// More than a bound allows (header size, open requests, connections).
        OverLimit = "over_limit",
        /// Process not selected.
        NotSelected = "not_selected",
        /// The sampler decided not to keep it.
        SampledOut = "sampled_out",
        /// A queue was full.
        QueueFull = "queue_full",
        /// The backend refused it, or could not be reached in time.
        ExportFailed = "export_failed",
        /// The backend took the request and rejected some of its spans.
        Rejected = "rejected_by_backend",
        /// The agent stopped before it could be sent.
        Shutdown = "shutdown",
    }
}

named! {
    /// What is worth counting and is no loss.
    Note {
        /// Records that came after their time had been processed; still used.
        LateRecords = "late_records",
        /// Times the kernel's ring was found to have refused records.
        RingFullSeen = "ring_full_seen",
        /// Spans written to the console.
        ConsoleSpans = "console_spans",
    }
}

const NOTES: usize = Note::ALL.len();
const STAGES: usize = Stage::ALL.len();
const REASONS: usize = Reason::ALL.len();

/// Counts of one run.
#[derive(Debug)]
pub struct Ledger {
    entered: [AtomicU64; STAGES],
    left: [AtomicU64; STAGES],
    dropped: [[AtomicU64; REASONS]; STAGES],
    notes: [AtomicU64; NOTES],
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            entered: [const { AtomicU64::new(0) }; STAGES],
            left: [const { AtomicU64::new(0) }; STAGES],
            dropped: [const { [const { AtomicU64::new(0) }; REASONS] }; STAGES],
            notes: [const { AtomicU64::new(0) }; NOTES],
        }
    }
}

/// One stage's counts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StageCounts {
    /// Entered.
    #[serde(rename = "in")]
    pub entered: u64,
    /// Went on to the next stage.
    #[serde(rename = "out")]
    pub left: u64,
    /// Dropped, by reason; zeroes left out.
    pub dropped: BTreeMap<String, u64>,
}

impl Ledger {
    /// `n` entered `stage`.
    pub fn enter(&self, stage: Stage, n: u64) {
        self.entered[stage as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// `n` left `stage` for the next one.
    pub fn leave(&self, stage: Stage, n: u64) {
        self.left[stage as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// `n` were dropped at `stage`.
    pub fn lose(&self, stage: Stage, reason: Reason, n: u64) {
        self.dropped[stage as usize][reason as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// Notes `n` of something that is no loss.
    pub fn note(&self, note: Note, n: u64) {
        self.notes[note as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// All notes by name.
    pub fn notes(&self) -> BTreeMap<String, u64> {
        let read = |note: Note| self.notes[note as usize].load(Ordering::Relaxed);
        Note::ALL
            .iter()
            .map(|&note| (note.name().to_owned(), read(note)))
            .collect()
    }

    /// Entered so far.
    pub fn entered(&self, stage: Stage) -> u64 {
        self.entered[stage as usize].load(Ordering::Relaxed)
    }

    /// Left so far.
    pub fn left(&self, stage: Stage) -> u64 {
        self.left[stage as usize].load(Ordering::Relaxed)
    }

    /// Dropped so far, for one reason.
    pub fn dropped(&self, stage: Stage, reason: Reason) -> u64 {
        self.dropped[stage as usize][reason as usize].load(Ordering::Relaxed)
    }

    /// One stage's counts now.
    pub fn counts(&self, stage: Stage) -> StageCounts {
        StageCounts {
            entered: self.entered(stage),
            left: self.left(stage),
            dropped: Reason::ALL
                .iter()
                .map(|&reason| (reason.name().to_owned(), self.dropped(stage, reason)))
                .filter(|(_, n)| *n > 0)
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_told_by_name() {
        let ledger = Ledger::default();
        ledger.enter(Stage::Export, 3);
        ledger.leave(Stage::Export, 2);
        ledger.lose(Stage::Export, Reason::QueueFull, 1);
        let counts = ledger.counts(Stage::Export);
        assert_eq!((counts.entered, counts.left), (3, 2));
        assert_eq!(counts.dropped["queue_full"], 1);
        assert_eq!(counts.dropped.len(), 1);
    }
}
