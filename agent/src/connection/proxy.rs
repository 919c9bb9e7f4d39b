//! PROXY protocol header in front of the first byte of a connection, versions 1 and 2: recognised,
//! stripped, and the original client's address kept.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const V1: &[u8] = b"PROXY ";
const V1_MAX: usize = 107;
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_HEAD: usize = 16;
/// Longest version 2 header that is believed, TLVs included.
pub(super) const MAX_PROXY: usize = 4 * 1024;

/// Bytes at the front of a connection that may carry addresses; TLVs after them are not needed.
pub(super) const ADDRESSES: u64 = V1_MAX as u64 + 1;

/// Result of looking at the first bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// Starts with something else.
    None,
    /// May be one, more bytes needed.
    Partial,
    /// One of so many bytes, with the original client's address where it tells one.
    Whole(usize, Option<SocketAddr>),
}

/// Looks at the first bytes of a connection.
pub(super) fn read(bytes: &[u8]) -> Header {
    if begins(bytes, V1) {
        return v1(bytes);
    }
    if begins(bytes, V2) {
        return v2(bytes);
    }
    Header::None
}

/// One is a prefix of the other.
fn begins(bytes: &[u8], with: &[u8]) -> bool {
    let known = bytes.len().min(with.len());
    known > 0 && bytes[..known] == with[..known]
}

fn v1(bytes: &[u8]) -> Header {
    let window = &bytes[..bytes.len().min(V1_MAX)];
    let Some(end) = window.iter().position(|&b| b == b'\n') else {
        return if bytes.len() < V1_MAX {
            Header::Partial
        } else {
            Header::None
        };
    };
    let Ok(line) = std::str::from_utf8(&window[..end]) else {
        return Header::None;
    };
    let mut words = line.trim_end_matches('\r').split(' ').skip(1);
    let source = match words.next() {
        Some("UNKNOWN") => None,
        Some("TCP4" | "TCP6") => {
            let ip = words.next().and_then(|word| word.parse().ok());
            let port = words.nth(1).and_then(|word| word.parse().ok());
            ip.zip(port)
                .map(|(ip, port): (IpAddr, u16)| SocketAddr::new(ip, port))
        }
        _ => return Header::None,
    };
    Header::Whole(end + 1, source)
}

fn v2(bytes: &[u8]) -> Header {
    let Some(head) = bytes.get(..V2_HEAD) else {
        return Header::Partial;
    };
    let len = V2_HEAD + usize::from(u16::from_be_bytes([head[14], head[15]]));
    if head[12] >> 4 != 2 || len > MAX_PROXY {
        return Header::None;
    }
    let Some(body) = bytes.get(V2_HEAD..len) else {
        return Header::Partial;
    };
    // LOCAL (command 0) is the proxy's own health check: no address.
    let source = match (head[12] & 15, head[13] >> 4) {
        (1, 1) => address::<4>(body, 8).map(|(ip, port)| (Ipv4Addr::from(ip).into(), port)),
        (1, 2) => address::<16>(body, 32).map(|(ip, port)| (Ipv6Addr::from(ip).into(), port)),
        _ => None,
    };
    Header::Whole(
        len,
        source.map(|(ip, port): (IpAddr, u16)| SocketAddr::new(ip, port)),
    )
}

fn address<const N: usize>(body: &[u8], port_at: usize) -> Option<([u8; N], u16)> {
    let ip = body.get(..N)?.try_into().ok()?;
    let port = body.get(port_at..port_at + 2)?.try_into().ok()?;
    Some((ip, u16::from_be_bytes(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> (usize, Option<String>) {
        for end in 1..bytes.len() - 3 {
            assert_eq!(read(&bytes[..end]), Header::Partial, "{end}");
        }
        match read(bytes) {
            Header::Whole(n, source) => (n, source.map(|source| source.to_string())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_versions_are_read() {
        let v1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\nGET";
        assert_eq!(whole(v1), (45, Some("192.0.2.7:56324".into())));
        assert_eq!(whole(b"PROXY UNKNOWN\r\nGET"), (15, None));
        let mut v2 = [
            V2,
            &[
                0x21, 0x11, 0, 15, 192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 4, 1, 187,
            ],
        ]
        .concat();
        v2.extend(b"\x04\0\0GET");
        assert_eq!(whole(&v2), (31, Some("192.0.2.7:56324".into())));
    }

    #[test]
    fn other_beginnings_are_none() {
        for bytes in [&b"GET /"[..], b"PROXX", b"PROXY FOO\r\n", b"\r\nGET"] {
            assert_eq!(read(bytes), Header::None, "{}", bytes.escape_ascii());
        }
        assert_eq!(
            read(&[b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat()),
            Header::None
        );
    }
}
