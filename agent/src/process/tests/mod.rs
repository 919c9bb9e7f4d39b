//! Selection and naming, on made-up and on real processes.

mod cgroup;
mod live;
mod naming;
mod resource;
mod targets;

use super::Snapshot;
use super::facts::{FactValue, ProcessFacts};

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn snapshot(exe: &str, line: &str) -> Snapshot {
    Snapshot {
        tgid: 7,
        exe: exe.to_owned(),
        args: words(line),
        ..Snapshot::default()
    }
}

fn value<'a>(facts: &'a ProcessFacts, key: &str) -> Option<&'a FactValue> {
    facts
        .resource
        .iter()
        .find(|(k, _)| k == key)
        .map(|(_, value)| value)
}

fn text<'a>(facts: &'a ProcessFacts, key: &str) -> Option<&'a str> {
    match value(facts, key) {
        Some(FactValue::String(text)) => Some(text),
        _ => None,
    }
}
