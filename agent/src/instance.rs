//! One agent per node: a lock on a file beside the status socket, which holds the owner's pid.
//!
//! The kernel drops the lock when its owner ends, however it ends; the file may stay.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// Times the pid of the owner is looked for: it writes it just after taking the lock.
const PID_TRIES: u32 = 10;
const PID_PAUSE: Duration = Duration::from_millis(10);

/// Held as long as this agent runs.
#[derive(Debug)]
pub struct InstanceLock {
    path: PathBuf,
    _file: File,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another agent runs.
    #[error("threadline already runs{}", pid.map(|pid| format!(" as pid {pid}")).unwrap_or_default())]
    Held {
        /// Its pid; `None` where it could not be read.
        pid: Option<u32>,
    },
    /// The file or its directory could not be used.
    #[error("cannot lock {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl LockError {
    /// Only more rights would help.
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

impl InstanceLock {
    /// Takes the lock that belongs to the status socket `socket`; makes its directory.
    pub fn acquire(socket: &Path) -> Result<Self, LockError> {
        let path = lock_path(socket);
        match lock(&path) {
            Ok(Some(file)) => Ok(Self { path, _file: file }),
            Ok(None) => Err(LockError::Held { pid: owner(&path) }),
            Err(source) => Err(LockError::Io { path, source }),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Where the lock of `socket` lies.
pub fn lock_path(socket: &Path) -> PathBuf {
    socket.with_extension("lock")
}

fn lock(path: &Path) -> io::Result<Option<File>> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
    }
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Some(file))
}

fn owner(path: &Path) -> Option<u32> {
    for _ in 0..PID_TRIES {
        if let Some(pid) = pid_in(path) {
            return Some(pid);
        }
        std::thread::sleep(PID_PAUSE);
    }
    None
}

fn pid_in(path: &Path) -> Option<u32> {
    let mut text = String::new();
    fs::File::open(path)
        .ok()?
        .take(16)
        .read_to_string(&mut text)
        .ok()?;
    text.strip_suffix('\n')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn held_by(error: LockError) -> Option<u32> {
        match error {
            LockError::Held { pid } => pid,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_second_is_refused_with_the_firsts_pid_and_may_come_after_it() {
        let dir = tempfile::tempdir().expect("dir");
        let socket = dir.path().join("deep/er/threadline.sock");
        let first = InstanceLock::acquire(&socket).expect("free");
        let error = InstanceLock::acquire(&socket).expect_err("held");
        let own = std::process::id();
        assert_eq!(
            error.to_string(),
            format!("threadline already runs as pid {own}")
        );
        assert_eq!(held_by(error), Some(own));
        let path = first.path().to_owned();
        drop(first);
        assert!(path.exists(), "a stale file does no harm");
        InstanceLock::acquire(&socket).expect("free again");
    }

    #[test]
    fn a_killed_owner_leaves_the_lock_free() {
        let dir = tempfile::tempdir().expect("dir");
        let socket = dir.path().join("a.sock");
        let path = lock_path(&socket);
        // A shell that takes the lock as an agent would, says so, and is killed.
        let script =
            "exec 9>\"$0\"; flock -n 9 || exit 1; echo $$ >&9; echo locked; exec sleep 1000";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .arg(&path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut said = [0; 6];
        child
            .stdout
            .take()
            .expect("a pipe")
            .read_exact(&mut said)
            .expect("util-linux flock");
        assert_eq!(
            held_by(InstanceLock::acquire(&socket).expect_err("held")),
            Some(child.id())
        );
        child.kill().expect("killed");
        child.wait().expect("ended");
        InstanceLock::acquire(&socket).expect("free");
        assert_eq!(pid_in(&path), Some(std::process::id()));
    }

    #[test]
    fn a_link_in_the_place_of_the_file_is_not_followed() {
        let dir = tempfile::tempdir().expect("dir");
        let target = dir.path().join("target");
        fs::write(&target, "precious").expect("written");
        std::os::unix::fs::symlink(&target, dir.path().join("a.lock")).expect("a link");
        let error = InstanceLock::acquire(&dir.path().join("a.sock")).expect_err("refused");
        assert!(matches!(error, LockError::Io { .. }) && !error.is_permission());
        assert_eq!(fs::read_to_string(target).expect("readable"), "precious");
    }
}
