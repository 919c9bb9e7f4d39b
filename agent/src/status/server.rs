//! Answers on a thread of its own: a stuck reader delays the next one, nothing else.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Status;
use super::client::REQUEST;

/// Longest question read.
const REQUEST_MAX: usize = 64;
/// Time one client has for question and answer together.
const CLIENT_TIME: Duration = Duration::from_secs(2);
/// Pause after the kernel refused a connection (descriptors used up).
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// The socket cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot answer status on {}", path.display())]
pub struct ServeError {
    /// The socket.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Answers until it is dropped.
#[derive(Debug)]
pub struct StatusServer {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StatusServer {
    /// Listens on `path`, mode 0600, in the place of a socket left behind: the caller holds the
    /// [`crate::instance::InstanceLock`] of it. `status` runs on the server's thread.
    pub fn start(
        path: &Path,
        status: impl Fn() -> Status + Send + 'static,
    ) -> Result<Self, ServeError> {
        let failed = |source| ServeError {
            path: path.to_owned(),
            source,
        };
        let listener = listen(path).map_err(failed)?;
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("status".to_owned())
            .spawn(move || serve(&listener, &seen, &status))
            .map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            stop,
            thread: Some(thread),
        })
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for StatusServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the thread from `accept`. Where that fails it is left to the end of the process.
        let awake = UnixStream::connect(&self.path).is_ok();
        let _ = fs::remove_file(&self.path);
        if let Some(thread) = self.thread.take().filter(|_| awake) {
            let _ = thread.join();
        }
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn serve(listener: &UnixListener, stop: &AtomicBool, status: &dyn Fn() -> Status) {
    for stream in listener.incoming() {
        if stop.load(Ordering::Acquire) {
            return;
        }
        match stream {
            // Whoever asks wrongly or goes away gets no answer; nothing is lost by that.
            Ok(stream) => drop(answer(stream, status)),
            Err(_) => std::thread::sleep(REFUSED_PAUSE),
        }
    }
}

fn answer(mut stream: UnixStream, status: &dyn Fn() -> Status) -> io::Result<()> {
    let deadline = Instant::now() + CLIENT_TIME;
    if question(&mut stream, deadline)? != REQUEST.as_bytes() {
        return Ok(());
    }
    let mut json = serde_json::to_vec(&status())?;
    json.push(b'\n');
    let mut rest = json.as_slice();
    while !rest.is_empty() {
        stream.set_write_timeout(Some(left(deadline)?))?;
        let written = stream.write(rest)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        rest = &rest[written..];
    }
    Ok(())
}

/// One line, without its end.
fn question(stream: &mut UnixStream, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut buffer = [0; REQUEST_MAX];
    while line.len() < REQUEST_MAX {
        stream.set_read_timeout(Some(left(deadline)?))?;
        let read = stream.read(&mut buffer)?;
        line.extend_from_slice(&buffer[..read]);
        if let Some(end) = line.iter().position(|&b| b == b'\n') {
            line.truncate(end);
            return Ok(line);
        }
        if read == 0 {
            break;
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// A deadline holds for all reads together: one byte now and then does not renew it.
fn left(deadline: Instant) -> io::Result<Duration> {
    deadline
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
        .ok_or_else(|| io::ErrorKind::TimedOut.into())
}
