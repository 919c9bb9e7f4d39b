//! Spans gathered into traces until a trace seems complete. Bounded in traces and in spans per
//! trace: over a bound what is there is given out, and says so.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use crate::span::model::{Span, SpanId, TraceId};

/// Traces that are gathered at once; the oldest makes room.
pub(super) const MAX_TRACES: usize = 1024;
/// Spans of one trace that are gathered at once.
pub(super) const MAX_SPANS: usize = 512;
/// Traces given out that are remembered, to tell a late span from a new trace.
const MAX_KNOWN: usize = 4096;

/// A trace whose root is there is complete when nothing came for this long.
const QUIET: Duration = Duration::from_millis(300);
/// The same where the root's parent lies elsewhere: it may still come.
const QUIET_REMOTE: Duration = Duration::from_secs(1);
/// Longest wait for a parent that is still running, and longest after the root ended.
const LONGEST: Duration = Duration::from_secs(5);

/// A trace, or as much of it as there is.
#[derive(Debug)]
pub(super) struct Trace {
    /// Its spans as they came.
    pub(super) spans: Vec<Span>,
    /// A part was given out before.
    pub(super) continued: bool,
    /// Why it is given out before it is complete.
    pub(super) cut: Option<&'static str>,
}

/// Traces being gathered.
#[derive(Debug, Default)]
pub(super) struct Trees {
    traces: HashMap<TraceId, Gathered>,
    by_age: BTreeMap<u64, TraceId>,
    next_age: u64,
    known: HashSet<TraceId>,
    known_order: VecDeque<TraceId>,
}

#[derive(Debug)]
struct Gathered {
    age: u64,
    spans: Vec<Span>,
    ids: HashSet<SpanId>,
    last_news: Instant,
    root_ended: Option<Instant>,
    /// How long to wait for more, by the spans there; looked up once after each news.
    patience: Option<Duration>,
}

impl Trees {
    /// Adds a span. Gives out a trace that has to make room.
    pub(super) fn add(&mut self, span: Span, now: Instant) -> Option<Trace> {
        let id = span.trace_id;
        let new = !self.traces.contains_key(&id);
        let crowded_out = if new && self.traces.len() >= MAX_TRACES {
            let oldest = self.by_age.first_key_value().map(|(_, id)| *id);
            oldest.and_then(|id| self.crowd_out(id))
        } else {
            None
        };
        let age = self.next_age;
        let gathered = self.traces.entry(id).or_insert_with(|| Gathered {
            age,
            spans: Vec::new(),
            ids: HashSet::new(),
            last_news: now,
            root_ended: None,
            patience: None,
        });
        if new {
            self.by_age.insert(age, id);
            self.next_age += 1;
        }
        gathered.last_news = now;
        gathered.patience = None;
        if span.parent_span_id.is_none() {
            gathered.root_ended.get_or_insert(now);
        }
        gathered.ids.insert(span.span_id);
        gathered.spans.push(span);
        if gathered.spans.len() >= MAX_SPANS {
            return self.give_out(id, Some("too many spans for one tree, the rest follows"));
        }
        crowded_out
    }

    /// Traces that are complete or have waited long enough, the oldest first.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Trace> {
        let traces = &mut self.traces;
        let mut is_due = |id: &TraceId| traces.get_mut(id).is_some_and(|trace| trace.is_due(now));
        let due: Vec<_> = self.by_age.values().copied().filter(&mut is_due).collect();
        due.into_iter()
            .filter_map(|id| self.give_out(id, None))
            .collect()
    }

    /// Everything.
    pub(super) fn rest(&mut self) -> Vec<Trace> {
        let all: Vec<_> = self.by_age.values().copied().collect();
        all.into_iter()
            .filter_map(|id| self.give_out(id, None))
            .collect()
    }

    /// One that seems complete needs no excuse.
    fn crowd_out(&mut self, id: TraceId) -> Option<Trace> {
        let complete = self.traces.get(&id)?.look_up_patience() == QUIET;
        self.give_out(id, (!complete).then_some("too many traces at once"))
    }

    fn give_out(&mut self, id: TraceId, cut: Option<&'static str>) -> Option<Trace> {
        let gathered = self.traces.remove(&id)?;
        self.by_age.remove(&gathered.age);
        let continued = !self.known.insert(id);
        if !continued {
            self.known_order.push_back(id);
            if self.known_order.len() > MAX_KNOWN {
                let forgotten = self.known_order.pop_front();
                forgotten.map(|id| self.known.remove(&id));
            }
        }
        Some(Trace {
            spans: gathered.spans,
            continued,
            cut,
        })
    }
}

impl Gathered {
    fn is_due(&mut self, now: Instant) -> bool {
        let quiet = now.saturating_duration_since(self.last_news);
        if quiet < QUIET {
            // News may go on for ever: not beyond this.
            return self
                .root_ended
                .is_some_and(|at| now.saturating_duration_since(at) >= LONGEST);
        }
        let patience = self.patience.unwrap_or_else(|| self.look_up_patience());
        self.patience = Some(patience);
        quiet >= patience
    }

    fn look_up_patience(&self) -> Duration {
        let missing = |span: &&Span| {
            span.parent_span_id
                .is_some_and(|id| !self.ids.contains(&id))
        };
        let (mut remote, mut local) = (false, false);
        for span in self.spans.iter().filter(missing) {
            remote |= span.parent_is_remote;
            local |= !span.parent_is_remote;
        }
        match (local, remote, self.root_ended) {
            // A parent in the same process is still running.
            (true, _, _) => LONGEST,
            (false, false, Some(_)) => QUIET,
            _ => QUIET_REMOTE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::samples::{client, server};

    fn ms(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    fn sizes(traces: &[Trace]) -> Vec<usize> {
        traces.iter().map(|trace| trace.spans.len()).collect()
    }

    #[test]
    fn a_trace_is_given_out_once_its_root_ended_and_nothing_came_for_a_while() {
        let (start, mut trees) = (Instant::now(), Trees::default());
        assert!(
            trees
                .add(client(1, 2, Some(1), "a", (0, 1)), start)
                .is_none()
        );
        assert!(trees.due(ms(start, 4_999)).is_empty());
        assert!(
            trees
                .add(server(1, 1, None, "a", (0, 1)), ms(start, 4_999))
                .is_none()
        );
        assert!(trees.due(ms(start, 5_298)).is_empty());
        let traces = trees.due(ms(start, 5_299));
        assert_eq!(sizes(&traces), [2]);
        assert!(!traces[0].continued && traces[0].cut.is_none());
        assert!(trees.due(ms(start, 60_000)).is_empty());
    }

    #[test]
    fn a_parent_that_never_comes_is_waited_for_by_where_it_lies() {
        for (span, wait) in [
            (client(1, 2, Some(1), "a", (0, 1)), 5_000),
            (server(1, 2, Some(1), "a", (0, 1)), 1_000),
        ] {
            let (start, mut trees) = (Instant::now(), Trees::default());
            trees.add(span, start);
            assert!(trees.due(ms(start, wait - 1)).is_empty());
            assert_eq!(sizes(&trees.due(ms(start, wait))), [1]);
        }
    }

    #[test]
    fn steady_news_hold_a_trace_back_for_five_seconds_after_its_root_at_most() {
        let (start, mut trees) = (Instant::now(), Trees::default());
        trees.add(server(1, 1, None, "a", (0, 1)), start);
        for step in 1..50 {
            trees.add(server(1, 2, Some(1), "a", (0, 1)), ms(start, step * 100));
            assert!(trees.due(ms(start, step * 100)).is_empty(), "{step}");
        }
        assert_eq!(sizes(&trees.due(ms(start, 5_000))), [50]);
    }

    #[test]
    fn late_spans_of_a_trace_say_so() {
        let (start, mut trees) = (Instant::now(), Trees::default());
        trees.add(server(1, 1, None, "a", (0, 1)), start);
        assert!(!trees.due(ms(start, 300))[0].continued);
        trees.add(server(1, 2, Some(1), "a", (0, 1)), ms(start, 400));
        assert!(trees.rest()[0].continued);
    }

    #[test]
    fn over_its_bounds_it_gives_out_what_is_there_and_says_so() {
        let (start, mut trees) = (Instant::now(), Trees::default());
        let mut given = Vec::new();
        for _ in 0..MAX_SPANS + 1 {
            given.extend(trees.add(client(1, 1, Some(9), "a", (0, 1)), start));
        }
        assert_eq!(sizes(&given), [MAX_SPANS]);
        assert!(given[0].cut.is_some());
        for trace in 0..MAX_TRACES {
            let mut span = client(2, 1, Some(9), "a", (0, 1));
            span.trace_id.0[..8].copy_from_slice(&(trace as u64).to_be_bytes());
            given.extend(trees.add(span, start));
        }
        assert_eq!(sizes(&given), [MAX_SPANS, 1]);
        assert!(given[1].cut.is_some() && given[1].continued);
        assert_eq!(trees.traces.len(), MAX_TRACES);
        let more = trees.add(server(4, 1, None, "a", (0, 1)), start).unwrap();
        assert!(more.cut.is_some() && !more.continued);
        assert_eq!(trees.rest().len(), MAX_TRACES);
        assert!(trees.by_age.is_empty());
        for trace in 0..2 * MAX_KNOWN {
            let mut span = server(3, 1, None, "a", (0, 1));
            span.trace_id.0[..8].copy_from_slice(&(trace as u64).to_be_bytes());
            trees.add(span, start);
            trees.rest();
        }
        assert_eq!(
            (trees.known.len(), trees.known_order.len()),
            (MAX_KNOWN, MAX_KNOWN)
        );
    }
}
