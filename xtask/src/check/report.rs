//! What the comparison found.

use std::collections::BTreeMap;
use std::fmt;

use super::distribution::Differences;

/// Problems that are told one by one.
const PROBLEMS_SHOWN: usize = 20;

/// Calls of one kind, and where their client spans stand.
#[derive(Default)]
pub struct Row {
    /// Calls that must have been seen.
    pub calls: usize,
    /// Client spans under their true parent.
    pub right: usize,
    /// Client spans that rightly begin a trace.
    pub roots: usize,
    /// Client spans without a parent where none is asked for...
    pub gaps: usize,
    /// ... and how many of them have links.
    pub linked: usize,
    /// Spans without the parent they must have.
    pub missing: usize,
    /// Spans under a parent that is not theirs.
    pub wrong: usize,
    /// Spans that are not there.
    pub lost: usize,
}

/// Client spans that begin a trace of their own.
#[derive(Default)]
pub struct Gaps {
    /// How many.
    pub count: usize,
    /// How many of them have links.
    pub linked: usize,
}

impl Gaps {
    /// Adds a span with so many links.
    pub fn add(&mut self, links: usize) {
        self.count += 1;
        self.linked += usize::from(links > 0);
    }
}

impl fmt::Display for Gaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} calls in traces of their own, {} of them with links",
            self.count, self.linked
        )
    }
}

/// All of it.
#[derive(Default)]
pub struct Report {
    /// Requests that came from outside.
    pub requests: usize,
    /// Of these, the ones whose trace has all it must have.
    pub whole: usize,
    /// Requests served in all.
    pub requests_served: usize,
    /// Spans read.
    pub spans: usize,
    /// Spans with a false parent.
    pub wrong: usize,
    /// Spans without the parent they must have.
    pub missing: usize,
    /// Requests without a client span.
    pub lost_clients: usize,
    /// Requests without a server span.
    pub lost_servers: usize,
    /// Spans of nothing.
    pub extra: usize,
    /// Span ids used again.
    pub repeated_ids: usize,
    /// Spans that begin before or end after their parent.
    pub outside: usize,
    /// Server spans with another status code than was sent.
    pub wrong_status: usize,
    /// Server spans with the matched pattern as route.
    pub routes_right: usize,
    /// Server spans with another.
    pub routes_wrong: usize,
    /// Server spans without one.
    pub routes_missing: usize,
    /// Client spans with a true parent, by evidence.
    pub evidence: BTreeMap<String, usize>,
    /// Work whose origin only an unpassed context could tell.
    pub no_proof: Gaps,
    /// Work after its handler, without the context.
    pub late: Gaps,
    /// Client spans against the call.
    pub client_times: Differences,
    /// Server spans against the connection.
    pub server_times: Differences,
    /// By kind of call.
    pub kinds: BTreeMap<String, Row>,
    problems: Vec<String>,
}

impl Report {
    /// The row of a kind.
    pub fn kind(&mut self, name: &str) -> &mut Row {
        self.kinds.entry(name.to_owned()).or_default()
    }

    /// Remembers one to tell.
    pub fn problem(&mut self, text: String) {
        if self.problems.len() < PROBLEMS_SHOWN {
            self.problems.push(text);
        }
    }

    /// Spans lost.
    pub fn lost(&self) -> usize {
        self.lost_clients + self.lost_servers
    }

    /// Everything whole, nothing wrong, nothing lost?
    pub fn is_good(&self) -> bool {
        self.requests > 0
            && self.whole == self.requests
            && self.wrong + self.missing + self.lost() + self.extra + self.repeated_ids == 0
    }

    /// Are the times right too?
    pub fn has_good_times(&self) -> bool {
        self.outside == 0 && self.client_times.is_good() && self.server_times.is_good()
    }

    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = [
            "calls",
            "in tree",
            "roots",
            "gaps",
            "linked",
            "no parent",
            "wrong",
            "lost",
        ];
        write!(f, "{:<18}", "kind of call")?;
        for head in heads {
            write!(f, "{head:>10}")?;
        }
        writeln!(f)?;
        for (kind, row) in &self.kinds {
            write!(f, "{kind:<18}")?;
            let numbers = [
                row.calls,
                row.right,
                row.roots,
                row.gaps,
                row.linked,
                row.missing,
                row.wrong,
                row.lost,
            ];
            for number in numbers {
                write!(f, "{number:>10}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "! {problem}")?;
        }
        self.table(f)?;
        let evidence: Vec<String> = self
            .evidence
            .iter()
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        writeln!(f, "evidence:           {}", evidence.join(", "))?;
        writeln!(f, "server span times:  {}", self.server_times)?;
        writeln!(f, "client span times:  {}", self.client_times)?;
        writeln!(f, "outside parent:     {}", self.outside)?;
        writeln!(
            f,
            "routes:             {} right, {} wrong, {} missing; status codes wrong: {}",
            self.routes_right, self.routes_wrong, self.routes_missing, self.wrong_status
        )?;
        if self.extra + self.repeated_ids > 0 {
            writeln!(
                f,
                "spans of nothing:   {}, span ids used again: {}",
                self.extra, self.repeated_ids
            )?;
        }
        writeln!(f, "late, no context:   {}", self.late)?;
        writeln!(f, "out of reach:       {} (apart)", self.no_proof)?;
        let share = self.whole as f64 * 100.0 / self.requests.max(1) as f64;
        writeln!(
            f,
            "requests:           {} from outside, {} in all",
            self.requests, self.requests_served
        )?;
        writeln!(
            f,
            "whole traces:       {} of {} ({share:.2} %)",
            self.whole, self.requests
        )?;
        writeln!(f, "wrong parents:      {}", self.wrong)?;
        writeln!(f, "spans lost:         {}", self.lost())
    }
}
