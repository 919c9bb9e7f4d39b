//! `service.name` of a traced process.

use super::cgroup::CgroupFacts;
use super::interpreter;
use super::read::Snapshot;
use super::targets::base_name;
use super::text;

/// What told the name, weakest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedBy {
    /// The process's `OTEL_SERVICE_NAME`.
    ServiceName,
    /// `service.name` in its `OTEL_RESOURCE_ATTRIBUTES`.
    ResourceAttributes,
    /// The owner of its pod.
    Kubernetes,
    /// Its container's name.
    Container,
    /// Its systemd unit.
    Unit,
    /// Script, module, jar or main class.
    Program,
    /// Its executable.
    Executable,
}

/// The name and what told it. `own` are the process's own resource attributes.
pub fn service_name(snapshot: &Snapshot, own: &[(String, String)]) -> (String, NamedBy) {
    let own_name = || {
        own.iter()
            .rev()
            .find(|(key, _)| key == "service.name")
            .map(|(_, v)| v)
    };
    let first = [
        (snapshot.env.get("OTEL_SERVICE_NAME"), NamedBy::ServiceName),
        (own_name(), NamedBy::ResourceAttributes),
    ];
    for (value, by) in first {
        if let Some(name) = value.and_then(|value| text::name(value)) {
            return (name, by);
        }
    }
    if let Some(owner) = snapshot.pod.as_ref().and_then(|pod| pod.owner()) {
        return (owner.to_owned(), NamedBy::Kubernetes);
    }
    if let Some(name) = &snapshot.container_name {
        return (name.clone(), NamedBy::Container);
    }
    if let Some(name) = unit(&snapshot.cgroup, snapshot.unit_main) {
        return (name.to_owned(), NamedBy::Unit);
    }
    if let Some(name) = program(snapshot) {
        return (name, NamedBy::Program);
    }
    (executable(snapshot), NamedBy::Executable)
}

/// A unit names its main program and those that share its executable; a unit that starts all kinds
/// of programs (a CI runner, a terminal server) does not name them.
fn unit(cgroup: &CgroupFacts, main: bool) -> Option<&str> {
    cgroup.unit.as_deref().filter(|_| main)
}

fn program(snapshot: &Snapshot) -> Option<String> {
    let interpreter = interpreter::interpreter(&snapshot.exe)?;
    let program = interpreter::program(interpreter, &snapshot.args)?;
    text::name(&interpreter::short(interpreter, program))
}

fn executable(snapshot: &Snapshot) -> String {
    text::name(base_name(&snapshot.exe))
        .or_else(|| text::name(&snapshot.comm))
        .unwrap_or_else(|| format!("unknown_service:{}", snapshot.tgid))
}
