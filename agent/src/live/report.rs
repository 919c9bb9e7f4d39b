//! What `threadline status` tells of the running agent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::process::facts::{FactValue, ProcessFacts};

/// Selected processes and the span stage's counts, shared between the loop and whoever asks.
#[derive(Clone, Debug, Default)]
pub struct Processes(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    processes: BTreeMap<u32, ProcessFacts>,
    counts: BTreeMap<String, u64>,
}

impl Processes {
    /// A process was selected.
    pub fn insert(&self, facts: ProcessFacts) {
        self.lock().processes.insert(facts.tgid, facts);
    }

    /// A process ended.
    pub fn remove(&self, tgid: u32) {
        self.lock().processes.remove(&tgid);
    }

    /// All now.
    pub fn all(&self) -> Vec<ProcessFacts> {
        self.lock().processes.values().cloned().collect()
    }

    /// The span stage's counts now.
    pub fn set_counts(&self, counts: BTreeMap<String, u64>) {
        self.lock().counts = counts;
    }

    /// The span stage's counts when they were last told.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.lock().counts.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `service.name` of a process.
pub fn service(facts: &ProcessFacts) -> String {
    facts
        .resource
        .iter()
        .find_map(|(key, value)| match value {
            FactValue::String(name) if key == "service.name" => Some(name.clone()),
            _ => None,
        })
        .unwrap_or_else(|| facts.comm.clone())
}
