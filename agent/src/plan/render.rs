//! The plan for people.

use std::collections::BTreeMap;

use super::page::{Cell, Page, Paint, cell};
use super::{BinaryPlan, Plan, ProcessPlan, ProgramState, SitePlan};

/// Skipped processes listed one by one; `--json` has them all.
const SKIPPED_LISTED: usize = 20;
/// Pids named with a binary.
const PIDS_LISTED: usize = 8;

/// The page; `colour`: with terminal colours.
pub fn render(plan: &Plan, colour: bool) -> String {
    let mut page = Page::new(colour);
    summary(&mut page, plan);
    checks(&mut page, plan);
    backend(&mut page, plan);
    features(&mut page, plan);
    processes(&mut page, plan);
    binaries(&mut page, plan);
    page.into_text()
}

fn summary(page: &mut Page, plan: &Plan) {
    let verdict = match plan.can_run {
        true => cell("tracing can run").paint(Paint::Green),
        false => cell("tracing cannot run here").paint(Paint::Red),
    };
    page.line(
        0,
        &[
            cell(format!("threadline {}", plan.version)).paint(Paint::Bold),
            cell(format!("on kernel {}:", plan.kernel_release)),
            verdict,
        ],
    );
    for blocker in &plan.blockers {
        lines(page, 2, blocker);
    }
    page.line(
        0,
        &[cell("Nothing was attached and nothing was changed.").paint(Paint::Dim)],
    );
}

/// Text of several lines, such as the kernel's.
fn lines(page: &mut Page, indent: usize, text: &str) {
    for line in text.lines() {
        page.line(indent, &[cell(line)]);
    }
}

fn checks(page: &mut Page, plan: &Plan) {
    page.heading("This machine");
    let mut rows = Vec::new();
    for check in &plan.checks {
        let state = match (check.ok, check.required) {
            (true, _) => cell("ok").paint(Paint::Green),
            (false, true) => cell("missing").paint(Paint::Red),
            (false, false) => cell("missing").paint(Paint::Yellow),
        };
        rows.push(vec![state, cell(check.name), cell(&check.detail)]);
        if !check.remedy.is_empty() {
            let remedy = cell(format!("remedy: {}", check.remedy));
            rows.push(vec![cell(""), cell(""), remedy]);
        }
    }
    page.table(2, &rows);
}

fn backend(page: &mut Page, plan: &Plan) {
    let chosen = plan.backend.chosen.as_deref().unwrap_or("none");
    page.heading(&format!(
        "Back end: {chosen} (asked for: {})",
        plan.backend.asked
    ));
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for option in &plan.backend.options {
        let taken = plan.backend.chosen.as_ref() == Some(&option.name);
        let state = match (taken, option.possible) {
            (true, _) => cell("taken").paint(Paint::Green),
            (false, true) => cell("possible"),
            (false, false) => cell("no").paint(Paint::Dim),
        };
        rows.push(vec![state, cell(&option.name), cell(&option.why)]);
    }
    page.table(2, &rows);
    let prices = &plan.prices;
    page.line(
        2,
        &[cell(format!(
            "cost to processes that are not selected: about {} us a system call (two tracepoints)",
            micros(prices.system_call_ns)
        ))],
    );
    page.line(
        2,
        &[cell(format!("(measured on {})", prices.measured_on)).paint(Paint::Dim)],
    );
    refused(page, plan);
}

fn refused(page: &mut Page, plan: &Plan) {
    let Some(error) = plan.kernel.error.as_ref().filter(|_| plan.kernel.tried) else {
        return;
    };
    page.heading("What the kernel says");
    lines(page, 2, error);
    let not_tried = plan.kernel.programs.iter();
    let not_tried = not_tried
        .filter(|program| program.state == ProgramState::NotTried)
        .count();
    if not_tried > 0 {
        let text = format!("programs not tried after that: {not_tried}");
        page.line(2, &[cell(text).paint(Paint::Dim)]);
    }
}

fn features(page: &mut Page, plan: &Plan) {
    page.heading("Features");
    let mut rows = Vec::new();
    for feature in &plan.features {
        let state = match feature.on {
            true => cell("on").paint(Paint::Green),
            false => cell("off").paint(Paint::Yellow),
        };
        rows.push(vec![state, cell(feature.name), cell(&feature.why)]);
        if !feature.loses.is_empty() {
            let loses = cell(format!("lost: {}", feature.loses));
            rows.push(vec![cell(""), cell(""), loses]);
        }
    }
    page.table(2, &rows);
}

fn processes(page: &mut Page, plan: &Plan) {
    let (selected, skipped): (Vec<_>, Vec<_>) =
        plan.processes.iter().partition(|process| process.selected);
    let rules = match plan.targets.as_slice() {
        [] => "every process".to_owned(),
        targets => targets.join(", "),
    };
    page.heading(&format!(
        "Processes: {} selected, {} not (targets: {rules})",
        selected.len(),
        skipped.len(),
    ));
    if !selected.is_empty() {
        let mut rows = vec![head(["pid", "service", "language", "executable"])];
        rows.extend(selected.iter().map(|process| {
            vec![
                cell(process.pid.to_string()).right(),
                cell(&process.service),
                cell(language(process)),
                cell(&process.exe),
            ]
        }));
        page.table(2, &rows);
    }
    skips(page, &skipped);
}

/// The first ones by name, the rest by reason: a node has hundreds that no target names.
fn skips(page: &mut Page, skipped: &[&ProcessPlan]) {
    if skipped.is_empty() {
        return;
    }
    page.line(2, &[cell("not selected:")]);
    let reason = |process: &ProcessPlan| process.reason.clone().unwrap_or_default();
    let rows: Vec<_> = skipped
        .iter()
        .take(SKIPPED_LISTED)
        .map(|process| {
            vec![
                cell(process.pid.to_string()).right(),
                cell(reason(process)),
                cell(&process.exe),
            ]
        })
        .collect();
    page.table(2, &rows);
    let mut rest: BTreeMap<String, usize> = BTreeMap::new();
    for process in skipped.iter().skip(SKIPPED_LISTED) {
        *rest.entry(reason(process)).or_default() += 1;
    }
    for (reason, count) in rest {
        page.line(2, &[cell(format!("and {count} more: {reason}"))]);
    }
}

fn language(process: &ProcessPlan) -> String {
    match (&process.go_version, &process.go_binary, &process.language) {
        (Some(version), ..) if !version.is_empty() => version.clone(),
        (_, _, Some(language)) => language.clone(),
        (_, Some(_), None) => "with a Go library".to_owned(),
        (_, None, None) => "-".to_owned(),
    }
}

fn binaries(page: &mut Page, plan: &Plan) {
    if plan.binaries.is_empty() {
        return;
    }
    page.heading("Go binaries");
    page.line(
        2,
        &[cell(format!(
            "a probe costs {} us each time it is met, {} us where the instruction is single-stepped",
            micros(plan.prices.emulated_probe_ns),
            micros(plan.prices.stepped_probe_ns),
        ))],
    );
    for binary in &plan.binaries {
        page.line(0, &[]);
        one_binary(page, binary);
    }
}

fn one_binary(page: &mut Page, binary: &BinaryPlan) {
    page.line(2, &[cell(&binary.path).paint(Paint::Bold)]);
    page.line(4, &[cell(description(binary))]);
    if let Some(error) = &binary.error {
        let text = format!("not inspected: {error}; traced at its sockets only");
        page.line(4, &[cell(text).paint(Paint::Red)]);
        return;
    }
    page.line(
        4,
        &[cell(format!(
            "read in {:.1} ms: a first run that ends sooner shows requests, but no goroutines",
            binary.inspect_us as f64 / 1000.0
        ))],
    );
    if !binary.sites.is_empty() {
        let mut rows = vec![head_sites()];
        rows.extend(binary.sites.iter().map(site));
        page.table(4, &rows);
    }
    for missing in &binary.missing {
        page.line(4, &[cell("missing:").paint(Paint::Yellow), cell(missing)]);
    }
}

fn description(binary: &BinaryPlan) -> String {
    let mut parts = vec![match binary.go_version.as_str() {
        "" => "Go version unknown".to_owned(),
        version => version.to_owned(),
    }];
    if !binary.module.is_empty() {
        parts.push(binary.module.clone());
    }
    parts.extend((!binary.linkage.is_empty()).then(|| binary.linkage.replace('_', " ")));
    parts.extend(binary.cgo.then(|| "cgo".to_owned()));
    let http = match (binary.http_server, binary.http_client) {
        (true, true) => "net/http server and client",
        (true, false) => "net/http server",
        (false, true) => "net/http client",
        (false, false) => "no net/http",
    };
    parts.extend(binary.error.is_none().then(|| http.to_owned()));
    let mut pids: Vec<String> = binary.pids.iter().map(u32::to_string).collect();
    let more = pids.len().saturating_sub(PIDS_LISTED);
    pids.truncate(PIDS_LISTED);
    if more > 0 {
        pids.push(format!("and {more} more"));
    }
    parts.push(format!("pid {}", pids.join(" ")));
    parts.join(", ")
}

fn head<const N: usize>(names: [&str; N]) -> Vec<Cell> {
    names
        .map(|name| cell(name).paint(Paint::Dim))
        .into_iter()
        .collect()
}

fn head_sites() -> Vec<Cell> {
    head([
        "", "address", "offset", "under it", "us", "met at", "symbol", "for",
    ])
}

fn site(site: &SitePlan) -> Vec<Cell> {
    let state = match site.armed {
        true => cell("armed").paint(Paint::Green),
        false => cell("not").paint(Paint::Yellow),
    };
    let purpose = match &site.why_not {
        None => site.purpose.to_owned(),
        Some(why) => format!("{}; not armed: {why}", site.purpose),
    };
    vec![
        state,
        cell(format!("{:#x}", site.address)).right(),
        cell(format!("{:#x}", site.file_offset)).right(),
        cell(site.instruction),
        cell(micros(site.price_ns)).right(),
        cell(site.met),
        cell(&site.symbol),
        cell(purpose),
    ]
}

/// 700 is 0.7, 270 is 0.27.
fn micros(ns: u32) -> String {
    let (whole, hundredths) = (ns / 1000, ns % 1000 / 10);
    match hundredths % 10 {
        0 => format!("{whole}.{}", hundredths / 10),
        _ => format!("{whole}.{hundredths:02}"),
    }
}
