//! What each finding means.

use super::*;

const RING: u32 = 8 << 20;

fn good() -> Machine {
    Machine {
        capabilities: u64::MAX,
        release: "6.18.44-fc".into(),
        btf: true,
        lockdown: Some("integrity".into()),
        cgroup2: true,
        memlock: Some(64 << 10),
        tracefs: true,
        initial_pid_ns: true,
    }
}

fn failing(machine: &Machine) -> Vec<(&'static str, bool)> {
    let checks = checks(machine, RING);
    assert!(
        checks
            .iter()
            .all(|check| check.ok == check.remedy.is_empty()),
        "{checks:?}"
    );
    let bad = checks.iter().filter(|check| !check.ok);
    bad.map(|check| (check.name, check.required)).collect()
}

fn with(change: impl FnOnce(&mut Machine)) -> Machine {
    let mut machine = good();
    change(&mut machine);
    machine
}

#[test]
fn a_good_machine_passes() {
    assert_eq!(failing(&good()), []);
    assert!(can_run(&checks(&good(), RING)));
}

#[test]
fn each_fault_is_told_by_its_own_name() {
    for (machine, name, required) in [
        (with(|m| m.release = "5.4.0-1".into()), "kernel", true),
        (with(|m| m.btf = false), "BTF", true),
        (with(|m| m.tracefs = false), "tracefs", false),
        (with(|m| m.initial_pid_ns = false), "pid namespace", true),
        (
            with(|m| m.lockdown = Some("confidentiality".into())),
            "lockdown",
            true,
        ),
        (with(|m| m.cgroup2 = false), "cgroup", false),
    ] {
        assert_eq!(failing(&machine), [(name, required)]);
        assert_eq!(can_run(&checks(&machine, RING)), !required);
    }
}

#[test]
fn capabilities_are_asked_for_one_by_one() {
    let without = |bit: u32| with(|m| m.capabilities &= !(1 << bit | 1 << SYS_ADMIN));
    for cap in CAPABILITIES {
        // CAP_SYS_ADMIN is missing each time: it would stand for the younger ones.
        let told = failing(&without(cap.bit)).into_iter();
        let told: Vec<_> = told
            .filter(|(name, _)| cap.bit == SYS_ADMIN || *name != "CAP_SYS_ADMIN")
            .collect();
        assert_eq!(told, [(cap.name, cap.required)]);
    }
    let none = with(|m| m.capabilities = 0);
    assert_eq!(failing(&none).len(), CAPABILITIES.len());
    let admin = with(|m| m.capabilities = !(1 << 38 | 1 << 39 | 1 << 40));
    assert_eq!(
        failing(&admin),
        [],
        "CAP_SYS_ADMIN stands for the younger ones"
    );
}

#[test]
fn locked_memory_matters_on_old_kernels_only() {
    let old = with(|m| {
        m.release = "5.10.0".into();
        m.capabilities &= !(1 << SYS_RESOURCE);
    });
    assert_eq!(failing(&old), [("kernel", true), ("RLIMIT_MEMLOCK", true)]);
    let unlimited = Machine {
        memlock: None,
        ..old
    };
    assert_eq!(failing(&unlimited), [("kernel", true)]);
}

#[test]
fn releases_and_lockdown_modes_are_read_as_kernels_write_them() {
    assert_eq!(release_version("6.18.44-fc-v595"), Some((6, 18)));
    assert_eq!(release_version("5.8-rc1"), Some((5, 8)));
    assert_eq!(release_version("custom"), None);
    assert_eq!(release_version(""), None);
    assert_eq!(
        lockdown_mode("none [integrity] confidentiality\n").as_deref(),
        Some("integrity")
    );
    assert_eq!(lockdown_mode("none"), None);
}

#[test]
fn this_machine_can_be_looked_at() {
    let machine = Machine::read();
    assert!(machine.version().is_some(), "{machine:?}");
    assert!(
        checks(&machine, RING)
            .iter()
            .all(|check| !check.detail.is_empty())
    );
}
