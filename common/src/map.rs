//! Values of the maps that the agent writes and the kernel programs read.

use crate::pin_layout;

/// [`Process::flags`]: not selected, the kernel programs leave this process alone.
pub const PROCESS_SKIP: u32 = 1;
/// [`Process::flags`]: runs Go code whose goroutines can be told; `binary` is valid.
pub const PROCESS_GO: u32 = 2;

/// What the kernel programs know of a process (key: tgid). A process without an entry is captured
/// as if selected: the agent decides when it sees the first record, so that short-lived ones lose
/// nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// `PROCESS_*`.
    pub flags: u32,
    /// Index into the map of [`GoLayout`].
    pub binary: u32,
}
pin_layout!(Process: 8; flags @ 0, binary @ 4);

/// A file by device and inode (key of the map that gives a new process its [`Process`] at exec).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// `inode->i_ino`.
    pub inode: u64,
    /// `inode->i_sb->s_dev`, the kernel's own encoding (major << 20 | minor).
    pub device: u32,
    /// Zero.
    pub pad: u32,
}
pin_layout!(FileId: 16; inode @ 0, device @ 8, pad @ 12);

/// Marks a field of [`GoLayout`] that is not known.
pub const UNKNOWN: i32 = i32::MIN;
/// [`GoLayout::tls_slot`]: this binary keeps g in a register only.
pub const NO_TLS: i32 = i32::MAX;

/// Where one Go binary keeps what the kernel programs read. Offsets in bytes; [`UNKNOWN`] switches
/// off what needs it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoLayout {
    /// Offset from the thread pointer (fs base) of the word that holds g.
    pub tls_slot: i32,
    /// `runtime.g.m`.
    pub g_m: i32,
    /// `runtime.g.goid`.
    pub g_goid: i32,
    /// `runtime.g.parentGoid` (Go 1.21 and later).
    pub g_parent_goid: i32,
    /// `runtime.g.startpc`.
    pub g_startpc: i32,
    /// `runtime.m.curg`.
    pub m_curg: i32,
    /// `net/http.Request.ctx` (interface: the data word is 8 bytes on).
    pub request_ctx: i32,
    /// `net/http.Request.Pattern` (Go 1.23 and later).
    pub request_pattern: i32,
    /// `net/http.persistConn.conn` (interface).
    pub pconn_conn: i32,
    /// `net/http.persistConn.tlsState`.
    pub pconn_tls_state: i32,
    /// `net.netFD.pfd` + `internal/poll.FD.Sysfd`.
    pub netfd_sysfd: i32,
    /// Which registers hold the pattern (pointer, length) at the route site: see [`route_regs`].
    pub route_regs: i32,
    /// Sites that find the pattern (pointer, length) on the stack: its offset from rsp.
    pub route_stack: i32,
}
pin_layout!(GoLayout: 52; tls_slot @ 0, g_m @ 4, g_goid @ 8, g_parent_goid @ 12, g_startpc @ 16,
    m_curg @ 20, request_ctx @ 24, request_pattern @ 28, pconn_conn @ 32, pconn_tls_state @ 36,
    netfd_sysfd @ 40, route_regs @ 44, route_stack @ 48);

impl GoLayout {
    /// Nothing known.
    pub const NONE: Self = Self {
        tls_slot: UNKNOWN,
        g_m: UNKNOWN,
        g_goid: UNKNOWN,
        g_parent_goid: UNKNOWN,
        g_startpc: UNKNOWN,
        m_curg: UNKNOWN,
        request_ctx: UNKNOWN,
        request_pattern: UNKNOWN,
        pconn_conn: UNKNOWN,
        pconn_tls_state: UNKNOWN,
        netfd_sysfd: UNKNOWN,
        route_regs: UNKNOWN,
        route_stack: UNKNOWN,
    };
}

/// Values of [`GoLayout::route_regs`].
pub mod route_regs {
    /// Pattern pointer in rcx, length in rdi: third and fourth result of an ABIInternal call.
    pub const RCX_RDI: i32 = 1;
}

/// Where the running kernel keeps what the programs read: byte offsets from BTF, handed over as a
/// read-only global. 64-bit words so that the verifier sees known constants.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelLayout {
    /// `task_struct.files`.
    pub task_files: u64,
    /// `task_struct.thread` + `thread_struct.fsbase` (x86_64; aarch64: unused).
    pub task_fsbase: u64,
    /// `task_struct.start_boottime` (`real_start_time` before 5.5).
    pub task_start: u64,
    /// `task_struct.signal`.
    pub task_signal: u64,
    /// `task_struct.mm`.
    pub task_mm: u64,
    /// `task_struct.comm`.
    pub task_comm: u64,
    /// `signal_struct.live`.
    pub signal_live: u64,
    /// `linux_binprm.filename`.
    pub bprm_filename: u64,
    /// `mm_struct.exe_file`.
    pub mm_exe_file: u64,
    /// `mm_struct.start_code`.
    pub mm_start_code: u64,
    /// `mm_struct.end_data`.
    pub mm_end_data: u64,
    /// `files_struct.fdt`.
    pub files_fdt: u64,
    /// `fdtable.max_fds`.
    pub fdt_max_fds: u64,
    /// `fdtable.fd`.
    pub fdt_fd: u64,
    /// `file.private_data`.
    pub file_private: u64,
    /// `file.f_flags`.
    pub file_flags: u64,
    /// `file.f_inode`.
    pub file_inode: u64,
    /// `inode.i_ino`.
    pub inode_ino: u64,
    /// `inode.i_sb`.
    pub inode_sb: u64,
    /// `super_block.s_dev`.
    pub sb_dev: u64,
    /// `socket.type`.
    pub socket_type: u64,
    /// `socket.file`.
    pub socket_file: u64,
    /// `socket.sk`.
    pub socket_sk: u64,
    /// `sock.__sk_common.skc_family`.
    pub sk_family: u64,
    /// `sock.__sk_common.skc_state`.
    pub sk_state: u64,
    /// `sock.__sk_common.skc_dport`, network order.
    pub sk_dport: u64,
    /// `sock.__sk_common.skc_num`, host order.
    pub sk_num: u64,
    /// `sock.__sk_common.skc_daddr`.
    pub sk_daddr: u64,
    /// `sock.__sk_common.skc_rcv_saddr`.
    pub sk_saddr: u64,
    /// `sock.__sk_common.skc_v6_daddr`.
    pub sk_v6_daddr: u64,
    /// `sock.__sk_common.skc_v6_rcv_saddr`.
    pub sk_v6_saddr: u64,
    /// `sock.__sk_common.skc_net`.
    pub sk_net: u64,
    /// `sock.__sk_common.skc_prot`.
    pub sk_prot: u64,
    /// `sock.sk_protocol`: 16 bits from 5.6 on.
    pub sk_protocol: u64,
    /// `sock.sk_flags`.
    pub sk_flags: u64,
    /// `sock.sk_receive_queue.qlen`.
    pub sk_rx_qlen: u64,
    /// `net.ns.inum`.
    pub net_inum: u64,
    /// `proto.recvmsg`.
    pub proto_recvmsg: u64,
    /// Address of `tcp_recvmsg` from kallsyms.
    pub tcp_recvmsg: u64,
    /// First of the `tcp_sock` fields below; one read of [`TCP_SPAN`] bytes from here.
    pub tcp_span: u64,
    /// `tcp_sock.rcv_nxt`, from `tcp_span`.
    pub tcp_rcv_nxt: u64,
    /// `tcp_sock.copied_seq`, from `tcp_span`.
    pub tcp_copied_seq: u64,
    /// `tcp_sock.bytes_received`, from `tcp_span`.
    pub tcp_bytes_received: u64,
    /// `tcp_sock.snd_una`, from `tcp_span`.
    pub tcp_snd_una: u64,
    /// `tcp_sock.write_seq`, from `tcp_span`.
    pub tcp_write_seq: u64,
    /// `tcp_sock.bytes_acked`, from `tcp_span`.
    pub tcp_bytes_acked: u64,
    /// `unix_sock.peer`.
    pub unix_peer: u64,
}

/// Bytes of `tcp_sock` read at once; the six fields must lie within.
pub const TCP_SPAN: usize = 640;

/// Settings of the kernel programs, a read-only global.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of a message followed at most while its header block is incomplete.
    pub max_bytes: u64,
    /// Bytes of the ring that must be filled before the reader is woken before its time.
    pub wake_bytes: u64,
}

/// What the kernel programs remember of a socket (key: address of `struct sock`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Socket {
    /// Number of this end; 0: seen connecting, no message yet.
    pub conn: u64,
    /// Inode of the socket file.
    pub inode: u64,
    /// When this end sent its SYN, 0 where unseen.
    pub connect_ns: u64,
    /// When the handshake was complete, 0 where unseen.
    pub established_ns: u64,
    /// Unix sockets: the peer's `struct sock`.
    pub peer: u64,
    /// Next offset expected, receiving; unix sockets: bytes counted.
    pub rx_next: u64,
    /// The same, sending.
    pub tx_next: u64,
    /// Stream bases, receiving in the low half.
    pub bases: u64,
    /// Time of the last segment that was told.
    pub last_ns: u64,
    /// Messages numbered, receiving.
    pub rx_messages: u32,
    /// Messages numbered, sending.
    pub tx_messages: u32,
    /// Records refused by the ring, receiving.
    pub rx_dropped: u32,
    /// Records refused by the ring, sending.
    pub tx_dropped: u32,
    /// See `record::Open::unix_epoch`.
    pub unix_epoch: u32,
    /// Bytes copied of the message under way.
    pub followed: u32,
    /// Messages in a row that looked like no known protocol.
    pub unknown: u32,
    /// Direction of the last segment, [`socket::NO_DIR`] before the first.
    pub last_dir: u8,
    /// `record::ROLE_*`.
    pub role: u8,
    /// `record::TRANSPORT_*`.
    pub transport: u8,
    /// [`socket`] flags.
    pub flags: u8,
}
pin_layout!(Socket: 104; conn @ 0, inode @ 8, connect_ns @ 16, established_ns @ 24, peer @ 32,
    rx_next @ 40, tx_next @ 48, bases @ 56, last_ns @ 64, rx_messages @ 72, tx_messages @ 76,
    rx_dropped @ 80, tx_dropped @ 84, unix_epoch @ 88, followed @ 92, unknown @ 96,
    last_dir @ 100, role @ 101, transport @ 102, flags @ 103);

impl Socket {
    /// Nothing seen yet.
    pub const NEW: Self = Self {
        conn: 0,
        inode: 0,
        connect_ns: 0,
        established_ns: 0,
        peer: 0,
        rx_next: 0,
        tx_next: 0,
        bases: 0,
        last_ns: 0,
        rx_messages: 0,
        tx_messages: 0,
        rx_dropped: 0,
        tx_dropped: 0,
        unix_epoch: 0,
        followed: 0,
        unknown: 0,
        last_dir: socket::NO_DIR,
        role: 0,
        transport: 0,
        flags: 0,
    };
}

/// Values of [`Socket::flags`] and [`Socket::last_dir`].
pub mod socket {
    /// the agent was told who talks to whom.
    pub const ANNOUNCED: u8 = 1;
    /// speaks no known protocol; messages are numbered, not copied.
    pub const OPAQUE: u8 = 2;
    /// the header block of the message under way is not complete.
    pub const HEAD_OPEN: u8 = 4;
    /// HTTP was seen on it.
    pub const HTTP: u8 = 8;
    /// reached TCP_CLOSE with bytes unread; goes with the last of them.
    pub const CLOSING: u8 = 16;
    /// `rx_next` / `tx_next` are valid.
    pub const RX_KNOWN: u8 = 32;
    /// See [`RX_KNOWN`].
    pub const TX_KNOWN: u8 = 64;
    /// [`super::Socket::last_dir`] before the first message.
    pub const NO_DIR: u8 = 2;
}
