//! TCP state changes. They may run in softirq: attached as tp_btf, and nothing here touches the
//! scratch memory of the system call programs.

use crate::{
    layout::kernel,
    maps::SOCKETS,
    memory::kernel as read,
    process::{Task, selected},
    socket::{connecting, tell_close},
};
use aya_ebpf::{
    helpers::generated::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext,
};
use threadline_common::map::socket::CLOSING;
use threadline_common::{
    map::Process,
    record::{CLOSE_DONE, CLOSE_SENT_FIN},
};

/// include/net/tcp_states.h
const TCP_ESTABLISHED: i32 = 1;
const TCP_SYN_SENT: i32 = 2;
const TCP_FIN_WAIT1: i32 = 4;
const TCP_CLOSE: i32 = 7;
const TCP_LAST_ACK: i32 = 9;

/// Connect, handshake done, FIN sent, closed.
///
/// kernel: include/trace/events/sock.h: inet_sock_set_state(const struct sock *sk,
/// const int oldstate, const int newstate)
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn sock_state(ctx: BtfTracePointContext) -> i32 {
    let sk: *const u8 = ctx.arg(0);
    let new: i32 = ctx.arg(2);
    let sock = sk as u64;
    match new {
        TCP_SYN_SENT => {
            // In the caller's own context: connect(2), or its io_uring twin.
            if selected().is_some() {
                // SAFETY: helper without arguments.
                connecting(sock, unsafe { bpf_ktime_get_ns() });
            }
        }
        TCP_ESTABLISHED => {
            if let Some(socket) = SOCKETS.get_ptr_mut(sock) {
                // SAFETY: the map's value; one field.
                unsafe { (*socket).established_ns = bpf_ktime_get_ns() };
            }
        }
        TCP_FIN_WAIT1 | TCP_LAST_ACK => {
            if let Some(socket) = SOCKETS.get_ptr_mut(sock) {
                // SAFETY: the map's value, read only.
                let socket = unsafe { &*socket };
                if socket.conn != 0 {
                    tell_close(&task(), socket, CLOSE_SENT_FIN);
                }
            }
        }
        TCP_CLOSE => close(sock, sk),
        _ => {}
    }
    0
}

#[inline(always)]
fn close(sock: u64, sk: *const u8) {
    let Some(socket) = SOCKETS.get_ptr_mut(sock) else {
        return;
    };
    // SAFETY: the map's value; one field written.
    let socket = unsafe { &mut *socket };
    if socket.conn == 0 {
        let _ = SOCKETS.remove(sock);
        return;
    }
    // A half-closed end reaches TCP_CLOSE while the answer still waits to be read.
    let base = sk as u64;
    let span = kernel!(tcp_span);
    let rcv_nxt: u32 = read_u32(base, span + kernel!(tcp_rcv_nxt));
    let copied: u32 = read_u32(base, span + kernel!(tcp_copied_seq));
    // The FIN counts as one byte.
    if rcv_nxt.wrapping_sub(copied) > 1 {
        socket.flags |= CLOSING;
        return;
    }
    tell_close(&task(), socket, CLOSE_DONE);
    let _ = SOCKETS.remove(sock);
}

#[inline(always)]
fn read_u32(base: u64, offset: u64) -> u32 {
    read(base, offset).unwrap_or(0)
}

/// Whoever runs: with a softirq it has nothing to do with the socket.
#[inline(always)]
fn task() -> Task {
    // SAFETY: helper without arguments.
    let id = unsafe { aya_ebpf::helpers::generated::bpf_get_current_pid_tgid() };
    Task {
        tgid: (id >> 32) as u32,
        tid: id as u32,
        process: Process {
            flags: 0,
            binary: 0,
        },
    }
}
