//! The trial: does the kernel take the programs? They are loaded as `run` does it, and dropped.

use std::error::Error;
use std::time::Instant;

use serde::Serialize;
use threadline_common::map::Settings;

use crate::config::CaptureSettings;
use crate::hook::counters::Counters;
use crate::hook::load::{self, HOOKS, LoadError, UPROBES};

/// Lines kept of a long error: the verifier's log runs to thousands, its end says what it did not
/// like.
const LAST_LINES: usize = 8;

/// What the kernel said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KernelPlan {
    /// The programs were handed to the kernel.
    pub tried: bool,
    /// In the kernel's own words, or why it was not tried; `None`: all was taken.
    pub error: Option<String>,
    /// Time the load took, microseconds.
    pub load_us: u64,
    /// Programs in the order in which they are loaded. The first that is refused ends the load.
    pub programs: Vec<ProgramPlan>,
}

/// One kernel program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgramPlan {
    /// Name.
    pub name: String,
    /// What it is: `tp_btf` or `uprobe`.
    pub kind: &'static str,
    /// Tracepoint; none for uprobes, whose sites are told per binary.
    pub tracepoint: Option<String>,
    /// What became of it.
    pub state: ProgramState,
    /// Instructions the verifier looked at, where it was taken and the kernel tells.
    pub verified_instructions: u64,
}

/// What became of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProgramState {
    /// The kernel takes it.
    Taken,
    /// The kernel refuses it.
    Refused,
    /// An error before it ended the trial.
    NotTried,
}

impl KernelPlan {
    /// Loads all programs and drops them.
    pub(super) fn load(capture: &CaptureSettings) -> Self {
        let settings = Settings {
            max_bytes: u64::from(capture.max_bytes),
            wake_bytes: u64::from(capture.ring_bytes / 4),
        };
        tracing::info!("loading the kernel programs, to hear what the kernel says of them");
        let began = Instant::now();
        let loaded = load::load(settings, capture.ring_bytes);
        let load_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (error, programs) = match loaded {
            Ok(mut ebpf) => {
                let mut programs = programs(None, ProgramState::Taken);
                if let Ok(counters) = Counters::new(&mut ebpf) {
                    count(&mut programs, &counters);
                }
                (None, programs)
            }
            Err(error) => (Some(last_words(&error)), refused(&error)),
        };
        Self {
            tried: true,
            error,
            load_us,
            programs,
        }
    }

    pub(super) fn not_tried(why: &str) -> Self {
        Self {
            tried: false,
            error: Some(why.to_owned()),
            load_us: 0,
            programs: programs(None, ProgramState::NotTried),
        }
    }
}

fn refused(error: &LoadError) -> Vec<ProgramPlan> {
    match error {
        LoadError::Program { name, .. } => programs(Some(name), ProgramState::Taken),
        _ => programs(None, ProgramState::NotTried),
    }
}

/// All programs, as `state` up to the refused one.
fn programs(refused: Option<&str>, mut state: ProgramState) -> Vec<ProgramPlan> {
    let hooks = HOOKS
        .iter()
        .map(|hook| (hook.program, "tp_btf", Some(hook.tracepoint.to_owned())));
    let uprobes = UPROBES.iter().map(|name| (*name, "uprobe", None));
    hooks
        .chain(uprobes)
        .map(|(name, kind, tracepoint)| {
            let hit = refused == Some(name);
            let its = if hit { ProgramState::Refused } else { state };
            if hit {
                state = ProgramState::NotTried;
            }
            ProgramPlan {
                name: name.to_owned(),
                kind,
                tracepoint,
                state: its,
                verified_instructions: 0,
            }
        })
        .collect()
}

fn count(programs: &mut [ProgramPlan], counters: &Counters) {
    let told = counters.programs();
    for program in programs {
        if let Some(told) = told.iter().find(|told| told.name == program.name) {
            program.verified_instructions = told.verified_instructions;
        }
    }
}

/// An error with its causes; of a long one the first line and the last.
pub fn last_words(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        // Some errors repeat their cause in their own words.
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    if lines.len() <= LAST_LINES + 2 {
        return lines.join("\n");
    }
    let tail = lines[lines.len() - LAST_LINES..].join("\n");
    format!("{}\n...\n{tail}", lines[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_refusal_the_first_line_and_the_last_are_kept() {
        let log: Vec<String> = (0..500).map(|n| format!("{n}: (85) call")).collect();
        let error = std::io::Error::other(format!("refused\n{}\n", log.join("\n")));
        let words = last_words(&error);
        assert_eq!(words.lines().count(), LAST_LINES + 2);
        assert!(
            words.starts_with("refused\n...\n492: (85) call\n"),
            "{words}"
        );
        assert!(words.ends_with("\n499: (85) call"), "{words}");
        assert_eq!(last_words(&std::io::Error::other("short")), "short");
    }

    #[test]
    fn programs_behind_the_refused_one_were_not_tried() {
        let programs = programs(Some("go_call"), ProgramState::Taken);
        assert_eq!(programs.len(), HOOKS.len() + UPROBES.len());
        let state = |name: &str| {
            let found = programs.iter().find(|program| program.name == name);
            found.map(|program| program.state)
        };
        assert_eq!(state("sys_enter"), Some(ProgramState::Taken));
        assert_eq!(state("go_serve"), Some(ProgramState::Taken));
        assert_eq!(state("go_call"), Some(ProgramState::Refused));
        assert_eq!(state("go_conn"), Some(ProgramState::NotTried));
    }

    #[test]
    fn what_was_not_tried_says_why() {
        let plan = KernelPlan::not_tried("CAP_BPF is missing");
        assert!(!plan.tried);
        assert_eq!(plan.error.as_deref(), Some("CAP_BPF is missing"));
        let tried = plan.programs.iter();
        assert!(tried.clone().count() > 0);
        for program in tried {
            assert_eq!(program.state, ProgramState::NotTried, "{}", program.name);
        }
    }
}
