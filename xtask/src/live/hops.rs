//! The two ends of a connection are joined by where the request lies in its stream, however the
//! connection is used.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::stand::Stand;
use super::{Live, Test};
use crate::check::Side;
use crate::process::Process;
use crate::test::Verdict;

/// The tests.
pub const TESTS: &[Test] = &[
    ("live: pipelined requests join at both ends", pipelined),
    (
        "live: a half-closed connection joins at both ends",
        half_closed,
    ),
    (
        "live: sendfile and splice move the offsets of both ends alike",
        spliced,
    ),
    (
        "live: more than 4 GiB on a connection join at both ends",
        large,
    ),
    ("live: unix sockets join at both ends", unix),
    ("live: IPv6 connections join at both ends", ipv6),
    (
        "live: a connection older than the agent joins at both ends",
        older,
    ),
    ("live: MPTCP gives spans, a count and no hop", mptcp),
    (
        "live: TLS connections have the same bases at both ends",
        tls,
    ),
];

/// Traces one client of a server that runs already.
fn joins(
    live: &Live,
    name: &str,
    requests: &[&str],
    args: impl FnOnce(&Stand, &super::stand::Server) -> Vec<String>,
) -> Result<Verdict> {
    let stand = Stand::new(live, name)?;
    let socket = stand.unix();
    let file = stand.file(200_000)?;
    let server = stand.serve(&["-unix", &socket, "-file", &file])?;
    let agent = stand.watch(&[])?;
    let args = args(&stand, &server);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    stand.client(&args)?;
    let mut seen = stand.stop(agent)?;
    seen.must_join(requests);
    seen.must_balance();
    Ok(seen.verdict())
}

fn pipelined(live: &Live) -> Result<Verdict> {
    let requests = ["p0", "p1", "p2", "p3", "p4", "p5"];
    joins(live, "pipelined", &requests, |_, server| {
        vec!["pipelined".to_owned(), server.v4.clone()]
    })
}

fn half_closed(live: &Live) -> Result<Verdict> {
    joins(live, "half-closed", &["h0", "h1"], |_, server| {
        vec!["half-closed".to_owned(), server.v4.clone()]
    })
}

fn spliced(live: &Live) -> Result<Verdict> {
    let requests = ["f0", "f1", "f2", "f3", "f4", "f5"];
    joins(live, "spliced", &requests, |stand, server| {
        let file = stand.dir.join("file").display().to_string();
        vec!["spliced".to_owned(), server.v4.clone(), file]
    })
}

fn large(live: &Live) -> Result<Verdict> {
    joins(live, "large", &["l0", "l1"], |_, server| {
        vec!["large".to_owned(), server.v4.clone()]
    })
}

fn unix(live: &Live) -> Result<Verdict> {
    joins(live, "unix", &["u0", "u1", "u2"], |stand, _| {
        vec!["unix".to_owned(), stand.unix()]
    })
}

fn ipv6(live: &Live) -> Result<Verdict> {
    let requests = ["p0", "p1", "p2", "p3", "p4", "p5"];
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return Ok(Verdict::Skipped("this machine has no ::1".to_owned()));
    }
    joins(live, "ipv6", &requests, |_, server| {
        vec![
            "pipelined".to_owned(),
            server.v6.clone().unwrap_or_default(),
        ]
    })
}

fn older(live: &Live) -> Result<Verdict> {
    let stand = Stand::new(live, "older-connection")?;
    let server = stand.serve(&[])?;
    let mut client = Command::new(&stand.odd)
        .args(["kept", &server.v4])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut say = client.stdin.take().context("no standard input")?;
    let mut heard = [0; 6];
    let mut out = client.stdout.take().context("no standard output")?;
    std::io::Read::read_exact(&mut out, &mut heard)?;
    let client = Process::of(client, "kept", &stand.dir.join("kept.log"));
    let agent = stand.watch(&[])?;
    say.write_all(b"\n")?;
    client.finish(Duration::from_secs(10))?;
    let mut seen = stand.stop(agent)?;
    seen.must_join(&["o1", "o2", "o3"]);
    seen.must_balance();
    Ok(seen.verdict())
}

/// What an opening record says of one end (`common/src/record.rs`, `Open`).
struct End {
    ports: (u16, u16),
    /// Received, sent; without the SYN that the connecting end counts.
    bases: (u32, u32),
    connected: bool,
}

fn ends(recording: &[u8]) -> Vec<End> {
    const MAGIC: usize = 23;
    const KIND_OPEN: u16 = 1;
    let mut ends = Vec::new();
    let mut rest = recording.get(MAGIC..).unwrap_or_default();
    while rest.len() >= 24 {
        let word =
            |at: usize| u32::from_le_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        let half = |at: usize| u16::from_le_bytes([rest[at], rest[at + 1]]);
        let size = word(16) as usize;
        if size < 24 || size > rest.len() {
            break;
        }
        if half(20) == KIND_OPEN && size >= 128 {
            let connected = rest[86] == 1;
            ends.push(End {
                ports: (half(82), half(84)),
                bases: (word(72), word(76).wrapping_add(u32::from(connected))),
                connected,
            });
        }
        rest = &rest[size..];
    }
    ends
}

fn tls(live: &Live) -> Result<Verdict> {
    let stand = Stand::new(live, "tls")?;
    let recording = stand.dir.join("recording");
    let agent = stand.watch(&["--record", &recording.display().to_string()])?;
    stand.client(&["tls"])?;
    let mut seen = stand.stop(agent)?;
    let ends = ends(&std::fs::read(&recording)?);
    let (clients, servers): (Vec<_>, Vec<_>) = ends.iter().partition(|end| end.connected);
    seen.must(clients.len() == 5, || {
        format!("{} connecting ends instead of 5", clients.len())
    });
    for client in clients {
        let met = servers.iter().any(|server| {
            server.ports == (client.ports.1, client.ports.0)
                && server.bases == (client.bases.1, client.bases.0)
        });
        seen.must(met, || {
            format!("no end mirrors the bases of port {}", client.ports.0)
        });
    }
    Ok(seen.verdict())
}

fn mptcp(live: &Live) -> Result<Verdict> {
    let enabled = std::fs::read_to_string("/proc/sys/net/mptcp/enabled");
    if !enabled.is_ok_and(|enabled| enabled.trim() == "1") {
        return Ok(Verdict::Skipped("this kernel has no MPTCP".to_owned()));
    }
    let stand = Stand::new(live, "mptcp")?;
    let server = stand.serve(&[])?;
    let Some(both) = &server.mptcp else {
        return Ok(Verdict::Skipped("cannot listen for MPTCP".to_owned()));
    };
    let agent = stand.watch(&[])?;
    stand.client(&["mptcp", both, "m"])?;
    // A server of plain TCP: only the client's end is MPTCP.
    stand.client(&["mptcp", &server.v4, "n"])?;
    let mut seen = stand.stop(agent)?;
    for request in ["m0", "m1", "m2", "n0", "n1", "n2"] {
        seen.must_have(Side::Client, request);
        seen.must_have(Side::Server, request);
        let joined = seen
            .spans
            .of(Side::Server, request)
            .iter()
            .any(|span| span.evidence.as_deref() == Some("hop"));
        seen.must(!joined, || format!("{request} has a hop over MPTCP"));
    }
    let counted = seen.kernel("mptcp");
    seen.must(counted > 0, || "no call was counted as MPTCP".to_owned());
    seen.must_balance();
    Ok(seen.verdict())
}
