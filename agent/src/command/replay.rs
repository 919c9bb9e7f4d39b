//! `threadline replay`.

use std::sync::Arc;
use std::time::Duration;

use threadline::cli::{Exit, Invocation, ReplayArgs};
use threadline::health::{Ledger, Stage};
use threadline::{export, live, replay as stream};

use super::{Failure, exporters};

/// How long the last spans may take to leave.
const FLUSH: Duration = Duration::from_secs(30);
/// Spans under way to the exporter at once: a recording is read faster than any backend takes it.
const MAX_PENDING: u64 = 8_192;

pub fn replay(invocation: &Invocation, args: &ReplayArgs) -> Result<(), Failure> {
    let settings = exporters(invocation, args.output.output)?;
    let ledger = Arc::new(Ledger::default());
    let exporters = export::start(&settings, ledger.clone())
        .map_err(|error| Failure::new(Exit::Failure, &error))?;
    let done = stream::replay(
        &args.file,
        live::connection_settings(&args.spans),
        &ledger,
        |spans| {
            while exporters.pending() > MAX_PENDING {
                std::thread::sleep(Duration::from_millis(1));
            }
            exporters.send(spans);
        },
    );
    exporters.shutdown(FLUSH);
    done.map_err(|error| {
        let mut failure = Failure::new(Exit::Failure, &error);
        failure.text = format!("{}: {}", args.file.display(), failure.text);
        failure
    })?;
    let source = ledger.counts(Stage::Source);
    let export = ledger.counts(Stage::Export);
    tracing::info!(
        records = source.entered,
        bad_records = source.entered - source.left,
        requests = ledger.entered(Stage::Protocol),
        spans = export.left,
        "replayed"
    );
    Ok(())
}
