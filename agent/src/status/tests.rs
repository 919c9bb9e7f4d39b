//! Server and client over a real socket.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};

use super::*;
use crate::health::{Ledger, Reason, Stage};

fn sample() -> Status {
    let ledger = Ledger::default();
    ledger.enter(Stage::Export, 12);
    ledger.leave(Stage::Export, 10);
    ledger.lose(Stage::Export, Reason::QueueFull, 2);
    Status {
        version: "0.1.0".into(),
        pid: 7,
        started_unix_ns: 1_700_000_000_000_000_000,
        backend: "tracepoint".into(),
        processes: 3,
        process_list: vec![ProcessStatus {
            pid: 42,
            exe: "/srv/shop".into(),
            service: "shop\x1b[31m".into(),
            go_version: Some("go1.24.1".into()),
            io_uring_enter: None,
            evidence: vec!["goroutine".into(), "go_context".into()],
        }],
        stages: [("export".to_owned(), ledger.counts(Stage::Export))].into(),
        kernel: [("records".to_owned(), 99), ("mptcp".to_owned(), 0)].into(),
        programs: vec![ProgramStatus {
            name: "sys_enter".into(),
            recursion_misses: 5,
            run_count: None,
        }],
        requests_seen: 12,
        spans_exported: 10,
        spans_lost: [("queue_full".to_owned(), 2)].into(),
        memory_rss_bytes: 64 << 20,
        cpu_seconds: 1.25,
        features: vec![FeatureStatus {
            name: "uprobes".into(),
            on: false,
            why: "switched off".into(),
        }],
    }
}

#[test]
fn the_answer_is_what_the_agent_said_each_time() {
    let dir = tempfile::tempdir().expect("dir");
    let socket = dir.path().join("s.sock");
    let server = StatusServer::start(&socket, sample).expect("listens");
    for _ in 0..3 {
        assert_eq!(fetch(&socket).expect("an answer"), sample());
    }
    let mode = std::fs::metadata(server.path())
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(server);
    assert!(!socket.exists());
    assert!(matches!(fetch(&socket), Err(StatusError::NoAgent(_))));
}

#[test]
fn the_document_has_the_names_that_people_read() {
    let json = serde_json::to_value(sample()).expect("JSON");
    for key in [
        "backend",
        "processes",
        "process_list",
        "stages",
        "kernel",
        "programs",
        "requests_seen",
        "spans_exported",
        "spans_lost",
        "features",
        "memory_rss_bytes",
        "cpu_seconds",
        "pid",
        "version",
    ] {
        assert!(json.get(key).is_some(), "{key}");
    }
    assert_eq!(json["stages"]["export"]["in"], 12);
    assert_eq!(json["stages"]["export"]["out"], 10);
    assert_eq!(json["stages"]["export"]["dropped"]["queue_full"], 2);
}

#[test]
fn a_socket_left_behind_is_replaced_and_a_file_is_not() {
    let dir = tempfile::tempdir().expect("dir");
    let socket = dir.path().join("s.sock");
    drop(UnixListener::bind(&socket).expect("bound"));
    let message = fetch(&socket).expect_err("nobody").to_string();
    assert!(message.starts_with("no agent runs here"), "{message}");
    let _server = StatusServer::start(&socket, sample).expect("listens");
    fetch(&socket).expect("an answer");
    let file = dir.path().join("file");
    std::fs::write(&file, "precious").expect("written");
    StatusServer::start(&file, sample).expect_err("refused");
    assert_eq!(std::fs::read_to_string(file).expect("there"), "precious");
}

#[test]
fn clients_that_misbehave_do_not_stop_the_next_one() {
    let dir = tempfile::tempdir().expect("dir");
    let socket = dir.path().join("s.sock");
    let _server = StatusServer::start(&socket, sample).expect("listens");
    for question in [&b"GET / HTTP/1.1\r\n"[..], &[b'x'; 4096], b"", b"\0\n"] {
        let mut stream = UnixStream::connect(&socket).expect("connected");
        let _ = stream.write_all(question);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{question:?}");
    }
    // One that says nothing is given up.
    let _silent = UnixStream::connect(&socket).expect("connected");
    assert_eq!(fetch(&socket).expect("an answer"), sample());
}

#[test]
fn a_newer_agents_answer_is_still_read() {
    let mut json = serde_json::to_value(sample()).expect("JSON");
    json["something_new"] = 1.into();
    assert_eq!(
        serde_json::from_value::<Status>(json).expect("read"),
        sample()
    );
}

#[test]
fn the_page_is_aligned_and_steers_no_terminal() {
    let page = render(&sample(), false);
    assert!(!page.contains('\x1b'), "{page}");
    for part in [
        "requests seen 12, spans exported 10, spans lost 2 (queue_full 2)",
        "2023-11-14T22:13:20Z",
        "go1.24.1",
        "goroutine go_context",
        "and 2 more",
        "sys_enter",
        "off  uprobes  switched off",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(!page.contains("mptcp"), "zeroes are left out");
    let at = |word: &str| {
        let line = page.lines().find(|line| line.contains(word)).expect(word);
        line.find(word).map(|at| line[..at].chars().count())
    };
    assert_eq!(at("/srv/shop"), at("executable"));
    assert!(page.lines().all(|line| line.trim_end() == line));
}

#[test]
fn colours_frame_the_same_words() {
    let plain = render(&sample(), false);
    let mut coloured = render(&sample(), true);
    assert!(
        coloured.contains("\x1b[31mspans lost 2\x1b[0m"),
        "{coloured}"
    );
    for style in ["\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[0m"] {
        coloured = coloured.replace(style, "");
    }
    // The time since the start may tick between the two.
    let rest = |page: &str| page.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rest(&plain), rest(&coloured));
}

#[test]
fn the_own_cost_is_told() {
    let (rss, cpu) = own_cost();
    assert!(rss > 64 << 10 && cpu >= 0.0);
}
