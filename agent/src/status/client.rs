//! Asks the running agent.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Status;

/// The only question.
pub const REQUEST: &str = "status";
/// Largest answer taken.
const ANSWER_MAX: u64 = 64 << 20;
/// Time without a byte after which the agent counts as stuck.
const AGENT_TIME: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Nobody listens.
    #[error("no agent runs here: nothing answers on {}; start one with `threadline run`", .0.display())]
    NoAgent(PathBuf),
    /// It runs, for others.
    #[error("not permitted to ask the agent on {}; try it with sudo", .0.display())]
    NotPermitted(PathBuf),
    /// The connection broke or timed out.
    #[error("the agent on {} did not answer", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The answer is none.
    #[error("the answer of {} cannot be read", path.display())]
    Answer {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// The document as the agent wrote it: a newer agent may tell more than this program knows.
pub fn fetch_text(socket: &Path) -> Result<String, StatusError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            StatusError::NoAgent(socket.to_owned())
        }
        io::ErrorKind::PermissionDenied => StatusError::NotPermitted(socket.to_owned()),
        _ => StatusError::Io {
            path: socket.to_owned(),
            source,
        },
    };
    let mut stream = UnixStream::connect(socket).map_err(failed)?;
    let mut text = String::new();
    stream
        .set_read_timeout(Some(AGENT_TIME))
        .and_then(|()| stream.set_write_timeout(Some(AGENT_TIME)))
        .and_then(|()| writeln!(stream, "{REQUEST}"))
        .and_then(|()| stream.take(ANSWER_MAX).read_to_string(&mut text))
        .map_err(failed)?;
    Ok(text)
}

/// The document.
pub fn fetch(socket: &Path) -> Result<Status, StatusError> {
    let text = fetch_text(socket)?;
    serde_json::from_str(&text).map_err(|source| StatusError::Answer {
        path: socket.to_owned(),
        source,
    })
}
