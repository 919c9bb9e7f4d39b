//! One end as the kernel described it, with the stream bases that both ends agree on.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use threadline_common::record::{
    Open, ROLE_ACCEPT, ROLE_CONNECT, ROLE_UNKNOWN, TRANSPORT_MPTCP, TRANSPORT_REPLACED,
    TRANSPORT_TCP, TRANSPORT_UNIX,
};

use super::transaction::{Connection, Endpoint, NoHop};
use crate::protocol::Direction;

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// Upper half of the bases of unix pairs: TCP's bases have 32 bits, so the two never meet.
const UNIX_BASES: u64 = 0xffff_ffff_0000_0000;

/// Describes an end whose requests go in direction `requests`.
pub(super) fn describe(
    conn: u64,
    tgid: u32,
    open: Option<&Open>,
    requests: Direction,
) -> Connection {
    let Some(open) = open else {
        return Connection {
            conn,
            tgid,
            local: Endpoint::Unknown,
            peer: Endpoint::Unknown,
            bases: Err(NoHop::OpenLost),
            connect_ns: 0,
            established_ns: 0,
        };
    };
    Connection {
        conn,
        tgid,
        local: endpoint(open.family, &open.local_addr, open.local_port),
        peer: endpoint(open.family, &open.peer_addr, open.peer_port),
        bases: bases(open, requests),
        connect_ns: open.connect_ns,
        established_ns: open.established_ns,
    }
}

/// S of the design: the connecting end's SYN counts as a byte it sent. An end whose role is not
/// known connected if it sends the requests.
pub(super) fn sends_syn(open: Option<&Open>, requests: Direction) -> bool {
    match open {
        Some(open) if open.transport != TRANSPORT_TCP => false,
        Some(open) if open.role == ROLE_CONNECT => true,
        Some(open) if open.role == ROLE_ACCEPT => false,
        Some(_) => requests == Direction::Tx,
        None => false,
    }
}

/// True where `offset` is the first byte of its direction's stream. Only TCP's own offsets tell
/// that of a connection older than the agent.
pub(super) fn is_origin(open: Option<&Open>, dir: Direction, offset: u64) -> bool {
    let (tcp, role) = open.map_or((true, ROLE_UNKNOWN), |open| {
        (open.transport == TRANSPORT_TCP, open.role)
    });
    match offset {
        0 => tcp || role != ROLE_UNKNOWN,
        1 => tcp && dir == Direction::Tx && role != ROLE_ACCEPT,
        _ => false,
    }
}

fn bases(open: &Open, requests: Direction) -> Result<(u64, u64), NoHop> {
    match open.transport {
        TRANSPORT_MPTCP => return Err(NoHop::Mptcp),
        TRANSPORT_REPLACED => return Err(NoHop::Replaced),
        TRANSPORT_UNIX if open.unix_epoch == 0 => return Err(NoHop::UnixUnsynchronised),
        TRANSPORT_UNIX => {
            let pair = open.sock.min(open.peer_sock);
            return Ok((UNIX_BASES | u64::from(open.unix_epoch), UNIX_BASES | pair));
        }
        _ => {}
    }
    let syn = u32::from(sends_syn(Some(open), requests));
    let sent = u64::from(open.tx_base.wrapping_add(syn));
    let received = u64::from(open.rx_base);
    Ok(match requests {
        Direction::Tx => (sent, received),
        Direction::Rx => (received, sent),
    })
}

fn endpoint(family: u16, addr: &[u8; 16], port: u16) -> Endpoint {
    let ip = match family {
        AF_UNIX => return Endpoint::Unix(PathBuf::new()),
        AF_INET => IpAddr::from([addr[0], addr[1], addr[2], addr[3]]),
        AF_INET6 => Ipv6Addr::from(*addr).to_canonical(),
        _ => return Endpoint::Unknown,
    };
    Endpoint::Inet(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(role: u8, tx_base: u32, rx_base: u32) -> Open {
        Open {
            role,
            tx_base,
            rx_base,
            family: AF_INET,
            ..Open::default()
        }
    }

    #[test]
    fn both_ends_of_a_connection_get_the_same_bases() {
        // The client's tx_base lacks the SYN; it wraps.
        let client = end(ROLE_CONNECT, u32::MAX, 77);
        let server = end(ROLE_ACCEPT, 77, 0);
        assert_eq!(bases(&client, Direction::Tx), Ok((0, 77)));
        assert_eq!(bases(&server, Direction::Rx), Ok((0, 77)));
    }

    #[test]
    fn a_role_that_is_not_known_follows_from_who_asks() {
        assert_eq!(bases(&end(0, 9, 77), Direction::Tx), Ok((10, 77)));
        assert_eq!(bases(&end(0, 77, 10), Direction::Rx), Ok((10, 77)));
    }

    #[test]
    fn a_server_may_ask_and_a_client_may_answer() {
        let asks = end(ROLE_ACCEPT, 50, 60);
        let answers = end(ROLE_CONNECT, 59, 50);
        assert_eq!(bases(&asks, Direction::Tx), bases(&answers, Direction::Rx));
    }

    #[test]
    fn unix_pairs_agree_once_synchronised() {
        let one = Open {
            transport: TRANSPORT_UNIX,
            sock: 5,
            peer_sock: 9,
            ..Open::default()
        };
        assert_eq!(bases(&one, Direction::Tx), Err(NoHop::UnixUnsynchronised));
        let one = Open {
            unix_epoch: 3,
            ..one
        };
        let other = Open {
            sock: 9,
            peer_sock: 5,
            ..one
        };
        assert_eq!(bases(&one, Direction::Tx), bases(&other, Direction::Rx));
        assert!(bases(&one, Direction::Tx).is_ok_and(|(base, _)| base > u64::from(u32::MAX)));
    }

    #[test]
    fn what_is_not_plain_has_no_hop() {
        let open = |transport| Open {
            transport,
            ..Open::default()
        };
        assert_eq!(
            bases(&open(TRANSPORT_MPTCP), Direction::Tx),
            Err(NoHop::Mptcp)
        );
        assert_eq!(
            bases(&open(TRANSPORT_REPLACED), Direction::Rx),
            Err(NoHop::Replaced)
        );
        assert_eq!(
            describe(1, 2, None, Direction::Rx).bases,
            Err(NoHop::OpenLost)
        );
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        let mapped = Ipv6Addr::from([0, 0, 0, 0, 0, 0xffff, 0x7f00, 1]).octets();
        let expected = Endpoint::Inet(SocketAddr::from(([127, 0, 0, 1], 80)));
        assert_eq!(endpoint(AF_INET6, &mapped, 80), expected);
        assert_eq!(
            endpoint(
                AF_INET,
                &[127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                80
            ),
            expected
        );
    }
}
