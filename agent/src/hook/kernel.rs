//! Where the running kernel keeps what the programs read: offsets from its BTF.

use std::path::{Path, PathBuf};

use btf_rs::{Btf, Struct, Type};
use threadline_common::map::{KernelLayout, TCP_SPAN};

/// The kernel's own type information.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// Why the kernel's layout could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// No BTF, or unreadable.
    #[error(
        "cannot read {path}: {source} (threadline needs a kernel built with CONFIG_DEBUG_INFO_BTF=y)"
    )]
    Btf {
        /// The file.
        path: PathBuf,
        /// Why.
        source: btf_rs::Error,
    },
    /// A field is not where any known kernel has it.
    #[error("the kernel's type information has no field {0}")]
    Field(String),
    /// The fields of `tcp_sock` lie further apart than one read reaches.
    #[error("tcp_sock spreads its counters over {0} bytes, more than {TCP_SPAN}")]
    Span(u64),
    /// The symbol table is hidden or lacks the function.
    #[error(
        "no address for {0} in /proc/kallsyms: that takes CAP_SYSLOG (and kernel.kptr_restrict \
         below 2)"
    )]
    Symbol(&'static str),
}

/// Looks fields up by path.
struct Fields(Btf);

impl Fields {
    fn structure(&self, name: &str) -> Option<Struct> {
        self.0
            .resolve_types_by_name(name)
            .ok()?
            .into_iter()
            .find_map(|found| match found {
                // A name can be declared many times; the definition has members.
                Type::Struct(found) if !found.members.is_empty() => Some(found),
                _ => None,
            })
    }

    /// Byte offset of a member, also inside anonymous structs and unions, and its type's id.
    fn member(&self, within: &Struct, name: &str) -> Option<(u64, Type)> {
        for member in &within.members {
            let offset = u64::from(member.bit_offset() / 8);
            let member_name = self.0.resolve_name(member).unwrap_or_default();
            let inner = || self.strip(self.0.resolve_chained_type(member).ok()?);
            if member_name == name {
                return Some((offset, inner()?));
            }
            if member_name.is_empty()
                && let Some(Type::Struct(anonymous) | Type::Union(anonymous)) = inner()
                && let Some((deeper, found)) = self.member(&anonymous, name)
            {
                return Some((offset + deeper, found));
            }
        }
        None
    }

    /// Goes through typedefs and qualifiers.
    fn strip(&self, mut found: Type) -> Option<Type> {
        for _ in 0..16 {
            found = match &found {
                Type::Typedef(inner) => self.0.resolve_chained_type(inner).ok()?,
                Type::Const(inner) | Type::Volatile(inner) => {
                    self.0.resolve_chained_type(inner).ok()?
                }
                Type::TypeTag(inner) => self.0.resolve_chained_type(inner).ok()?,
                _ => return Some(found),
            };
        }
        None
    }

    /// Offset of `structure.a.b.c`; alternatives (older names) are tried in order.
    fn offset(&self, paths: &[&str]) -> Result<u64, LayoutError> {
        paths
            .iter()
            .find_map(|path| self.try_offset(path))
            .ok_or_else(|| LayoutError::Field(paths.join(" or ")))
    }

    fn try_offset(&self, path: &str) -> Option<u64> {
        let mut names = path.split('.');
        let mut within = self.structure(names.next()?)?;
        let mut sum = 0;
        let mut names = names.peekable();
        while let Some(name) = names.next() {
            let (offset, found) = self.member(&within, name)?;
            sum += offset;
            if names.peek().is_some() {
                let (Type::Struct(inner) | Type::Union(inner)) = found else {
                    return None;
                };
                within = inner;
            }
        }
        Some(sum)
    }
}

/// Reads the layout of the running kernel.
pub fn layout() -> Result<KernelLayout, LayoutError> {
    let path = Path::new(BTF_PATH);
    let btf = Btf::from_file(path).map_err(|source| LayoutError::Btf {
        path: path.to_owned(),
        source,
    })?;
    from_fields(&Fields(btf), symbol("tcp_recvmsg")?)
}

fn from_fields(fields: &Fields, tcp_recvmsg: u64) -> Result<KernelLayout, LayoutError> {
    let of = |path: &str| fields.offset(&[path]);
    let tcp = [
        of("tcp_sock.rcv_nxt")?,
        of("tcp_sock.copied_seq")?,
        of("tcp_sock.bytes_received")?,
        of("tcp_sock.snd_una")?,
        of("tcp_sock.write_seq")?,
        of("tcp_sock.bytes_acked")?,
    ];
    // Words are read at their natural alignment: the span starts at a multiple of eight.
    let first = tcp.iter().min().copied().unwrap_or(0) & !7;
    let last = tcp.iter().max().copied().unwrap_or(0) + 8;
    if last - first > TCP_SPAN as u64 {
        return Err(LayoutError::Span(last - first));
    }
    let [
        rcv_nxt,
        copied_seq,
        bytes_received,
        snd_una,
        write_seq,
        bytes_acked,
    ] = tcp.map(|offset| offset - first);
    Ok(KernelLayout {
        task_files: of("task_struct.files")?,
        task_fsbase: if cfg!(target_arch = "x86_64") {
            of("task_struct.thread.fsbase")?
        } else {
            0
        },
        task_start: fields
            .offset(&["task_struct.start_boottime", "task_struct.real_start_time"])?,
        task_signal: of("task_struct.signal")?,
        task_mm: of("task_struct.mm")?,
        task_comm: of("task_struct.comm")?,
        signal_live: of("signal_struct.live")?,
        bprm_filename: of("linux_binprm.filename")?,
        mm_exe_file: of("mm_struct.exe_file")?,
        mm_start_code: of("mm_struct.start_code")?,
        mm_end_data: of("mm_struct.end_data")?,
        files_fdt: of("files_struct.fdt")?,
        fdt_max_fds: of("fdtable.max_fds")?,
        fdt_fd: of("fdtable.fd")?,
        file_private: of("file.private_data")?,
        file_flags: of("file.f_flags")?,
        file_inode: of("file.f_inode")?,
        inode_ino: of("inode.i_ino")?,
        inode_sb: of("inode.i_sb")?,
        sb_dev: of("super_block.s_dev")?,
        socket_type: of("socket.type")?,
        socket_file: of("socket.file")?,
        socket_sk: of("socket.sk")?,
        sk_family: of("sock.__sk_common.skc_family")?,
        sk_state: of("sock.__sk_common.skc_state")?,
        sk_dport: of("sock.__sk_common.skc_dport")?,
        sk_num: of("sock.__sk_common.skc_num")?,
        sk_daddr: of("sock.__sk_common.skc_daddr")?,
        sk_saddr: of("sock.__sk_common.skc_rcv_saddr")?,
        // Absent where the kernel has no IPv6: then no socket has that family either.
        sk_v6_daddr: of("sock.__sk_common.skc_v6_daddr").unwrap_or(0),
        sk_v6_saddr: of("sock.__sk_common.skc_v6_rcv_saddr").unwrap_or(0),
        sk_net: of("sock.__sk_common.skc_net")?,
        sk_prot: of("sock.__sk_common.skc_prot")?,
        sk_protocol: of("sock.sk_protocol")?,
        sk_flags: of("sock.__sk_common.skc_flags")?,
        sk_rx_qlen: of("sock.sk_receive_queue.qlen")?,
        net_inum: of("net.ns.inum")?,
        proto_recvmsg: of("proto.recvmsg")?,
        tcp_recvmsg,
        tcp_span: first,
        tcp_rcv_nxt: rcv_nxt,
        tcp_copied_seq: copied_seq,
        tcp_bytes_received: bytes_received,
        tcp_snd_una: snd_una,
        tcp_write_seq: write_seq,
        tcp_bytes_acked: bytes_acked,
        unix_peer: of("unix_sock.peer")?,
    })
}

/// Address of a kernel function.
fn symbol(name: &'static str) -> Result<u64, LayoutError> {
    let missing = || LayoutError::Symbol(name);
    let table = std::fs::read_to_string("/proc/kallsyms").map_err(|_| missing())?;
    table
        .lines()
        .find_map(|line| {
            let mut words = line.split_whitespace();
            let (address, _, found) = (words.next()?, words.next()?, words.next()?);
            if found != name {
                return None;
            }
            u64::from_str_radix(address, 16)
                .ok()
                .filter(|address| *address != 0)
        })
        .ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernel_tells_plausible_offsets() {
        let Ok(btf) = Btf::from_file(BTF_PATH) else {
            return;
        };
        let layout = from_fields(&Fields(btf), 1).unwrap();
        // include/net/sock.h: `struct sock_common` has begun with these words since 3.x.
        assert_eq!((layout.sk_daddr, layout.sk_saddr), (0, 4));
        assert_eq!((layout.sk_dport, layout.sk_num), (12, 14));
        assert_eq!(layout.sk_family, 16);
        assert!(layout.tcp_rcv_nxt < TCP_SPAN as u64);
    }
}
