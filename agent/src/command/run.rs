//! `threadline run` and `threadline record`.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use threadline::cli::{Exit, Invocation, RecordArgs, RunArgs};
use threadline::config::{AgentSettings, Backend, CaptureSettings, SelectSettings, SpanSettings};
use threadline::export::{self, Exporters};
use threadline::health::{Ledger, Reason, Stage};
use threadline::hook::counters::Counters;
use threadline::instance::{InstanceLock, LockError};
use threadline::live::discovery::{BinaryReport, Who};
use threadline::live::recorder::Recorder;
use threadline::live::report::{Processes, service};
use threadline::live::{Live, StartError};
use threadline::plan;
use threadline::preflight::{self, Machine};
use threadline::process::targets::Targets;
use threadline::process::{Host, ResourceOptions};
use threadline::status::{
    FeatureStatus, ProcessStatus, ProgramStatus, Status, StatusServer, own_cost,
};
use tracing::{info, warn};

use super::{Failure, exporters};

/// How long the last spans may take to leave.
const FLUSH: Duration = Duration::from_secs(5);
/// Processes that `status` lists by name.
const LISTED: usize = 1_000;

pub fn run(invocation: &Invocation, args: &RunArgs) -> Result<(), Failure> {
    let settings = exporters(invocation, args.settings.output.output)?;
    let recording = args.record.as_deref().map(|file| (file, args.record_raw));
    agent(&Job {
        invocation,
        select: &args.settings.select,
        capture: &args.settings.capture,
        spans: &args.settings.spans,
        agent: &args.settings.agent,
        export: settings,
        recording,
        run_for: args.for_,
        status_file: args.status_file.as_deref(),
    })
}

pub fn record(invocation: &Invocation, args: &RecordArgs) -> Result<(), Failure> {
    // Spans go nowhere; they are made all the same, so that the ledger tells what was seen.
    let settings = exporters(invocation, Some(threadline::config::Output::None))?;
    let spans = SpanSettings {
        long_after: Duration::from_secs(60),
        queries: threadline::config::Queries::Redact,
    };
    agent(&Job {
        invocation,
        select: &args.select,
        capture: &args.capture,
        spans: &spans,
        agent: &args.agent,
        export: settings,
        recording: Some((&args.file, args.record_raw)),
        run_for: args.for_,
        status_file: None,
    })
}

/// What the agent is to do.
struct Job<'a> {
    invocation: &'a Invocation,
    select: &'a SelectSettings,
    capture: &'a CaptureSettings,
    spans: &'a SpanSettings,
    agent: &'a AgentSettings,
    export: export::Settings,
    recording: Option<(&'a Path, bool)>,
    run_for: Option<Duration>,
    status_file: Option<&'a Path>,
}

fn agent(job: &Job<'_>) -> Result<(), Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second one ends the process at once: whoever asks twice does not want to wait.
        signal_hook::flag::register_conditional_shutdown(signal, 130, stop.clone())
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
            .map_err(|error| Failure::new(Exit::Failure, &error))?;
    }
    permitted(job.capture)?;
    let _lock = lock(&job.agent.socket)?;

    let ledger = Arc::new(Ledger::default());
    let recorder = job.recording.map(create).transpose()?;
    let who = who(job.invocation, job.select, &job.export)?;
    info!("loading the kernel programs");
    let live = Live::start(job.capture, job.spans, who, recorder, ledger.clone())
        .map_err(|error| start_failure(&error))?;
    let exporters = export::start(&job.export, ledger.clone())
        .map_err(|error| Failure::new(Exit::Failure, &error))?;
    let status = Arc::new(Reporter::new(ledger, &live, job.capture.uprobes));
    let answering = status.clone();
    let _server = StatusServer::start(&job.agent.socket, move || answering.status())
        .map_err(|error| warn!(%error, "`threadline status` will not work"))
        .ok();
    announce(job);

    let until = job.run_for.map(|run_for| Instant::now() + run_for);
    let ran = live.run(&stop, until, |spans| exporters.send(spans));
    end(job, &exporters, &status);
    ran.map_err(|error| Failure::new(Exit::Failure, &error))
}

fn end(job: &Job<'_>, exporters: &Exporters, status: &Reporter) {
    info!("detached; sending the last spans");
    exporters.shutdown(FLUSH);
    let told = status.status();
    let lost: u64 = told.spans_lost.values().sum();
    info!(
        requests = told.requests_seen,
        spans = told.spans_exported,
        lost,
        reasons = ?told.spans_lost,
        "done"
    );
    if let Some(file) = job.status_file {
        let json = serde_json::to_vec_pretty(&told).unwrap_or_default();
        if let Err(error) = std::fs::write(file, json) {
            warn!(%error, file = %file.display(), "cannot write the status");
        }
    }
}

/// Says before anything is loaded what is missing and what helps.
fn permitted(capture: &CaptureSettings) -> Result<(), Failure> {
    if let Backend::Fentry | Backend::Kprobe = capture.backend {
        return Err(Failure {
            exit: Exit::NotPermitted,
            text: format!("the {} back end is not built yet", capture.backend.name()),
            remedy: Some("use --backend auto or tracepoint".into()),
        });
    }
    let checks = preflight::checks(&Machine::read(), capture.ring_bytes);
    let missing: Vec<_> = checks
        .iter()
        .filter(|check| check.required && !check.ok)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let text: Vec<_> = missing
        .iter()
        .map(|check| format!("{}: {}", check.name, check.detail))
        .collect();
    let mut remedies: Vec<&str> = missing.iter().map(|check| check.remedy.as_str()).collect();
    remedies.dedup();
    Err(Failure {
        exit: Exit::NotPermitted,
        text: text.join("\n       "),
        remedy: Some(remedies.join("\n  ")),
    })
}

fn lock(socket: &Path) -> Result<InstanceLock, Failure> {
    InstanceLock::acquire(socket).map_err(|error| match &error {
        LockError::Held { .. } => Failure::new(Exit::AlreadyRuns, &error)
            .remedy("stop it, or give this one another --socket"),
        _ if error.is_permission() => Failure::new(Exit::NotPermitted, &error),
        _ => Failure::new(Exit::Failure, &error),
    })
}

fn create((file, raw): (&Path, bool)) -> Result<Recorder, Failure> {
    Recorder::create(file, raw).map_err(|error| {
        let mut failure = Failure::new(Exit::Failure, &error);
        failure.text = format!("cannot write {}: {}", file.display(), failure.text);
        failure
    })
}

/// Whom to select, and what to say of them; also for `plan`.
pub fn who(
    invocation: &Invocation,
    select: &SelectSettings,
    export: &export::Settings,
) -> Result<Who, Failure> {
    let mut targets = Targets::parse(&select.targets)
        .map_err(|error| Failure::new(Exit::Usage, &error))?
        .without_agent(std::process::id());
    let endpoint = &export.otlp.endpoint;
    let local = matches!(
        endpoint.host_str(),
        Some("localhost" | "127.0.0.1" | "[::1]")
    );
    if let Some(port) = endpoint.port_or_known_default()
        && local
        && export.exporters.contains(&export::Kind::Otlp)
    {
        targets = targets.without_exporter(vec![port]);
    }
    let operator = invocation
        .otel("OTEL_RESOURCE_ATTRIBUTES")
        .unwrap_or_default();
    Ok(Who {
        targets,
        host: Host::read(&operator),
        options: ResourceOptions {
            command_args: select.command_args,
        },
    })
}

fn start_failure(error: &StartError) -> Failure {
    let text = error.to_string();
    let exit = match error {
        StartError::Load(_) | StartError::Map(_) => Exit::NotPermitted,
        StartError::Thread(_) => Exit::Failure,
    };
    // The verifier's log runs to thousands of lines; its end says what it did not like.
    let mut failure = Failure::new(exit, error);
    let lines: Vec<&str> = failure.text.lines().collect();
    if lines.len() > 12 {
        let (head, tail) = (lines[0], &lines[lines.len() - 8..]);
        failure.text = format!("{head}\n       ...\n       {}", tail.join("\n       "));
    }
    if text.contains("Operation not permitted") {
        failure = failure.remedy("run as root, or see `threadline plan` for what is missing");
    }
    failure
}

fn announce(job: &Job<'_>) {
    let what = match job.select.targets.as_slice() {
        [] => "every process of this node".to_owned(),
        targets => targets.join(", "),
    };
    let to: Vec<String> = job
        .export
        .exporters
        .iter()
        .map(|kind| match kind {
            export::Kind::Otlp => job.export.otlp.shown_endpoint(),
            export::Kind::Console => "standard output".to_owned(),
            export::Kind::None => "nowhere".to_owned(),
        })
        .collect();
    info!(
        backend = "tracepoint",
        to = to.join(", "),
        "tracing {what}; Ctrl-C ends"
    );
}

/// Builds the status document.
struct Reporter {
    ledger: Arc<Ledger>,
    counters: Arc<Counters>,
    processes: Processes,
    binaries: Arc<std::sync::Mutex<Vec<BinaryReport>>>,
    started_unix_ns: u64,
    uprobes: bool,
}

impl Reporter {
    fn new(ledger: Arc<Ledger>, live: &Live, uprobes: bool) -> Self {
        let started = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            ledger,
            counters: live.counters.clone(),
            processes: live.processes.clone(),
            binaries: live.binaries.clone(),
            started_unix_ns: u64::try_from(started.as_nanos()).unwrap_or(0),
            uprobes,
        }
    }

    fn status(&self) -> Status {
        let (memory_rss_bytes, cpu_seconds) = own_cost();
        let processes = self.processes.all();
        let binaries = self
            .binaries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let io_uring = self.counters.io_uring();
        let mut kernel = self.counters.read();
        kernel.extend(self.ledger.notes());
        kernel.extend(self.processes.counts());
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_unix_ns: self.started_unix_ns,
            backend: "tracepoint".to_owned(),
            processes: processes.len() as u64,
            process_list: processes
                .iter()
                .take(LISTED)
                .map(|facts| {
                    let binary = binaries
                        .iter()
                        .find(|binary| binary.path.as_os_str() == facts.exe.as_str());
                    ProcessStatus {
                        pid: facts.tgid,
                        exe: facts.exe.clone(),
                        service: service(facts),
                        go_version: binary.map(|binary| binary.version.clone()),
                        io_uring_enter: io_uring.get(&facts.tgid).copied(),
                        evidence: evidence(facts.go, binary),
                    }
                })
                .collect(),
            stages: Stage::ALL
                .iter()
                .map(|&stage| (stage.name().to_owned(), self.ledger.counts(stage)))
                .collect(),
            kernel,
            programs: self
                .counters
                .programs()
                .into_iter()
                .map(|program| ProgramStatus {
                    name: program.name,
                    recursion_misses: program.recursion_misses,
                    run_count: (program.run_count > 0).then_some(program.run_count),
                })
                .collect(),
            requests_seen: self.ledger.entered(Stage::Protocol),
            spans_exported: self.ledger.left(Stage::Export),
            spans_lost: lost(&self.ledger),
            memory_rss_bytes,
            cpu_seconds,
            features: features(self.uprobes, &binaries),
        }
    }
}

/// Spans that were not exported, by reason, over all stages a request passes.
fn lost(ledger: &Ledger) -> std::collections::BTreeMap<String, u64> {
    let mut lost = std::collections::BTreeMap::new();
    for stage in [Stage::Protocol, Stage::Span, Stage::Sampling, Stage::Export] {
        for &reason in Reason::ALL {
            let n = ledger.dropped(stage, reason);
            if n > 0 {
                *lost.entry(reason.name().to_owned()).or_default() += n;
            }
        }
    }
    lost
}

fn evidence(go: bool, binary: Option<&BinaryReport>) -> Vec<String> {
    let names: &[&str] = match (go, binary) {
        (true, Some(binary)) if binary.probes > 0 => &[
            "hop",
            "goroutine",
            "go_context",
            "goroutine_child",
            "context",
        ],
        (true, _) => &["hop", "goroutine", "context"],
        (false, _) => &["hop", "thread", "context"],
    };
    names.iter().map(|&name| name.to_owned()).collect()
}

/// What `plan` tells of the machine, then each Go binary as it is.
fn features(uprobes: bool, binaries: &[BinaryReport]) -> Vec<FeatureStatus> {
    let mut features: Vec<FeatureStatus> = plan::features(uprobes, None)
        .into_iter()
        .map(|feature| FeatureStatus {
            name: feature.name.to_owned(),
            on: feature.on,
            why: match feature.loses.as_str() {
                "" => feature.why,
                loses => format!("{}; lost: {loses}", feature.why),
            },
        })
        .collect();
    for binary in binaries {
        let mut why = binary.missing.clone();
        why.extend(binary.refused.iter().cloned());
        features.push(FeatureStatus {
            name: format!("go {} {}", binary.version, binary.path.display()),
            on: why.is_empty(),
            why: if why.is_empty() {
                format!("{} probes, armed in {} us", binary.probes, binary.armed_us)
            } else {
                why.join("; ")
            },
        });
    }
    features
}
