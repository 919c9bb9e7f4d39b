//! From a descriptor to its socket, and what is remembered of it.

use crate::{
    layout::kernel,
    maps::{SCRATCH, SOCKETS, Scratch, count, next_conn, send},
    memory::{kernel as read, typed},
    process::Task,
};
use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_probe_read_kernel};
use threadline_common::map::Socket;
use threadline_common::map::socket::{ANNOUNCED, CLOSING, RX_KNOWN, TX_KNOWN};
use threadline_common::{
    counter::{MPTCP, REPLACED, SOCKET_REUSED, SOCKETS_MAP_FULL, TORN_READ, TORN_READ_LOST},
    map::TCP_SPAN,
    record::{
        CLOSE_DONE, Close, KIND_CLOSE, KIND_OPEN, Open, ROLE_CONNECT, TRANSPORT_MPTCP,
        TRANSPORT_REPLACED, TRANSPORT_TCP, TRANSPORT_UNIX,
    },
};

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const SOCK_STREAM: u16 = 1;
const IPPROTO_TCP: u16 = 6;
const IPPROTO_MPTCP: u16 = 262;
const O_NONBLOCK: u32 = 0o4000;
/// include/net/sock.h, enum sock_flags: SOCK_DONE, set when the FIN was received.
const SOCK_DONE: u64 = 1 << 1;
/// include/net/tcp_states.h
pub const TCP_CLOSE: u8 = 7;
const TCP_LISTEN: u8 = 10;

/// What a descriptor leads to.
#[derive(Clone, Copy)]
pub struct Found {
    pub sock: u64,
    pub file: u64,
    pub nonblocking: bool,
}

/// Start of `struct socket`.
#[repr(C)]
#[derive(Clone, Copy)]
struct SocketHead {
    words: [u64; 5],
}

/// The stream socket behind a descriptor of the current process; `None`: no socket, or gone.
///
/// fd -> files_struct.fdt -> fd[] -> file.private_data -> socket.sk; that it is a socket shows by
/// `socket.file` pointing back.
#[inline(always)]
pub fn of_descriptor(fd: u32) -> Option<Found> {
    // SAFETY: helper without arguments.
    let task = unsafe { bpf_get_current_task_btf() } as u64;
    let files: u64 = typed(task, kernel!(task_files));
    let table: u64 = typed(files, kernel!(files_fdt));
    let max: u32 = typed(table, kernel!(fdt_max_fds));
    if fd >= max {
        return None;
    }
    let array: u64 = typed(table, kernel!(fdt_fd));
    let file: u64 = read(array, u64::from(fd) * 8)?;
    if file == 0 {
        return None;
    }
    let private: u64 = read(file, kernel!(file_private))?;
    if private == 0 {
        return None;
    }
    let head: SocketHead = read(private, 0)?;
    let word = |offset: u64| head.words[((offset / 8) as usize).min(4)];
    if word(kernel!(socket_file)) != file {
        return None;
    }
    let kind = (word(kernel!(socket_type)) >> ((kernel!(socket_type) % 8) * 8)) as u16;
    let sock = word(kernel!(socket_sk));
    if sock == 0 || kind != SOCK_STREAM {
        return None;
    }
    let flags: u32 = read(file, kernel!(file_flags)).unwrap_or(0);
    Some(Found {
        sock,
        file,
        nonblocking: flags & O_NONBLOCK != 0,
    })
}

/// Stream positions of a TCP socket at one moment. Words only: the compiler joins smaller fields
/// with undefined bits, which the verifier refuses.
#[derive(Clone, Copy, Default)]
pub struct Positions {
    /// 32 bits of [`Open::rx_base`], and of [`Open::tx_base`] above them.
    pub bases: u64,
    /// Bytes the program has read, the FIN included once read.
    pub rx_consumed: u64,
    /// Bytes the program has written (plus one at the connecting end, for its SYN).
    pub tx_written: u64,
    /// Received and not yet read; a FIN counts as one byte.
    pub rx_waiting: u64,
}

/// One reading of the six fields.
#[inline(always)]
fn positions_once(sock: u64, scratch: &mut Scratch) -> Option<Positions> {
    // SAFETY: the helper checks the source; the destination holds TCP_SPAN bytes.
    let failed = unsafe {
        bpf_probe_read_kernel(
            scratch.tcp.as_mut_ptr().cast(),
            TCP_SPAN as u32,
            sock.wrapping_add(kernel!(tcp_span)) as *const _,
        )
    };
    if failed != 0 {
        return None;
    }
    #[inline(always)]
    fn at<T: Copy>(scratch: &Scratch, offset: u64) -> T {
        let offset = (offset as usize).min(TCP_SPAN - 8);
        // SAFETY: within the array by the line above; aligned as the kernel aligned it (the span
        // starts at a multiple of 8).
        unsafe { core::ptr::read_volatile(scratch.tcp.as_ptr().add(offset).cast::<T>()) }
    }
    let rcv_nxt: u32 = at(scratch, kernel!(tcp_rcv_nxt));
    let copied_seq: u32 = at(scratch, kernel!(tcp_copied_seq));
    let received: u64 = at(scratch, kernel!(tcp_bytes_received));
    let snd_una: u32 = at(scratch, kernel!(tcp_snd_una));
    let write_seq: u32 = at(scratch, kernel!(tcp_write_seq));
    let acked: u64 = at(scratch, kernel!(tcp_bytes_acked));
    Some(Positions {
        bases: u64::from(rcv_nxt.wrapping_sub(received as u32))
            | u64::from(snd_una.wrapping_sub(acked as u32)) << 32,
        rx_consumed: received.wrapping_sub(u64::from(rcv_nxt.wrapping_sub(copied_seq))),
        tx_written: acked.wrapping_add(u64::from(write_seq.wrapping_sub(snd_una))),
        rx_waiting: u64::from(rcv_nxt.wrapping_sub(copied_seq)),
    })
}

/// Positions whose bases are `expected`, or on which two readings agree: the fields change in
/// softirq while they are read.
#[inline(always)]
fn positions(sock: u64, scratch: &mut Scratch, expected: u64) -> Option<Positions> {
    let mut last = positions_once(sock, scratch)?;
    if expected == last.bases {
        return Some(last);
    }
    for _ in 0..6 {
        let again = positions_once(sock, scratch)?;
        if expected == again.bases {
            count(TORN_READ);
            return Some(again);
        }
        if again.bases == last.bases {
            return Some(again);
        }
        last = again;
    }
    count(TORN_READ_LOST);
    None
}

/// Whether the FIN is among the bytes read.
#[inline(always)]
pub fn fin_was_read(sock: u64, positions: &Positions) -> bool {
    positions.rx_waiting == 0 && read::<u64>(sock, kernel!(sk_flags)).unwrap_or(0) & SOCK_DONE != 0
}

/// The remembered socket and its positions now; creates the memory at the first message.
/// `None`: not a stream socket we can follow (counted).
#[inline(always)]
pub fn remembered(found: &Found) -> Option<(&'static mut Socket, Positions)> {
    let scratch = scratch()?;
    if let Some(socket) = SOCKETS.get_ptr_mut(found.sock) {
        // SAFETY: the map's value; other CPUs may write it too, each field on its own.
        let socket = unsafe { &mut *socket };
        if socket.conn != 0 {
            match socket.transport {
                TRANSPORT_TCP => {
                    let now = positions(found.sock, scratch, socket.bases)?;
                    if now.bases == socket.bases {
                        return Some((socket, now));
                    }
                    count(SOCKET_REUSED);
                }
                _ => {
                    if inode_of(found.file) == socket.inode || socket.inode == 0 {
                        return Some((socket, Positions::default()));
                    }
                    count(SOCKET_REUSED);
                }
            }
            *socket = Socket::NEW;
        }
    }
    create(found, scratch)
}

#[inline(always)]
pub fn scratch() -> Option<&'static mut Scratch> {
    // SAFETY: this CPU's value; see SCRATCH for who may use it.
    SCRATCH
        .get_ptr_mut(0)
        .map(|scratch| unsafe { &mut *scratch })
}

#[inline(always)]
fn inode_of(file: u64) -> u64 {
    read::<u64>(file, kernel!(file_inode))
        .and_then(|inode| read(inode, kernel!(inode_ino)))
        .unwrap_or(0)
}

/// First message of a socket (or of one seen connecting).
#[inline(never)]
fn create(found: &Found, scratch: &mut Scratch) -> Option<(&'static mut Socket, Positions)> {
    let family: u16 = read(found.sock, kernel!(sk_family))?;
    let state: u8 = read(found.sock, kernel!(sk_state))?;
    let transport = match family {
        AF_UNIX => TRANSPORT_UNIX,
        AF_INET | AF_INET6 => {
            let protocol: u16 = read(found.sock, kernel!(sk_protocol))?;
            let prot: u64 = read(found.sock, kernel!(sk_prot))?;
            let recvmsg: u64 = read(prot, kernel!(proto_recvmsg))?;
            if protocol == IPPROTO_MPTCP {
                count(MPTCP);
                TRANSPORT_MPTCP
            } else if protocol != IPPROTO_TCP {
                return None;
            } else if recvmsg != kernel!(tcp_recvmsg) {
                count(REPLACED);
                TRANSPORT_REPLACED
            } else {
                TRANSPORT_TCP
            }
        }
        _ => return None,
    };
    // A listener has no stream; a closed socket is only met by a call that outlived it.
    if family != AF_UNIX && (state == TCP_LISTEN || state == TCP_CLOSE) {
        return None;
    }
    let now = match transport {
        TRANSPORT_TCP => positions(found.sock, scratch, 0)?,
        _ => Positions::default(),
    };
    if SOCKETS.get_ptr_mut(found.sock).is_none()
        && SOCKETS.insert(found.sock, Socket::NEW, 0).is_err()
    {
        count(SOCKETS_MAP_FULL);
        return None;
    }
    // SAFETY: the map's value, see `remembered`.
    let socket = unsafe { &mut *SOCKETS.get_ptr_mut(found.sock)? };
    socket.conn = next_conn();
    socket.inode = inode_of(found.file);
    socket.transport = transport;
    socket.bases = now.bases;
    Some((socket, now))
}

/// Unix sockets count their bytes here. Both ends get a common origin the first time one of them
/// writes while neither has anything unread.
#[inline(never)]
pub fn synchronise_unix(sock: u64, socket: &mut Socket) {
    let Some(peer) = read::<u64>(sock, kernel!(unix_peer)) else {
        return;
    };
    if peer == 0 || (socket.unix_epoch != 0 && socket.peer == peer) {
        return;
    }
    let waiting = |sock| read::<u32>(sock, kernel!(sk_rx_qlen)).unwrap_or(1);
    if waiting(peer) != 0 || waiting(sock) != 0 {
        return;
    }
    if SOCKETS.get_ptr_mut(peer).is_none() && SOCKETS.insert(peer, Socket::NEW, 0).is_err() {
        count(SOCKETS_MAP_FULL);
        return;
    }
    let Some(other) = SOCKETS.get_ptr_mut(peer) else {
        return;
    };
    // SAFETY: the map's value, see `remembered`.
    let other = unsafe { &mut *other };
    if other.conn == 0 {
        other.conn = next_conn();
        other.transport = TRANSPORT_UNIX;
    }
    let epoch = (socket.conn as u32 ^ (socket.conn >> 32) as u32) | 1;
    other.peer = sock;
    socket.peer = peer;
    for end in [socket, other] {
        end.unix_epoch = epoch;
        end.rx_next = 0;
        end.tx_next = 0;
        end.flags = (end.flags & !ANNOUNCED) | RX_KNOWN | TX_KNOWN;
    }
}

/// Tells the agent who talks to whom, once.
#[inline(never)]
pub fn announce(task: &Task, sock: u64, socket: &mut Socket) {
    if socket.flags & ANNOUNCED != 0 {
        return;
    }
    let family: u16 = read(sock, kernel!(sk_family)).unwrap_or(0);
    let mut open = Open {
        header: crate::process::header(task, KIND_OPEN, size_of::<Open>()),
        conn: socket.conn,
        sock,
        inode: socket.inode,
        peer_sock: socket.peer,
        connect_ns: socket.connect_ns,
        established_ns: socket.established_ns,
        rx_base: socket.bases as u32,
        tx_base: (socket.bases >> 32) as u32,
        family,
        local_port: 0,
        peer_port: 0,
        role: socket.role,
        transport: socket.transport,
        local_addr: [0; 16],
        peer_addr: [0; 16],
        netns: 0,
        unix_epoch: socket.unix_epoch,
    };
    if family != AF_UNIX {
        open.local_port = read(sock, kernel!(sk_num)).unwrap_or(0);
        open.peer_port = read::<u16>(sock, kernel!(sk_dport))
            .unwrap_or(0)
            .swap_bytes();
        if family == AF_INET6 {
            open.local_addr = read(sock, kernel!(sk_v6_saddr)).unwrap_or([0; 16]);
            open.peer_addr = read(sock, kernel!(sk_v6_daddr)).unwrap_or([0; 16]);
        } else {
            let local: [u8; 4] = read(sock, kernel!(sk_saddr)).unwrap_or([0; 4]);
            let peer: [u8; 4] = read(sock, kernel!(sk_daddr)).unwrap_or([0; 4]);
            open.local_addr[..4].copy_from_slice(&local);
            open.peer_addr[..4].copy_from_slice(&peer);
        }
        open.netns = read::<u64>(sock, kernel!(sk_net))
            .and_then(|net| read(net, kernel!(net_inum)))
            .unwrap_or(0);
    }
    if send((&raw const open).cast(), size_of::<Open>() as u64) {
        socket.flags |= ANNOUNCED;
    }
}

/// Notes that this end connected (SYN sent, or a unix connect).
#[inline(always)]
pub fn connecting(sock: u64, now: u64) {
    let mut socket = Socket::NEW;
    socket.connect_ns = now;
    socket.role = ROLE_CONNECT;
    if SOCKETS.insert(sock, socket, 0).is_err() {
        count(SOCKETS_MAP_FULL);
    }
}

/// Tells the end of a connection (or of its sending half) with its totals.
#[inline(always)]
pub fn tell_close(task: &Task, socket: &Socket, how: u8) {
    let close = Close {
        header: crate::process::header(task, KIND_CLOSE, size_of::<Close>()),
        conn: socket.conn,
        rx_messages: socket.rx_messages,
        tx_messages: socket.tx_messages,
        rx_dropped: socket.rx_dropped,
        tx_dropped: socket.tx_dropped,
        how,
        pad: [0; 7],
    };
    send((&raw const close).cast(), size_of::<Close>() as u64);
}

/// Forgets a socket whose last bytes were read after it reached TCP_CLOSE.
#[inline(always)]
pub fn finish_closing(task: &Task, sock: u64, socket: &Socket) {
    if socket.flags & CLOSING != 0 {
        tell_close(task, socket, CLOSE_DONE);
        let _ = SOCKETS.remove(sock);
    }
}
