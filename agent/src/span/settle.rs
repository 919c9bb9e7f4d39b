//! Undecided parents are decided here: see [`super::hold`] for the rules.

use super::Spans;
use super::golang::Suspects;
use super::hold::QUIET_NS;
use super::link::{Evidence, Place};
use super::trace::{HoldId, TraceRef};

/// What to do with an undecided parent whose goroutine was quiet for long enough.
enum Verdict {
    Parent,
    Gap,
    AskAgain(u64),
}

impl Spans {
    /// A goroutine's time was up.
    pub(super) fn judge(&mut self, at_ns: u64, tgid: u32, goid: u64) {
        let mut again = None;
        for id in self.holds.of_goroutine(tgid, goid) {
            match self.verdict(id, at_ns) {
                Verdict::Parent => self.settle(id, true),
                Verdict::Gap => self.settle(id, false),
                Verdict::AskAgain(at) => again = again.max(Some(at)),
            }
        }
        self.holds.rearm(tgid, goid, again.unwrap_or(at_ns));
    }

    fn verdict(&self, id: HoldId, at_ns: u64) -> Verdict {
        let hold = self.holds.get(id);
        let process = hold.and_then(|hold| self.processes.get(hold.tgid));
        let (Some(hold), Some(process)) = (hold, process) else {
            return Verdict::Gap;
        };
        let Some(origin) = self.nodes.get(hold.origin) else {
            return Verdict::Gap;
        };
        if process.golang.exits_told() {
            return Verdict::Gap;
        }
        match origin.ended_ns.map(|ended| ended.saturating_add(QUIET_NS)) {
            None => Verdict::AskAgain(at_ns.saturating_add(QUIET_NS)),
            Some(quiet) if quiet > at_ns => Verdict::AskAgain(quiet),
            Some(_) if process.golang.many_creators(hold.start_pc) => Verdict::Parent,
            Some(_) => Verdict::Gap,
        }
    }

    /// Decides: the origin is the parent, or there is none.
    pub(super) fn settle(&mut self, id: HoldId, proven: bool) {
        let Some(hold) = self.holds.remove(id) else {
            return;
        };
        let origin = self.nodes.get_mut(hold.origin).filter(|_| proven);
        let (place, trace) = match origin {
            Some(node) => {
                node.given = true;
                let place = Place::under(node, Evidence::GoroutineChild, hold.tgid);
                (place, node.trace.clone())
            }
            None => {
                self.counters.gaps += 1;
                self.counters.gaps_child += 1;
                hold.instead
            }
        };
        self.count(&place);
        for transaction in hold.dependents {
            let Some(node) = self.nodes.get_mut(transaction) else {
                continue;
            };
            node.trace = trace.clone();
            if let TraceRef::Held(next) = trace {
                self.holds.depend(next, transaction);
            }
        }
        if let Some(open) = self.nodes.open.get_mut(&hold.client) {
            open.place = place.clone();
        }
        for mut draft in hold.waiting {
            if matches!(draft.trace, TraceRef::Held(held) if held == id) {
                draft.trace = trace.clone();
            }
            if draft.id == hold.client {
                draft.place = place.clone();
            }
            self.emit(draft);
        }
    }

    /// Goroutines were seen working for another request.
    pub(super) fn reject_suspects(&mut self, tgid: u32, suspects: &Suspects) {
        let mut ids: Vec<HoldId> = Vec::new();
        for goid in &suspects.goids {
            ids.extend(self.holds.of_goroutine(tgid, *goid));
        }
        if let Some(start_pc) = suspects.start_pc {
            let all = self.holds.of_process(tgid).into_iter();
            ids.extend(
                all.filter(|id| self.holds.get(*id).is_some_and(|h| h.start_pc == start_pc)),
            );
        }
        for id in ids {
            self.settle(id, false);
        }
    }

    /// Nothing can be learned about this process any more.
    pub(super) fn reject_process(&mut self, tgid: u32) {
        for id in self.holds.of_process(tgid) {
            self.settle(id, false);
        }
    }
}
