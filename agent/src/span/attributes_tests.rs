//! Attributes, names and statuses of single transactions.

use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::connection::transaction::{Activity, Connection, NoHop, ResponseHead, TransactionId};

fn begin(role: Role, request: RequestHead) -> Begin {
    let (local, peer) = match role {
        Role::Client => ("10.0.0.1:40000", "[2001:db8::2]:8080"),
        Role::Server => ("10.0.0.2:8080", "10.0.0.1:40000"),
    };
    Begin {
        id: TransactionId(1),
        role,
        connection: Arc::new(Connection {
            conn: 1,
            tgid: 1,
            local: Endpoint::Inet(local.parse().unwrap()),
            peer: Endpoint::Inet(peer.parse().unwrap()),
            bases: Err(NoHop::Mptcp),
            connect_ns: 0,
            established_ns: 0,
        }),
        request_offset: 0,
        start_ns: 1,
        head_ns: 1,
        activity: Activity::default(),
        request: Arc::new(request),
    }
}

fn get() -> RequestHead {
    RequestHead {
        method: "GET".to_owned(),
        path: "/items/1".to_owned(),
        query: Some("q=1".to_owned()),
        host: Some("shop.example:81".to_owned()),
        version: "1.1",
        ..RequestHead::default()
    }
}

fn end(status: Option<u16>, outcome: Outcome) -> End {
    End {
        id: TransactionId(1),
        end_ns: 2,
        response: status.map(|status| ResponseHead { status }),
        request_body_bytes: Some(0),
        response_body_bytes: Some(12),
        outcome,
        incomplete: None,
    }
}

fn of(begin: &Begin, key: &str) -> Option<String> {
    let all = http(
        begin,
        &end(Some(200), Outcome::Complete),
        Some("/items/{id}"),
    );
    let mut keys: Vec<_> = all.iter().map(|(key, _)| *key).collect();
    keys.sort_unstable();
    assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "{keys:?}");
    all.into_iter()
        .find(|(name, _)| *name == key)
        .map(|(_, value)| match value {
            Value::String(text) => text,
            Value::Static(text) => text.to_owned(),
            Value::Int(number) => number.to_string(),
            other => panic!("{other:?}"),
        })
}

fn check(begin: &Begin, wanted: &[(&str, &str)]) {
    for (key, value) in wanted {
        assert_eq!(
            of(begin, key).as_deref(),
            (!value.is_empty()).then_some(*value),
            "{key}"
        );
    }
}

#[test]
fn a_client_span_has_the_conventions_attributes() {
    check(
        &begin(Role::Client, get()),
        &[
            ("http.request.method", "GET"),
            ("url.full", "http://shop.example:81/items/1?q=1"),
            ("url.path", "/items/1"),
            ("url.query", "q=1"),
            ("url.scheme", "http"),
            ("server.address", "shop.example"),
            ("server.port", "81"),
            ("client.address", ""),
            ("network.peer.address", "2001:db8::2"),
            ("network.peer.port", "8080"),
            ("network.local.address", "10.0.0.1"),
            ("network.local.port", "40000"),
            ("network.protocol.name", "http"),
            ("network.protocol.version", "1.1"),
            ("network.transport", "tcp"),
            ("http.response.status_code", "200"),
            ("http.request.body.size", "0"),
            ("http.response.body.size", "12"),
            ("user_agent.original", ""),
        ],
    );
}

#[test]
fn a_server_span_names_its_client() {
    let mut request = get();
    request.user_agent = Some("curl/8".to_owned());
    check(
        &begin(Role::Server, request.clone()),
        &[
            ("client.address", "10.0.0.1"),
            ("client.port", "40000"),
            ("http.route", "/items/{id}"),
            ("user_agent.original", "curl/8"),
            ("url.full", ""),
        ],
    );
    request.proxied_for = Some("192.0.2.7:9".parse().unwrap());
    check(
        &begin(Role::Server, request),
        &[
            ("client.address", "192.0.2.7"),
            ("client.port", "9"),
            ("network.peer.address", "10.0.0.1"),
        ],
    );
}

#[test]
fn host_header_first_then_the_socket() {
    for (host, address, port) in [
        (Some("a.example"), "a.example", "80"),
        (Some("[::1]:81"), "::1", "81"),
        (Some("[::1]"), "::1", "80"),
        (Some("a.example:x"), "a.example", "80"),
        (Some(":81"), "2001:db8::2", "8080"),
        (Some("[::1"), "2001:db8::2", "8080"),
        (Some(""), "2001:db8::2", "8080"),
        (None, "2001:db8::2", "8080"),
    ] {
        let request = RequestHead {
            host: host.map(str::to_owned),
            ..get()
        };
        check(
            &begin(Role::Client, request),
            &[("server.address", address), ("server.port", port)],
        );
    }
    let without = RequestHead {
        host: None,
        query: None,
        ..get()
    };
    check(
        &begin(Role::Client, without),
        &[("url.full", "http://[2001:db8::2]:8080/items/1")],
    );
}

#[test]
fn unix_sockets_have_a_path_and_no_ports() {
    let mut unix = begin(
        Role::Client,
        RequestHead {
            host: Some("localhost".to_owned()),
            ..get()
        },
    );
    unix.connection = Arc::new(Connection {
        local: Endpoint::Unix(PathBuf::new()),
        peer: Endpoint::Unix(PathBuf::from("/run/x.sock")),
        ..(*unix.connection).clone()
    });
    check(
        &unix,
        &[
            ("network.transport", "unix"),
            ("network.peer.address", "/run/x.sock"),
            ("network.peer.port", ""),
            ("network.local.address", ""),
            ("server.address", "localhost"),
            ("server.port", ""),
        ],
    );
}

#[test]
fn an_unknown_method_does_not_name_a_span() {
    let request = RequestHead {
        method: "get".to_owned(),
        ..get()
    };
    assert_eq!(
        (name(&request, None), name(&request, Some("/x"))),
        ("HTTP".into(), "HTTP /x".into())
    );
    assert_eq!(
        (name(&get(), None), name(&get(), Some("/x"))),
        ("GET".into(), "GET /x".into())
    );
    check(
        &begin(Role::Client, request),
        &[
            ("http.request.method", "_OTHER"),
            ("http.request.method_original", "get"),
        ],
    );
}

#[test]
fn errors_are_status_codes_or_broken_connections() {
    use Outcome::*;
    let error = |role, code, outcome| match status(role, &end(code, outcome)) {
        (Status::Unset, None) => String::new(),
        (Status::Error(_), Some(Value::String(text))) => text,
        (Status::Error(_), Some(Value::Static(text))) => text.to_owned(),
        other => panic!("{other:?}"),
    };
    for (role, code, outcome, wanted) in [
        (Role::Server, Some(200), Complete, ""),
        (Role::Server, Some(404), Complete, ""),
        (Role::Server, Some(500), Complete, "500"),
        (Role::Client, Some(399), Complete, ""),
        (Role::Client, Some(404), Complete, "404"),
        (Role::Client, Some(503), Reset(104), "503"),
        (Role::Server, Some(200), Closed, "connection_closed"),
        (Role::Server, None, Closed, "connection_closed"),
        (Role::Client, None, Reset(104), "connection_reset"),
        (Role::Client, None, Reset(110), "timed_out"),
        (Role::Client, None, Reset(5), "connection_error"),
        (Role::Server, None, ProcessExited, "process_exited"),
        (Role::Server, Some(101), Switched, ""),
        (Role::Server, None, OpenAtStop, ""),
        (Role::Server, None, Interim, ""),
        (Role::Server, None, Lost("gap"), ""),
    ] {
        assert_eq!(
            error(role, code, outcome),
            wanted,
            "{role:?} {code:?} {outcome:?}"
        );
    }
}

#[test]
fn routes_lose_method_host_and_end_anchor() {
    for (pattern, wanted) in [
        ("GET example.com/items/{id}", Some("/items/{id}")),
        ("GET /items/{id}", Some("/items/{id}")),
        ("POST  \t/x", Some("/x")),
        ("example.com/", Some("/")),
        ("/{$}", Some("/")),
        ("/a/{$}", Some("/a/")),
        ("/files/{path...}", Some("/files/{path...}")),
        ("/", Some("/")),
        ("GET", None),
        ("", None),
    ] {
        assert_eq!(route(pattern).as_deref(), wanted, "{pattern}");
    }
}
