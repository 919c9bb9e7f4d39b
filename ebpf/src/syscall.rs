//! Tracepoint back end: sends at the entry of their system call, receives at its exit. Everything
//! a call needs lies in its saved registers, so nothing is kept between the two, and a thread that
//! was blocked in a receive when the agent came is seen like any other.
//!
//! kernel: include/trace/events/syscalls.h: sys_enter(struct pt_regs *regs, long id),
//! sys_exit(struct pt_regs *regs, long ret)

use crate::{
    maps::{CALLS, IO_URING_CALLS, SOCKETS, WAITS, count, send},
    memory::user,
    message::{self, Move, Source, moved, total},
    process::{Task, header, selected},
    socket::{self, Found, fin_was_read, finish_closing, of_descriptor, remembered},
};
use aya_ebpf::{
    helpers::generated::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext,
};
use threadline_common::map::Socket;
use threadline_common::map::socket::OPAQUE;
use threadline_common::{
    counter::{CALLS_MAP_FULL, COMPAT, IO_URING, IO_URING_MAP_FULL, IOVEC_LIMIT, WAITS_MAP_FULL},
    map::PROCESS_GO,
    record::{
        CLOSE_DONE, DIR_RX, DIR_TX, Halt, Header, KIND_HALT, KIND_MAPPED, KIND_SHORT, ROLE_ACCEPT,
        ROLE_CONNECT, Short, TRANSPORT_TCP, TRANSPORT_UNIX,
    },
};

/// System call numbers (arch/x86/entry/syscalls/syscall_64.tbl).
mod nr {
    pub const READ: i64 = 0;
    pub const WRITE: i64 = 1;
    pub const CLOSE: i64 = 3;
    pub const POLL: i64 = 7;
    pub const MMAP: i64 = 9;
    pub const READV: i64 = 19;
    pub const WRITEV: i64 = 20;
    pub const SELECT: i64 = 23;
    pub const SENDFILE: i64 = 40;
    pub const CONNECT: i64 = 42;
    pub const ACCEPT: i64 = 43;
    pub const SENDTO: i64 = 44;
    pub const RECVFROM: i64 = 45;
    pub const SENDMSG: i64 = 46;
    pub const RECVMSG: i64 = 47;
    pub const EPOLL_WAIT: i64 = 232;
    pub const PSELECT6: i64 = 270;
    pub const PPOLL: i64 = 271;
    pub const SPLICE: i64 = 275;
    pub const EPOLL_PWAIT: i64 = 281;
    pub const ACCEPT4: i64 = 288;
    pub const RECVMMSG: i64 = 299;
    pub const SENDMMSG: i64 = 307;
    pub const PREADV2: i64 = 327;
    pub const PWRITEV2: i64 = 328;
    pub const IO_URING_ENTER: i64 = 426;
    pub const EPOLL_PWAIT2: i64 = 441;
}

/// Saved user registers (arch/x86/include/asm/ptrace.h), as far as they are read.
#[repr(C)]
struct Registers {
    unused: [u64; 7],
    r10: u64,
    unused_r9: u64,
    r8: u64,
    unused_ax_cx: [u64; 2],
    rdx: u64,
    rsi: u64,
    rdi: u64,
    orig_rax: u64,
    unused_rip: u64,
    cs: u64,
}

/// Code segment of 32-bit programs: their calls have other numbers.
const USER32_CS: u64 = 0x23;
const MSG_OOB: u64 = 0x1;
const MSG_PEEK: u64 = 0x2;
const MSG_DONTWAIT: u64 = 0x40;
const MSG_ERRQUEUE: u64 = 0x2000;
const NOT_STREAM: u64 = MSG_OOB | MSG_PEEK | MSG_ERRQUEUE;
const PROT_EXEC: u64 = 4;

/// include/uapi/asm-generic/errno.h
const EPIPE: i64 = 32;
const ECONNABORTED: i64 = 103;
const ECONNRESET: i64 = 104;
const ETIMEDOUT: i64 = 110;
const EHOSTUNREACH: i64 = 113;

/// `struct user_msghdr` as far as it is read.
#[repr(C)]
#[derive(Clone, Copy)]
struct MessageHeader {
    name: u64,
    name_len: u64,
    iov: u64,
    iov_len: u64,
}

/// One call that moves bytes of a descriptor.
struct Call {
    task: Task,
    source: Source,
    /// Bytes moved, or asked for.
    len: u64,
    /// Entry time where it is told at the exit, else 0.
    entry_ns: u64,
    fd: u32,
    dir: u8,
    dontwait: bool,
}

#[inline(always)]
fn buffer(base: u64) -> Source {
    Source {
        base,
        pieces: 0,
        readable: true,
    }
}

/// A single piece is as good as a buffer, and cheaper to follow.
#[inline(always)]
fn pieces(base: u64, n: u64) -> Source {
    if n == 1
        && let Some(base) = user::<u64>(base)
    {
        return buffer(base);
    }
    Source {
        base,
        pieces: n.min(u64::from(u32::MAX)) as u32,
        readable: true,
    }
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: helper without arguments.
    unsafe { bpf_ktime_get_ns() }
}

#[btf_tracepoint(function = "sys_enter")]
pub fn sys_enter(ctx: BtfTracePointContext) -> i32 {
    let id: i64 = ctx.arg(1);
    match id {
        nr::WRITE
        | nr::WRITEV
        | nr::SENDTO
        | nr::SENDMSG
        | nr::SENDMMSG
        | nr::SENDFILE
        | nr::SPLICE
        | nr::PWRITEV2
        | nr::CLOSE
        | nr::IO_URING_ENTER => {}
        _ => return 0,
    }
    let Some(task) = selected() else { return 0 };
    let regs: *const Registers = ctx.arg(0);
    // SAFETY: a BTF-typed pointer; the verifier checks each load.
    let regs = unsafe { &*regs };
    if regs.cs == USER32_CS {
        count(COMPAT);
        return 0;
    }
    let fd = regs.rdi as u32;
    // (vector, entries) where the call names pieces.
    let mut vector = (0u64, 0u64);
    let mut dontwait = false;
    match id {
        nr::WRITE => {}
        nr::SENDTO => dontwait = regs.r10 & MSG_DONTWAIT != 0,
        nr::WRITEV | nr::PWRITEV2 => vector = (regs.rsi, regs.rdx),
        nr::SENDMSG | nr::SENDMMSG => {
            // Of several messages the first: on a stream there is hardly ever another.
            let Some(message) = user::<MessageHeader>(regs.rsi) else {
                return 0;
            };
            vector = (message.iov, message.iov_len);
            if id == nr::SENDMSG {
                dontwait = regs.rdx & MSG_DONTWAIT != 0;
            } else {
                dontwait = regs.r10 & MSG_DONTWAIT != 0;
                if regs.rdx > 1 {
                    count(IOVEC_LIMIT);
                }
            }
        }
        nr::SENDFILE | nr::SPLICE => {
            if CALLS.insert(task.tid, now(), 0).is_err() {
                count(CALLS_MAP_FULL);
            }
            return 0;
        }
        nr::CLOSE => {
            closing(&task, fd);
            return 0;
        }
        _ => {
            io_uring(&task);
            return 0;
        }
    }
    let (source, len) = if matches!(id, nr::WRITE | nr::SENDTO) {
        (buffer(regs.rsi), regs.rdx)
    } else {
        if vector.1 > u64::from(message::PIECES) {
            count(IOVEC_LIMIT);
        }
        (pieces(vector.0, vector.1), total(vector.0, vector.1))
    };
    transfer(&Call {
        task,
        source,
        len,
        entry_ns: 0,
        fd,
        dir: DIR_TX,
        dontwait,
    });
    0
}

/// A process drives its sockets (perhaps) by io_uring.
#[inline(never)]
fn io_uring(task: &Task) {
    count(IO_URING);
    if let Some(calls) = IO_URING_CALLS.get_ptr_mut(task.tgid) {
        // SAFETY: the map's value; two CPUs at once may lose one of their counts.
        unsafe { *calls += 1 };
    } else if IO_URING_CALLS.insert(task.tgid, 1, 0).is_err() {
        count(IO_URING_MAP_FULL);
    }
}

/// Bytes were received, or are about to be sent, or (with an entry time) were sent.
#[inline(never)]
fn transfer(call: &Call) {
    if call.len == 0 {
        return;
    }
    let Some(found) = of_descriptor(call.fd) else {
        return;
    };
    let Some((socket, at)) = remembered(&found) else {
        return;
    };
    let tcp = socket.transport == TRANSPORT_TCP;
    let offset = if call.dir == DIR_TX {
        if socket.transport == TRANSPORT_UNIX {
            socket::synchronise_unix(found.sock, socket);
        }
        match (tcp, call.entry_ns) {
            (true, 0) => at.tx_written,
            (true, _) => at.tx_written.wrapping_sub(call.len),
            (false, _) => socket.tx_next,
        }
    } else if tcp {
        let begin = at.rx_consumed.wrapping_sub(call.len);
        // A receive that took the FIN moved one byte more than it returned.
        if begin != socket.rx_next && fin_was_read(found.sock, &at) {
            begin.wrapping_sub(1)
        } else {
            begin
        }
    } else {
        socket.rx_next
    };
    let m = Move {
        task: call.task,
        sock: found.sock,
        source: call.source,
        offset,
        ktime_ns: call.entry_ns,
        len: call.len.min(u64::from(u32::MAX)) as u32,
        dir: call.dir,
        nonblocking: found.nonblocking || call.dontwait,
    };
    moved(m);
    if call.dir == DIR_RX && tcp && at.rx_waiting <= 1 {
        finish_closing(&call.task, found.sock, socket);
    }
}

#[inline(never)]
fn closing(task: &Task, fd: u32) {
    let Some(found) = of_descriptor(fd) else {
        return;
    };
    let Some(socket) = SOCKETS.get_ptr_mut(found.sock) else {
        return;
    };
    // SAFETY: the map's value, see `socket::remembered`.
    let socket = unsafe { &mut *socket };
    if socket.conn == 0 {
        return;
    }
    if socket.transport == TRANSPORT_UNIX {
        socket::tell_close(task, socket, CLOSE_DONE);
        let _ = SOCKETS.remove(found.sock);
    } else {
        finish_closing(task, found.sock, socket);
    }
}

#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit(ctx: BtfTracePointContext) -> i32 {
    let regs: *const Registers = ctx.arg(0);
    let ret: i64 = ctx.arg(1);
    // SAFETY: a BTF-typed pointer; the verifier checks each load.
    let regs = unsafe { &*regs };
    let id = regs.orig_rax as i64;
    match id {
        nr::READ
        | nr::WRITE
        | nr::READV
        | nr::WRITEV
        | nr::RECVFROM
        | nr::SENDTO
        | nr::RECVMSG
        | nr::SENDMSG
        | nr::RECVMMSG
        | nr::SENDMMSG
        | nr::SENDFILE
        | nr::SPLICE
        | nr::PREADV2
        | nr::PWRITEV2
        | nr::ACCEPT
        | nr::ACCEPT4
        | nr::CONNECT
        | nr::MMAP
        | nr::EPOLL_WAIT
        | nr::EPOLL_PWAIT
        | nr::EPOLL_PWAIT2
        | nr::SELECT
        | nr::PSELECT6
        | nr::POLL
        | nr::PPOLL
        | nr::IO_URING_ENTER => {}
        _ => return 0,
    }
    // Sends that moved what they were told to: said at entry.
    if matches!(id, nr::WRITE | nr::SENDTO) && ret == regs.rdx as i64 {
        return 0;
    }
    // Nothing there (yet): the usual answer of a non-blocking receive.
    if matches!(id, nr::READ | nr::RECVFROM | nr::RECVMSG) && ret == -11 {
        return 0;
    }
    let Some(task) = selected() else { return 0 };
    if regs.cs == USER32_CS {
        return 0;
    }
    let mut call = Call {
        task,
        source: buffer(regs.rsi),
        len: ret.max(0) as u64,
        entry_ns: 0,
        fd: regs.rdi as u32,
        dir: DIR_RX,
        dontwait: false,
    };
    match id {
        nr::READ => {}
        nr::RECVFROM => {
            if regs.r10 & NOT_STREAM != 0 {
                return 0;
            }
            call.dontwait = regs.r10 & MSG_DONTWAIT != 0;
        }
        nr::READV | nr::PREADV2 => call.source = pieces(regs.rsi, regs.rdx),
        nr::RECVMSG | nr::RECVMMSG => {
            let flags = if id == nr::RECVMSG {
                regs.rdx
            } else {
                regs.r10
            };
            if flags & NOT_STREAM != 0 {
                return 0;
            }
            let Some(message) = user::<MessageHeader>(regs.rsi) else {
                return 0;
            };
            call.source = pieces(message.iov, message.iov_len);
            call.dontwait = flags & MSG_DONTWAIT != 0;
            if id == nr::RECVMMSG && ret > 0 {
                // On a stream one message holds all; its length lies behind the header.
                call.len = u64::from(user::<u32>(regs.rsi + 56).unwrap_or(0));
                if ret > 1 {
                    count(IOVEC_LIMIT);
                }
            }
        }
        nr::SENDFILE | nr::SPLICE => {
            call.entry_ns = call_entry(&task);
            if ret <= 0 {
                return 0;
            }
            call.source = Source {
                base: 0,
                pieces: 0,
                readable: false,
            };
            // sendfile writes to its first descriptor. Of splice's two one is a pipe.
            if id == nr::SENDFILE {
                call.dir = DIR_TX;
            } else if of_descriptor(call.fd).is_none() {
                call.dir = DIR_TX;
                call.fd = regs.rdx as u32;
            } else {
                call.entry_ns = 0;
            }
        }
        _ => {
            other_exit(&task, id, regs, ret);
            return 0;
        }
    }
    if ret <= 0 {
        let asked = !matches!(id, nr::READ | nr::RECVFROM) || regs.rdx > 0;
        if asked && (ret == 0 || fatal(-ret)) {
            halted(&task, call.fd, -ret);
        }
        return 0;
    }
    transfer(&call);
    0
}

/// Errors that end a connection.
#[inline(always)]
fn fatal(errno: i64) -> bool {
    matches!(errno, EPIPE | ECONNABORTED..=ECONNRESET | ETIMEDOUT..=EHOSTUNREACH)
}

/// Exits that move nothing.
#[inline(never)]
fn other_exit(task: &Task, id: i64, regs: &Registers, ret: i64) {
    let fd = regs.rdi as u32;
    match id {
        nr::WRITE | nr::SENDTO | nr::WRITEV | nr::PWRITEV2 | nr::SENDMSG | nr::SENDMMSG => {
            let mut asked = regs.rdx;
            if !matches!(id, nr::WRITE | nr::SENDTO) {
                let mut vector = (regs.rsi, regs.rdx);
                if matches!(id, nr::SENDMSG | nr::SENDMMSG) {
                    let Some(message) = user::<MessageHeader>(regs.rsi) else {
                        return;
                    };
                    vector = (message.iov, message.iov_len);
                }
                asked = total(vector.0, vector.1);
            }
            // sendmmsg returns a number of messages; its lengths are told at the next offset.
            if ret != asked as i64 && (id != nr::SENDMMSG || ret < 0) {
                short(task, fd, asked, ret);
            }
        }
        nr::ACCEPT | nr::ACCEPT4 => {
            if ret >= 0 {
                opened(ret as u32, ROLE_ACCEPT);
            }
        }
        nr::CONNECT => {
            // TCP is told by its state changes; this is for unix sockets.
            if ret == 0 {
                opened(fd, ROLE_CONNECT);
            }
        }
        nr::MMAP => {
            if regs.rdx & PROT_EXEC != 0 && regs.r8 as i32 >= 0 && !(-4095..0).contains(&ret) {
                let record = header(task, KIND_MAPPED, size_of::<Header>());
                send((&raw const record).cast(), size_of::<Header>() as u64);
            }
        }
        nr::POLL | nr::PPOLL if regs.rsi <= 1 => {}
        _ => waited(task),
    }
}

/// The thread came back from a wait on several descriptors.
#[inline(always)]
fn waited(task: &Task) {
    if task.process.flags & PROCESS_GO == 0 && WAITS.insert(task.tid, now(), 0).is_err() {
        count(WAITS_MAP_FULL);
    }
}

/// Entry time of a call under way, forgotten with this.
#[inline(always)]
fn call_entry(task: &Task) -> u64 {
    // SAFETY: copied at once.
    let entry = unsafe { CALLS.get(task.tid) }.copied().unwrap_or(0);
    let _ = CALLS.remove(task.tid);
    entry
}

#[inline(never)]
fn opened(fd: u32, role: u8) {
    if let Some(found) = of_descriptor(fd)
        && let Some((socket, _)) = remembered(&found)
        && socket.role == 0
    {
        socket.role = role;
    }
}

/// A send moved fewer bytes than was said at its entry.
#[inline(never)]
fn short(task: &Task, fd: u32, asked: u64, ret: i64) {
    let Some((_, socket)) = known(fd) else { return };
    let moved = ret.max(0) as u64;
    if moved < asked {
        socket.tx_next = socket.tx_next.wrapping_sub(asked - moved);
    }
    let record = Short {
        header: header(task, KIND_SHORT, size_of::<Short>()),
        conn: socket.conn,
        moved: moved as u32,
        errno: if ret < 0 { -ret as u32 } else { 0 },
    };
    send((&raw const record).cast(), size_of::<Short>() as u64);
}

/// A receive met the end of the stream or a fatal error.
#[inline(never)]
fn halted(task: &Task, fd: u32, errno: i64) {
    let Some((found, socket)) = known(fd) else {
        return;
    };
    let record = Halt {
        header: header(task, KIND_HALT, size_of::<Halt>()),
        conn: socket.conn,
        errno: errno as u32,
        pad: 0,
    };
    send((&raw const record).cast(), size_of::<Halt>() as u64);
    finish_closing(task, found.sock, socket);
}

/// A socket that had messages before; never creates one.
#[inline(always)]
fn known(fd: u32) -> Option<(Found, &'static mut Socket)> {
    let found = of_descriptor(fd)?;
    let socket = SOCKETS.get_ptr_mut(found.sock)?;
    // SAFETY: the map's value, see `socket::remembered`.
    let socket = unsafe { &mut *socket };
    (socket.conn != 0 && socket.flags & OPAQUE == 0).then_some((found, socket))
}
