//! Real processes.

use std::process::{Child, Command, Stdio};

use super::{text, value};
use crate::process::facts::FactValue;
use crate::process::files::exe_id;
use crate::process::read::{read, same_start, start_ns};
use crate::process::{Host, ResourceOptions, read_facts, scan};

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sleep() -> Killed {
    let mut command = Command::new("sleep");
    command
        .arg("1000")
        .env("OTEL_SERVICE_NAME", "sleeper")
        .env("OTEL_RESOURCE_ATTRIBUTES", "team=night")
        .stdout(Stdio::null());
    // `spawn` returns in the middle of exec: the arguments may come a moment later.
    Killed(command.spawn().expect("sleep runs"))
}

#[test]
fn a_running_process_is_read_whole() {
    let child = sleep();
    let tgid = child.0.id();
    let host = Host::read("");
    let facts = read_facts(tgid, &host, &ResourceOptions::default(), None).expect("readable");
    assert_eq!(facts.tgid, tgid);
    assert!(facts.start_ns > 0 && !facts.go);
    assert_eq!(text(&facts, "service.name"), Some("sleeper"));
    assert_eq!(text(&facts, "team"), Some("night"));
    assert_eq!(
        value(&facts, "process.pid"),
        Some(&FactValue::Int(i64::from(tgid)))
    );
    assert_eq!(text(&facts, "process.command"), Some("sleep"));
    assert_eq!(text(&facts, "host.name"), Some(host.name.as_str()));
    assert!(scan().any(|other| other == tgid));
    let again = read(tgid).expect("readable");
    assert_eq!(again.args, ["sleep", "1000"]);
    assert!(same_start(again.start_ns, start_ns(tgid).expect("runs")));
}

#[test]
fn a_process_that_is_gone_is_an_error_and_no_panic() {
    let child = sleep();
    let tgid = child.0.id();
    drop(child);
    assert_eq!(
        read(tgid).expect_err("gone").kind(),
        std::io::ErrorKind::NotFound
    );
    assert!(read(u32::MAX).is_err() && read(0).is_err());
}

#[test]
fn a_replaced_executable_keeps_its_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("napper");
    let sleep = std::env::split_paths(&std::env::var_os("PATH").expect("a path"))
        .map(|dir| dir.join("sleep"))
        .find(|path| path.exists())
        .expect("sleep");
    std::fs::copy(sleep, &path).expect("copied");
    let child = Killed(Command::new(&path).arg("1000").spawn().expect("runs"));
    std::fs::remove_file(&path).expect("removed");
    let snapshot = read(child.0.id()).expect("readable");
    assert!(snapshot.exe_deleted);
    assert_eq!(snapshot.exe, path.to_str().expect("UTF-8"));
    assert!(exe_id(child.0.id()).is_ok());
}
