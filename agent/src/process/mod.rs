//! Processes: which are traced, what is told about them. Everything is read from `/proc`, bounded:
//! a traced program decides what its own files there say.

pub mod cgroup;
pub mod container;
pub mod facts;
pub mod files;
pub mod interpreter;
pub mod kubernetes;
pub mod ports;
pub mod read;
pub mod resource;
pub mod service;
pub mod table;
pub mod targets;
pub mod telemetry;
mod text;

#[cfg(test)]
mod tests;

use std::io;

use facts::ProcessFacts;
pub use read::{Snapshot, scan};
pub use resource::{Host, ResourceOptions, facts};

/// Reads a process and tells what is known of it. Callers that also select read the [`Snapshot`]
/// once and use its parts.
pub fn read_facts(
    tgid: u32,
    host: &Host,
    options: &ResourceOptions,
    go_version: Option<&str>,
) -> io::Result<ProcessFacts> {
    let snapshot = read::read(tgid)?;
    Ok(resource::facts(&snapshot, host, options, go_version))
}

/// What is left of a process that was gone before it could be read: its number, and `comm` from its
/// exec (empty where that was not seen).
pub fn facts_of_the_gone(tgid: u32, comm: &str, exe: &str, host: &Host) -> ProcessFacts {
    let snapshot = Snapshot {
        tgid,
        comm: comm.to_owned(),
        exe: if exe.is_empty() { comm } else { exe }.to_owned(),
        ..Snapshot::default()
    };
    resource::facts(&snapshot, host, &ResourceOptions::default(), None)
}
