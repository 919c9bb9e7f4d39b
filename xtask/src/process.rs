//! Programs that run beside this one and end with it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::command;

/// Time for a program to tell its first line.
const FIRST_LINE_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// A running program; killed when dropped.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts it. What it says on standard error goes to `log`, and so does standard output where
    /// the command leaves it alone. Its standard input ends with this program.
    pub fn start(name: &str, mut command: Command, log: &Path, out: Option<File>) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let out = match out {
            Some(out) => out,
            None => file.try_clone()?,
        };
        command.stdin(Stdio::piped()).stdout(out).stderr(file);
        let child = command
            .spawn()
            .with_context(|| format!("cannot run {}", command::show(&command)))?;
        Ok(Self {
            child,
            name: name.to_owned(),
            log: log.to_path_buf(),
        })
    }

    /// Takes over a program that was started already.
    pub fn of(child: Child, name: &str, log: &Path) -> Self {
        Self {
            child,
            name: name.to_owned(),
            log: log.to_path_buf(),
        }
    }

    /// Starts it and gives the first line it prints. It must print no other.
    pub fn start_and_hear(name: &str, mut command: Command, log: &Path) -> Result<(Self, String)> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot run {}", command::show(&command)))?;
        let out = child.stdout.take().context("no standard output")?;
        let process = Self {
            child,
            name: name.to_owned(),
            log: log.to_path_buf(),
        };
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(out).read_line(&mut line);
            let _ = tell.send(line.trim().to_owned());
        });
        match told.recv_timeout(FIRST_LINE_LIMIT) {
            Ok(line) if !line.is_empty() => Ok((process, line)),
            _ => bail!("{name} did not start:\n{}", command::tail(log)),
        }
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails, with its last words, if it has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!(
                "{} ended ({status}):\n{}",
                self.name,
                command::tail(&self.log)
            ),
        }
    }

    /// Waits until it ends by itself, which must be a success.
    pub fn finish(mut self, limit: Duration) -> Result<()> {
        match self.wait(limit)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!(
                "{} failed ({status}):\n{}",
                self.name,
                command::tail(&self.log)
            ),
            None => bail!("{} did not end within {} s", self.name, limit.as_secs()),
        }
    }

    /// Sends it a signal (`INT`, `TERM`) and waits until it has ended.
    pub fn stop(mut self, signal: &str, limit: Duration) -> Result<ExitStatus> {
        self.check()?;
        let mut kill = Command::new("kill");
        kill.arg(format!("-{signal}")).arg(self.pid().to_string());
        command::run(&mut kill)?;
        match self.wait(limit)? {
            Some(status) => Ok(status),
            None => bail!(
                "{} did not end within {} s of SIG{signal}:\n{}",
                self.name,
                limit.as_secs(),
                command::tail(&self.log)
            ),
        }
    }

    fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let until = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() > until {
                return Ok(None);
            }
            sleep(POLL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a process that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
