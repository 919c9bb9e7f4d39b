//! Services built by each Go toolchain, stripped and not.

use anyhow::Result;

use super::requests::verdict;
use super::{Live, folder};
use crate::rig::golang::{Build, Programs};
use crate::rig::{self, Exporter, Load};
use crate::test::Verdict;

/// The last patch release of each minor that differs in what the agent reads.
const TOOLCHAINS: [&str; 9] = [
    "go1.18.10",
    "go1.20.14",
    "go1.21.13",
    "go1.22.12",
    "go1.23.12",
    "go1.24.9",
    "go1.25.5",
    "go1.26.8",
    "go1.27.0",
];

/// One combination.
pub struct Cell {
    toolchain: &'static str,
    stripped: bool,
}

/// All of them.
pub fn cells() -> Vec<Cell> {
    TOOLCHAINS
        .iter()
        .flat_map(|toolchain| {
            [false, true].map(|stripped| Cell {
                toolchain,
                stripped,
            })
        })
        .collect()
}

impl Cell {
    /// Name of its test.
    pub fn test_name(&self) -> String {
        format!("live: services built by {} are traced whole", self.name())
    }

    fn name(&self) -> String {
        format!(
            "{}{}",
            self.toolchain,
            if self.stripped { "-stripped" } else { "" }
        )
    }

    /// Builds and traces.
    pub fn run(&self, live: &Live) -> Result<Verdict> {
        let dir = folder(&self.name());
        let build = Build {
            toolchain: Some(self.toolchain),
            stripped: self.stripped,
        };
        let programs = match Programs::build(&dir.join("bin"), build) {
            Ok(programs) => programs,
            Err(error) => return Ok(Verdict::Skipped(format!("{error:#}"))),
        };
        let load = Load::of(LOAD, 8, REQUESTS);
        let outcome = rig::trace(&live.agent, &programs, &dir, Exporter::Json, &load)?;
        Ok(verdict(&outcome.report, outcome.report.is_good()))
    }
}

/// Every way of handing work on, and the handlers that end oddly.
const LOAD: &str = "chain,seq,fan-ctx,fan,nested-ctx,nested,pool-ctx,pool,once-ctx,mix,fail,\
                    POST:panic,late-ctx,late,mw,timeout,retry";
const REQUESTS: usize = 170;
