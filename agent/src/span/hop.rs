//! Which transaction is the other end of this one: the table of hops whose second end has not been
//! seen yet. The client's end begins first; the server's may only when a record came late.

use super::bounded::Bounded;
use super::identity::HopId;
use crate::connection::transaction::{Role, TransactionId};

/// Hops of one role that wait for their other end (most calls go to other nodes and never meet it).
const WAITING_MAX: usize = 65_536;
/// How long the end of a finished transaction waits.
pub const KEEP_NS: u64 = 60_000_000_000;

/// Hops with one end seen.
#[derive(Debug)]
pub struct Hops {
    clients: Bounded<HopId, TransactionId>,
    servers: Bounded<HopId, TransactionId>,
}

impl Default for Hops {
    fn default() -> Self {
        Self {
            clients: Bounded::new(WAITING_MAX),
            servers: Bounded::new(WAITING_MAX),
        }
    }
}

impl Hops {
    /// One end began. Gives the other end if it was waiting (and forgets it: a hop has two ends),
    /// else this one waits; `evicted` counts what had to go for it.
    pub fn meet(
        &mut self,
        hop: HopId,
        role: Role,
        id: TransactionId,
        now_ns: u64,
        evicted: &mut u64,
    ) -> Option<TransactionId> {
        let (own, other) = match role {
            Role::Client => (&mut self.clients, &mut self.servers),
            Role::Server => (&mut self.servers, &mut self.clients),
        };
        let met = other.remove(&hop);
        if met.is_none() {
            *evicted += u64::from(own.insert(hop, id, now_ns).is_some());
        }
        met
    }

    /// One end is over. A server whose client was not seen by then stays without; a client waits
    /// on, because its request may still lie in the other end's queue.
    pub fn ended(&mut self, hop: HopId, role: Role, id: TransactionId, now_ns: u64) {
        match role {
            Role::Client => {
                if self.clients.get(&hop) == Some(&id) {
                    self.clients.touch(hop, now_ns);
                }
            }
            Role::Server => {
                if self.servers.get(&hop) == Some(&id) {
                    self.servers.remove(&hop);
                }
            }
        }
    }

    /// Forgets ends of finished transactions that waited too long.
    pub fn expire(&mut self, now_ns: u64, is_open: impl Fn(TransactionId) -> bool) {
        let before = now_ns.saturating_sub(KEEP_NS);
        self.clients.expire(before, now_ns, |_, id| is_open(*id));
        self.servers.expire(before, now_ns, |_, id| is_open(*id));
    }
}

#[cfg(test)]
mod tests {
    use super::super::identity::hop;
    use super::*;
    use Role::{Client, Server};

    fn meet(hops: &mut Hops, at: u64, role: Role, id: u64) -> Option<u64> {
        let met = hops.meet(hop((1, 2), at), role, TransactionId(id), at, &mut 0);
        met.map(|id| id.0)
    }

    #[test]
    fn two_ends_meet_in_either_order_and_once() {
        let mut hops = Hops::default();
        assert_eq!(meet(&mut hops, 1, Client, 1), None);
        assert_eq!(meet(&mut hops, 2, Server, 2), None);
        assert_eq!(meet(&mut hops, 1, Server, 3), Some(1));
        assert_eq!(meet(&mut hops, 2, Client, 4), Some(2));
        assert_eq!(meet(&mut hops, 1, Server, 5), None);
    }

    #[test]
    fn a_finished_server_does_not_wait_and_a_client_only_for_a_while() {
        let mut hops = Hops::default();
        meet(&mut hops, 1, Server, 1);
        hops.ended(hop((1, 2), 1), Server, TransactionId(1), 5);
        assert_eq!(meet(&mut hops, 1, Client, 2), None);
        hops.ended(hop((1, 2), 1), Client, TransactionId(2), 10);
        hops.expire(KEEP_NS + 10, |_| false);
        assert_eq!(hops.clients.len(), 1);
        hops.expire(KEEP_NS + 11, |id| id.0 == 2);
        assert_eq!(hops.clients.len(), 1);
        hops.expire(3 * KEEP_NS, |_| false);
        assert_eq!(meet(&mut hops, 1, Server, 3), None);
    }
}
