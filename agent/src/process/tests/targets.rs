//! Which rule meets which process.

use proptest::prelude::*;

use crate::process::targets::{ProcessView, RULES_MAX, Rule, Skip, TargetError, Targets, Verdict};

const ID: &str = "4a5ed164d8897be1eae4bbb28cd0b5344a5ed164d8897be1eae4bbb28cd0b534";

fn select(rules: &[&str], view: &ProcessView<'_>) -> Verdict {
    let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
    Targets::parse(&rules).expect("valid").select(view)
}

fn is_selected(rules: &[&str], view: &ProcessView<'_>) -> bool {
    select(rules, view) == Verdict::Selected
}

fn shop() -> ProcessView<'static> {
    ProcessView {
        tgid: 42,
        exe: "/opt/shop/bin/shop-api",
        ports: Some(&[8080]),
        cgroup: "/system.slice/shop.service",
        container_id: Some(ID),
        container_name: Some("shop-web-1"),
        namespace: Some("prod"),
        pod: Some("shop-7d9f8b6c5d-x2x4z"),
    }
}

#[test]
fn each_kind_of_rule_meets_what_it_says() {
    for rule in [
        "shop-*",
        "exe:shop-api",
        "/opt/shop/bin/*",
        "exe:/opt/**",
        "port:8080",
        "port:8000-9000",
        "pid:42",
        "container:shop-*",
        "container:4a5ed164d889",
        "container:4a5e*",
        "cgroup:shop.service",
        "cgroup:/system.slice/*",
        "k8s:prod/shop-*",
        "k8s:prod",
        "k8s:*/shop*",
        " port: 8080 ",
    ] {
        assert!(is_selected(&[rule], &shop()), "{rule}");
    }
    for rule in [
        "shop",
        "/opt/*",
        "port:80",
        "port:8081-9000",
        "pid:4",
        "container:web",
        "cgroup:shop",
        "cgroup:/system.slice",
        "k8s:dev/shop-*",
        "k8s:prod/web-*",
        "bin/shop-api",
    ] {
        assert!(!is_selected(&[rule], &shop()), "{rule}");
    }
}

#[test]
fn an_exclusion_beats_every_inclusion_and_alone_keeps_the_rest() {
    let view = shop();
    assert_eq!(
        select(&["shop-*", "!port:8080"], &view),
        Verdict::Skipped(Skip::Excluded)
    );
    assert!(is_selected(&["!nginx"], &view));
    assert_eq!(
        select(&["!shop-*"], &view),
        Verdict::Skipped(Skip::Excluded)
    );
    assert_eq!(
        select(&["nginx", "!envoy"], &view),
        Verdict::Skipped(Skip::NoTarget)
    );
}

#[test]
fn without_rules_all_but_telemetry_and_the_agent_is_traced() {
    let mut view = shop();
    assert!(is_selected(&[], &view));
    let targets = Targets::default().without_agent(42);
    assert_eq!(targets.select(&view), Verdict::Skipped(Skip::Agent));
    view.exe = "/otelcol-contrib";
    assert_eq!(select(&[], &view), Verdict::Skipped(Skip::Telemetry));
    assert_eq!(
        select(&["!nginx"], &view),
        Verdict::Skipped(Skip::Telemetry)
    );
    assert!(is_selected(&["otelcol*"], &view), "asked for by name");
}

#[test]
fn the_agent_is_not_traced_even_when_asked_for() {
    let targets = Targets::parse(&["pid:42".to_owned()])
        .expect("valid")
        .without_agent(42);
    assert_eq!(targets.select(&shop()), Verdict::Skipped(Skip::Agent));
}

#[test]
fn the_receiver_of_the_export_is_left_out_by_its_port() {
    let targets = Targets::default().without_exporter(vec![8080]);
    assert!(targets.needs_ports());
    assert_eq!(targets.select(&shop()), Verdict::Skipped(Skip::Exporter));
    assert!(!Targets::default().needs_ports());
}

#[test]
fn a_process_may_begin_to_listen_later() {
    let mut view = shop();
    for ports in [None, Some([].as_slice())] {
        view.ports = ports;
        assert_eq!(
            select(&["nginx", "port:8080"], &view),
            Verdict::Skipped(Skip::NotListening)
        );
    }
    let rules = Targets::parse(&["!port:1".to_owned()]).expect("valid");
    assert!(rules.needs_ports());
}

#[test]
fn wrong_targets_say_what_is_allowed() {
    let error = |rule: &str| rule.parse::<Rule>().expect_err(rule);
    for rule in [
        "port:0",
        "port:",
        "port:70000",
        "port:9-8",
        "port:a",
        "port:1-2-3",
        "port:-1",
    ] {
        assert!(
            matches!(error(rule), TargetError::Port(_) | TargetError::Empty(_)),
            "{rule}"
        );
    }
    assert!(matches!(error("pid:0"), TargetError::Pid(_)));
    assert!(matches!(error("pid:-1"), TargetError::Pid(_)));
    assert!(matches!(error("job:x"), TargetError::Prefix(_)));
    for rule in ["", "!", "exe:", "k8s:/x", "k8s:x/"] {
        assert!(matches!(error(rule), TargetError::Empty(_)), "{rule}");
    }
    assert!(matches!(error("exe:[a"), TargetError::Glob { .. }));
    assert_eq!(error(&"x".repeat(2000)), TargetError::TooLong);
    let many = vec!["a".to_owned(); RULES_MAX + 1];
    assert!(matches!(Targets::parse(&many), Err(TargetError::TooMany)));
}

proptest! {
    #[test]
    fn no_target_makes_the_parser_panic(rule in ".{0,60}", exe in ".{0,60}") {
        if let Ok(targets) = Targets::parse(&[rule]) {
            targets.select(&ProcessView { exe: &exe, cgroup: &exe, ..shop() });
        }
    }

    #[test]
    fn a_port_is_met_by_exactly_the_ranges_around_it(a in 1u16.., b in 1u16.., port: u16) {
        let (first, last) = (a.min(b), a.max(b));
        let view = ProcessView { ports: Some(&[port]), ..shop() };
        let rule = format!("port:{first}-{last}");
        prop_assert_eq!(is_selected(&[&rule], &view), first <= port && port <= last);
    }
}
