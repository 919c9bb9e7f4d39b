//! Bad input and bad luck: counted, and nobody else suffers.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};

use super::stand::Stand;
use super::{Live, Test};
use crate::check::Side;
use crate::process::Process;
use crate::rig::Exporter;
use crate::test::Verdict;

/// The tests.
pub const TESTS: &[Test] = &[
    (
        "live: garbage on a port spoils nothing and is counted",
        garbage,
    ),
    (
        "live: a process killed in mid request leaves spans and true books",
        killed,
    ),
    (
        "live: a program that lies about its sections is traced or named",
        lying,
    ),
    (
        "live: an unreachable collector costs spans by a counted reason alone",
        unreachable,
    ),
];

fn garbage(live: &Live) -> Result<Verdict> {
    let stand = Stand::new(live, "garbage")?;
    let server = stand.serve(&[])?;
    let agent = stand.watch(&[])?;
    stand.client(&["once", &format!("{}/hello/before", server.url())])?;
    stand.client(&["garbage", &server.v4])?;
    stand.client(&["once", &format!("{}/hello/after", server.url())])?;
    let mut seen = stand.stop(agent)?;
    seen.must_join(&["before", "after"]);
    // What a server answered or held is told by both ends.
    for request in ["g9", "g10"] {
        seen.must_have(Side::Client, request);
        seen.must_have(Side::Server, request);
    }
    let refused = seen.dropped("connection");
    seen.must(refused > 0, || "no garbage was counted".to_owned());
    seen.must_have_true_parents();
    seen.must_balance();
    Ok(seen.verdict())
}

fn killed(live: &Live) -> Result<Verdict> {
    let stand = Stand::new(live, "killed")?;
    let doomed = stand.serve(&[])?;
    let other = stand.serve(&[])?;
    let agent = stand.watch(&[])?;
    let mut client = Command::new(&stand.odd);
    client.args(["once", &format!("{}/hold/k1", doomed.url())]);
    let client = Process::start("once", client, &stand.dir.join("once.log"), None)?;
    sleep(Duration::from_millis(300));
    doomed.process.stop("KILL", Duration::from_secs(5))?;
    // It fails: its server is gone.
    let failed = client.finish(Duration::from_secs(5)).is_err();
    // A client that is killed itself.
    let mut client = Command::new(&stand.odd);
    client.args(["once", &format!("{}/hold/k2", other.url())]);
    let client = Process::start("once", client, &stand.dir.join("once.log"), None)?;
    sleep(Duration::from_millis(300));
    client.stop("KILL", Duration::from_secs(5))?;
    stand.client(&["once", &format!("{}/hello/after", other.url())])?;
    let mut seen = stand.stop(agent)?;
    seen.must(failed, || "the client got an answer of the dead".to_owned());
    for request in ["k1", "k2"] {
        seen.must_have(Side::Client, request);
        seen.must_have(Side::Server, request);
    }
    seen.must_join(&["after"]);
    seen.must_have_true_parents();
    seen.must_balance();
    Ok(seen.verdict())
}

/// Where an ELF header says where the section headers are, how long one is, how many, and which
/// holds their names.
const E_SHOFF: usize = 40;
const E_SHENTSIZE: usize = 58;
const E_SHNUM: usize = 60;
const E_SHSTRNDX: usize = 62;

fn lying(live: &Live) -> Result<Verdict> {
    let stand = Stand::new(live, "lying")?;
    let honest = stand.serve(&[])?;
    // The kernel runs all of these: it needs no sections.
    let lies: [(&str, usize, &[u8]); 4] = [
        ("far", E_SHOFF, &[0xFF; 8]),
        ("long", E_SHENTSIZE, &[0xFF; 2]),
        ("many", E_SHNUM, &[0xFF; 2]),
        ("unnamed", E_SHSTRNDX, &[0xFF; 2]),
    ];
    let mut liars = Vec::new();
    for (name, at, lie) in lies {
        let program = stand.copy(&live.odd, name)?;
        let mut bytes = fs::read(&program)?;
        let place = bytes.get_mut(at..at + lie.len()).context("no ELF header")?;
        place.copy_from_slice(lie);
        fs::write(&program, bytes)?;
        liars.push((name, stand.serve_by(&program, &["-next", &honest.url()])?));
    }
    // One whose file was cut while it ran: what it has mapped beyond that, it must not touch again.
    let agent = stand.watch(&[])?;
    for (name, liar) in &liars {
        stand.client(&["once", &format!("{}/call/{name}", liar.url())])?;
    }
    let truncated = stand.copy(&live.odd, "truncated")?;
    let bytes = fs::read(&truncated)?;
    fs::write(&truncated, &bytes[..bytes.len() / 2])?;
    // The kernel may refuse it, or it dies at once: either way the agent looked at it.
    let _ = Command::new(&truncated).arg("once").output();
    stand.client(&["once", &format!("{}/hello/after", honest.url())])?;
    let mut seen = stand.stop(agent)?;
    seen.must_join(&["after"]);
    for (name, _) in &liars {
        seen.must_join(&[name, &format!("{name}.0")]);
    }
    seen.must_have_true_parents();
    seen.must_balance();
    Ok(seen.verdict())
}

fn unreachable(live: &Live) -> Result<Verdict> {
    let stand = Stand::new(live, "unreachable")?;
    // A port that nobody listens on.
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    drop(listener);
    let server = stand.serve(&[])?;
    let agent = stand.watch_to(&Exporter::Endpoint(endpoint), &[])?;
    stand.client(&[
        "blast",
        "-target",
        &server.url(),
        "-kept",
        "500",
        "-single",
        "100",
    ])?;
    let status = agent.stop()?;
    let mut seen = super::stand::Seen::of(status);
    let requests = seen.status["requests_seen"].as_u64().unwrap_or(0);
    seen.must(requests == 1200, || {
        format!("{requests} requests instead of 1200")
    });
    let exported = seen.status["spans_exported"].as_u64().unwrap_or(0);
    seen.must(exported == 0, || {
        format!("{exported} spans exported to nobody")
    });
    let lost = seen.status["spans_lost"].clone();
    let named =
        lost["export_failed"].as_u64().unwrap_or(0) + lost["shutdown"].as_u64().unwrap_or(0);
    seen.must(named == requests, || format!("lost: {lost}"));
    seen.must_balance();
    Ok(seen.verdict())
}
