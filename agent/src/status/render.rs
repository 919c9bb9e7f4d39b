//! The document for people: aligned, coloured where the terminal shows it.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Status;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const RESET: &str = "\x1b[0m";

/// Text with or without colours.
struct Page {
    text: String,
    colour: bool,
}

impl Page {
    fn paint(&self, style: &str, text: &str) -> String {
        match self.colour {
            true => format!("{style}{text}{RESET}"),
            false => text.to_owned(),
        }
    }

    fn heading(&mut self, text: &str) {
        let heading = self.paint(BOLD, text);
        self.line(&format!("\n{heading}"));
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    /// Rows of cells; numbers stand right, the first row is the head.
    fn table(&mut self, rows: &[Vec<String>]) {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (index, row) in rows.iter().enumerate() {
            let mut line = String::from(" ");
            for (cell, width) in row.iter().zip(&widths) {
                let number = cell.bytes().all(|b| b.is_ascii_digit());
                // Writing to a string cannot fail.
                let _ = match number {
                    true => write!(line, " {cell:>width$} "),
                    false => write!(line, " {cell:<width$} "),
                };
            }
            let line = line.trim_end();
            let line = if index == 0 {
                self.paint(DIM, line)
            } else {
                line.to_owned()
            };
            self.line(&line);
        }
    }
}

/// The page; `colour`: with terminal colours.
pub fn render(status: &Status, colour: bool) -> String {
    let mut page = Page {
        text: String::new(),
        colour,
    };
    summary(&mut page, status);
    processes(&mut page, status);
    stages(&mut page, status);
    kernel(&mut page, status);
    features(&mut page, status);
    page.text
}

fn summary(page: &mut Page, status: &Status) {
    let started = UNIX_EPOCH + Duration::from_nanos(status.started_unix_ns);
    let since = SystemTime::now()
        .duration_since(started)
        .unwrap_or_default();
    let head = page.paint(BOLD, &format!("threadline {}", shown(&status.version)));
    page.line(&format!(
        "{head}  pid {}, since {} ({}), back end {}",
        status.pid,
        humantime::format_rfc3339_seconds(started),
        humantime::format_duration(Duration::from_secs(since.as_secs())),
        shown(&status.backend),
    ));
    page.line(&format!(
        "memory {} MiB, CPU {:.1} s, processes traced {}",
        status.memory_rss_bytes >> 20,
        status.cpu_seconds,
        status.processes,
    ));
    let lost: u64 = status.spans_lost.values().sum();
    let lost_style = if lost > 0 { RED } else { GREEN };
    let lost_text = page.paint(lost_style, &format!("spans lost {lost}"));
    page.line(&format!(
        "requests seen {}, spans exported {}, {lost_text}{}",
        status.requests_seen,
        status.spans_exported,
        reasons(&status.spans_lost),
    ));
}

fn processes(page: &mut Page, status: &Status) {
    if status.process_list.is_empty() {
        return;
    }
    page.heading("Processes");
    let mut rows = vec![row(["pid", "service", "executable", "go", "evidence"])];
    rows.extend(status.process_list.iter().map(|process| {
        row([
            &process.pid.to_string(),
            &shown(&process.service),
            &shown(&process.exe),
            &shown(process.go_version.as_deref().unwrap_or("-")),
            &shown(&process.evidence.join(" ")),
        ])
    }));
    page.table(&rows);
    let more = status
        .processes
        .saturating_sub(status.process_list.len() as u64);
    if more > 0 {
        page.line(&format!("  and {more} more"));
    }
}

fn stages(page: &mut Page, status: &Status) {
    page.heading("Stages");
    let mut rows = vec![row(["stage", "in", "out", "dropped"])];
    rows.extend(status.stages.iter().map(|(name, counts)| {
        let dropped: u64 = counts.dropped.values().sum();
        row([
            &shown(name),
            &counts.entered.to_string(),
            &counts.left.to_string(),
            &dropped.to_string(),
            &reasons(&counts.dropped),
        ])
    }));
    page.table(&rows);
}

fn kernel(page: &mut Page, status: &Status) {
    let counted: Vec<_> = status.kernel.iter().filter(|(_, n)| **n > 0).collect();
    if !counted.is_empty() {
        page.heading("Kernel counters (zeroes left out)");
        let mut rows = vec![row(["counter", "count"])];
        rows.extend(
            counted
                .iter()
                .map(|(name, n)| row([&shown(name), &n.to_string()])),
        );
        page.table(&rows);
    }
    let missed: Vec<_> = status
        .programs
        .iter()
        .filter(|p| p.recursion_misses > 0)
        .collect();
    if !missed.is_empty() {
        page.heading("Programs that the kernel skipped");
        let mut rows = vec![row(["program", "times"])];
        rows.extend(
            missed
                .iter()
                .map(|program| row([&shown(&program.name), &program.recursion_misses.to_string()])),
        );
        page.table(&rows);
    }
}

fn features(page: &mut Page, status: &Status) {
    if status.features.is_empty() {
        return;
    }
    page.heading("Features");
    let width = status
        .features
        .iter()
        .map(|f| f.name.chars().count())
        .max()
        .unwrap_or(0);
    for feature in &status.features {
        let state = match feature.on {
            true => page.paint(GREEN, "on "),
            false => page.paint(RED, "off"),
        };
        page.line(&format!(
            "  {state}  {:<width$}  {}",
            shown(&feature.name),
            shown(&feature.why)
        ));
    }
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

fn reasons(dropped: &std::collections::BTreeMap<String, u64>) -> String {
    let all: Vec<_> = dropped
        .iter()
        .filter(|(_, n)| **n > 0)
        .map(|(reason, n)| format!("{} {n}", shown(reason)))
        .collect();
    match all.is_empty() {
        true => String::new(),
        false => format!(" ({})", all.join(", ")),
    }
}

/// Names come from traced programs: none may steer the terminal.
fn shown(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
