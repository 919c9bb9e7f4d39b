//! What `threadline status` tells of the running agent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::process::facts::{FactValue, ProcessFacts};

/// Selected processes, shared between the loop and whoever asks.
#[derive(Clone, Debug, Default)]
pub struct Processes(Arc<Mutex<BTreeMap<u32, ProcessFacts>>>);

impl Processes {
    /// A process was selected.
    pub fn insert(&self, facts: ProcessFacts) {
        self.lock().insert(facts.tgid, facts);
    }

    /// A process ended.
    pub fn remove(&self, tgid: u32) {
        self.lock().remove(&tgid);
    }

    /// All now.
    pub fn all(&self) -> Vec<ProcessFacts> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, ProcessFacts>> {
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
