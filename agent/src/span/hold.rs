//! Parents that cannot be decided when the request is sent.
//!
//! A call on a goroutine that was started while handling a request is that request's work, unless
//! the goroutine is a worker which was started lazily and got its job from elsewhere. When the call
//! is made the two look the same. They differ in how they live: what was started for one request
//! ends with its work, a worker stays. So the call, and all that hangs on its trace, is held until
//!
//! - every goroutine of the line (caller up to below the handler's goroutine) has exited: parent;
//! - one of them did nothing more for [`QUIET_NS`], or was seen working for another request: gap.
//!
//! Where the exits of goroutines are not told, the weaker rule is: no goroutine of the line called
//! again for [`QUIET_NS`] after the request had ended, and goroutines that begin at the same
//! function were started by other requests too (a pool is started by one).
//!
//! Event time decides everything here; how often somebody looks does not.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Draft;
use super::link::Place;
use super::trace::{HoldId, TraceRef};
use crate::connection::transaction::TransactionId;

/// How long a goroutine may live on after its last call. Short enough that the spans still leave
/// within about a second, and below the idle time-outs of elastic worker pools.
pub const QUIET_NS: u64 = 900_000_000;
/// Nothing is held longer.
pub const HOLD_MAX_NS: u64 = 60_000_000_000;
/// Undecided parents at once.
pub const HOLDS_MAX: usize = 8192;
/// Finished spans that wait for them; beyond, the oldest undecided parent becomes a gap.
pub const DRAFTS_MAX: usize = 32_768;

/// An undecided parent.
#[derive(Debug)]
pub struct Hold {
    /// The client transaction whose parent it is.
    pub client: TransactionId,
    /// The request that may be the parent.
    pub origin: TransactionId,
    /// Process of both.
    pub tgid: u32,
    /// Where the calling goroutine began.
    pub start_pc: u64,
    /// Goroutines whose exit is missing.
    pub waits_for: Vec<u64>,
    /// When the client transaction began.
    pub born_ns: u64,
    /// Its place and trace if the parent is not proven.
    pub instead: (Place, TraceRef),
    /// Transactions whose trace hangs on this, the client among them.
    pub dependents: Vec<TransactionId>,
    /// Finished spans that hang on it.
    pub waiting: Vec<Draft>,
}

#[derive(Debug, Default)]
struct Life {
    holds: BTreeSet<HoldId>,
    /// Calls under way by this goroutine and by those it created.
    in_flight: u32,
    deadline_ns: Option<u64>,
}

/// All undecided parents.
#[derive(Debug, Default)]
pub struct Holds {
    next: u64,
    holds: BTreeMap<HoldId, Hold>,
    lives: BTreeMap<(u32, u64), Life>,
    deadlines: BTreeSet<(u64, u32, u64)>,
    drafts: usize,
}

impl Holds {
    /// The id that [`Holds::add`] will give.
    pub fn next_id(&self) -> HoldId {
        HoldId(self.next)
    }

    /// No more can be held.
    pub fn full(&self) -> bool {
        self.holds.len() >= HOLDS_MAX
    }

    /// Holds a decision; [`Holds::call_began`] must follow.
    pub fn add(&mut self, hold: Hold) -> HoldId {
        let id = self.next_id();
        self.next += 1;
        for goid in &hold.waits_for {
            let life = self.lives.entry((hold.tgid, *goid)).or_default();
            life.holds.insert(id);
        }
        self.holds.insert(id, hold);
        id
    }

    /// Is it still undecided?
    pub fn contains(&self, id: HoldId) -> bool {
        self.holds.contains_key(&id)
    }

    /// An undecided parent.
    pub fn get(&self, id: HoldId) -> Option<&Hold> {
        self.holds.get(&id)
    }

    /// A transaction's trace hangs on `id`.
    pub fn depend(&mut self, id: HoldId, transaction: TransactionId) {
        if let Some(hold) = self.holds.get_mut(&id) {
            hold.dependents.push(transaction);
        }
    }

    /// A finished span waits for `id`; false when there is nothing to wait for.
    pub fn wait(&mut self, id: HoldId, draft: Draft) -> bool {
        let hold = self.holds.get_mut(&id);
        let waits = hold.map(|hold| hold.waiting.push(draft)).is_some();
        self.drafts += usize::from(waits);
        waits
    }

    /// The oldest one, where too many spans wait or it is too old.
    pub fn excess(&self, now_ns: u64) -> Option<HoldId> {
        let (id, hold) = self.holds.first_key_value()?;
        let old = hold.born_ns.saturating_add(HOLD_MAX_NS) < now_ns;
        (old || self.drafts > DRAFTS_MAX).then_some(*id)
    }

    /// The oldest one.
    pub fn oldest(&self) -> Option<HoldId> {
        self.holds.first_key_value().map(|(id, _)| *id)
    }

    /// A call by one of these goroutines is under way; gives those that matter here.
    pub fn call_began(&mut self, tgid: u32, goids: &[u64]) -> Vec<u64> {
        let mut counted = Vec::new();
        for goid in goids.iter().filter(|goid| **goid != 0) {
            if let Some(life) = self.lives.get_mut(&(tgid, *goid)) {
                life.in_flight += 1;
                if let Some(at) = life.deadline_ns.take() {
                    self.deadlines.remove(&(at, tgid, *goid));
                }
                counted.push(*goid);
            }
        }
        counted
    }

    /// That call is over.
    pub fn call_ended(&mut self, tgid: u32, goids: &[u64], end_ns: u64) {
        for goid in goids {
            let Some(life) = self.lives.get_mut(&(tgid, *goid)) else {
                continue;
            };
            life.in_flight = life.in_flight.saturating_sub(1);
            if life.in_flight == 0 {
                self.rearm(tgid, *goid, end_ns.saturating_add(QUIET_NS));
            }
        }
    }

    /// Looks at a goroutine (again) at that time.
    pub fn rearm(&mut self, tgid: u32, goid: u64, at_ns: u64) {
        let Some(life) = self.lives.get_mut(&(tgid, goid)) else {
            return;
        };
        if let Some(at) = life.deadline_ns.take() {
            self.deadlines.remove(&(at, tgid, goid));
        }
        if life.holds.is_empty() && life.in_flight == 0 {
            self.lives.remove(&(tgid, goid));
        } else if life.in_flight == 0 {
            life.deadline_ns = Some(at_ns);
            self.deadlines.insert((at_ns, tgid, goid));
        }
    }

    /// The first goroutine whose time was up before `now_ns`.
    pub fn due(&mut self, now_ns: u64) -> Option<(u64, u32, u64)> {
        let due = *self.deadlines.first().filter(|(at, ..)| *at < now_ns)?;
        self.deadlines.remove(&due);
        if let Some(life) = self.lives.get_mut(&(due.1, due.2)) {
            life.deadline_ns = None;
        }
        Some(due)
    }

    /// A goroutine exited: gives what waits for nothing more.
    pub fn exited(&mut self, tgid: u32, goid: u64) -> Vec<HoldId> {
        let mut decided = Vec::new();
        for id in self.of_goroutine(tgid, goid) {
            let Some(hold) = self.holds.get_mut(&id) else {
                continue;
            };
            hold.waits_for.retain(|waited| *waited != goid);
            if hold.waits_for.is_empty() {
                decided.push(id);
            }
            self.leave(tgid, goid, id);
        }
        decided
    }

    /// What hangs on a goroutine.
    pub fn of_goroutine(&self, tgid: u32, goid: u64) -> Vec<HoldId> {
        let life = self.lives.get(&(tgid, goid));
        life.into_iter()
            .flat_map(|life| &life.holds)
            .copied()
            .collect()
    }

    /// What hangs on any goroutine of a process.
    pub fn of_process(&self, tgid: u32) -> Vec<HoldId> {
        let lives = self.lives.range((tgid, 0)..=(tgid, u64::MAX));
        let ids: BTreeSet<HoldId> = lives.flat_map(|(_, life)| &life.holds).copied().collect();
        ids.into_iter().collect()
    }

    /// Takes a decided one out.
    pub fn remove(&mut self, id: HoldId) -> Option<Hold> {
        let hold = self.holds.remove(&id)?;
        self.drafts -= hold.waiting.len();
        for goid in &hold.waits_for {
            self.leave(hold.tgid, *goid, id);
        }
        Some(hold)
    }

    fn leave(&mut self, tgid: u32, goid: u64, id: HoldId) {
        let Some(life) = self.lives.get_mut(&(tgid, goid)) else {
            return;
        };
        life.holds.remove(&id);
        if life.holds.is_empty() && life.in_flight == 0 {
            if let Some(at) = life.deadline_ns {
                self.deadlines.remove(&(at, tgid, goid));
            }
            self.lives.remove(&(tgid, goid));
        }
    }
}
