//! The kernel programs' own counters, and what the kernel says of the programs.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd};

use aya::{
    Ebpf,
    maps::{HashMap as BpfHashMap, MapData, PerCpuArray},
};
use threadline_common::counter::{COUNTERS, RECORDS_RING_FULL};

use super::load::LoadError;

/// Reads the counters.
pub struct Counters {
    array: PerCpuArray<MapData, u64>,
    io_uring: BpfHashMap<MapData, u32, u64>,
    programs: Vec<(String, i32)>,
}

/// What the kernel says of one program.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct ProgramInfo {
    /// Its name.
    pub name: String,
    /// Times it was skipped because a program was running already on that CPU.
    pub recursion_misses: u64,
    /// Times it ran (only while `kernel.bpf_stats_enabled` is 1).
    pub run_count: u64,
    /// Time it ran for, nanoseconds (likewise).
    pub run_time_ns: u64,
    /// Instructions the verifier looked at.
    pub verified_instructions: u64,
}

impl Counters {
    /// Takes the counters out of the loaded object.
    pub fn new(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        let programs = ebpf
            .programs()
            .filter_map(|(name, program)| {
                Some((name.to_owned(), program.fd().ok()?.as_fd().as_raw_fd()))
            })
            .collect();
        Ok(Self {
            array: super::load::map(ebpf, "COUNTERS")?,
            io_uring: super::load::map(ebpf, "IO_URING_CALLS")?,
            programs,
        })
    }

    /// Every counter by its ledger name.
    pub fn read(&self) -> BTreeMap<String, u64> {
        COUNTERS
            .iter()
            .map(|(id, name)| ((*name).to_owned(), self.sum(*id)))
            .collect()
    }

    /// io_uring_enter calls by process: what they moved was not seen.
    pub fn io_uring(&self) -> BTreeMap<u32, u64> {
        self.io_uring.iter().filter_map(Result::ok).collect()
    }

    /// Records that the full ring refused so far.
    pub fn refused(&self) -> u64 {
        self.sum(RECORDS_RING_FULL)
    }

    /// One counter, over all CPUs.
    fn sum(&self, id: u32) -> u64 {
        self.array
            .get(&id, 0)
            .map_or(0, |values| values.iter().sum())
    }

    /// What the kernel says of each program (`/proc/self/fdinfo`).
    pub fn programs(&self) -> Vec<ProgramInfo> {
        self.programs
            .iter()
            .map(|(name, fd)| {
                let text =
                    std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
                let field = |key: &str| {
                    text.lines()
                        .find_map(|line| {
                            line.strip_prefix(key)?
                                .strip_prefix(':')?
                                .trim()
                                .parse()
                                .ok()
                        })
                        .unwrap_or(0)
                };
                ProgramInfo {
                    name: name.clone(),
                    recursion_misses: field("recursion_misses"),
                    run_count: field("run_cnt"),
                    run_time_ns: field("run_time_ns"),
                    verified_instructions: field("verified_insns"),
                }
            })
            .collect()
    }
}
