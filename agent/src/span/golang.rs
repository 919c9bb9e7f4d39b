//! What is known of one Go process: which goroutine handles which request, which contexts belong
//! to which request, who calls out on which pooled connection, who is known as a worker.

use threadline_common::record::{CTX_CHAIN, GoCall, GoConn, GoServe};

use super::bounded::Bounded;
use super::goroutine::{Goroutines, Handling};
use super::link::{Evidence, Origin};
use super::pool::{Call, Caller, Pool, Written};
use crate::connection::transaction::TransactionId;

/// Request contexts remembered per process.
const CTX_KEEP: usize = 8192;
/// Goroutines and start functions remembered per process for what they were seen doing.
const SEEN_MAX: usize = 8192;

#[derive(Debug)]
struct Context {
    /// Data word of the parent: another one means that the memory is another object by now.
    parent: u64,
    request: Option<TransactionId>,
    epoch: u64,
}

/// Goroutines that a call showed to work for more than the request they descend from.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Suspects {
    /// These goroutines.
    pub goids: Vec<u64>,
    /// And every goroutine that began here.
    pub start_pc: Option<u64>,
}

/// See the module.
#[derive(Debug)]
pub struct Go {
    goroutines: Goroutines,
    contexts: Bounded<u64, Context>,
    pool: Pool,
    /// Goroutine: the request that a context proved for it.
    proven: Bounded<u64, TransactionId>,
    workers: Bounded<u64, ()>,
    /// Start functions of goroutines seen serving two requests in one life.
    worker_starts: Bounded<u64, ()>,
    /// Start function: request that created the first goroutine there; another one did too.
    creators: Bounded<u64, (TransactionId, bool)>,
    gone: Bounded<u64, ()>,
    exits_told: bool,
    /// Entries that made room for others.
    pub evicted: u64,
}

impl Default for Go {
    fn default() -> Self {
        Self {
            goroutines: Goroutines::default(),
            contexts: Bounded::new(CTX_KEEP),
            pool: Pool::default(),
            proven: Bounded::new(SEEN_MAX),
            workers: Bounded::new(SEEN_MAX),
            worker_starts: Bounded::new(SEEN_MAX),
            creators: Bounded::new(SEEN_MAX),
            gone: Bounded::new(SEEN_MAX),
            exits_told: false,
            evicted: 0,
        }
    }
}

impl Go {
    /// `goid` read the head of a request.
    pub fn read(&mut self, goid: u64, id: TransactionId, conn: u64, head_ns: u64, epoch: u64) {
        self.evicted += u64::from(self.goroutines.read(goid, id, conn, head_ns, epoch));
    }

    /// A request that `goid` read is over.
    pub fn ended(&mut self, goid: u64, id: TransactionId, end_ns: u64) {
        self.goroutines.ended(goid, id, end_ns);
    }

    /// A handler begins.
    pub fn serve(&mut self, serve: &GoServe, epoch: u64) {
        let at_ns = serve.header.ktime_ns;
        let (request, evicted) = self.goroutines.serve(serve.goid, at_ns, epoch);
        self.evicted += u64::from(evicted);
        if serve.ctx != 0 && serve.ctx_parent != 0 {
            let context = Context {
                parent: serve.ctx_parent,
                request,
                epoch,
            };
            let evicted = self.contexts.insert(serve.ctx, context, at_ns);
            self.evicted += u64::from(evicted.is_some());
        }
    }

    /// The request that `goid` handles now.
    pub fn handled(&self, goid: u64, epoch: u64) -> Option<TransactionId> {
        match self.goroutines.handling(goid, epoch) {
            Handling::Request(id) => Some(id),
            _ => None,
        }
    }

    /// A pooled connection got its writer.
    pub fn writer(&mut self, conn: &GoConn) {
        let evicted = self
            .pool
            .writer(conn.goid, conn.pconn, conn.header.ktime_ns);
        self.evicted += u64::from(evicted);
    }

    /// A call begins: judged now, because its request may be over when the bytes are written.
    pub fn call(&mut self, call: &GoCall, epoch: u64) -> Suspects {
        let (origin, suspects) = self.origin(call, epoch);
        let mut goids = [call.goid, 0, 0, 0];
        for (goid, ancestor) in goids[1..].iter_mut().zip(call.ancestors) {
            *goid = ancestor.goid;
        }
        self.pool.call(
            call.pconn,
            Call {
                at_ns: call.header.ktime_ns,
                begin_ns: call.begin_ns,
                sock: call.sock,
                goids,
                start_pc: call.start_pc,
                origin,
                epoch,
            },
        );
        suspects
    }

    /// Who sent a request.
    pub fn caller(&mut self, written: &Written, epoch: u64) -> Caller {
        self.pool.take(written, epoch)
    }

    /// Origin of what `goid` itself wrote.
    pub fn written_by(&self, goid: u64, epoch: u64) -> Origin {
        match self.goroutines.handling(goid, epoch) {
            Handling::Request(id) => Origin::Proven(id, Evidence::Goroutine),
            Handling::Over(id) => Origin::Outlived(id),
            Handling::Unnamed | Handling::Nothing => Origin::Unknown,
        }
    }

    /// A goroutine exited.
    pub fn exited(&mut self, goid: u64, at_ns: u64) {
        self.exits_told = true;
        self.gone.insert(goid, (), at_ns);
        self.pool.exited(goid);
    }

    /// Are exits of goroutines told in this process?
    pub fn exits_told(&self) -> bool {
        self.exits_told
    }

    /// Those of `goids` that are not known to have exited.
    pub fn alive(&self, goids: &[u64]) -> Vec<u64> {
        let alive = goids.iter().filter(|goid| self.gone.get(goid).is_none());
        alive.copied().collect()
    }

    /// Did several requests create goroutines that begin here?
    pub fn many_creators(&self, start_pc: u64) -> bool {
        self.creators.get(&start_pc).is_some_and(|(_, many)| *many)
    }

    fn origin(&mut self, call: &GoCall, epoch: u64) -> (Origin, Suspects) {
        let own = self.goroutines.handling(call.goid, epoch);
        if let Handling::Request(id) = own {
            return (Origin::Proven(id, Evidence::Goroutine), Suspects::default());
        }
        let descent = self.descent(call, epoch);
        match self.context(call, epoch) {
            Some(Some(id)) => {
                let suspects = self.suspects(call, id, descent);
                return (Origin::Proven(id, Evidence::GoContext), suspects);
            }
            // The context of a request that cannot be named: certainly nobody else's call.
            Some(None) => return (Origin::Unknown, Suspects::default()),
            None => {}
        }
        match (own, descent) {
            (Handling::Over(id), _) => (Origin::Outlived(id), Suspects::default()),
            (Handling::Unnamed, _) | (_, None) => (Origin::Unknown, Suspects::default()),
            (_, Some((creator, chain))) => {
                let origin = self.by_descent(call, creator, &chain);
                let mut suspects = Suspects::default();
                // Where exits are not told, calling on after the request is all that gives away
                // a worker (or a late goroutine: its earlier calls become gaps).
                if !self.exits_told && matches!(origin, Origin::Outlived(_)) {
                    suspects.goids = chain;
                }
                (origin, suspects)
            }
        }
    }

    /// Innermost handler context in the call's chain. `Some(None)`: one whose request is not known.
    fn context(&self, call: &GoCall, epoch: u64) -> Option<Option<TransactionId>> {
        (0..CTX_CHAIN - 1).find_map(|at| {
            let entry = self.contexts.get(&call.ctx[at])?;
            let same = call.ctx[at + 1] == entry.parent;
            same.then(|| entry.request.filter(|_| entry.epoch == epoch))
        })
    }

    /// The nearest ancestor that was handling a request when it created this line of goroutines,
    /// and the goroutines below it.
    fn descent(&self, call: &GoCall, epoch: u64) -> Option<(Handling, Vec<u64>)> {
        let mut chain = vec![call.goid];
        for ancestor in call.ancestors {
            // Without the time of creation nothing tells which of its requests it was handling.
            if ancestor.goid == 0 || ancestor.created_ns == 0 {
                return None;
            }
            match self
                .goroutines
                .creator(ancestor.goid, ancestor.created_ns, epoch)
            {
                Handling::Nothing => chain.push(ancestor.goid),
                known => return Some((known, chain)),
            }
        }
        None
    }

    fn by_descent(&mut self, call: &GoCall, creator: Handling, chain: &[u64]) -> Origin {
        let id = match creator {
            Handling::Request(id) | Handling::Over(id) => id,
            Handling::Unnamed | Handling::Nothing => return Origin::Unknown,
        };
        match self.creators.get_mut(&call.start_pc) {
            Some((first, many)) => *many |= *first != id,
            None => drop(
                self.creators
                    .insert(call.start_pc, (id, false), call.header.ktime_ns),
            ),
        }
        let worker = self.worker_starts.get(&call.start_pc).is_some()
            || chain.iter().any(|goid| self.workers.get(goid).is_some())
            || self
                .proven
                .get(&call.goid)
                .is_some_and(|other| *other != id);
        match creator {
            _ if worker => Origin::Unknown,
            Handling::Over(_) => Origin::Outlived(id),
            _ if call.ctx_whole == 0 => Origin::Unknown,
            _ => Origin::Child {
                id,
                chain: chain.to_vec(),
            },
        }
    }

    /// A context proved whose work `call` is: does that make anybody a worker?
    fn suspects(
        &mut self,
        call: &GoCall,
        id: TransactionId,
        descent: Option<(Handling, Vec<u64>)>,
    ) -> Suspects {
        let at_ns = call.header.ktime_ns;
        let mut suspects = Suspects::default();
        match self.proven.get(&call.goid) {
            Some(other) if *other != id => {
                self.worker_starts.insert(call.start_pc, (), at_ns);
                suspects.start_pc = Some(call.start_pc);
                suspects.goids.push(call.goid);
            }
            Some(_) => {}
            None => drop(self.proven.insert(call.goid, id, at_ns)),
        }
        if let Some((Handling::Request(other) | Handling::Over(other), chain)) = descent
            && other != id
        {
            suspects.goids.extend(chain);
        }
        for goid in &suspects.goids {
            self.workers.insert(*goid, (), at_ns);
        }
        suspects
    }
}
