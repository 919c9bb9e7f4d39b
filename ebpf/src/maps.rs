//! Maps with several users, their bounds, and the helpers around them.

use aya_ebpf::{
    helpers::generated::{bpf_get_smp_processor_id, bpf_ringbuf_output, bpf_ringbuf_query},
    macros::map,
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};
use threadline_common::{
    counter::{COUNTER_SLOTS, RECORDS, RECORDS_RING_FULL},
    map::{FileId, GoLayout, Process, Socket, TCP_SPAN},
    record::{ANCESTORS, Ancestor, Segment},
};

/// Everything the programs tell. Sized by the agent.
#[map]
pub static RECORDS_RING: RingBuf = RingBuf::with_byte_size(8 << 20, 0);

/// Sockets with messages, by address of `struct sock`. Swept by the agent (idle entries).
#[map]
pub static SOCKETS: HashMap<u64, Socket> = HashMap::with_max_entries(65_536, 0);

/// Processes the agent has judged, by tgid. Without entry: captured.
#[map]
pub static PROCESSES: HashMap<u32, Process> = HashMap::with_max_entries(32_768, 0);

/// What a process that executes this file will be.
#[map]
pub static BINARIES: HashMap<FileId, Process> = HashMap::with_max_entries(4_096, 0);

/// Layouts of Go binaries, by [`Process::binary`].
#[map]
pub static GO_LAYOUTS: Array<GoLayout> = Array::with_max_entries(1_024, 0);

/// Who created a goroutine, by process and address of g. Overwritten at every creation.
#[map]
pub static GO_ANCESTORS: HashMap<GoKey, [Ancestor; ANCESTORS]> =
    HashMap::with_max_entries(65_536, 0);

/// Goroutines whose exit is told, by process and number: those that made a call, and their
/// ancestors.
#[map]
pub static GO_CALLERS: HashMap<GoKey, u8> = HashMap::with_max_entries(65_536, 0);

/// When the client call that a goroutine is making began, by process and address of g.
#[map]
pub static GO_BEGUN: HashMap<GoKey, u64> = HashMap::with_max_entries(65_536, 0);

/// Pooled connections whose writer goroutine was told, by process and `*persistConn`.
#[map]
pub static GO_PCONNS: HashMap<GoKey, u8> = HashMap::with_max_entries(32_768, 0);

/// When a thread last came back from a wait on several descriptors, by tid.
#[map]
pub static WAITS: HashMap<u32, u64> = HashMap::with_max_entries(65_536, 0);

/// sendfile and splice calls under way, by tid: entry time.
#[map]
pub static CALLS: HashMap<u32, u64> = HashMap::with_max_entries(4_096, 0);

/// io_uring_enter calls by process: what they move is not seen.
#[map]
pub static IO_URING_CALLS: HashMap<u32, u64> = HashMap::with_max_entries(4_096, 0);

/// Counters (`threadline_common::counter`).
#[map]
pub static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(COUNTER_SLOTS, 0);

/// Numbers for connections.
#[map]
pub static NEXT_CONN: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Where a segment is put together. Used by system call programs only: they run with preemption
/// off and one at a time per CPU (softirq programs and uprobes must not touch it).
#[map]
pub static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// Payload bytes of one record at most.
pub const CHUNK: usize = 4096;

/// See [`SCRATCH`].
#[repr(C)]
pub struct Scratch {
    /// Fields of `tcp_sock`.
    pub tcp: [u8; TCP_SPAN],
    /// Argument of [`crate::message::moved`].
    pub call: crate::message::Move,
    /// Head of the record.
    pub segment: Segment,
    /// Its payload: at most `CHUNK` bytes at an offset below `CHUNK`. The verifier sees both as
    /// masks, the length as one below twice `CHUNK`: hence three times.
    pub payload: [u8; 3 * CHUNK],
}

/// A goroutine or pooled connection: address (or number) and process.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct GoKey {
    pub address: u64,
    pub tgid: u64,
}

/// Adds to a counter of this CPU.
#[inline(always)]
pub fn count(id: u32) {
    if let Some(slot) = COUNTERS.get_ptr_mut(id) {
        // SAFETY: a slot of this CPU's array, checked by the look-up.
        unsafe { *slot += 1 };
    }
}

/// A number no other connection has.
#[inline(always)]
pub fn next_conn() -> u64 {
    // SAFETY: helper without arguments.
    let cpu = u64::from(unsafe { bpf_get_smp_processor_id() });
    let Some(slot) = NEXT_CONN.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: a slot of this CPU's array. A softirq between the two lines could take the same
    // number only if it created connections; it never does.
    unsafe {
        *slot += 1;
        (cpu << 40) | *slot
    }
}

/// Hands a finished record to the ring. False: refused, and counted.
#[inline(never)]
pub fn send(record: *const u8, size: u64) -> bool {
    const BPF_RB_NO_WAKEUP: u64 = 1;
    const BPF_RB_FORCE_WAKEUP: u64 = 2;
    const BPF_RB_AVAIL_DATA: u64 = 0;
    let ring = core::ptr::addr_of!(RECORDS_RING).cast_mut().cast();
    count(RECORDS);
    // The reader comes by itself every few milliseconds; it is woken only when much has piled up.
    // SAFETY: a map of this program.
    let piled = unsafe { bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) };
    let flags = if piled > crate::layout::wake_bytes() {
        BPF_RB_FORCE_WAKEUP
    } else {
        BPF_RB_NO_WAKEUP
    };
    // SAFETY: `record` has `size` readable bytes (the verifier checks it).
    let failed = unsafe { bpf_ringbuf_output(ring, record.cast_mut().cast(), size, flags) };
    if failed != 0 {
        count(RECORDS_RING_FULL);
    }
    failed == 0
}
