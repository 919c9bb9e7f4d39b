//! Which request a goroutine handles. In `net/http` one goroutine reads and serves all requests of
//! a connection, one after the other; its `ServeHTTP` says when the next one's turn begins. Other
//! servers tell nothing, so there a goroutine must have exactly one request open.

use std::collections::VecDeque;

use super::bounded::Bounded;
use crate::connection::transaction::TransactionId;

/// Goroutines remembered per process (each open connection of a server has one).
const GOROUTINES_MAX: usize = 32_768;
/// Requests read and not yet answered per goroutine (pipelining); further ones get no evidence.
const QUEUE_MAX: usize = 64;

/// The time in which a goroutine handled one request.
#[derive(Clone, Copy, Debug)]
struct Turn {
    /// `None`: a request that the connection stage does not know (TLS, HTTP/2).
    request: Option<TransactionId>,
    since_ns: u64,
    until_ns: Option<u64>,
}

#[derive(Debug)]
struct Queued {
    id: TransactionId,
    conn: u64,
    head_ns: u64,
    served: bool,
    /// Nothing else was open on the goroutine when it was read.
    alone: bool,
}

#[derive(Debug, Default)]
struct Goroutine {
    queue: VecDeque<Queued>,
    /// The turn that `ServeHTTP` began last.
    turn: Option<Turn>,
    /// The turn before it, or the last one where `ServeHTTP` never spoke.
    last: Option<Turn>,
    /// `ServeHTTP` was seen on it.
    serves: bool,
    /// Had requests of two connections open at once: it hands work over, so it proves nothing.
    event_loop: bool,
    epoch: u64,
}

/// What a goroutine is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// This request, which is open.
    Request(TransactionId),
    /// A request that has no transaction.
    Unnamed,
    /// Nothing any more; this request was the last.
    Over(TransactionId),
    /// Nothing that is known.
    Nothing,
}

/// The goroutines of one process that read or handle requests.
#[derive(Debug)]
pub struct Goroutines(Bounded<u64, Goroutine>);

impl Default for Goroutines {
    fn default() -> Self {
        Self(Bounded::new(GOROUTINES_MAX))
    }
}

impl Goroutines {
    /// `goid` read the head of a request. `epoch` counts losses: what was known before one is no
    /// proof after it.
    pub fn read(
        &mut self,
        goid: u64,
        id: TransactionId,
        conn: u64,
        head_ns: u64,
        epoch: u64,
    ) -> bool {
        let (goroutine, evicted) = self.entry(goid, head_ns, epoch);
        goroutine.event_loop |= goroutine.queue.iter().any(|queued| queued.conn != conn);
        if goroutine.queue.len() < QUEUE_MAX {
            goroutine.queue.push_back(Queued {
                id,
                conn,
                head_ns,
                served: false,
                alone: goroutine.queue.is_empty(),
            });
        }
        evicted
    }

    /// `ServeHTTP` was called on `goid`: gives the request whose turn it is.
    pub fn serve(&mut self, goid: u64, at_ns: u64, epoch: u64) -> (Option<TransactionId>, bool) {
        let (goroutine, evicted) = self.entry(goid, at_ns, epoch);
        let next = goroutine.queue.iter_mut().find(|queued| !queued.served);
        let request = next.map(|queued| {
            queued.served = true;
            queued.id
        });
        if let Some(turn) = goroutine.turn.replace(Turn {
            request,
            since_ns: at_ns,
            until_ns: None,
        }) {
            goroutine.last = Some(turn);
        }
        goroutine.serves = true;
        (request, evicted)
    }

    /// A request that `goid` read is over.
    pub fn ended(&mut self, goid: u64, id: TransactionId, end_ns: u64) {
        let Some(goroutine) = self.0.get_mut(&goid) else {
            return;
        };
        let at = goroutine.queue.iter().position(|queued| queued.id == id);
        let Some(queued) = at.and_then(|at| goroutine.queue.remove(at)) else {
            return;
        };
        let own = |turn: &&mut Turn| turn.request == Some(id);
        let turns = goroutine.turn.iter_mut().chain(&mut goroutine.last);
        turns
            .filter(own)
            .for_each(|turn| turn.until_ns = Some(end_ns));
        if !goroutine.serves {
            goroutine.last = Some(Turn {
                request: Some(id),
                since_ns: queued.head_ns,
                until_ns: Some(end_ns),
            });
        }
    }

    /// What `goid` does now.
    pub fn handling(&self, goid: u64, epoch: u64) -> Handling {
        self.current(goid, epoch)
            .map_or(Handling::Nothing, Turn::handling)
    }

    /// What `goid` did when it created a goroutine, as it stands now: `Request` only if that very
    /// request is still open.
    pub fn creator(&self, goid: u64, created_ns: u64, epoch: u64) -> Handling {
        let last = self.0.get(&goid).and_then(|goroutine| goroutine.last);
        let mut turns = self.current(goid, epoch).into_iter().chain(last);
        let turn = turns.find(|turn| {
            turn.since_ns <= created_ns && turn.until_ns.is_none_or(|until| created_ns <= until)
        });
        turn.map_or(Handling::Nothing, Turn::handling)
    }

    fn current(&self, goid: u64, epoch: u64) -> Option<Turn> {
        let goroutine = self.0.get(&goid)?;
        if goroutine.epoch != epoch || goroutine.event_loop {
            return None;
        }
        if goroutine.serves {
            return goroutine.turn;
        }
        let mut queue = goroutine.queue.iter();
        match (queue.next(), queue.next()) {
            (None, _) => goroutine.last,
            (Some(only), None) if only.alone => Some(Turn {
                request: Some(only.id),
                since_ns: only.head_ns,
                until_ns: None,
            }),
            _ => None,
        }
    }

    fn entry(&mut self, goid: u64, at_ns: u64, epoch: u64) -> (&mut Goroutine, bool) {
        let evicted = self.0.make_room(&goid).is_some();
        let goroutine = self.0.get_or_insert_with(goid, at_ns, Goroutine::default);
        if goroutine.epoch != epoch {
            *goroutine = Goroutine {
                epoch,
                serves: goroutine.serves,
                event_loop: goroutine.event_loop,
                ..Goroutine::default()
            };
        }
        (goroutine, evicted)
    }
}

impl Turn {
    fn handling(self) -> Handling {
        match (self.request, self.until_ns) {
            (None, _) => Handling::Unnamed,
            (Some(id), None) => Handling::Request(id),
            (Some(id), Some(_)) => Handling::Over(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Handling::*;
    use super::*;

    const A: TransactionId = TransactionId(1);
    const B: TransactionId = TransactionId(2);

    #[test]
    fn successive_requests_take_turns() {
        let mut all = Goroutines::default();
        all.read(7, A, 1, 10, 0);
        assert_eq!(all.handling(7, 0), Request(A));
        assert_eq!(all.serve(7, 11, 0).0, Some(A));
        all.ended(7, A, 20);
        assert_eq!(all.handling(7, 0), Over(A));
        all.read(7, B, 1, 30, 0);
        assert_eq!(all.handling(7, 0), Over(A), "its turn has not begun");
        all.serve(7, 31, 0);
        assert_eq!(all.handling(7, 0), Request(B));
        assert_eq!(all.creator(7, 15, 0), Over(A));
        assert_eq!(all.creator(7, 25, 0), Nothing);
        assert_eq!(all.creator(7, 35, 0), Request(B));
    }

    #[test]
    fn a_pipelined_request_does_not_take_the_turn_of_the_one_before() {
        let mut all = Goroutines::default();
        all.read(7, A, 1, 10, 0);
        all.read(7, B, 1, 10, 0);
        assert_eq!(all.handling(7, 0), Nothing);
        all.serve(7, 11, 0);
        all.ended(7, A, 20);
        assert_eq!(
            all.handling(7, 0),
            Over(A),
            "the handler of A may still run"
        );
        // Without ServeHTTP nobody can tell when the second one begins.
        let mut all = Goroutines::default();
        all.read(7, A, 1, 10, 0);
        all.read(7, B, 1, 10, 0);
        all.ended(7, A, 20);
        assert_eq!(all.handling(7, 0), Nothing);
    }

    #[test]
    fn an_event_loop_proves_nothing() {
        let mut all = Goroutines::default();
        all.read(7, A, 1, 10, 0);
        all.read(7, B, 2, 11, 0);
        all.ended(7, A, 12);
        assert_eq!(all.handling(7, 0), Nothing);
        all.ended(7, B, 13);
        all.read(7, TransactionId(3), 1, 14, 0);
        assert_eq!(all.handling(7, 0), Nothing);
    }

    #[test]
    fn a_handler_without_a_transaction_is_nobodys_request() {
        let mut all = Goroutines::default();
        assert_eq!(all.serve(7, 10, 0).0, None);
        assert_eq!(all.handling(7, 0), Unnamed);
        assert_eq!(all.creator(7, 12, 0), Unnamed);
    }

    #[test]
    fn nothing_from_before_a_loss_is_proof() {
        let mut all = Goroutines::default();
        all.read(7, A, 1, 10, 0);
        all.serve(7, 11, 0);
        assert_eq!(all.handling(7, 1), Nothing);
        assert_eq!(
            all.serve(7, 20, 1).0,
            None,
            "A's place in the queue is not known any more"
        );
        assert_eq!(all.handling(7, 1), Unnamed);
        all.read(7, B, 1, 30, 1);
        assert_eq!(all.serve(7, 31, 1).0, Some(B));
    }
}
