//! Open transactions of one end, and complete ones that are held back for a moment because a
//! later record may still move their end.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::transaction::{Begin, End, Outcome, Progress, ResponseHead, TransactionId};
use super::{Context, MAX_OPEN, SHORT_HOLD_NS};
use crate::health::{Reason, Stage};

/// A request whose end was not told yet.
#[derive(Debug)]
struct Transaction {
    /// `None`: over the node's limit, counted and not told.
    id: Option<TransactionId>,
    start_ns: u64,
    response: Option<ResponseHead>,
    request_body: Option<u64>,
    response_body: Option<u64>,
    interim: bool,
}

/// A complete transaction that waits to be told.
#[derive(Debug)]
struct Held {
    key: u64,
    transaction: Transaction,
    /// End of the response in its direction's stream.
    end_offset: u64,
    /// `None`: the call that moved the last byte is still to come.
    end_ns: Option<u64>,
    /// Told when event time reaches this.
    due_ns: u64,
    /// Another input of the connection came after it.
    ripe: bool,
    outcome: Outcome,
    incomplete: Option<&'static str>,
}

/// Where and how a transaction completed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion {
    pub end_ns: u64,
    /// End of the response in its direction's stream.
    pub end_offset: u64,
    pub outcome: Outcome,
    pub incomplete: Option<&'static str>,
    /// Held back: more may follow that changes the end.
    pub hold: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    open: BTreeMap<u64, Transaction>,
    held: VecDeque<Held>,
}

impl Exchange {
    /// No transaction is open or held.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.held.is_empty()
    }

    /// A request began.
    pub(super) fn begin(&mut self, key: u64, begin: Begin, cx: &mut Context<'_>) {
        cx.ledger.enter(Stage::Protocol, 1);
        let told = *cx.open < MAX_OPEN;
        let transaction = Transaction {
            id: told.then_some(begin.id),
            start_ns: begin.start_ns,
            response: None,
            request_body: None,
            response_body: None,
            interim: false,
        };
        if told {
            *cx.open += 1;
            cx.out.push(Progress::Begin(begin));
        } else {
            cx.ledger.lose(Stage::Protocol, Reason::OverLimit, 1);
        }
        self.open.insert(key, transaction);
    }

    /// Request body so far.
    pub(super) fn request_body(&mut self, key: u64, bytes: Option<u64>) {
        if let Some(transaction) = self.transaction(key) {
            transaction.request_body = bytes;
        }
    }

    /// Response body so far.
    pub(super) fn response_body(&mut self, key: u64, bytes: Option<u64>) {
        if let Some(transaction) = self.transaction(key) {
            transaction.response_body = bytes;
        }
    }

    /// Final response header block.
    pub(super) fn response(&mut self, key: u64, head: ResponseHead) {
        if let Some(transaction) = self.transaction(key) {
            transaction.response = Some(head);
        }
    }

    fn transaction(&mut self, key: u64) -> Option<&mut Transaction> {
        if self.open.contains_key(&key) {
            return self.open.get_mut(&key);
        }
        let held = self.held.iter_mut().find(|held| held.key == key);
        held.map(|held| &mut held.transaction)
    }

    /// A transaction is complete.
    pub(super) fn complete(&mut self, key: u64, done: Completion, cx: &mut Context<'_>) {
        let Some(transaction) = self.open.remove(&key) else {
            return;
        };
        if !done.hold {
            return tell(transaction, done.end_ns, done.outcome, done.incomplete, cx);
        }
        self.held.push_back(Held {
            key,
            transaction,
            end_offset: done.end_offset,
            end_ns: Some(done.end_ns),
            due_ns: done.end_ns.saturating_add(SHORT_HOLD_NS),
            ripe: false,
            outcome: done.outcome,
            incomplete: done.incomplete,
        });
    }

    /// The response goes on after all. False: it was told already.
    pub(super) fn resume(&mut self, key: u64) -> bool {
        let at = self.held.iter().position(|held| held.key == key);
        let Some(held) = at.and_then(|at| self.held.remove(at)) else {
            return self.open.contains_key(&key);
        };
        self.open.insert(key, held.transaction);
        true
    }

    /// What becomes of this request cannot be told.
    pub(super) fn lost(&mut self, key: u64, reason: Reason, now_ns: u64, cx: &mut Context<'_>) {
        if let Some(transaction) = self.open.remove(&key) {
            let name = reason.name();
            tell(transaction, now_ns, Outcome::Lost(name), Some(name), cx);
        }
    }

    /// The kernel took this direction's bytes only up to `taken`.
    pub(super) fn cut(&mut self, taken: u64) {
        for held in self.held.iter_mut().filter(|held| held.end_offset > taken) {
            held.end_ns = None;
        }
    }

    /// A send of the bytes `from..to` begins: ends within were not taken by an earlier one.
    pub(super) fn rewrite(&mut self, from: u64, to: u64, ktime_ns: u64) {
        for held in self.held.iter_mut().filter(|held| held.end_offset > from) {
            held.end_ns = (held.end_offset <= to).then_some(ktime_ns);
            held.due_ns = ktime_ns.saturating_add(SHORT_HOLD_NS);
            held.ripe = false;
        }
    }

    /// A further input of the connection: what is held now goes once it has been looked at.
    pub(super) fn ripen(&mut self) {
        for held in &mut self.held {
            held.ripe = true;
        }
    }

    /// Tells what is ripe or due, in order.
    pub(super) fn release(&mut self, now_ns: u64, cx: &mut Context<'_>) {
        while let Some(held) = self.held.front() {
            let Some(end_ns) = held.end_ns.filter(|_| held.ripe || held.due_ns <= now_ns) else {
                return;
            };
            if let Some(held) = self.held.pop_front() {
                tell(held.transaction, end_ns, held.outcome, held.incomplete, cx);
            }
        }
    }

    /// When [`Self::release`] has something to do at the latest.
    pub(super) fn held_until(&self) -> Option<u64> {
        self.held
            .front()
            .filter(|held| held.end_ns.is_some())
            .map(|held| held.due_ns)
    }

    /// Reports what has been open for `after_ns`.
    pub(super) fn interim(&mut self, now_ns: u64, after_ns: u64, cx: &mut Context<'_>) {
        for transaction in self.open.values_mut().filter(|open| !open.interim) {
            let due = transaction.start_ns.saturating_add(after_ns);
            if due > now_ns {
                return;
            }
            transaction.interim = true;
            let Some(id) = transaction.id else { continue };
            cx.out.push(Progress::End(End {
                id,
                end_ns: due,
                response: transaction.response.clone(),
                request_body_bytes: transaction.request_body,
                response_body_bytes: transaction.response_body,
                outcome: Outcome::Interim,
                incomplete: None,
            }));
        }
    }

    /// First start of an open transaction that was not reported yet.
    pub(super) fn oldest_start(&self) -> Option<u64> {
        self.open
            .values()
            .find(|transaction| !transaction.interim)
            .map(|open| open.start_ns)
    }

    /// Ends everything. What was held with its end known is told as it is.
    pub(super) fn end_all(
        &mut self,
        now_ns: u64,
        outcome: Outcome,
        incomplete: Option<&'static str>,
        cx: &mut Context<'_>,
    ) {
        for held in std::mem::take(&mut self.held) {
            match held.end_ns {
                Some(end_ns) => tell(held.transaction, end_ns, held.outcome, held.incomplete, cx),
                None => tell(held.transaction, now_ns, outcome, incomplete, cx),
            }
        }
        for (_, transaction) in std::mem::take(&mut self.open) {
            tell(transaction, now_ns, outcome, incomplete, cx);
        }
    }
}

fn tell(
    transaction: Transaction,
    end_ns: u64,
    outcome: Outcome,
    incomplete: Option<&'static str>,
    cx: &mut Context<'_>,
) {
    let Some(id) = transaction.id else { return };
    *cx.open = cx.open.saturating_sub(1);
    cx.ledger.leave(Stage::Protocol, 1);
    cx.out.push(Progress::End(End {
        id,
        end_ns,
        response: transaction.response,
        request_body_bytes: transaction.request_body,
        response_body_bytes: transaction.response_body,
        outcome,
        incomplete,
    }));
}

/// What a [`Begin`] needs that does not come from the protocol.
pub(super) fn next_id(cx: &mut Context<'_>) -> TransactionId {
    *cx.ids += 1;
    TransactionId(*cx.ids)
}

/// Shorthand for the type that many begins share.
pub(super) type Info = Arc<super::transaction::Connection>;
