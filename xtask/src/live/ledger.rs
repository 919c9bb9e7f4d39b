//! The books, when the agent cannot keep up.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::stand::{CLIENT_LIMIT, Stand};
use super::{Live, Test};
use crate::command;
use crate::process::Process;
use crate::test::Verdict;

/// The tests.
pub const TESTS: &[Test] = &[(
    "live: a stalled reader loses messages only by counted reasons",
    stalled,
)];

const KEPT: u64 = 60_000;
const SINGLE: u64 = 3_000;
/// From the start of the load; it then goes on for longer than the stall.
const BEFORE: Duration = Duration::from_millis(400);
const STALL: Duration = Duration::from_secs(2);

fn stalled(live: &Live) -> Result<Verdict> {
    let stand = Stand::new(live, "stalled")?;
    let server = stand.serve(&[])?;
    let agent = stand.watch(&["--ring-bytes", "64KiB"])?;
    // Programs that began just before the agent knew whom to leave alone are in the counts.
    let early = agent.status()?;
    let mut load = Command::new(&stand.odd);
    load.args(["blast", "-target", &server.url()]);
    load.args(["-kept", &KEPT.to_string(), "-single", &SINGLE.to_string()]);
    let load = Process::start("blast", load, &stand.dir.join("blast.log"), None)?;
    sleep(BEFORE);
    let signal = |name: &str| {
        command::run(Command::new("kill").args([&format!("-{name}"), &agent.pid().to_string()]))
    };
    signal("STOP")?;
    sleep(STALL);
    signal("CONT")?;
    load.finish(CLIENT_LIMIT)?;
    let mut seen = stand.stop(agent)?;
    // Each request is a message out and one in at either end.
    let messages = 2 * (KEPT + SINGLE);
    for dir in ["rx_messages", "tx_messages"] {
        let before = early["kernel"][dir].as_u64().unwrap_or(0);
        let numbered = seen.kernel(dir) - before;
        seen.must(numbered == messages, || {
            format!("{dir}: {numbered} numbered, the programs made {messages}")
        });
    }
    let refused = seen.kernel("rx_messages_ring_full");
    seen.must(refused > 0, || {
        "the ring was never full: nothing was tested".to_owned()
    });
    seen.must_balance();
    seen.must_have_true_parents();
    Ok(seen.verdict())
}
