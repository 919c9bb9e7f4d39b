//! Holds each call of the ground truth against its spans.

use std::collections::HashSet;

use super::kind::Reach;
use super::report::Report;
use super::span::{Side, Span, Spans};
use super::truth::{Call, Served, Truth};

/// Compares all of it.
pub fn judge(truth: &Truth, spans: &Spans) -> Report {
    let mut judge = Judge {
        truth,
        spans,
        report: Report::default(),
        faulty: HashSet::new(),
    };
    let mut calls: Vec<_> = truth.calls.iter().collect();
    calls.sort_by_key(|(id, call)| (call.start, *id));
    for (id, call) in &calls {
        judge.call(id, call);
    }
    for (id, call) in &calls {
        if call.kind == "root" && truth.is_expected(id, call) {
            judge.report.requests += 1;
            judge.report.whole += usize::from(judge.is_whole(id));
        }
    }
    judge.report.spans = spans.all.len();
    judge.report.repeated_ids = spans.repeated_ids;
    judge.report
}

/// What the parent of a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parent {
    /// The true one.
    Right,
    /// It has none.
    None,
    /// Something else.
    Wrong,
    /// Perhaps the true one, whose span is not there.
    Lost,
}

struct Judge<'a> {
    truth: &'a Truth,
    spans: &'a Spans,
    report: Report,
    /// Calls that have not all that they must have.
    faulty: HashSet<&'a str>,
}

impl<'a> Judge<'a> {
    fn call(&mut self, id: &'a str, call: &'a Call) {
        let clients = self.spans.of(Side::Client, id);
        let servers = self.spans.of(Side::Server, id);
        for span in &clients {
            self.client(id, call, span);
        }
        for span in &servers {
            self.server(id, call, span, &clients);
        }
        if !self.truth.is_expected(id, call) {
            return;
        }
        self.report.kind(&call.kind).calls += 1;
        let served = self.truth.served.get(id).map_or(&[][..], Vec::as_slice);
        self.report.requests_served += served.len();
        self.count_lost(id, call, served, &clients, &servers);
        self.compare_times(call, served, &clients, &servers);
        self.compare_attributes(served, &servers);
        self.compare_nesting(call, &clients, &servers);
    }

    /// The parent of a client span must be the request whose work it is.
    fn client(&mut self, id: &'a str, call: &'a Call, span: &Span) {
        let parent = self.parent(span, Side::Server, &call.parent);
        let row = self.report.kind(&call.kind);
        match (Reach::of(call, self.truth), parent) {
            (_, Parent::Right) => {
                row.right += 1;
                let evidence = span
                    .evidence
                    .clone()
                    .unwrap_or_else(|| "none given".to_owned());
                *self.report.evidence.entry(evidence).or_default() += 1;
            }
            (_, Parent::Wrong) => self.wrong(id, call, span),
            (Reach::Root, Parent::None) => row.roots += 1,
            (reach @ (Reach::Own | Reach::NoProof), Parent::None | Parent::Lost) => {
                row.gaps += 1;
                row.linked += usize::from(span.links > 0);
                let late = reach == Reach::Own;
                let gaps = if late {
                    &mut self.report.late
                } else {
                    &mut self.report.no_proof
                };
                gaps.add(span.links);
            }
            (Reach::Proven, Parent::None) => self.missing(id, call, span),
            (Reach::Proven | Reach::Root, Parent::Lost) => {
                self.faulty.insert(id);
            }
        }
    }

    /// The parent of a server span must be the client span of the same request.
    fn server(&mut self, id: &'a str, call: &'a Call, span: &Span, clients: &[&Span]) {
        match self.parent(span, Side::Client, id) {
            Parent::Right if !of_another_attempt(span, clients) => {}
            Parent::Right | Parent::Wrong => self.wrong(id, call, span),
            Parent::None if !clients.is_empty() => self.missing(id, call, span),
            Parent::None | Parent::Lost => {
                self.faulty.insert(id);
            }
        }
    }

    fn parent(&self, span: &Span, side: Side, request: &str) -> Parent {
        let Some(id) = &span.parent else {
            return Parent::None;
        };
        match self.spans.get(id) {
            Some(parent) => {
                let same = parent.side == side && parent.request() == request;
                if same && parent.trace == span.trace {
                    Parent::Right
                } else {
                    Parent::Wrong
                }
            }
            None if !request.is_empty() && self.spans.of(side, request).is_empty() => Parent::Lost,
            None => Parent::Wrong,
        }
    }

    fn wrong(&mut self, id: &'a str, call: &Call, span: &Span) {
        self.report.wrong += 1;
        self.report.kind(&call.kind).wrong += 1;
        self.faulty.insert(id);
        let parent = span
            .parent
            .as_deref()
            .and_then(|parent| self.spans.get(parent));
        let parent = parent.map_or("an unknown span".to_owned(), |parent| {
            format!(
                "the {:?} span of {} ({})",
                parent.side, parent.path, parent.service
            )
        });
        self.report.problem(format!(
            "wrong parent: {} is under {parent}",
            described(call, span)
        ));
    }

    fn missing(&mut self, id: &'a str, call: &Call, span: &Span) {
        self.report.missing += 1;
        self.report.kind(&call.kind).missing += 1;
        self.faulty.insert(id);
        self.report.problem(format!(
            "no parent: {} ({} links)",
            described(call, span),
            span.links
        ));
    }

    fn count_lost(
        &mut self,
        id: &'a str,
        call: &Call,
        served: &[Served],
        clients: &[&Span],
        servers: &[&Span],
    ) {
        let lost_client = usize::from(clients.is_empty());
        let lost_server = served.len().saturating_sub(servers.len());
        self.report.lost_clients += lost_client;
        self.report.lost_servers += lost_server;
        // Attempts that got no answer are spans of their own; an answer comes once.
        let answered = clients.iter().filter(|span| span.status.is_some()).count();
        let extra = servers.len().saturating_sub(served.len()) + answered.saturating_sub(1);
        self.report.extra += extra;
        if lost_client + lost_server + extra > 0 {
            self.report.kind(&call.kind).lost += lost_client + lost_server;
            self.faulty.insert(id);
            self.report.problem(format!(
                "lost or extra: {id} ({}, {}) was served {} times: {} client and {} server spans",
                call.service,
                call.kind,
                served.len(),
                clients.len(),
                servers.len()
            ));
        }
    }

    fn compare_times(
        &mut self,
        call: &Call,
        served: &[Served],
        clients: &[&Span],
        servers: &[&Span],
    ) {
        if call.failed {
            return;
        }
        if let [client] = clients {
            self.report
                .client_times
                .add(client.duration(), call.end.saturating_sub(call.start));
        }
        if served.len() == servers.len() {
            for (served, span) in served
                .iter()
                .zip(servers)
                .filter(|(served, _)| served.last > 0)
            {
                self.report
                    .server_times
                    .add(span.duration(), served.last.saturating_sub(served.first));
            }
        }
    }

    fn compare_attributes(&mut self, served: &[Served], servers: &[&Span]) {
        if served.len() != servers.len() {
            return;
        }
        for (served, span) in served.iter().zip(servers) {
            let status = Some(served.status).filter(|status| *status != 0);
            if span.status != status {
                self.report.wrong_status += 1;
                self.report.problem(format!(
                    "status of {}: {:?}, not {status:?}",
                    span.path, span.status
                ));
            }
            let route = served.path.rfind('/').map(|at| &served.path[..=at]);
            match span.route.as_deref() {
                None => self.report.routes_missing += 1,
                given if given == route => self.report.routes_right += 1,
                Some(given) => {
                    self.report.routes_wrong += 1;
                    self.report
                        .problem(format!("route of {}: {given}", span.path));
                }
            }
        }
    }

    /// A child lies within its parent, unless the truth says that it did not.
    fn compare_nesting(&mut self, call: &Call, clients: &[&Span], servers: &[&Span]) {
        for span in clients.iter().chain(servers) {
            let Some(parent) = span
                .parent
                .as_deref()
                .and_then(|parent| self.spans.get(parent))
            else {
                continue;
            };
            let outlives =
                call.failed || (span.side == Side::Client && self.outlives_handler(call));
            if span.start < parent.start || (span.end > parent.end && !outlives) {
                self.report.outside += 1;
                let (early, late) = (
                    parent.start as i64 - span.start as i64,
                    span.end as i64 - parent.end as i64,
                );
                self.report.problem(format!(
                    "outside its parent: {} begins {early} ns before, ends {late} ns after",
                    described(call, span)
                ));
            }
        }
    }

    fn outlives_handler(&self, call: &Call) -> bool {
        let served = self.truth.served.get(&call.parent).into_iter().flatten();
        served
            .map(|served| served.last)
            .max()
            .is_none_or(|last| last == 0 || call.end > last)
    }

    /// Has the tree of this request all it must have?
    fn is_whole(&self, root: &str) -> bool {
        let mut left = vec![root];
        while let Some(id) = left.pop() {
            if self.faulty.contains(id) {
                return false;
            }
            left.extend(
                self.truth
                    .children
                    .get(id)
                    .into_iter()
                    .flatten()
                    .map(String::as_str)
                    .filter(|child| {
                        self.truth.calls.get(*child).is_some_and(|call| {
                            Reach::of(call, self.truth) == Reach::Proven
                                && self.truth.is_expected(child, call)
                        })
                    }),
            );
        }
        true
    }
}

/// Is the span under the client span of one attempt though it came with another?
fn of_another_attempt(server: &Span, clients: &[&Span]) -> bool {
    let within = |client: &&Span| client.start <= server.start && server.start <= client.end;
    let right: Vec<&str> = clients
        .iter()
        .filter(|c| within(c))
        .map(|client| client.id.as_str())
        .collect();
    !right.is_empty()
        && !server
            .parent
            .as_deref()
            .is_some_and(|parent| right.contains(&parent))
}

fn described(call: &Call, span: &Span) -> String {
    let evidence = span.evidence.as_deref().unwrap_or("none");
    format!(
        "the {:?} span of {} ({}, {}; evidence {evidence}; trace {})",
        span.side, span.path, span.service, call.kind, span.trace
    )
}
