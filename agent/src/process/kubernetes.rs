//! Pod and namespace of a process, as far as the node itself tells: environment, cgroup and the
//! service account's file. Labels need the API server and are not read here.

use std::collections::BTreeMap;

use super::cgroup::CgroupFacts;

/// Names under which manifests commonly pass the pod's name (downward API).
const POD_VARIABLES: &[&str] = &[
    "K8S_POD_NAME",
    "POD_NAME",
    "KUBERNETES_POD_NAME",
    "MY_POD_NAME",
];
/// The same for the namespace.
const NAMESPACE_VARIABLES: &[&str] = &[
    "K8S_NAMESPACE_NAME",
    "K8S_NAMESPACE",
    "POD_NAMESPACE",
    "KUBERNETES_NAMESPACE",
    "MY_POD_NAMESPACE",
];
/// What Kubernetes puts into names it makes: no vowels, nothing that looks like another.
const GENERATED: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Other variables that are read out of a process's environment besides `OTEL_*`.
pub fn is_read(name: &str) -> bool {
    matches!(name, "HOSTNAME" | "KUBERNETES_SERVICE_HOST")
        || POD_VARIABLES.contains(&name)
        || NAMESPACE_VARIABLES.contains(&name)
}

/// What is known of the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// `k8s.pod.name`.
    pub name: Option<String>,
    /// `k8s.namespace.name`.
    pub namespace: Option<String>,
    /// `k8s.pod.uid`.
    pub uid: Option<String>,
}

impl Pod {
    /// Tells the pod; `None` outside of Kubernetes. `namespace_file`: content of the service
    /// account's namespace file, read only when the process is in a pod.
    pub fn find(
        cgroup: &CgroupFacts,
        env: &BTreeMap<String, String>,
        namespace_file: impl FnOnce() -> Option<String>,
    ) -> Option<Self> {
        if cgroup.pod_uid.is_none() && !env.contains_key("KUBERNETES_SERVICE_HOST") {
            return None;
        }
        let first = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| env.get(*name).filter(|value| is_label(value)).cloned())
        };
        // With hostNetwork HOSTNAME is the node; its name then is no generated one, and no harm is
        // done but for a pod called like the node.
        Some(Self {
            name: first(POD_VARIABLES).or_else(|| first(&["HOSTNAME"])),
            namespace: first(NAMESPACE_VARIABLES).or_else(|| {
                namespace_file()
                    .map(|text| text.trim().to_owned())
                    .filter(|text| is_label(text))
            }),
            uid: cgroup.pod_uid.clone(),
        })
    }

    /// Name of what created the pod (deployment, stateful set...), by the form of the pod's name.
    pub fn owner(&self) -> Option<&str> {
        self.name.as_deref().map(owner)
    }
}

/// A DNS name as Kubernetes demands; a program could write anything into its environment.
fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
}

fn owner(pod: &str) -> &str {
    let generated = |part: &str| part.bytes().all(|b| GENERATED.contains(&b));
    let Some((rest, last)) = pod.rsplit_once('-').filter(|(rest, _)| !rest.is_empty()) else {
        return pod;
    };
    if last.len() == 5 && generated(last) {
        return match rest.rsplit_once('-') {
            // Deployment: hash of the template, then the pod. CronJob: minutes, then the pod.
            Some((owner, hash))
                if !owner.is_empty()
                    && ((8..=10).contains(&hash.len()) && generated(hash)
                        || hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_digit())) =>
            {
                owner
            }
            _ => rest,
        };
    }
    // Stateful set: an ordinal.
    if last.len() <= 4 && last.bytes().all(|b| b.is_ascii_digit()) {
        return rest;
    }
    pod
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_what_is_left_without_generated_parts() {
        for (pod, expected) in [
            ("checkout-7d9f8b6c5d-x2x4z", "checkout"),
            ("node-exporter-x2x4z", "node-exporter"),
            ("redis-0", "redis"),
            ("report-28912345-x2x4z", "report"),
            ("shop", "shop"),
            ("my-api", "my-api"),
            ("-0", "-0"),
            ("", ""),
        ] {
            assert_eq!(owner(pod), expected, "{pod}");
        }
    }

    #[test]
    fn a_pod_needs_a_sign_of_kubernetes_and_valid_names() {
        let env = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        let outside = CgroupFacts::default();
        assert_eq!(
            Pod::find(&outside, &env(&[("HOSTNAME", "a-0")]), || None),
            None
        );
        let inside = [
            ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
            ("HOSTNAME", "web-0"),
        ];
        let pod = Pod::find(&outside, &env(&inside), || Some("shop\n".into())).expect("a pod");
        assert_eq!(pod.owner(), Some("web"));
        assert_eq!(pod.namespace.as_deref(), Some("shop"));
        let hostile = [("KUBERNETES_SERVICE_HOST", "x"), ("HOSTNAME", "a\x1b[31m")];
        let pod = Pod::find(&outside, &env(&hostile), || Some("../x".into())).expect("a pod");
        assert_eq!((pod.name, pod.namespace), (None, None));
    }
}
