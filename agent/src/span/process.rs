//! One traced process: its resource, its open requests, the state its evidence rests on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::golang::Go;
use super::model::{Resource, TraceId, Value};
use super::thread::Threads;
use crate::connection::transaction::TransactionId;
use crate::process::facts::{FactValue, ProcessFacts};

/// Processes known at once.
const PROCESSES_MAX: usize = 16_384;

/// See the module.
#[derive(Debug, Default)]
pub struct Process {
    /// Resource, once the facts are known.
    pub resource: Option<Arc<Resource>>,
    /// Start of the process, 0 where unknown.
    pub start_ns: u64,
    /// Runs Go code; `None`: not known.
    pub go: Option<bool>,
    /// Goroutine evidence.
    pub golang: Go,
    /// Thread evidence.
    pub threads: Threads,
    /// Server transactions that are open.
    pub servers: BTreeSet<TransactionId>,
    /// Those that came with a header, by its trace.
    pub named: BTreeMap<TraceId, BTreeSet<TransactionId>>,
    /// Transactions of both roles that are open.
    pub open: usize,
    /// Events that needed an id of their own.
    pub events: u64,
    exited: bool,
    used: u64,
}

impl Process {
    /// Forgets what the evidence rests on: another program runs under this pid now.
    pub fn forget(&mut self) {
        self.golang = Go::default();
        self.threads = Threads::default();
        self.resource = None;
        self.start_ns = 0;
        self.go = None;
        self.exited = false;
    }

    /// The only open request of a trace.
    pub fn only_of(&self, trace: TraceId) -> Option<TransactionId> {
        let mut open = self.named.get(&trace)?.iter();
        open.next().filter(|_| open.next().is_none()).copied()
    }

    /// A server transaction is over.
    pub fn server_ended(&mut self, id: TransactionId, header: Option<TraceId>) {
        self.servers.remove(&id);
        let Some(trace) = header else { return };
        if let Some(open) = self.named.get_mut(&trace) {
            open.remove(&id);
            if open.is_empty() {
                self.named.remove(&trace);
            }
        }
    }
}

/// All processes.
#[derive(Debug, Default)]
pub struct Processes {
    table: BTreeMap<u32, Process>,
    uses: u64,
}

impl Processes {
    /// The process that does something now.
    pub fn touch(&mut self, tgid: u32) -> &mut Process {
        if !self.table.contains_key(&tgid) && self.table.len() >= PROCESSES_MAX {
            // Rare: the least recently used one goes, first of all one with nothing open.
            let oldest = self.table.iter().min_by_key(|(_, p)| (p.open > 0, p.used));
            if let Some(oldest) = oldest.map(|(tgid, _)| *tgid) {
                self.table.remove(&oldest);
            }
        }
        self.uses += 1;
        let process = self.table.entry(tgid).or_default();
        process.used = self.uses;
        if process.exited {
            process.forget();
        }
        process
    }

    /// A process that is known.
    pub fn get(&self, tgid: u32) -> Option<&Process> {
        self.table.get(&tgid)
    }

    /// A process that is known, to change.
    pub fn get_mut(&mut self, tgid: u32) -> Option<&mut Process> {
        self.table.get_mut(&tgid)
    }

    /// The agent learned about a process.
    pub fn learn(&mut self, facts: &ProcessFacts) {
        let process = self.touch(facts.tgid);
        if process.start_ns != 0 && process.start_ns != facts.start_ns {
            process.forget();
        }
        process.start_ns = facts.start_ns;
        process.go = Some(facts.go);
        process.resource = Some(Arc::new(resource(facts)));
    }

    /// A process ended; its open transactions still need its resource.
    pub fn exit(&mut self, tgid: u32) {
        if let Some(process) = self.table.get_mut(&tgid) {
            process.exited = true;
            self.drop_exited(tgid);
        }
    }

    /// One transaction of the process is over.
    pub fn closed(&mut self, tgid: u32) {
        if let Some(process) = self.table.get_mut(&tgid) {
            process.open = process.open.saturating_sub(1);
            self.drop_exited(tgid);
        }
    }

    fn drop_exited(&mut self, tgid: u32) {
        if self
            .table
            .get(&tgid)
            .is_some_and(|p| p.exited && p.open == 0)
        {
            self.table.remove(&tgid);
        }
    }
}

/// What is said of a process that nothing is known of.
pub fn bare_resource(tgid: u32) -> Arc<Resource> {
    let pid = ("process.pid".to_owned(), Value::Int(i64::from(tgid)));
    Arc::new(Resource {
        attributes: vec![pid],
    })
}

fn resource(facts: &ProcessFacts) -> Resource {
    let value = |value: &FactValue| match value {
        FactValue::Int(number) => Value::Int(*number),
        FactValue::String(text) => Value::String(text.clone()),
        // The span model has no lists yet.
        FactValue::Strings(list) => Value::String(list.join(" ")),
    };
    let attributes = facts
        .resource
        .iter()
        .map(|(key, fact)| (key.clone(), value(fact)));
    Resource {
        attributes: attributes.collect(),
    }
}
