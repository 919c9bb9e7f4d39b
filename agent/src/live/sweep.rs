//! Entries of kernel maps that nobody will delete there: sockets without traffic, goroutines of
//! processes that ended. Slow and rare, so it runs on the thread that attaches.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use aya::{
    Ebpf, Pod,
    maps::{HashMap as BpfHashMap, MapData},
};
use threadline_common::map::Socket;
use threadline_common::record::{ANCESTORS, Ancestor};

use super::clock;
use crate::hook::golang::Shared;
use crate::hook::load::{self, LoadError};

/// How often maps are looked through.
pub const PERIOD: Duration = Duration::from_secs(10);
/// A socket without traffic for so long is forgotten; it is picked up again at its next message.
const SOCKET_IDLE_NS: u64 = 3_600_000_000_000;

/// Address (or number) and process, as the kernel programs' `GoKey`.
type GoKey = [u64; 2];

// SAFETY: `repr(C)` integers without padding (pinned in `common`).
unsafe impl Pod for Shared<Socket> {}
// SAFETY: as above.
unsafe impl Pod for Shared<[Ancestor; ANCESTORS]> {}

/// The maps that are swept.
pub struct Sweeper {
    sockets: BpfHashMap<MapData, u64, Shared<Socket>>,
    ancestors: BpfHashMap<MapData, GoKey, Shared<[Ancestor; ANCESTORS]>>,
    callers: BpfHashMap<MapData, GoKey, u8>,
    pconns: BpfHashMap<MapData, GoKey, u8>,
    begun: BpfHashMap<MapData, GoKey, u64>,
    dead: HashSet<u64>,
    due: Instant,
}

impl Sweeper {
    /// Takes the maps out of the loaded object.
    pub fn new(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        Ok(Self {
            sockets: load::map(ebpf, "SOCKETS")?,
            ancestors: load::map(ebpf, "GO_ANCESTORS")?,
            callers: load::map(ebpf, "GO_CALLERS")?,
            pconns: load::map(ebpf, "GO_PCONNS")?,
            begun: load::map(ebpf, "GO_BEGUN")?,
            dead: HashSet::new(),
            due: Instant::now() + PERIOD,
        })
    }

    /// A process ended.
    pub fn ended(&mut self, tgid: u32) {
        self.dead.insert(u64::from(tgid));
    }

    /// Sweeps when it is time.
    pub fn tick(&mut self) {
        if Instant::now() < self.due {
            return;
        }
        self.due = Instant::now() + PERIOD;
        let now = clock::monotonic_ns();
        let idle: Vec<u64> = self
            .sockets
            .iter()
            .filter_map(Result::ok)
            .filter(|(_, Shared(socket))| {
                let seen = socket
                    .last_ns
                    .max(socket.connect_ns)
                    .max(socket.established_ns);
                seen != 0 && now.saturating_sub(seen) > SOCKET_IDLE_NS
            })
            .map(|(sock, _)| sock)
            .collect();
        for sock in idle {
            // Gone already is as good.
            let _ = self.sockets.remove(&sock);
        }
        if self.dead.is_empty() {
            return;
        }
        let dead = std::mem::take(&mut self.dead);
        sweep(&mut self.ancestors, &dead);
        sweep(&mut self.callers, &dead);
        sweep(&mut self.pconns, &dead);
        sweep(&mut self.begun, &dead);
    }
}

fn sweep<V: Pod>(map: &mut BpfHashMap<MapData, GoKey, V>, dead: &HashSet<u64>) {
    let keys: Vec<GoKey> = map
        .keys()
        .filter_map(Result::ok)
        .filter(|[_, tgid]| dead.contains(tgid))
        .collect();
    for key in keys {
        let _ = map.remove(&key);
    }
}
