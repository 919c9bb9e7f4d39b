//! Which attribute wins, and what stays out.

use proptest::prelude::*;

use super::{snapshot, text, value, words};
use crate::process::Snapshot;
use crate::process::facts::FactValue;
use crate::process::read::{ENVIRON_MAX, variables};
use crate::process::resource::{Host, ResourceOptions, facts, parse_attributes};

#[test]
fn what_is_seen_beats_the_process_and_the_process_beats_the_operator() {
    let mut process = snapshot("/srv/shop", "shop --password=hunter2");
    let own = "deployment.environment.name=prod,host.name=mine,process.pid=1,service.name=a%20b";
    process
        .env
        .insert("OTEL_RESOURCE_ATTRIBUTES".into(), own.into());
    let host = Host {
        name: "node".into(),
        operator: parse_attributes("deployment.environment.name=dev,region=eu,service.name=agent"),
        ..Host::default()
    };
    let facts = facts(
        &process,
        &host,
        &ResourceOptions::default(),
        Some("go1.24.1"),
    );
    assert_eq!(
        facts.resource[0],
        ("service.name".into(), FactValue::String("a b".into()))
    );
    assert_eq!(
        facts
            .resource
            .iter()
            .filter(|(key, _)| key == "service.name")
            .count(),
        1
    );
    assert_eq!(text(&facts, "deployment.environment.name"), Some("prod"));
    assert_eq!(text(&facts, "region"), Some("eu"));
    assert_eq!(text(&facts, "host.name"), Some("mine"));
    assert_eq!(value(&facts, "process.pid"), Some(&FactValue::Int(7)));
    assert_eq!(text(&facts, "process.runtime.version"), Some("go1.24.1"));
    assert_eq!(text(&facts, "telemetry.sdk.language"), Some("go"));
    assert!(facts.go);
    assert!(
        !format!("{facts:?}").contains("hunter2"),
        "arguments stay out"
    );
}

#[test]
fn the_operators_service_name_names_nobody() {
    let host = Host {
        operator: parse_attributes("service.name=agent"),
        ..Host::default()
    };
    let facts = facts(
        &snapshot("/srv/shop", "shop"),
        &host,
        &ResourceOptions::default(),
        None,
    );
    assert_eq!(text(&facts, "service.name"), Some("shop"));
}

#[test]
fn arguments_are_exported_only_when_asked_for() {
    let options = ResourceOptions { command_args: true };
    let process = snapshot("/srv/shop", "shop --verbose");
    let told = facts(&process, &Host::default(), &options, None);
    let expected = FactValue::Strings(words("shop --verbose"));
    assert_eq!(value(&told, "process.command_args"), Some(&expected));
    let mut rewritten = process;
    rewritten.args = vec!["shop: user=bob password=x".into()];
    let told = facts(
        &rewritten,
        &Host::default(),
        &ResourceOptions::default(),
        None,
    );
    assert_eq!(text(&told, "process.command"), Some("shop"));
}

#[test]
fn the_instance_is_the_same_however_often_it_is_asked_and_differs_between_starts() {
    let host = Host::default();
    let id = |start_ns| {
        let process = Snapshot {
            start_ns,
            ..snapshot("/srv/shop", "shop")
        };
        let told = facts(&process, &host, &ResourceOptions::default(), None);
        text(&told, "service.instance.id")
            .expect("an id")
            .to_owned()
    };
    assert_eq!(id(1), id(1));
    assert_ne!(id(1), id(2));
    let id = id(1);
    assert_eq!((id.len(), &id[14..15]), (36, "8"));
    assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
}

#[test]
fn attributes_that_break_the_form_are_all_left_out() {
    assert_eq!(
        parse_attributes("a=1, b = 2%2C3 ,"),
        [("a".into(), "1".into()), ("b".into(), "2,3".into())]
    );
    assert!(parse_attributes("a=1,b").is_empty());
    assert!(parse_attributes("=1").is_empty());
    assert!(parse_attributes("a=%ff").is_empty());
    assert!(parse_attributes("").is_empty());
}

#[test]
fn only_naming_variables_are_taken_from_an_environment() {
    let environ =
        b"PATH=/bin\0OTEL_SERVICE_NAME=a\0SECRET=x\0OTEL_SERVICE_NAME=b\0HOSTNAME=h\0=\0OTEL\0\
        OTEL_EXPORTER_OTLP_HEADERS=api-key=x\0";
    let found = variables(environ);
    let pairs: Vec<_> = found
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    assert_eq!(pairs, [("HOSTNAME", "h"), ("OTEL_SERVICE_NAME", "a")]);
}

#[test]
fn a_variable_cut_at_the_bound_is_dropped() {
    let mut environ = vec![b'x'; ENVIRON_MAX as usize - 8];
    environ.extend(b"\0OTEL_A=");
    assert!(variables(&environ).is_empty());
}

proptest! {
    #[test]
    fn no_environment_makes_the_parser_panic(environ: Vec<u8>, text in ".{0,80}") {
        let _ = variables(&environ);
        let _ = parse_attributes(&text);
    }
}
