//! Resource attributes of a traced process.

use std::collections::BTreeMap;
use std::hash::Hasher;

use percent_encoding::percent_decode_str;
use siphasher::sip128::{Hasher128, SipHasher24};

use super::facts::{FactValue, ProcessFacts};
use super::read::Snapshot;
use super::targets::base_name;
use super::{interpreter, service, text};

/// Attributes taken from one `OTEL_RESOURCE_ATTRIBUTES`.
pub const OWN_MAX: usize = 64;
/// Arguments exported, where they are at all.
const ARGS_MAX: usize = 64;

/// The machine, and what the operator says about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// `host.name`.
    pub name: String,
    /// `host.id`: `/etc/machine-id`.
    pub id: Option<String>,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// The agent's own `OTEL_RESOURCE_ATTRIBUTES`: weaker than everything a process says.
    pub operator: Vec<(String, String)>,
}

impl Host {
    /// Reads this machine; `operator` is the agent's `OTEL_RESOURCE_ATTRIBUTES`.
    pub fn read(operator: &str) -> Self {
        let file = |path| std::fs::read_to_string(path).ok();
        let line = |text: String| text::name(text.lines().next().unwrap_or_default());
        Self {
            name: hostname::get()
                .ok()
                .and_then(|name| text::name(&name.to_string_lossy()))
                .unwrap_or_default(),
            id: ["/etc/machine-id", "/var/lib/dbus/machine-id"]
                .into_iter()
                .find_map(|path| file(path).and_then(line)),
            boot_id: file("/proc/sys/kernel/random/boot_id")
                .and_then(line)
                .unwrap_or_default(),
            operator: parse_attributes(operator),
        }
    }
}

/// What is exported only when asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceOptions {
    /// `process.command_args`.
    pub command_args: bool,
}

/// Facts of the process with its resource. `go_version`: of its build info, for Go programs.
pub fn facts(
    snapshot: &Snapshot,
    host: &Host,
    options: &ResourceOptions,
    go_version: Option<&str>,
) -> ProcessFacts {
    ProcessFacts {
        tgid: snapshot.tgid,
        start_ns: snapshot.start_ns,
        comm: snapshot.comm.clone(),
        exe: snapshot.exe.clone(),
        go: go_version.is_some(),
        resource: attributes(snapshot, host, options, go_version),
    }
}

/// `service.name` first, the rest by key. Strongest first: what is seen of the process where the
/// conventions leave no choice, its own attributes, what is found out, the operator's.
fn attributes(
    snapshot: &Snapshot,
    host: &Host,
    options: &ResourceOptions,
    go_version: Option<&str>,
) -> Vec<(String, FactValue)> {
    let own = snapshot
        .env
        .get("OTEL_RESOURCE_ATTRIBUTES")
        .map(|text| parse_attributes(text))
        .unwrap_or_default();
    let (name, _) = service::service_name(snapshot, &own);
    let mut all: BTreeMap<String, FactValue> = BTreeMap::new();
    for (key, value) in &host.operator {
        all.insert(key.clone(), FactValue::String(value.clone()));
    }
    found(snapshot, host, &mut |key, value| {
        all.insert(key.to_owned(), value);
    });
    for (key, value) in own {
        all.insert(key, FactValue::String(value));
    }
    seen(snapshot, options, go_version, &mut |key, value| {
        all.insert(key.to_owned(), value);
    });
    all.remove("service.name");
    std::iter::once(("service.name".to_owned(), FactValue::String(name)))
        .chain(all)
        .collect()
}

type Put<'a> = &'a mut dyn FnMut(&'static str, FactValue);

/// What the process may know better.
fn found(snapshot: &Snapshot, host: &Host, put: Put<'_>) {
    let mut text = |key, value: &str| {
        if !value.is_empty() {
            put(key, FactValue::String(text::clean(value, text::VALUE_MAX)));
        }
    };
    text("service.instance.id", &instance_id(snapshot, host));
    text("host.name", &host.name);
    text("host.id", host.id.as_deref().unwrap_or_default());
    text("host.arch", arch());
    text(
        "container.id",
        snapshot.cgroup.container_id.as_deref().unwrap_or_default(),
    );
    text(
        "container.name",
        snapshot.container_name.as_deref().unwrap_or_default(),
    );
    if let Some(pod) = &snapshot.pod {
        text("k8s.pod.name", pod.name.as_deref().unwrap_or_default());
        text("k8s.pod.uid", pod.uid.as_deref().unwrap_or_default());
        text(
            "k8s.namespace.name",
            pod.namespace.as_deref().unwrap_or_default(),
        );
    }
}

/// What the agent sees for itself.
fn seen(snapshot: &Snapshot, options: &ResourceOptions, go_version: Option<&str>, put: Put<'_>) {
    let mut text = |key, value: &str| {
        if !value.is_empty() {
            put(key, FactValue::String(text::clean(value, text::VALUE_MAX)));
        }
    };
    text("os.type", "linux");
    text("process.executable.name", base_name(&snapshot.exe));
    text("process.executable.path", &snapshot.exe);
    text("process.command", command(snapshot));
    text("process.linux.cgroup", &snapshot.cgroup.path);
    let language = match go_version {
        Some(_) => Some("go"),
        None => interpreter::language(&snapshot.exe),
    };
    text("telemetry.sdk.language", language.unwrap_or_default());
    text("telemetry.sdk.name", "threadline");
    text("telemetry.sdk.version", env!("CARGO_PKG_VERSION"));
    text("telemetry.distro.name", "threadline");
    text("telemetry.distro.version", env!("CARGO_PKG_VERSION"));
    if let Some(version) = go_version {
        text("process.runtime.name", "go");
        text("process.runtime.version", version);
    }
    put("process.pid", FactValue::Int(i64::from(snapshot.tgid)));
    if options.command_args && !snapshot.args.is_empty() {
        let args = snapshot.args.iter().take(ARGS_MAX);
        let args = args.map(|arg| text::clean(arg, text::VALUE_MAX)).collect();
        put("process.command_args", FactValue::Strings(args));
    }
}

/// Word 0 of the command line; not that of programs which write a status or all their arguments
/// there.
fn command(snapshot: &Snapshot) -> &str {
    snapshot
        .args
        .first()
        .map(String::as_str)
        .filter(|word| !word.is_empty() && !word.contains(char::is_whitespace))
        .unwrap_or(base_name(&snapshot.exe))
}

/// A UUID that is the same for one process wherever it is computed: machine, boot, pid, start.
fn instance_id(snapshot: &Snapshot, host: &Host) -> String {
    let mut hasher = SipHasher24::new();
    for part in [
        "service.instance.id",
        host.id.as_deref().unwrap_or(&host.name),
        &host.boot_id,
    ] {
        hasher.write(part.as_bytes());
        hasher.write_u8(0);
    }
    hasher.write_u32(snapshot.tgid);
    hasher.write_u64(snapshot.start_ns);
    let mut id = hasher.finish128().as_u128();
    // Version 8 (own content) and the variant of RFC 9562.
    id = id & !(0xf << 76) | 8 << 76;
    id = id & !(0b11 << 62) | 0b10 << 62;
    let hex = format!("{id:032x}");
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `key=value,key=value`, percent-encoded. As the specification demands, nothing is taken from a
/// text that breaks the form.
pub fn parse_attributes(text: &str) -> Vec<(String, String)> {
    let decode = |part: &str| {
        let decoded = percent_decode_str(part.trim()).decode_utf8().ok()?;
        Some(text::clean(&decoded, text::VALUE_MAX))
    };
    let pair = |part: &str| {
        let (key, value) = part.split_once('=')?;
        Some((decode(key).filter(|key| !key.is_empty())?, decode(value)?))
    };
    text.split(',')
        .filter(|part| !part.trim().is_empty())
        .take(OWN_MAX)
        .map(pair)
        .collect::<Option<Vec<_>>>()
        .unwrap_or_default()
}
