use super::*;

fn read(env: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::from_env(|name| {
        let found = env.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn nothing_set_means_the_console() {
    for env in [
        &[][..],
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", " "),
            ("OTEL_TRACES_EXPORTER", ""),
        ],
    ] {
        let settings = read(env).unwrap();
        assert_eq!(settings.exporters, [Kind::Console]);
        assert_eq!(settings.output, Output::Trees);
        assert_eq!(settings.batch, Batch::default());
        assert_eq!(
            settings.otlp.endpoint.as_str(),
            "http://localhost:4318/v1/traces"
        );
        assert_eq!(settings.otlp.protocol, Protocol::HttpProtobuf);
        assert_eq!(settings.otlp.compression, Compression::None);
        assert_eq!(settings.otlp.timeout, Duration::from_secs(10));
        assert!(settings.otlp.headers.is_empty() && settings.notes.is_empty());
    }
}

#[test]
fn exporters_are_a_list_and_an_endpoint_means_otlp() {
    for (env, expected) in [
        (
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:1"),
            vec![Kind::Otlp],
        ),
        (
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://h:1"),
            vec![Kind::Otlp],
        ),
        (("OTEL_TRACES_EXPORTER", "otlp"), vec![Kind::Otlp]),
        (("OTEL_TRACES_EXPORTER", "none"), vec![Kind::None]),
        (
            ("OTEL_TRACES_EXPORTER", " console, OTLP,console,"),
            vec![Kind::Console, Kind::Otlp],
        ),
    ] {
        assert_eq!(read(&[env]).unwrap().exporters, expected, "{env:?}");
    }
}

#[test]
fn endpoints_follow_the_rules_of_the_specification() {
    let general = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let own = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    for (env, expected) in [
        (vec![(general, "http://h:4318")], "http://h:4318/v1/traces"),
        (vec![(general, "http://h:4318/")], "http://h:4318/v1/traces"),
        (
            vec![(general, "https://h/otlp/")],
            "https://h/otlp/v1/traces",
        ),
        (
            vec![(general, "http://h/x?key=1")],
            "http://h/x/v1/traces?key=1",
        ),
        (vec![(own, "http://h:4318")], "http://h:4318/"),
        (vec![(own, "http://h:4318/custom")], "http://h:4318/custom"),
        (
            vec![(general, "http://g:1"), (own, "http://h:2/p")],
            "http://h:2/p",
        ),
        (
            vec![(general, "http://[::1]:4318")],
            "http://[::1]:4318/v1/traces",
        ),
    ] {
        assert_eq!(
            read(&env).unwrap().otlp.endpoint.as_str(),
            expected,
            "{env:?}"
        );
    }
}

#[test]
fn grpc_endpoints_may_lack_a_scheme() {
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let insecure = ("OTEL_EXPORTER_OTLP_INSECURE", "true");
    let general = "OTEL_EXPORTER_OTLP_ENDPOINT";
    for (env, expected) in [
        (vec![grpc], "http://localhost:4317/"),
        (vec![grpc, (general, "http://h:9")], "http://h:9/"),
        (vec![grpc, (general, "h:9")], "https://h:9/"),
        (vec![grpc, insecure, (general, "h:9")], "http://h:9/"),
        (
            vec![grpc, insecure, (general, "https://h:9")],
            "https://h:9/",
        ),
        (
            vec![insecure, (general, "localhost:4317")],
            "http://localhost:4317/",
        ),
    ] {
        let settings = read(&env).unwrap();
        assert_eq!(settings.otlp.endpoint.as_str(), expected, "{env:?}");
        assert_eq!(settings.otlp.protocol, Protocol::Grpc, "{env:?}");
    }
}

#[test]
fn port_4317_means_grpc_unless_the_protocol_is_set_and_says_so() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:4317");
    let settings = read(&[endpoint]).unwrap();
    assert_eq!(settings.otlp.protocol, Protocol::Grpc);
    assert!(settings.notes[0].starts_with("OTEL_EXPORTER_OTLP_ENDPOINT names port 4317"));
    let settings = read(&[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")]).unwrap();
    assert_eq!(settings.otlp.protocol, Protocol::HttpProtobuf);
    assert!(settings.notes.is_empty());
}

#[test]
fn the_forms_for_traces_win() {
    let settings = read(&[
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2500"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=1"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", " B-b = x%20y%3D , c=,"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/a"),
        ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/b"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/c"),
        ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "/d"),
    ])
    .unwrap()
    .otlp;
    assert_eq!(settings.protocol, Protocol::HttpJson);
    assert_eq!(settings.compression, Compression::Gzip);
    assert_eq!(settings.timeout, Duration::from_millis(2_500));
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(settings.headers, [header("b-b", "x y="), header("c", "")]);
    assert_eq!(settings.certificate, Some("/b".into()));
    assert_eq!(settings.identity, Some(("/c".into(), "/d".into())));
}

#[test]
fn batches_are_set() {
    let batch = read(&[
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "7"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
    ])
    .unwrap()
    .batch;
    let expected = Batch {
        schedule_delay: Duration::ZERO,
        max_queue_size: 100,
        max_export_batch_size: 100,
        export_timeout: Duration::from_millis(7),
    };
    assert_eq!(batch, expected);
}

#[test]
fn a_bad_value_is_refused_with_its_variable_and_what_is_allowed() {
    for (variable, value, allowed) in [
        ("OTEL_TRACES_EXPORTER", "otlp,zipkin", "otlp, console, none"),
        ("OTEL_TRACES_EXPORTER", "none,otlp", "none alone"),
        ("OTEL_TRACES_EXPORTER", ",", "otlp, console"),
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "http",
            "grpc, http/protobuf, http/json",
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "udp",
            "grpc, http/protobuf, http/json",
        ),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "gzip, none"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "milliseconds, 1 to"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0", "milliseconds, 1 to"),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "localhost:4318",
            "http:// or https://",
        ),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "ftp://h",
            "http:// or https://",
        ),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://", "not a URL"),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://h:99999",
            "not a URL",
        ),
        (
            "OTEL_EXPORTER_OTLP_CLIENT_KEY",
            "/k",
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
        ),
        (
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
            "/c",
            "OTEL_EXPORTER_OTLP_CLIENT_KEY",
        ),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1", "milliseconds, 0 to"),
        (
            "OTEL_BSP_EXPORT_TIMEOUT",
            "18446744073709551615",
            "milliseconds, 1 to",
        ),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "whole number, 1 to"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "1e3", "whole number, 1 to"),
        (
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
            "32769",
            "1 to the queue's size, 32768",
        ),
    ] {
        let error = read(&[(variable, value)]).unwrap_err();
        assert_eq!(
            (error.variable.as_str(), error.value.as_str()),
            (variable, value)
        );
        assert!(error.allowed.contains(allowed), "{error}");
        assert!(
            error
                .to_string()
                .starts_with(&format!("{variable}={value}: ")),
            "{error}"
        );
    }
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let insecure = ("OTEL_EXPORTER_OTLP_INSECURE", "yes");
    let error = read(&[grpc, insecure, ("OTEL_EXPORTER_OTLP_ENDPOINT", "h:1")]).unwrap_err();
    assert_eq!(error.variable, "OTEL_EXPORTER_OTLP_INSECURE");
}

#[test]
fn headers_are_refused_and_shown_without_their_secrets() {
    for (value, problem) in [
        ("authorization", "without `=`"),
        ("bad name=s3cret", "not a header name"),
        ("authorization=s3cret%0d%0ax: y", "not visible ASCII"),
        ("authorization=s3cret%ff", "not UTF-8"),
    ] {
        let error = read(&[("OTEL_EXPORTER_OTLP_HEADERS", value)])
            .unwrap_err()
            .to_string();
        assert!(error.contains(problem), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
    let settings = read(&[
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=s3cret"),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "https://user:s3cret@h:1/x?token=s3cret",
        ),
    ])
    .unwrap();
    let shown = format!("{settings:?}");
    assert!(
        !shown.contains("s3cret") && shown.contains("authorization"),
        "{shown}"
    );
    assert_eq!(settings.otlp.shown_endpoint(), "https://h:1/x/v1/traces");
}
