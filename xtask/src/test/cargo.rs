//! Cargo's part: lints, and tests whose counts are added up.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::{Tally, Verdict};
use crate::{command, paths};

/// `cargo ...` in the workspace.
fn workspace() -> Command {
    let mut cargo = command::cargo();
    cargo
        .current_dir(paths::root())
        .env("THREADLINE_BPF_OBJECT", paths::bpf_object());
    cargo
}

/// Runs cargo and tells its output only where it fails.
pub fn quiet(args: &[&str]) -> Result<Verdict> {
    told(workspace().args(args))
}

/// Runs anything and tells its output only where it fails.
pub fn told(command: &mut Command) -> Result<Verdict> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {}", command::show(command)))?;
    if output.status.success() {
        return Ok(Verdict::Passed);
    }
    let text = [output.stdout, output.stderr].concat();
    Ok(Verdict::Failed(format!(
        "{}\n{}",
        command::show(command),
        String::from_utf8_lossy(&text)
    )))
}

/// Runs the workspace's tests, shows them as they go, and adds up their counts.
pub fn tests(tally: &mut Tally) -> Result<()> {
    let mut cargo = workspace();
    cargo.args([
        "test",
        "--workspace",
        "--no-fail-fast",
        "--",
        tally.filter(),
    ]);
    let mut child = cargo.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let out = child.stdout.take().context("no standard output")?;
    let mut counts = Counts::default();
    for line in BufReader::new(out).lines() {
        let line = line?;
        counts.add(&line);
        println!("{line}");
    }
    let status = child.wait()?;
    // Tests that do not compile, or a test program that dies, leave no count.
    let silent = usize::from(!status.success() && counts.failed == 0);
    tally.add(counts.passed, counts.failed + silent, counts.ignored);
    Ok(())
}

/// Sums of libtest's result lines.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    ignored: usize,
}

impl Counts {
    fn add(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test result: ") else {
            return;
        };
        let Some((_, numbers)) = rest.split_once(". ") else {
            return;
        };
        for part in numbers.split("; ") {
            match part.split_once(' ') {
                Some((number, "passed")) => self.passed += number.parse().unwrap_or(0),
                Some((number, "failed")) => self.failed += number.parse().unwrap_or(0),
                Some((number, "ignored")) => self.ignored += number.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn result_lines_are_added_up_and_others_ignored() {
        let mut counts = Counts::default();
        for line in [
            "running 3 tests",
            "test a ... ok",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.01s",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
        ] {
            counts.add(line);
        }
        assert_eq!(
            counts,
            Counts {
                passed: 15,
                failed: 2,
                ignored: 1
            }
        );
    }
}
