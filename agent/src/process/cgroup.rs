//! What a cgroup path tells: container, pod, systemd unit.

/// What was found in a process's cgroup paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupFacts {
    /// The most telling path.
    pub path: String,
    /// 64 hexadecimal digits (docker, containerd, CRI-O, podman), or a UUID-like garden id.
    pub container_id: Option<String>,
    /// Name, where the path holds one (LXC, systemd-nspawn).
    pub container_name: Option<String>,
    /// Uid of the Kubernetes pod.
    pub pod_uid: Option<String>,
    /// systemd unit without `.service`, where the process is part of a system service.
    pub unit: Option<String>,
}

/// Reads the paths of all hierarchies, the preferred one first.
pub fn inspect<'a>(paths: impl IntoIterator<Item = &'a str>) -> CgroupFacts {
    let mut facts = CgroupFacts::default();
    for path in paths {
        if facts.path.is_empty() || facts.path == "/" {
            facts.path = path.to_owned();
        }
        facts.container_id = facts.container_id.or_else(|| container_id(path));
        facts.container_name = facts.container_name.or_else(|| container_name(path));
        facts.pod_uid = facts.pod_uid.or_else(|| pod_uid(path));
        facts.unit = facts.unit.or_else(|| unit(path));
    }
    facts
}

/// Id of the innermost container: `/docker/ID`, `docker-ID.scope`, `cri-containerd-ID.scope`,
/// `libpod-ID.scope`, `crio-ID.scope`, `cri-containerd:NAME:ID`, `kubepods/.../ID`.
pub fn container_id(path: &str) -> Option<String> {
    path.rsplit('/').find_map(|part| {
        let part = part.strip_suffix(".scope").unwrap_or(part);
        // `libpod-conmon-ID` and `crio-conmon-ID` are the monitors outside the container.
        if part.contains("conmon") {
            return None;
        }
        let id = part.rsplit(['-', ':']).next().unwrap_or(part);
        is_id(id).then(|| id.to_owned())
    })
}

fn is_id(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Name of an LXC container or of a systemd-nspawn machine.
pub fn container_name(path: &str) -> Option<String> {
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        let name = match part {
            "lxc" => parts.peek().copied(),
            part => part.strip_prefix("lxc.payload.").or_else(|| {
                part.strip_prefix("machine-")
                    .and_then(|rest| rest.strip_suffix(".scope"))
            }),
        };
        if let Some(name) = name.and_then(|name| super::text::name(&unescape(name))) {
            return Some(name);
        }
    }
    None
}

/// Uid of the pod: `pod5d8a...` below `kubepods`, dashes written as underscores by systemd.
pub fn pod_uid(path: &str) -> Option<String> {
    if !path.contains("kubepods") {
        return None;
    }
    path.split('/').find_map(|part| {
        let part = part.strip_suffix(".slice").unwrap_or(part);
        let at = part.rfind("pod")?;
        let uid = part.get(at + 3..)?.replace('_', "-");
        let plain = |b: u8| b.is_ascii_hexdigit() || b == b'-';
        // A UUID, or the hash that static pods have.
        (matches!(uid.len(), 32 | 36) && uid.bytes().all(plain)).then_some(uid)
    })
}

/// Name of the innermost system service. Not the user manager, not sessions and scopes: many
/// unrelated programs share those. Not transient `run-*` units: their names say nothing.
pub fn unit(path: &str) -> Option<String> {
    let mut found = None;
    for part in path.split('/') {
        if part.ends_with(".scope") {
            found = None;
        } else if let Some(name) = part.strip_suffix(".service") {
            let speaks = !name.starts_with("user@") && !is_transient(name);
            found = speaks.then_some(name);
        }
    }
    let name = unescape(found?);
    // Instances that are numbers are replicas of one service.
    let name = match name.split_once('@') {
        Some((template, instance)) if instance.bytes().all(|b| b.is_ascii_digit()) => template,
        _ => &name,
    };
    super::text::name(name)
}

fn is_transient(name: &str) -> bool {
    name.strip_prefix("run-").is_some_and(|rest| {
        let rest = rest.trim_start_matches(['u', 'r', 'p']);
        rest.bytes()
            .all(|b| b.is_ascii_hexdigit() || b == b'-' || b == b'i')
    })
}

/// Undoes systemd's `\x2d`.
fn unescape(name: &str) -> String {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = rest
            .get(2..4)
            .filter(|_| rest.starts_with(b"\\x"))
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(code) => {
                out.push(code);
                rest = &rest[4..];
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
