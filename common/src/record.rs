//! Records of the ring buffer. Every record starts with a [`Header`]; `header.size` counts the
//! whole record with its payload. Kinds are numbered in families with gaps and never renumbered.

use crate::pin_layout;

/// A connection was seen for the first time ([`Open`]).
pub const KIND_OPEN: u16 = 1;
/// The end of a connection, or of its sending half ([`Close`]).
pub const KIND_CLOSE: u16 = 2;
/// Bytes moved ([`Segment`], payload follows).
pub const KIND_SEGMENT: u16 = 10;
/// A send moved fewer bytes than its segment said ([`Short`]).
pub const KIND_SHORT: u16 = 11;
/// A receive met the end of the stream or an error ([`Halt`]).
pub const KIND_HALT: u16 = 12;
/// A process called exec ([`Exec`]).
pub const KIND_EXEC: u16 = 20;
/// A process ended (header only).
pub const KIND_EXIT: u16 = 21;
/// A process mapped an executable file (header only).
pub const KIND_MAPPED: u16 = 22;
/// Go: `net/http` hands a request to its handler ([`GoServe`]).
pub const KIND_GO_SERVE: u16 = 30;
/// Go: `net/http` sends a request on a pooled connection ([`GoCall`]).
pub const KIND_GO_CALL: u16 = 31;
/// Go: a pooled connection got its writer goroutine ([`GoConn`]).
pub const KIND_GO_CONN: u16 = 32;
/// Go: a `ServeMux` matched a pattern ([`GoRoute`], text follows).
pub const KIND_GO_ROUTE: u16 = 33;
/// Go: a goroutine that had made a call, or an ancestor of one, exits ([`GoExit`]).
pub const KIND_GO_EXIT: u16 = 34;
/// Written by the agent: monotonic-to-wall offset and boot id ([`Clock`]).
pub const KIND_CLOCK: u16 = 100;
/// Written by the agent: what it learned of a process (JSON follows the header).
pub const KIND_PROCESS: u16 = 101;
/// Written by the agent: the kernel's counters at that moment (JSON follows the header).
pub const KIND_COUNTERS: u16 = 102;

/// Head of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// CLOCK_MONOTONIC, nanoseconds. Sends: entry of the call. Receives: its return.
    pub ktime_ns: u64,
    /// Process (`task->tgid`, initial pid namespace).
    pub tgid: u32,
    /// Thread (`task->pid`).
    pub tid: u32,
    /// Bytes of the whole record, header and payload included.
    pub size: u32,
    /// One of the `KIND_` constants.
    pub kind: u16,
    /// Zero.
    pub pad: u16,
}
pin_layout!(Header: 24; ktime_ns @ 0, tgid @ 8, tid @ 12, size @ 16, kind @ 20, pad @ 22);

/// Receiving direction, seen from the process that moved the bytes.
pub const DIR_RX: u8 = 0;
/// Sending direction.
pub const DIR_TX: u8 = 1;

/// [`Open::role`]: the connection is older than the agent; who connected is not known.
pub const ROLE_UNKNOWN: u8 = 0;
/// [`Open::role`]: this end called connect.
pub const ROLE_CONNECT: u8 = 1;
/// [`Open::role`]: this end accepted.
pub const ROLE_ACCEPT: u8 = 2;

/// [`Open::transport`]: plain TCP, offsets are the kernel's own.
pub const TRANSPORT_TCP: u8 = 0;
/// [`Open::transport`]: unix stream socket, offsets counted by the kernel programs.
pub const TRANSPORT_UNIX: u8 = 1;
/// [`Open::transport`]: MPTCP. No hop id.
pub const TRANSPORT_MPTCP: u8 = 2;
/// [`Open::transport`]: TCP whose operations were replaced (kTLS, sockmap, SMC). No hop id.
pub const TRANSPORT_REPLACED: u8 = 3;

/// Who talks to whom. Sent before the first segment of a connection, again when it was lost.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// `KIND_OPEN`.
    pub header: Header,
    /// Number of this end of the connection, unique while the kernel programs live.
    pub conn: u64,
    /// Address of `struct sock`, identity only.
    pub sock: u64,
    /// Inode of the socket file (`sockfs`), 0 where unknown.
    pub inode: u64,
    /// Unix sockets: address of the peer's `struct sock`. 0 elsewhere.
    pub peer_sock: u64,
    /// When this end sent its SYN, 0 where unseen. Monotonic nanoseconds.
    pub connect_ns: u64,
    /// When the handshake was complete, 0 where unseen. Monotonic nanoseconds.
    pub established_ns: u64,
    /// `rcv_nxt - (u32)bytes_received`: the peer's initial stream position.
    pub rx_base: u32,
    /// `snd_una - (u32)bytes_acked`, not yet corrected by S (design: the SYN of the connecting
    /// end is counted; the agent adds 1 there).
    pub tx_base: u32,
    /// `AF_INET`, `AF_INET6`, `AF_UNIX`.
    pub family: u16,
    /// Local port, host order.
    pub local_port: u16,
    /// Peer's port, host order.
    pub peer_port: u16,
    /// `ROLE_*`.
    pub role: u8,
    /// `TRANSPORT_*`.
    pub transport: u8,
    /// Local address; IPv4 in the first four bytes.
    pub local_addr: [u8; 16],
    /// Peer's address.
    pub peer_addr: [u8; 16],
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Unix sockets: number of this pair's synchronisation; both ends carry the same one. 0: the
    /// two byte counts have no common origin yet, no hop id.
    pub unix_epoch: u32,
}
pin_layout!(Open: 128; conn @ 24, sock @ 32, inode @ 40, peer_sock @ 48, connect_ns @ 56,
    established_ns @ 64, rx_base @ 72, tx_base @ 76, family @ 80, local_port @ 82, peer_port @ 84,
    role @ 86, transport @ 87, local_addr @ 88, peer_addr @ 104, netns @ 120, unix_epoch @ 124);

/// [`Close::how`]: this end sent its FIN (close or shutdown); it may still receive.
pub const CLOSE_SENT_FIN: u8 = 1;
/// [`Close::how`]: the socket reached TCP_CLOSE, or a unix socket's last descriptor was closed.
pub const CLOSE_DONE: u8 = 2;

/// The end of a connection with its totals.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Close {
    /// `KIND_CLOSE`. The task is whoever ran then, with TCP_CLOSE often a softirq: not meaningful.
    pub header: Header,
    /// [`Open::conn`].
    pub conn: u64,
    /// Messages numbered in the receiving direction.
    pub rx_messages: u32,
    /// Messages numbered in the sending direction.
    pub tx_messages: u32,
    /// Of those, messages one of whose records was dropped, receiving direction.
    pub rx_dropped: u32,
    /// The same for the sending direction.
    pub tx_dropped: u32,
    /// `CLOSE_*`.
    pub how: u8,
    /// Zero.
    pub pad: [u8; 7],
}
pin_layout!(Close: 56; conn @ 24, rx_messages @ 32, tx_messages @ 36, rx_dropped @ 40,
    tx_dropped @ 44, how @ 48, pad @ 49);

/// [`Segment::flags`]: first segment of a message (the direction flipped).
pub const SEGMENT_FIRST: u8 = 1;
/// [`Segment::flags`]: the descriptor is O_NONBLOCK or the call said MSG_DONTWAIT.
pub const SEGMENT_NONBLOCK: u8 = 2;
/// [`Segment::flags`]: the payload could not be read (page not present, or splice/sendfile).
pub const SEGMENT_UNREADABLE: u8 = 4;
/// [`Segment::flags`]: the offset did not follow from the last one; bytes before it were not seen.
pub const SEGMENT_JUMP: u8 = 8;
/// [`Segment::flags`]: `tail` is valid: the last 8 bytes of the segment.
pub const SEGMENT_TAIL: u8 = 16;
/// [`Segment::flags`]: this record continues the one before it: the same call, later bytes.
pub const SEGMENT_MORE: u8 = 32;

/// Bytes one thread moved through one socket in one call. `captured` payload bytes follow, the
/// first ones of the segment.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// `KIND_SEGMENT`.
    pub header: Header,
    /// [`Open::conn`].
    pub conn: u64,
    /// Offset of the first byte in its direction's stream. TCP, sending: not yet corrected by S
    /// (the agent subtracts 1 at the connecting end).
    pub offset: u64,
    /// Go: the goroutine that made the call, 0 where there is none.
    pub goid: u64,
    /// When this thread last returned from waiting on several descriptors (epoll, poll, select,
    /// io_uring), 0 where never seen. Monotonic nanoseconds.
    pub last_wait_ns: u64,
    /// Bytes moved. Sends: bytes the call asked for; a [`Short`] corrects it.
    pub len: u32,
    /// Payload bytes in this record, <= len.
    pub captured: u32,
    /// Number of the message this segment belongs to, per direction, from 1.
    pub ordinal: u32,
    /// `DIR_*`.
    pub dir: u8,
    /// `SEGMENT_*`.
    pub flags: u8,
    /// Zero.
    pub pad: [u8; 2],
    /// Last bytes of the segment where `SEGMENT_TAIL` is set.
    pub tail: [u8; 8],
}
pin_layout!(Segment: 80; conn @ 24, offset @ 32, goid @ 40, last_wait_ns @ 48, len @ 56,
    captured @ 60, ordinal @ 64, dir @ 68, flags @ 69, pad @ 70, tail @ 72);

/// A send whose segment was already told moved only `moved` bytes (0 when it failed).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Short {
    /// `KIND_SHORT`; the time is the return of the call.
    pub header: Header,
    /// [`Open::conn`].
    pub conn: u64,
    /// Bytes really moved.
    pub moved: u32,
    /// Positive errno when the call failed, else 0.
    pub errno: u32,
}
pin_layout!(Short: 40; conn @ 24, moved @ 32, errno @ 36);

/// A receive returned no bytes: end of stream (`errno` 0) or an error other than EAGAIN/EINTR.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Halt {
    /// `KIND_HALT`.
    pub header: Header,
    /// [`Open::conn`].
    pub conn: u64,
    /// Positive errno, 0 at end of stream.
    pub errno: u32,
    /// Zero.
    pub pad: u32,
}
pin_layout!(Halt: 40; conn @ 24, errno @ 32, pad @ 36);

/// Bytes of a program's path in an [`Exec`].
pub const EXEC_PATH: usize = 128;

/// A process started a new program.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exec {
    /// `KIND_EXEC`.
    pub header: Header,
    /// `task->start_boottime`, nanoseconds since boot.
    pub start_ns: u64,
    /// Cgroup v2 id (0 on a v1-only process).
    pub cgroup: u64,
    /// `task->comm`, zero-padded.
    pub comm: [u8; 16],
    /// The program as execve was given it, zero-padded; cut where longer.
    pub path: [u8; EXEC_PATH],
}
pin_layout!(Exec: 184; start_ns @ 24, cgroup @ 32, comm @ 40, path @ 56);

/// `net/http.serverHandler.ServeHTTP`: the request's context, by its data words.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoServe {
    /// `KIND_GO_SERVE`.
    pub header: Header,
    /// The goroutine that handles the request.
    pub goid: u64,
    /// Data word of `Request.ctx`.
    pub ctx: u64,
    /// Data word of that context's parent, kept to recognise a reused address.
    pub ctx_parent: u64,
}
pin_layout!(GoServe: 48; goid @ 24, ctx @ 32, ctx_parent @ 40);

/// Words of a context chain that one [`GoCall`] carries.
pub const CTX_CHAIN: usize = 10;
/// Ancestors of a goroutine that one [`GoCall`] carries.
pub const ANCESTORS: usize = 3;

/// A goroutine's creator and when it created it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ancestor {
    /// Goroutine that executed the `go` statement, 0 where unknown.
    pub goid: u64,
    /// When. Monotonic nanoseconds; 0 where only `g.parentGoid` told.
    pub created_ns: u64,
}
pin_layout!(Ancestor: 16; goid @ 0, created_ns @ 8);

/// `net/http.(*persistConn).roundTrip`: who sends the next request of a pooled connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoCall {
    /// `KIND_GO_CALL`.
    pub header: Header,
    /// The calling goroutine.
    pub goid: u64,
    /// The `*persistConn`.
    pub pconn: u64,
    /// [`Open::sock`] where the pooled connection is older than the probes, else 0.
    pub sock: u64,
    /// Program counter where the calling goroutine began (`g.startpc`).
    pub start_pc: u64,
    /// Creator of the caller, its creator, and so on; zero-filled.
    pub ancestors: [Ancestor; ANCESTORS],
    /// Data words of `Request.ctx` and its parents, innermost first; zero-filled.
    pub ctx: [u64; CTX_CHAIN],
    /// Entry of `(*Transport).roundTrip` on this goroutine: before the connection was chosen or
    /// dialled. 0 for a second attempt of the same call.
    pub begin_ns: u64,
    /// 1 when the chain was read to its end, 0 when it was cut (longer, or a word unreadable).
    pub ctx_whole: u8,
    /// Zero.
    pub pad: [u8; 7],
}
pin_layout!(GoCall: 200; goid @ 24, pconn @ 32, sock @ 40, start_pc @ 48, ancestors @ 56, ctx @ 104,
    begin_ns @ 184, ctx_whole @ 192, pad @ 193);

/// `net/http.(*persistConn).writeLoop`: the goroutine that writes this pooled connection for life.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoConn {
    /// `KIND_GO_CONN`.
    pub header: Header,
    /// The writer goroutine.
    pub goid: u64,
    /// The `*persistConn`.
    pub pconn: u64,
}
pin_layout!(GoConn: 40; goid @ 24, pconn @ 32);

/// A `ServeMux` matched a pattern for the request that this goroutine handles. `len` bytes of text
/// follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoRoute {
    /// `KIND_GO_ROUTE`.
    pub header: Header,
    /// The goroutine.
    pub goid: u64,
    /// Bytes of the pattern in this record.
    pub len: u32,
    /// Bytes of the whole pattern.
    pub full_len: u32,
}
pin_layout!(GoRoute: 40; goid @ 24, len @ 32, full_len @ 36);

/// A goroutine that had made a call (or one of its ancestors) exits.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoExit {
    /// `KIND_GO_EXIT`.
    pub header: Header,
    /// The goroutine.
    pub goid: u64,
}
pin_layout!(GoExit: 32; goid @ 24);

/// Wall clock and machine, read by the agent every second.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// `KIND_CLOCK`.
    pub header: Header,
    /// CLOCK_REALTIME minus CLOCK_MONOTONIC, nanoseconds.
    pub wall_offset_ns: i64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: [u8; 16],
}
pin_layout!(Clock: 48; wall_offset_ns @ 24, boot_id @ 32);

/// A record's fixed part: plain integers without padding, so any bytes are a valid value.
///
/// # Safety
/// Only for `repr(C)` types made of integers and byte arrays with no padding between them.
pub unsafe trait Wire: Copy {}

macro_rules! wire {
    ($($t:ty),+) => { $(
        // SAFETY: the layout is pinned above: fields of fixed-width integers, no gap between them.
        unsafe impl Wire for $t {}
    )+ };
}
wire!(
    Header, Open, Close, Segment, Short, Halt, Exec, GoServe, GoCall, GoConn, GoRoute, GoExit,
    Clock
);

/// The fixed part at the front of `bytes`; `None` when they are too few.
pub fn read<T: Wire>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: enough bytes, any of them valid (`Wire`), no alignment asked for.
    Some(unsafe { core::ptr::read_unaligned(bytes.as_ptr().cast()) })
}

/// The bytes of a fixed part.
pub fn bytes_of<T: Wire>(value: &T) -> &[u8] {
    // SAFETY: `Wire` types have no padding, so all their bytes are initialised.
    unsafe { core::slice::from_raw_parts(core::ptr::from_ref(value).cast(), size_of::<T>()) }
}
