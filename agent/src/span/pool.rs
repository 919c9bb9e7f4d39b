//! Pooled connections of Go's HTTP client: the caller's goroutine and the goroutine that writes
//! are not the same. `roundTrip` names caller and `persistConn`, `writeLoop` names `persistConn`
//! and writer, the writer's system call names the socket.

use super::bounded::Bounded;
use super::link::Origin;

/// Writer goroutines, connections and waiting calls remembered per process.
const POOL_MAX: usize = 16_384;

/// A `roundTrip` whose request has not reached the socket yet.
#[derive(Clone, Debug)]
pub struct Call {
    /// Entry of `roundTrip`.
    pub at_ns: u64,
    /// When the whole call began, waiting for a connection included; 0 where not told.
    pub begin_ns: u64,
    /// Its socket where the connection is older than the probes, else 0.
    pub sock: u64,
    /// Caller, its creator, and so on; zero-filled.
    pub goids: [u64; 4],
    /// Where the calling goroutine began.
    pub start_pc: u64,
    /// Whose work it is, as it stood at the time of the call.
    pub origin: Origin,
    /// Losses so far.
    pub epoch: u64,
}

/// A request as it came to the socket.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Goroutine that wrote it.
    pub goid: u64,
    /// The socket, 0 where unknown.
    pub sock: u64,
    /// When the connection was established, 0 where unseen.
    pub established_ns: u64,
    /// Entry of the first write.
    pub start_ns: u64,
}

impl Call {
    /// When the program asked: what its span begins with.
    pub fn began_ns(&self) -> u64 {
        if self.begin_ns == 0 {
            self.at_ns
        } else {
            self.begin_ns.min(self.at_ns)
        }
    }
}

/// Who sends a request.
#[derive(Debug)]
pub enum Caller {
    /// This call.
    Call(Box<Call>),
    /// The writer of a pooled connection; who called is not known.
    Pooled,
    /// Nobody's pooled connection: whoever wrote it.
    Writer,
}

/// The pooled connections of one process.
#[derive(Debug)]
pub struct Pool {
    /// Writer goroutine: `persistConn`, for life.
    writers: Bounded<u64, u64>,
    /// Connections older than the probes: `persistConn`.
    sockets: Bounded<u64, u64>,
    /// `persistConn`: the call that waits to be written.
    calls: Bounded<u64, Call>,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            writers: Bounded::new(POOL_MAX),
            sockets: Bounded::new(POOL_MAX),
            calls: Bounded::new(POOL_MAX),
        }
    }
}

impl Pool {
    /// A `persistConn` got its writer. Its first call may be there already: the writer goroutine
    /// runs some time after it was started. (A call left by an earlier owner of the address is
    /// replaced by the new one's, or is older than the connection.)
    pub fn writer(&mut self, goid: u64, pconn: u64, at_ns: u64) -> bool {
        self.writers.insert(goid, pconn, at_ns).is_some()
    }

    /// A call begins; it replaces one that was cancelled before it was written.
    pub fn call(&mut self, pconn: u64, call: Call) -> bool {
        let at_ns = call.at_ns;
        let old = call.sock != 0 && self.sockets.insert(call.sock, pconn, at_ns).is_some();
        self.calls.insert(pconn, call, at_ns).is_some() || old
    }

    /// Whose request was written. Each call is used once: were the next `roundTrip` lost, the last
    /// caller must not get its request. Socket addresses are reused, so a call older than the
    /// connection is not its call.
    pub fn take(&mut self, written: &Written, epoch: u64) -> Caller {
        let writer = self.writers.get(&written.goid).copied();
        let by_sock = || self.sockets.get(&written.sock).copied();
        let Some(pconn) = writer.or_else(by_sock) else {
            return Caller::Writer;
        };
        let fits = |call: &Call| {
            let same = call.sock == written.sock || call.sock == 0;
            let proven = writer.is_some() || call.sock != 0;
            let times = (written.established_ns..=written.start_ns).contains(&call.at_ns);
            same && proven && times && call.epoch == epoch
        };
        if self.calls.get(&pconn).is_some_and(fits)
            && let Some(call) = self.calls.remove(&pconn)
        {
            return Caller::Call(Box::new(call));
        }
        Caller::Pooled
    }

    /// A goroutine exited.
    pub fn exited(&mut self, goid: u64) {
        self.writers.remove(&goid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(at_ns: u64, sock: u64, caller: u64) -> Call {
        Call {
            at_ns,
            begin_ns: 0,
            sock,
            goids: [caller, 0, 0, 0],
            start_pc: 0,
            origin: Origin::Unknown,
            epoch: 0,
        }
    }

    /// The caller of what `goid` wrote on `sock`: 0 where it wrote for itself.
    fn caller(pool: &mut Pool, goid: u64, sock: u64, start_ns: u64) -> Option<u64> {
        let written = Written {
            goid,
            sock,
            established_ns: 0,
            start_ns,
        };
        match pool.take(&written, 0) {
            Caller::Call(call) => Some(call.goids[0]),
            Caller::Pooled => None,
            Caller::Writer => Some(0),
        }
    }

    #[test]
    fn a_call_is_found_by_its_writer_and_used_once() {
        let mut pool = Pool::default();
        pool.writer(50, 0xaa, 1);
        pool.call(0xaa, call(2, 0, 7));
        assert_eq!(caller(&mut pool, 51, 3, 5), Some(0));
        assert_eq!(caller(&mut pool, 50, 3, 5), Some(7));
        assert_eq!(caller(&mut pool, 50, 3, 9), None);
    }

    #[test]
    fn the_first_call_may_come_before_its_writer() {
        let mut pool = Pool::default();
        pool.call(0xaa, call(2, 0, 7));
        pool.writer(50, 0xaa, 3);
        assert_eq!(caller(&mut pool, 50, 3, 5), Some(7));
    }

    #[test]
    fn an_old_connection_is_found_by_its_socket() {
        let mut pool = Pool::default();
        pool.call(0xaa, call(2, 3, 7));
        assert_eq!(caller(&mut pool, 50, 4, 5), Some(0));
        assert_eq!(caller(&mut pool, 50, 3, 5), Some(7));
        // The persistConn's memory now belongs to a connection with a known writer.
        pool.writer(60, 0xaa, 6);
        pool.call(0xaa, call(7, 0, 8));
        assert_eq!(caller(&mut pool, 50, 3, 8), None);
        assert_eq!(caller(&mut pool, 60, 9, 8), Some(8));
    }

    #[test]
    fn a_reused_socket_does_not_inherit_a_cancelled_call() {
        let mut pool = Pool::default();
        pool.call(0xaa, call(2, 3, 7));
        let written = Written {
            goid: 9,
            sock: 3,
            established_ns: 4,
            start_ns: 5,
        };
        assert!(matches!(pool.take(&written, 0), Caller::Pooled));
        assert_eq!(
            caller(&mut pool, 9, 3, 5),
            Some(7),
            "the age alone refused it"
        );
    }

    #[test]
    fn later_calls_other_sockets_and_losses_do_not_fit() {
        let mut pool = Pool::default();
        pool.writer(50, 0xaa, 1);
        pool.call(0xaa, call(6, 0, 7));
        assert_eq!(caller(&mut pool, 50, 3, 5), None);
        let lossy = Call {
            epoch: 1,
            ..call(6, 0, 7)
        };
        pool.call(0xaa, lossy);
        assert_eq!(caller(&mut pool, 50, 3, 7), None);
        pool.call(0xaa, call(8, 4, 7));
        assert_eq!(caller(&mut pool, 50, 3, 9), None);
        pool.call(0xaa, call(8, 0, 7));
        pool.writer(51, 0xaa, 10);
        let newer = Written {
            goid: 51,
            sock: 4,
            established_ns: 9,
            start_ns: 11,
        };
        assert!(matches!(pool.take(&newer, 0), Caller::Pooled));
    }
}
