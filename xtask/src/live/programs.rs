//! Programs of every build and age.

use std::path::Path;

use anyhow::Result;

use super::stand::{Seen, Stand, build};
use super::{Live, Test};
use crate::command;
use crate::test::Verdict;

/// The tests.
pub const TESTS: &[Test] = &[
    (
        "live: programs of 200 ms give spans, from the second run on joined",
        brief,
    ),
    (
        "live: programs of a few milliseconds give spans where all is traced",
        flash,
    ),
    (
        "live: processes older and newer than the agent are traced alike",
        ages,
    ),
    (
        "live: two builds of a program at once are traced alike",
        builds,
    ),
    ("live: position-independent programs are traced alike", pie),
    ("live: cgo programs are traced alike", cgo),
];

/// `/call/ID` at a server that calls on: four spans in a row, each under the one before.
fn must_be_whole(seen: &mut Seen, id: &str) {
    let called = format!("{id}.0");
    seen.must_join(&[id, &called]);
    must_be_called_by_handler(seen, id, "goroutine");
}

fn must_be_called_by_handler(seen: &mut Seen, id: &str, evidence: &str) {
    let (server, client) = seen.ends(id, &format!("{id}.0"));
    let told = match (server, client) {
        (Some(server), Some(client)) if client.parent.as_ref() == Some(&server.id) => {
            client.evidence.clone().unwrap_or_default()
        }
        _ => "no parent".to_owned(),
    };
    seen.must(told == evidence, || {
        format!("the call of {id}'s handler: {told} instead of {evidence}")
    });
}

fn brief(live: &Live) -> Result<Verdict> {
    let stand = Stand::new(live, "brief")?;
    let server = stand.serve(&[])?;
    let agent = stand.watch(&[])?;
    // Stripped, so that it is a file that the agent has not seen yet.
    let program = stand.dir.join("brief");
    build(&program, &["-ldflags=-s -w"])?;
    for id in ["b1", "b2", "b3"] {
        stand.client_by(&program, &["brief", &server.url(), id])?;
    }
    let mut seen = stand.stop(agent)?;
    seen.must_join(&["b1", "b1.0"]);
    for id in ["b2", "b3"] {
        must_be_whole(&mut seen, id);
    }
    seen.must_balance();
    Ok(seen.verdict())
}

fn flash(live: &Live) -> Result<Verdict> {
    let stand = Stand::new(live, "flash")?;
    let server = stand.serve(&[])?;
    let agent = stand.watch_all()?;
    let ids: Vec<String> = (0..20).map(|n| format!("flash{n}")).collect();
    for id in &ids {
        stand.client(&["flash", &format!("{}/hello/{id}", server.url())])?;
    }
    let mut seen = stand.stop(agent)?;
    seen.must_join(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    seen.must_balance();
    Ok(seen.verdict())
}

fn ages(live: &Live) -> Result<Verdict> {
    let stand = Stand::new(live, "ages")?;
    let last = stand.serve(&[])?;
    let older = stand.serve(&["-next", &last.url()])?;
    let agent = stand.watch(&[])?;
    let newer = stand.serve(&["-next", &last.url()])?;
    for (server, ids) in [(&older, ["o1", "o2"]), (&newer, ["n1", "n2"])] {
        for id in ids {
            stand.client(&["once", &format!("{}/call/{id}", server.url())])?;
        }
    }
    let mut seen = stand.stop(agent)?;
    for id in ["o1", "o2", "n1", "n2"] {
        must_be_whole(&mut seen, id);
    }
    seen.must_balance();
    Ok(seen.verdict())
}

fn builds(live: &Live) -> Result<Verdict> {
    traced(live, "builds", &["-ldflags=-s -w"])
}

fn pie(live: &Live) -> Result<Verdict> {
    traced(live, "pie", &["-buildmode=pie"])
}

fn cgo(live: &Live) -> Result<Verdict> {
    if command::which("gcc")
        .or_else(|| command::which("cc"))
        .is_none()
    {
        return Ok(Verdict::Skipped("needs a C compiler".to_owned()));
    }
    traced(
        live,
        "cgo",
        &["-tags=netcgo", "-ldflags=-linkmode=external"],
    )
}

/// A server of this build calls one of the usual build, and the other way round.
fn traced(live: &Live, name: &str, flags: &[&str]) -> Result<Verdict> {
    let stand = Stand::new(live, name)?;
    let program = stand.dir.join(name);
    build(&program, flags)?;
    let last = stand.serve_by(&program, &[])?;
    let usual = stand.serve(&["-next", &last.url()])?;
    let built = stand.serve_by(&program, &["-next", &usual.url()])?;
    let agent = stand.watch(&[])?;
    for id in ["u1", "u2"] {
        stand.client_by(&program, &["once", &format!("{}/call/{id}", usual.url())])?;
    }
    for id in ["b1", "b2"] {
        stand.client(&["once", &format!("{}/call/{id}", built.url())])?;
    }
    let mut seen = stand.stop(agent)?;
    for id in ["u1", "u2", "b1", "b2"] {
        must_be_whole(&mut seen, id);
    }
    let found = seen.has_binary(&program);
    seen.must(found, || format!("{name} is not among the Go binaries"));
    seen.must_balance();
    Ok(seen.verdict())
}

impl Seen {
    fn has_binary(&self, program: &Path) -> bool {
        let program = program.display().to_string();
        let features = self.status["features"].as_array().into_iter().flatten();
        features
            .filter(|feature| feature["on"] == true)
            .filter_map(|feature| feature["name"].as_str())
            .any(|name| name.ends_with(&program))
    }
}
