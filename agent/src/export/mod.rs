//! Finished spans leave the agent here: over OTLP to any backend, or to standard output.
//!
//! Each exporter has a bounded queue and a thread of its own, so that handing spans over never
//! waits and a slow backend harms nobody. [`Stage::Export`](crate::health::Stage::Export) counts
//! each span once: with several exporters the first OTLP one, else the first one, keeps the given
//! ledger's books, the others keep private ones. Always
//! `entered = left + dropped + pending`; after [`Exporters::shutdown`] nothing is pending.

mod batch;
mod books;
mod console;
mod env;
mod grpc;
mod http;
pub mod json;
mod look;
mod notice;
pub mod otlp;
mod queue;
mod render;
mod retry;
mod rows;
pub mod settings;
mod transport;
mod tree;
mod worker;

#[cfg(test)]
mod collector_tests;
#[cfg(test)]
mod delivery_tests;
#[cfg(test)]
mod grpc_tests;
#[cfg(test)]
mod receiver;
#[cfg(test)]
mod samples;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use self::settings::{Kind, Output, Settings, SettingsError};

use self::books::Books;
use self::queue::{Cut, Queue};
use self::transport::Transport;
use self::worker::Worker;
use crate::health::Ledger;
use crate::span::model::Span;

/// Why exporting could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A certificate or key cannot be read.
    #[error("cannot read {}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A header cannot be sent with the chosen protocol.
    #[error("the header `{0}` of OTEL_EXPORTER_OTLP_HEADERS cannot be sent with this protocol")]
    Header(String),
    /// The connection's settings are refused: certificates, key, endpoint.
    #[error("the OTLP connection cannot be set up: {0}")]
    Tls(String),
    /// No thread, or no runtime in it.
    #[error("cannot start an exporter's thread")]
    Thread(#[source] io::Error),
}

/// The running exporters.
#[derive(Debug)]
pub struct Exporters {
    workers: Vec<Worker>,
    /// Keeps the books where nothing is exported.
    nowhere: Books,
}

/// Starts the chosen exporters. Connections are made when there is something to send.
pub fn start(settings: &Settings, ledger: Arc<Ledger>) -> Result<Exporters, ExportError> {
    for note in &settings.notes {
        tracing::info!("{note}");
    }
    // The first one owns the ledger; the order is also that of handing over.
    let mut kinds: Vec<_> = settings.exporters.clone();
    kinds.retain(|kind| *kind != Kind::None);
    kinds.sort_by_key(|kind| *kind != Kind::Otlp);
    let mut workers = Vec::new();
    for (nth, kind) in kinds.into_iter().enumerate() {
        let ledger = match nth {
            0 => Arc::clone(&ledger),
            _ => Arc::default(),
        };
        workers.push(worker(kind, settings, ledger)?);
    }
    Ok(Exporters {
        workers,
        nowhere: Books::new(ledger),
    })
}

fn worker(kind: Kind, settings: &Settings, ledger: Arc<Ledger>) -> Result<Worker, ExportError> {
    let runtime = worker::runtime().map_err(ExportError::Thread)?;
    let delay = match kind {
        Kind::Otlp => settings.batch.schedule_delay,
        // People and pipes are told at once.
        Kind::Console | Kind::None => Duration::ZERO,
    };
    let cut = Cut {
        spans: settings.batch.max_export_batch_size,
        delay,
    };
    let queue = Arc::new(Queue::new(settings.batch.max_queue_size, cut, ledger));
    let spawned = match kind {
        Kind::Otlp => {
            let transport = {
                let _context = runtime.enter();
                Transport::new(&settings.otlp)?
            };
            let target = settings.otlp.shown_endpoint();
            let timeout = settings.batch.export_timeout;
            let work = batch::run(transport, Arc::clone(&queue), timeout, target);
            Worker::spawn("export-otlp", queue, runtime, work)
        }
        Kind::Console | Kind::None => {
            let work = console::run(Arc::clone(&queue), settings.output);
            Worker::spawn("export-console", queue, runtime, work)
        }
    };
    spawned.map_err(ExportError::Thread)
}

impl Exporters {
    /// Hands finished spans over. Never waits: what does not fit into a queue is dropped and
    /// counted.
    pub fn send(&self, spans: Vec<Span>) {
        if spans.is_empty() {
            return;
        }
        let Some((first, others)) = self.workers.split_first() else {
            let n = spans.len() as u64;
            self.nowhere.admit(n);
            return self.nowhere.left(n);
        };
        for other in others {
            other.send(spans.clone());
        }
        first.send(spans);
    }

    /// Spans in the ledger's books whose fate is open.
    pub fn pending(&self) -> u64 {
        self.workers.first().map_or(0, Worker::pending)
    }

    /// Sends what is there, for `timeout` at the longest; what could not be sent is counted as
    /// lost to the shutdown, as is what is handed over from now on.
    pub fn shutdown(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        for worker in &self.workers {
            worker.close(deadline);
        }
        for worker in &self.workers {
            worker.join(deadline);
        }
    }
}
