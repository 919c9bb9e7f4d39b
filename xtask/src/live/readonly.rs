//! The agent changes nothing: neither what programs send nor, but for its probes, their text.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::stand::Stand;
use super::{Live, Test};
use crate::command;
use crate::test::Verdict;

/// The tests.
pub const TESTS: &[Test] = &[
    (
        "live: byte streams are the same with and without the agent",
        streams,
    ),
    (
        "live: requests of any length in pieces of any size have spans",
        any_length,
    ),
    (
        "live: text pages differ from the file at the planned probes alone",
        text_pages,
    ),
];

fn streams(live: &Live) -> Result<Verdict> {
    let stand = Stand::new(live, "streams")?;
    let server = stand.serve(&[])?;
    // The client itself fails where the server saw something else than it sent.
    let without = stand.client(&["stream", &server.v4])?;
    let agent = stand.watch(&[])?;
    let with = stand.client(&["stream", &server.v4])?;
    let mut seen = stand.stop(agent)?;
    seen.must(with == without, || {
        format!("without the agent:\n{without}\nwith it:\n{with}")
    });
    let lines = without.lines().count();
    seen.must(lines == CONNECTIONS, || {
        format!("{lines} connections instead of {CONNECTIONS}")
    });
    let spans = seen.spans.all.len();
    seen.must(spans > CONNECTIONS * REQUESTS, || {
        format!("only {spans} spans: was it traced?")
    });
    Ok(seen.verdict())
}

/// What the client of streams does.
const CONNECTIONS: usize = 8;
const REQUESTS: usize = 60;

fn any_length(live: &Live) -> Result<Verdict> {
    let stand = Stand::new(live, "any-length")?;
    let server = stand.serve(&[])?;
    let agent = stand.watch(&[])?;
    stand.client(&["stream", &server.v4])?;
    let mut seen = stand.stop(agent)?;
    let requests: Vec<String> = (0..CONNECTIONS)
        .flat_map(|connection| (0..REQUESTS).map(move |n| format!("x{connection}-{n}")))
        .collect();
    seen.must_join(&requests.iter().map(String::as_str).collect::<Vec<_>>());
    seen.must_balance();
    Ok(seen.verdict())
}

/// The kernel's breakpoint.
const INT3: u8 = 0xCC;

fn text_pages(live: &Live) -> Result<Verdict> {
    let stand = Stand::new(live, "text-pages")?;
    let server = stand.serve(&[])?;
    let pid = server.process.pid();
    let before = changed(pid, &stand.odd)?;
    let planned = planned(&live.agent, &stand.odd)?;
    let agent = stand.watch(&[])?;
    stand.client(&["once", &format!("{}/hello/1", server.url())])?;
    let during = changed(pid, &stand.odd)?;
    let mut seen = stand.stop(agent)?;
    let after = changed(pid, &stand.odd)?;
    seen.must(before.is_empty() && after.is_empty(), || {
        format!("bytes changed without an agent: before {before:x?}, after {after:x?}")
    });
    let other: Vec<_> = during.iter().filter(|(_, byte)| *byte != INT3).collect();
    seen.must(other.is_empty(), || {
        format!("changed to something else than a breakpoint: {other:x?}")
    });
    let sites: BTreeSet<u64> = during.iter().map(|(at, _)| *at).collect();
    seen.must(!planned.is_empty() && sites == planned, || {
        format!("planned {planned:x?}, changed {sites:x?}")
    });
    Ok(seen.verdict())
}

/// Places in a program's file where `plan` says probes will be.
fn planned(agent: &Path, program: &Path) -> Result<BTreeSet<u64>> {
    let target = format!("exe:{}", program.display());
    let mut plan = Command::new(agent);
    let told = command::output(plan.args(["plan", "--json", "--target", &target]))?;
    let plan: Value = serde_json::from_str(&told)?;
    let binaries = plan["binaries"].as_array().into_iter().flatten();
    Ok(binaries
        .filter(|binary| binary["path"].as_str().map(Path::new) == Some(program))
        .flat_map(|binary| binary["sites"].as_array().into_iter().flatten())
        .filter(|site| site["armed"] == true)
        .filter_map(|site| site["file_offset"].as_u64())
        .collect())
}

/// Where executable memory of a process differs from its file: offset in the file, and the byte.
fn changed(pid: u32, program: &Path) -> Result<BTreeSet<(u64, u8)>> {
    let file = File::open(program)?;
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let mut changed = BTreeSet::new();
    let mut compared = 0;
    for line in maps.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [range, mode, offset, _, _, path] = fields.as_slice() else {
            continue;
        };
        if !mode.contains('x') || Path::new(path) != program {
            continue;
        }
        let (from, to) = range.split_once('-').context("no range")?;
        let hex = |text: &str| u64::from_str_radix(text, 16);
        let (from, to, offset) = (hex(from)?, hex(to)?, hex(offset)?);
        let mut there = vec![0; usize::try_from(to - from)?];
        memory.read_exact_at(&mut there, from)?;
        // The last page may go on behind the end of the file.
        let mut here = vec![0; there.len()];
        let read = file.read_at(&mut here, offset)?;
        compared += read;
        for (at, (is, was)) in there.iter().zip(&here[..read]).enumerate() {
            if is != was {
                changed.insert((offset + at as u64, *is));
            }
        }
    }
    anyhow::ensure!(compared > 0, "no text of {} found", program.display());
    Ok(changed)
}
