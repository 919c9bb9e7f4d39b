//! The running agent: loads the kernel programs, finds processes, reads the ring, makes spans.

pub mod clock;
pub mod discovery;
pub mod reader;
pub mod recorder;
pub mod report;
pub mod sweep;

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use aya::maps::{HashMap as BpfHashMap, MapData};
use threadline_common::map::{PROCESS_SKIP, Process, Settings as KernelSettings};
use tracing::warn;

use crate::config::{CaptureSettings, SpanSettings};
use crate::health::Ledger;
use crate::hook::counters::Counters;
use crate::hook::golang::{Binaries, Shared};
use crate::hook::load::{self, LoadError};
use crate::pipeline::Pipeline;
use crate::process;
use crate::span::model::Span;

use discovery::{BinaryReport, Discovery, Seen, What, Who};
use reader::Reader;
use recorder::Recorder;
use report::Processes;
use sweep::Sweeper;

/// Why the agent could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The kernel programs.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A map.
    #[error("cannot tell the kernel programs which process this is: {0}")]
    Map(#[from] aya::maps::MapError),
    /// A thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// What is loaded and attached, ready to run.
pub struct Live {
    reader: Reader,
    /// The kernel programs' counters.
    pub counters: Arc<Counters>,
    /// Selected processes.
    pub processes: Processes,
    /// Go binaries met.
    pub binaries: Arc<std::sync::Mutex<Vec<BinaryReport>>>,
}

/// Connection stage settings from the user's.
pub fn connection_settings(spans: &SpanSettings) -> crate::connection::Settings {
    crate::connection::Settings {
        long_after_ns: u64::try_from(spans.long_after.as_nanos()).unwrap_or(u64::MAX),
        redact_query: spans.queries == crate::config::Queries::Redact,
    }
}

impl Live {
    /// Loads and attaches everything; looks at the processes that run already.
    pub fn start(
        capture: &CaptureSettings,
        spans: &SpanSettings,
        who: Who,
        recorder: Option<Recorder>,
        ledger: Arc<Ledger>,
    ) -> Result<Self, StartError> {
        let settings = KernelSettings {
            max_bytes: u64::from(capture.max_bytes),
            wake_bytes: u64::from(capture.ring_bytes / 4),
        };
        let mut ebpf = load::load(settings, capture.ring_bytes)?;
        let mut table: BpfHashMap<MapData, u32, Shared<Process>> =
            load::map(&mut ebpf, "PROCESSES")?;
        let me = std::process::id();
        table.insert(
            me,
            Shared(Process {
                flags: PROCESS_SKIP,
                binary: 0,
            }),
            0,
        )?;
        let counters = Arc::new(Counters::new(&mut ebpf)?);
        let ring = load::map(&mut ebpf, "RECORDS_RING")?;
        let mut binaries = Binaries::new(&mut ebpf, capture.uprobes)?;
        // Its other commands, `status` above all, are not traced either.
        if let Ok(own) = File::open("/proc/self/exe")
            && let Err(error) = binaries.skip(&own)
        {
            warn!(%error, "threadline's own commands will be traced");
        }
        let sweeper = Sweeper::new(&mut ebpf)?;
        load::attach(&mut ebpf)?;

        let boot_id = clock::boot_id();
        let discovery = Discovery::start(ebpf, binaries, sweeper, table, who)?;
        let report = discovery.binaries.clone();
        let processes = Processes::default();
        let now = clock::monotonic_ns();
        let running: Vec<u32> = process::scan().filter(|tgid| *tgid != me).collect();
        for &tgid in &running {
            let seen = Seen {
                tgid,
                ktime_ns: now,
                comm: String::new(),
                exe: String::new(),
                what: What::Process,
            };
            discovery.look_at(seen);
        }
        let reader = Reader {
            ring,
            counters: counters.clone(),
            discovery,
            pipeline: Pipeline::new(connection_settings(spans), ledger.clone()),
            recorder,
            ledger,
            boot_id,
            processes: processes.clone(),
            running,
        };
        Ok(Self {
            reader,
            counters,
            processes,
            binaries: report,
        })
    }

    /// Runs until `stop` is set or `until` has come; hands finished spans to `sink`. Everything is
    /// detached when it returns.
    pub fn run(
        self,
        stop: &AtomicBool,
        until: Option<Instant>,
        sink: impl FnMut(Vec<Span>),
    ) -> std::io::Result<()> {
        let recorder = self.reader.run(stop, until, sink);
        recorder.map_or(Ok(()), Recorder::finish)
    }
}
