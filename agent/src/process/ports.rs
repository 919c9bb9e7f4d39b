//! TCP ports a process listens on, in its own network namespace.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};

/// Bytes of `/proc/PID/net/tcp` and `tcp6` that are read, each. Listening sockets come first there.
pub const TABLE_MAX: u64 = 8 << 20;
/// Descriptors of one process that are looked at.
pub const DESCRIPTORS_MAX: usize = 65_536;
/// Listening sockets of one namespace that are looked at.
pub const LISTENERS_MAX: usize = 16_384;

/// Ports on which `tgid` listens, ascending.
pub fn listening_ports(tgid: u32) -> io::Result<Vec<u16>> {
    let inodes = socket_inodes(tgid)?;
    if inodes.is_empty() {
        return Ok(Vec::new());
    }
    let mut ports = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        // No tcp6 where IPv6 is off.
        let Ok(file) = File::open(format!("/proc/{tgid}/net/{table}")) else {
            continue;
        };
        let lines = BufReader::new(file.take(TABLE_MAX))
            .lines()
            .map_while(Result::ok);
        ports.extend(
            lines
                .filter_map(|line| listener(&line))
                .take(LISTENERS_MAX)
                .filter(|(_, inode)| inodes.contains(inode))
                .map(|(port, _)| port),
        );
    }
    Ok(ports.into_iter().collect())
}

fn socket_inodes(tgid: u32) -> io::Result<BTreeSet<u64>> {
    Ok(fs::read_dir(format!("/proc/{tgid}/fd"))?
        .take(DESCRIPTORS_MAX)
        .filter_map(|entry| {
            let link = fs::read_link(entry.ok()?.path()).ok()?;
            let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            inode.parse().ok()
        })
        .collect())
}

/// Port and inode of a line whose state is LISTEN.
fn listener(line: &str) -> Option<(u16, u64)> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    if state != "0A" {
        return None;
    }
    let port = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
    // tx:rx, timer, retransmits, uid, timeout, inode.
    let inode = fields.nth(5)?.parse().ok()?;
    Some((port, inode))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn only_listening_sockets_count() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1";
        assert_eq!(listener(line), Some((8080, 4711)));
        assert_eq!(listener(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(
            listener("  sl  local_address rem_address   st tx_queue"),
            None
        );
        assert_eq!(listener(""), None);
    }

    #[test]
    fn own_ports_are_found_as_long_as_they_are_open() {
        let v4 = TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = v4.local_addr().expect("an address").port();
        let own = std::process::id();
        assert!(listening_ports(own).expect("readable").contains(&port));
        let v6 = TcpListener::bind("[::1]:0").ok();
        if let Some(v6) = &v6 {
            let port = v6.local_addr().expect("an address").port();
            assert!(listening_ports(own).expect("readable").contains(&port));
        }
        drop(v4);
        assert!(!listening_ports(own).expect("readable").contains(&port));
        assert!(listening_ports(u32::MAX).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_the_parser_panic(line in ".{0,200}") {
            let _ = listener(&line);
        }
    }
}
