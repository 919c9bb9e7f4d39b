//! What paths tell.

use proptest::prelude::*;

use crate::process::cgroup::{self, CgroupFacts};

const ID: &str = "4a5ed164d8897be1eae4bbb28cd0b5344a5ed164d8897be1eae4bbb28cd0b534";

#[test]
fn container_ids_are_found_in_every_runtimes_path() {
    for path in [
        format!("/docker/{ID}"),
        format!("/system.slice/docker-{ID}.scope"),
        format!("/system.slice/docker-{ID}.scope/init"),
        format!("/kubepods.slice/kubepods-besteffort.slice/cri-containerd-{ID}.scope"),
        format!("/kubepods/burstable/pod5d8a2c1e-0f4b-4c55-9d11-aaaabbbbcccc/{ID}"),
        format!("/kubepods.slice/crio-{ID}.scope/container"),
        format!("/machine.slice/libpod-{ID}.scope/container"),
        format!(
            "/system.slice/containerd.service/kubepods-burstable-pod1.slice:cri-containerd:{ID}"
        ),
    ] {
        assert_eq!(cgroup::container_id(&path).as_deref(), Some(ID), "{path}");
    }
    let outer = ID.replace('4', "5");
    let nested = format!("/docker/{outer}/docker/{ID}");
    assert_eq!(
        cgroup::container_id(&nested).as_deref(),
        Some(ID),
        "innermost"
    );
    for path in [
        "/",
        "",
        "/user.slice",
        "/docker/4a5ed164",
        &format!("/libpod-conmon-{ID}.scope"),
    ] {
        assert_eq!(cgroup::container_id(path), None, "{path}");
    }
}

#[test]
fn pods_and_names_are_found_in_paths() {
    let uid = "5d8a2c1e-0f4b-4c55-9d11-aaaabbbbcccc";
    let slice = format!(
        "/kubepods.slice/kubepods-pod{}.slice/x",
        uid.replace('-', "_")
    );
    assert_eq!(cgroup::pod_uid(&slice).as_deref(), Some(uid));
    assert_eq!(
        cgroup::pod_uid(&format!("/kubepods/besteffort/pod{uid}/x")).as_deref(),
        Some(uid)
    );
    assert_eq!(cgroup::pod_uid(&format!("/system.slice/pod{uid}")), None);
    assert_eq!(
        cgroup::container_name("/lxc/web/ns").as_deref(),
        Some("web")
    );
    assert_eq!(
        cgroup::container_name("/lxc.payload.web/x").as_deref(),
        Some("web")
    );
    let machine = r"/machine.slice/machine-a\x2db.scope";
    assert_eq!(cgroup::container_name(machine).as_deref(), Some("a-b"));
    assert_eq!(cgroup::container_name("/lxc"), None);
}

#[test]
fn only_system_services_name_their_processes() {
    for (path, expected) in [
        ("/system.slice/nginx.service", Some("nginx")),
        (
            "/system.slice/system-worker.slice/worker@3.service",
            Some("worker"),
        ),
        ("/system.slice/app@eu.service", Some("app@eu")),
        (r"/system.slice/a\x2db.service/sub", Some("a-b")),
        (
            "/user.slice/user-0.slice/user@0.service/app.slice/shop.service",
            Some("shop"),
        ),
        ("/user.slice/user-0.slice/user@0.service/init.scope", None),
        ("/user.slice/user-0.slice/session-1.scope", None),
        ("/system.slice/run-u12.service", None),
        ("/system.slice/run-r0123abc.service", None),
        ("/", None),
    ] {
        assert_eq!(cgroup::unit(path).as_deref(), expected, "{path}");
    }
}

proptest! {
    #[test]
    fn no_cgroup_path_makes_the_parser_panic(path in "(/|[a-z\\\\x0-9@_:.é-]{0,20}|kubepods|pod|lxc|\\.service|\\.scope){0,12}") {
        let facts: CgroupFacts = cgroup::inspect([path.as_str()]);
        prop_assert!(facts.unit.is_none_or(|unit| !unit.is_empty() && unit.len() <= 255));
    }
}
