//! Tests on this machine's kernel: real services, the real agent.

mod commands;
mod hops;
mod ledger;
mod matrix;
mod object;
mod programs;
mod readonly;
mod replay;
mod requests;
mod stand;
mod trouble;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::rig::golang::{Build, Programs};
use crate::test::{Tally, Verdict};
use crate::{build, command, paths, setup};

/// What live tests share.
pub struct Live {
    agent: PathBuf,
    programs: Programs,
    /// The program that does odd things with connections.
    odd: PathBuf,
}

/// One test: a name that says what holds, and the test.
type Test = (&'static str, fn(&Live) -> Result<Verdict>);

/// All but the matrix.
const ALL: &[&[Test]] = &[
    requests::TESTS,
    ledger::TESTS,
    replay::TESTS,
    readonly::TESTS,
    hops::TESTS,
    programs::TESTS,
    trouble::TESTS,
    commands::TESTS,
];

/// What can be told from the built object, on any machine.
pub fn object_tests(tally: &mut Tally) {
    object::tests(tally);
}

/// Runs all that the filter wants; builds the agent where none is given.
pub fn tests(tally: &mut Tally, agent: Option<&Path>) -> Result<()> {
    let tests: Vec<Test> = ALL
        .iter()
        .copied()
        .flatten()
        .copied()
        .filter(|(name, _)| tally.wants(name))
        .collect();
    let matrix: Vec<_> = matrix::cells()
        .into_iter()
        .filter(|cell| tally.wants(&cell.test_name()))
        .collect();
    if tests.is_empty() && matrix.is_empty() {
        return Ok(());
    }
    if let Some(why) = not_here() {
        for name in tests.iter().map(|(name, _)| (*name).to_owned()) {
            tally.check(&name, || Ok(Verdict::Skipped(why.clone())));
        }
        for cell in matrix {
            tally.check(&cell.test_name(), || Ok(Verdict::Skipped(why.clone())));
        }
        return Ok(());
    }
    let odd = folder("bin").join("odd");
    stand::build(&odd, &[])?;
    let live = Live {
        odd,
        agent: match agent {
            Some(agent) => agent.to_path_buf(),
            None => build::all(true)?,
        },
        programs: Programs::build(&folder("bin"), Build::default())?,
    };
    for (name, test) in tests {
        tally.check(name, || test(&live));
    }
    for cell in matrix {
        tally.check(&cell.test_name(), || cell.run(&live));
    }
    Ok(())
}

/// Why this machine cannot run live tests.
fn not_here() -> Option<String> {
    if !command::is_root() {
        return Some("needs root".to_owned());
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Some("the kernel has no BTF".to_owned());
    }
    setup::go().err().map(|error| format!("{error:#}"))
}

/// Files of one test.
fn folder(name: &str) -> PathBuf {
    paths::target().join("live").join(name)
}
