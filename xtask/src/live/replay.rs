//! A recorded stream gives the same spans again, and holds no secret.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::stand::Stand;
use super::{Live, Test};
use crate::check::Spans;
use crate::command;
use crate::rig::{Agent, Exporter, Load, Services, spans_file};
use crate::test::Verdict;

/// The tests.
pub const TESTS: &[Test] = &[
    (
        "live: a recording replays to the live spans, also shuffled",
        replays,
    ),
    ("live: no secret is in a recording or in spans", secrets),
];

/// Records are displaced by up to this.
const SHUFFLE_NS: u64 = 5_000_000;

fn replays(live: &Live) -> Result<Verdict> {
    let stand = Stand::new(live, "replay")?;
    let recording = stand.dir.join("recording");
    let services = Services::start(&live.programs, &stand.dir)?;
    let args = ["--record", &recording.display().to_string()];
    let agent = Agent::start_with(&live.agent, &stand.dir, &Exporter::Json, &args)?;
    Load::mixed(8, Duration::from_secs(2)).run(&live.programs, &services)?;
    let mut seen = stand.stop(agent)?;
    services.stop()?;

    let first = replay(&live.agent, &recording)?;
    let second = replay(&live.agent, &recording)?;
    seen.must(first == second, || {
        "the second replay differs from the first".to_owned()
    });
    let shuffled = stand.dir.join("shuffled");
    let moved = shuffle(&recording, &shuffled)?;
    seen.must(moved > 100, || format!("only {moved} records moved"));
    let third = replay(&live.agent, &shuffled)?;
    let sorted = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (in_order, out_of_order) = (sorted(&first), sorted(&third));
    seen.must(in_order == out_of_order, || {
        let lost: Vec<_> = in_order.difference(&out_of_order).collect();
        let new: Vec<_> = out_of_order.difference(&in_order).collect();
        format!(
            "shuffled: {} of {} lines differ, e.g.\n{:?}\n{:?}",
            lost.len(),
            in_order.len(),
            lost.first(),
            new.first()
        )
    });
    let live_ids = ids(&fs::read_to_string(spans_file(&stand.dir))?)?;
    let replayed = ids(&first)?;
    seen.must(live_ids.len() > 1000, || {
        format!("only {} spans", live_ids.len())
    });
    seen.must(live_ids == replayed, || {
        format!(
            "{} live spans, {} replayed; only live: {:?}, only replayed: {:?}",
            live_ids.len(),
            replayed.len(),
            live_ids.difference(&replayed).next(),
            replayed.difference(&live_ids).next()
        )
    });
    Ok(seen.verdict())
}

fn replay(agent: &Path, recording: &Path) -> Result<String> {
    let mut command = Command::new(agent);
    command.args(["replay", "--output", "json"]).arg(recording);
    command::output(&mut command)
}

/// Trace, span and parent of each span.
fn ids(text: &str) -> Result<BTreeSet<(String, String, Option<String>)>> {
    let spans = Spans::parse(text)?.all;
    Ok(spans
        .into_iter()
        .map(|span| (span.trace, span.id, span.parent))
        .collect())
}

/// Displaces records in time and writes them as a stream whose disorder is that; tells how many
/// have another place.
fn shuffle(from: &Path, to: &Path) -> Result<usize> {
    let bytes = fs::read(from)?;
    let start = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .context("no magic line")?
        + 1;
    let (magic, mut rest) = bytes.split_at(start);
    let mut records = Vec::new();
    let mut random = 1_u64;
    while let Some((head, _)) = rest.split_first_chunk::<24>() {
        let [
            t0,
            t1,
            t2,
            t3,
            t4,
            t5,
            t6,
            t7,
            ..,
            s0,
            s1,
            s2,
            s3,
            _,
            _,
            _,
            _,
        ] = *head;
        let time = u64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]);
        let size = u32::from_le_bytes([s0, s1, s2, s3]) as usize;
        let (record, after) = rest.split_at_checked(size).context("a record is cut")?;
        rest = after;
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        records.push((time + (random >> 33) % SHUFFLE_NS, records.len(), record));
    }
    records.sort_unstable();
    let moved = records
        .iter()
        .enumerate()
        .filter(|(now, (_, was, _))| now != was);
    let moved = moved.count();
    let mut out = magic.to_vec();
    for (_, _, record) in records {
        out.extend_from_slice(record);
    }
    fs::write(to, out)?;
    Ok(moved)
}

/// What the odd client plants in its request, and the server in its answer.
const PLANTED: &str = "pl4nted";
/// "user:pl4nted" as basic authorization tells it.
const PLANTED_BASIC: &str = "dXNlcjpwbDRudGVk";

fn secrets(live: &Live) -> Result<Verdict> {
    let stand = Stand::new(live, "secrets")?;
    let recording = stand.dir.join("recording");
    let server = stand.serve(&[])?;
    let agent = stand.watch(&["--record", &recording.display().to_string()])?;
    stand.client(&["secret", &server.url()])?;
    let mut seen = stand.stop(agent)?;
    seen.must_join(&["s1"]);
    let mode = fs::metadata(&recording)?.permissions().mode() & 0o777;
    seen.must(mode == 0o600, || format!("the recording has mode {mode:o}"));
    for file in [
        &recording,
        &spans_file(&stand.dir),
        &stand.dir.join("agent.log"),
    ] {
        let bytes = fs::read(file)?;
        for secret in [PLANTED, PLANTED_BASIC] {
            seen.must(!contains(&bytes, secret), || {
                format!("{} holds {secret}", file.display())
            });
        }
    }
    // What is no secret is there: the search finds what it looks for.
    let kept = contains(&fs::read(&recording)?, "/secret/s1");
    seen.must(kept, || {
        "the recording does not even hold the path".to_owned()
    });
    Ok(seen.verdict())
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}
