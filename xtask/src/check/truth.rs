//! The ground truth: what the sample programs wrote down.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

/// A request that a program made. Times are of the monotonic clock, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Program that made it.
    pub service: String,
    /// The request whose work it is, empty where there is none.
    pub parent: String,
    /// How the work got to the caller.
    pub kind: String,
    /// The handler's context was passed.
    pub ctx: bool,
    /// Before the call.
    pub start: u64,
    /// After the last byte of the body.
    pub end: u64,
    /// It ended in an error.
    pub failed: bool,
}

/// A request that a program was sent, as its connection saw it.
#[derive(Clone, Debug, Default)]
pub struct Served {
    /// Path.
    pub path: String,
    /// Return of the read that brought the first byte.
    pub first: u64,
    /// Entry of the last write, 0: nothing was written.
    pub last: u64,
    /// Status code, 0: no response.
    pub status: i64,
}

/// All of it, by the request's id.
#[derive(Default)]
pub struct Truth {
    /// Requests made.
    pub calls: HashMap<String, Call>,
    /// Requests received, in order of time: several where a client sent one again.
    pub served: HashMap<String, Vec<Served>>,
    /// Requests made by each request.
    pub children: HashMap<String, Vec<String>>,
    /// What began and ended within must have been seen.
    pub window: (u64, u64),
}

impl Truth {
    /// Reads the files of all programs.
    pub fn read(paths: &[PathBuf]) -> Result<Self> {
        let mut truth = Self::default();
        for path in paths {
            truth.add_file(path)?;
        }
        truth.sort();
        Ok(truth)
    }

    fn add_file(&mut self, path: &Path) -> Result<()> {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        for (number, line) in text.lines().enumerate() {
            let at = || format!("{}, line {}", path.display(), number + 1);
            let line: Value = serde_json::from_str(line).with_context(at)?;
            self.add(&line).with_context(at)?;
        }
        Ok(())
    }

    /// Takes one line.
    pub fn add(&mut self, line: &Value) -> Result<()> {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| line[key].as_u64().unwrap_or_default();
        match line["t"].as_str() {
            Some("call") => {
                let call = Call {
                    service: text("svc"),
                    parent: text("parent"),
                    kind: text("kind"),
                    ctx: line["ctx"].as_bool().unwrap_or_default(),
                    start: number("start"),
                    end: number("end"),
                    failed: line["err"].as_str().is_some_and(|error| !error.is_empty()),
                };
                self.calls.insert(text("id"), call);
            }
            Some("server") => {
                let status = line["status"].as_i64().unwrap_or_default();
                let served = Served {
                    path: text("path"),
                    first: number("first"),
                    last: number("last"),
                    status,
                };
                self.served.entry(text("id")).or_default().push(served);
            }
            Some("window") => self.window = (number("from"), number("to")),
            _ => anyhow::bail!("unknown kind of line"),
        }
        Ok(())
    }

    /// Brings everything in order, once all is there.
    pub fn sort(&mut self) {
        for served in self.served.values_mut() {
            served.sort_by_key(|served| served.first);
        }
        self.children.clear();
        for (id, call) in &self.calls {
            if !call.parent.is_empty() {
                self.children
                    .entry(call.parent.clone())
                    .or_default()
                    .push(id.clone());
            }
        }
    }

    /// Must everything about this call have been seen? Not if a part of it lies outside the window,
    /// nor if it never reached a server (refused, given up before it was sent).
    pub fn is_expected(&self, id: &str, call: &Call) -> bool {
        call.start >= self.window.0 && call.end <= self.window.1 && self.served.contains_key(id)
    }
}
