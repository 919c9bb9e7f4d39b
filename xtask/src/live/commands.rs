//! What a user types, and what comes back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use super::stand::Stand;
use super::{Live, Test};
use crate::check::{Side, Spans};
use crate::command;
use crate::rig::spans_file;
use crate::test::Verdict;

/// The tests.
pub const TESTS: &[Test] = &[
    (
        "live: a second agent is refused with the pid of the first",
        second,
    ),
    ("live: without root the agent says what it needs", no_root),
    ("live: replaying something else says so", no_recording),
    ("live: Ctrl-C sends the last spans and detaches", flushed),
    ("live: a lone span comes out within a second", lone),
    ("live: status tells the ledger as text and as JSON", status),
];

/// Exit codes that `threadline --help` promises.
const FAILED: i32 = 1;
const NOT_PERMITTED: i32 = 3;
const ALREADY_RUNS: i32 = 4;

/// Runs the agent's program to its end; a run that starts ends by itself.
fn output(command: &mut Command) -> Result<(Output, String)> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {}", command::show(command)))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output, said))
}

/// The exit code is this one, and the message holds these words.
fn ended(output: &Output, said: &str, code: i32, words: &[&str]) -> Verdict {
    let missing: Vec<_> = words.iter().filter(|word| !said.contains(**word)).collect();
    if output.status.code() == Some(code) && missing.is_empty() {
        return Verdict::Passed;
    }
    Verdict::Failed(format!(
        "{} instead of exit code {code}; {missing:?} is not in:\n{said}",
        output.status
    ))
}

fn second(live: &Live) -> Result<Verdict> {
    let stand = Stand::new(live, "second")?;
    let agent = stand.watch(&[])?;
    let pid = agent.pid().to_string();
    let mut other = Command::new(&live.agent);
    other
        .args(["run", "--for", "1s", "--socket"])
        .arg(agent.socket());
    let (output, said) = output(&mut other)?;
    agent.stop()?;
    Ok(ended(&output, &said, ALREADY_RUNS, &["already runs", &pid]))
}

fn no_root(live: &Live) -> Result<Verdict> {
    if command::which("setpriv").is_none() {
        return Ok(Verdict::Skipped("needs setpriv (util-linux)".to_owned()));
    }
    // Where everyone may read it.
    let place = std::env::temp_dir().join(format!("threadline-test-{}", std::process::id()));
    fs::copy(&live.agent, &place)?;
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755))?;
    let mut run = Command::new("setpriv");
    run.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(&place)
        .args(["run", "--for", "1s", "--socket"])
        .arg(place.with_extension("sock"));
    let ran = output(&mut run);
    fs::remove_file(&place)?;
    let _ = fs::remove_file(place.with_extension("lock"));
    let (output, said) = ran?;
    Ok(ended(&output, &said, NOT_PERMITTED, &["CAP_BPF", "root"]))
}

fn no_recording(live: &Live) -> Result<Verdict> {
    let stand = Stand::new(live, "no-recording")?;
    let file = stand.dir.join("garbage");
    fs::write(&file, [0xA5; 5000])?;
    let mut replay = Command::new(&live.agent);
    replay.args(["replay", "--output", "json"]).arg(&file);
    let (output, said) = output(&mut replay)?;
    Ok(ended(
        &output,
        &said,
        FAILED,
        &["garbage", "not a threadline recording"],
    ))
}

fn flushed(live: &Live) -> Result<Verdict> {
    let stand = Stand::new(live, "flushed")?;
    let server = stand.serve(&[])?;
    let agent = stand.watch(&[])?;
    let urls = ["f1", "f2", "f3"].map(|id| format!("{}/hello/{id}", server.url()));
    stand.client(&["once", &urls[0], &urls[1], &urls[2]])?;
    // At once: no batch had time to fill. It must also end with success.
    let status = agent.stop()?;
    let mut seen = super::stand::Seen::of(status);
    seen.spans = Spans::read(&spans_file(&stand.dir))?;
    seen.must_join(&["f1", "f2", "f3"]);
    seen.must_balance();
    Ok(seen.verdict())
}

/// What design and README promise.
const SOON: Duration = Duration::from_secs(1);

fn lone(live: &Live) -> Result<Verdict> {
    let stand = Stand::new(live, "lone")?;
    let server = stand.serve(&[])?;
    let agent = stand.watch(&[])?;
    let mut slowest = Duration::ZERO;
    for id in ["l1", "l2", "l3"] {
        stand.client(&["once", &format!("{}/hello/{id}", server.url())])?;
        let began = Instant::now();
        loop {
            // The last line may be half written.
            let text = fs::read_to_string(spans_file(&stand.dir))?;
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            let spans = Spans::parse(whole)?;
            if [Side::Client, Side::Server]
                .iter()
                .all(|side| !spans.of(*side, id).is_empty())
            {
                break;
            }
            if began.elapsed() > 3 * SOON {
                return Ok(Verdict::Failed(format!("{id} is not there after 3 s")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        slowest = slowest.max(began.elapsed());
    }
    agent.stop()?;
    if slowest < SOON {
        return Ok(Verdict::Passed);
    }
    Ok(Verdict::Failed(format!(
        "a span took {} ms",
        slowest.as_millis()
    )))
}

fn status(live: &Live) -> Result<Verdict> {
    let stand = Stand::new(live, "status")?;
    let server = stand.serve(&[])?;
    let agent = stand.watch(&[])?;
    stand.client(&["once", &format!("{}/hello/s1", server.url())])?;
    std::thread::sleep(SOON);
    let ask = |flags: &[&str]| {
        let mut ask = Command::new(&live.agent);
        ask.arg("status")
            .args(flags)
            .arg("--socket")
            .arg(agent.socket());
        command::output(&mut ask)
    };
    let text = ask(&[])?;
    let json: Value = serde_json::from_str(&ask(&["--json"])?)?;
    let pid = agent.pid();
    agent.stop()?;
    let mut wrong = Vec::new();
    for key in [
        "backend",
        "processes",
        "stages",
        "requests_seen",
        "spans_exported",
        "spans_lost",
    ] {
        if json[key].is_null() {
            wrong.push(format!("no {key}"));
        }
    }
    if json["pid"] != pid || json["requests_seen"] != 2 || json["spans_exported"] != 2 {
        wrong.push(format!("pid or counts are not right: {json}"));
    }
    if !text.contains("tracepoint") || !text.contains(&pid.to_string()) {
        wrong.push(format!("back end or pid are not in:\n{text}"));
    }
    let listed = json["process_list"].as_array().into_iter().flatten();
    let odd = stand.odd.display().to_string();
    if !listed.clone().any(|process| process["exe"] == odd.as_str()) {
        wrong.push(format!("{odd} is not among the processes"));
    }
    if wrong.is_empty() {
        return Ok(Verdict::Passed);
    }
    Ok(Verdict::Failed(wrong.join("\n")))
}
