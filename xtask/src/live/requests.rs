//! Whole traces, true parents, nothing lost.

use std::time::Duration;

use anyhow::Result;

use super::{Live, Test, folder};
use crate::check::Report;
use crate::rig::{self, Collector, Exporter, Load, Outcome, Protocol};
use crate::test::Verdict;

/// The tests.
pub const TESTS: &[Test] = &[
    ("live: traces are whole at 8 clients", at_8_clients),
    ("live: traces are whole at 64 clients", at_64_clients),
    ("live: a collector gets every span by grpc", by_grpc),
    ("live: a collector gets every span by http", by_http),
    (
        "live: 1000 requests in flight give 1000 server spans",
        thousand_in_flight,
    ),
    (
        "live: 60 panicking handlers give 60 spans and spoil nothing",
        sixty_panics,
    ),
    (
        "live: a pool started by a handler is never given a wrong parent",
        lazy_pool,
    ),
];

const TIME: Duration = Duration::from_secs(8);

impl Live {
    fn trace(&self, name: &str, exporter: Exporter, load: &Load) -> Result<Outcome> {
        rig::trace(&self.agent, &self.programs, &folder(name), exporter, load)
    }
}

/// Fails with the whole report.
pub fn verdict(report: &Report, good: bool) -> Verdict {
    if good {
        Verdict::Passed
    } else {
        Verdict::Failed(report.to_string())
    }
}

fn at_8_clients(live: &Live) -> Result<Verdict> {
    let outcome = live.trace("8-clients", Exporter::Json, &Load::mixed(8, TIME))?;
    let good = outcome.report.is_good() && outcome.report.has_good_times();
    Ok(verdict(&outcome.report, good))
}

fn at_64_clients(live: &Live) -> Result<Verdict> {
    let outcome = live.trace("64-clients", Exporter::Json, &Load::mixed(64, TIME))?;
    // Times are compared below saturation only; nesting always holds.
    let good = outcome.report.is_good() && outcome.report.outside == 0;
    Ok(verdict(&outcome.report, good))
}

fn by_grpc(live: &Live) -> Result<Verdict> {
    collected(live, "grpc", Protocol::Grpc)
}

fn by_http(live: &Live) -> Result<Verdict> {
    collected(live, "http", Protocol::Http)
}

fn collected(live: &Live, name: &str, protocol: Protocol) -> Result<Verdict> {
    let collector = match Collector::start(&format!("test-{name}"), protocol) {
        Ok(collector) => collector,
        Err(error) => return Ok(Verdict::Skipped(format!("{error:#}"))),
    };
    let outcome = live.trace(name, Exporter::Otlp(collector), &Load::mixed(8, TIME))?;
    let good = outcome.report.is_good() && outcome.report.has_good_times();
    Ok(verdict(&outcome.report, good))
}

fn thousand_in_flight(live: &Live) -> Result<Verdict> {
    let load = Load::of("hold", 1000, 1000);
    let outcome = live.trace("1000-in-flight", Exporter::Json, &load)?;
    let good = outcome.report.is_good() && outcome.report.requests == 1000;
    Ok(verdict(&outcome.report, good))
}

fn sixty_panics(live: &Live) -> Result<Verdict> {
    // In turn: each panic is followed by a chain, which must be traced right.
    let load = Load::of("POST:panic,chain", 4, 120);
    let outcome = live.trace("60-panics", Exporter::Json, &load)?;
    let panics = outcome
        .spans
        .all
        .iter()
        .filter(|span| span.path.starts_with("/panic/"));
    let unanswered = panics
        .filter(|span| span.service == "a" && span.status.is_none())
        .count();
    let good = outcome.report.is_good() && outcome.report.requests == 120 && unanswered == 60;
    Ok(verdict(&outcome.report, good))
}

fn lazy_pool(live: &Live) -> Result<Verdict> {
    // Without a context no proof reaches the calls of such a pool, and its workers descend from
    // the handler that happened to come first.
    let load = Load::of("once,once-ctx,chain", 16, 600);
    let outcome = live.trace("lazy-pool", Exporter::Json, &load)?;
    Ok(verdict(&outcome.report, outcome.report.is_good()))
}
