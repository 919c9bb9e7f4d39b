//! Read-only globals that the agent fills before loading.

use core::ptr::{addr_of, read_volatile};
use threadline_common::map::{KernelLayout, Settings};

#[unsafe(no_mangle)]
static KERNEL: KernelLayout = KernelLayout {
    task_files: 0,
    task_fsbase: 0,
    task_start: 0,
    task_signal: 0,
    task_mm: 0,
    task_comm: 0,
    signal_live: 0,
    bprm_filename: 0,
    mm_exe_file: 0,
    mm_start_code: 0,
    mm_end_data: 0,
    files_fdt: 0,
    fdt_max_fds: 0,
    fdt_fd: 0,
    file_private: 0,
    file_flags: 0,
    file_inode: 0,
    inode_ino: 0,
    inode_sb: 0,
    sb_dev: 0,
    socket_type: 0,
    socket_file: 0,
    socket_sk: 0,
    sk_family: 0,
    sk_state: 0,
    sk_dport: 0,
    sk_num: 0,
    sk_daddr: 0,
    sk_saddr: 0,
    sk_v6_daddr: 0,
    sk_v6_saddr: 0,
    sk_net: 0,
    sk_prot: 0,
    sk_protocol: 0,
    sk_flags: 0,
    sk_rx_qlen: 0,
    net_inum: 0,
    proto_recvmsg: 0,
    tcp_recvmsg: 0,
    tcp_span: 0,
    tcp_rcv_nxt: 0,
    tcp_copied_seq: 0,
    tcp_bytes_received: 0,
    tcp_snd_una: 0,
    tcp_write_seq: 0,
    tcp_bytes_acked: 0,
    unix_peer: 0,
};

#[unsafe(no_mangle)]
static SETTINGS: Settings = Settings {
    max_bytes: 65536,
    wake_bytes: 1 << 20,
};

/// Reads one field of the kernel's layout; the verifier sees a constant.
macro_rules! kernel {
    ($field:ident) => {
        $crate::layout::read(core::mem::offset_of!(
            threadline_common::map::KernelLayout,
            $field
        ))
    };
}
pub(crate) use kernel;

/// The word of [`KERNEL`] at `offset`; see [`kernel!`].
#[inline(always)]
pub fn read(offset: usize) -> u64 {
    // SAFETY: a global of this program, read-only after load; volatile keeps the compiler from
    // using the value it was built with.
    unsafe { read_volatile(addr_of!(KERNEL).cast::<u8>().add(offset).cast::<u64>()) }
}

/// Bytes of one message followed at most.
#[inline(always)]
pub fn max_bytes() -> u64 {
    // SAFETY: as in `kernel!`.
    unsafe { read_volatile(addr_of!(SETTINGS.max_bytes)) }
}

/// Fill of the ring from which the reader is woken at once.
#[inline(always)]
pub fn wake_bytes() -> u64 {
    // SAFETY: as in `kernel!`.
    unsafe { read_volatile(addr_of!(SETTINGS.wake_bytes)) }
}
