//! What the connection stage gives to the span stage: requests that begin and end, in event-time
//! order, with everything that decides their identity.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Number of a transaction, unique within one run or replay; given in event order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId(pub u64);

/// Which side of the request this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// It sent the request.
    Client,
    /// It received the request.
    Server,
}

/// Why a connection has no hop id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NoHop {
    /// MPTCP: sequence numbers belong to subflows.
    Mptcp,
    /// kTLS, sockmap or SMC replaced the socket's operations.
    Replaced,
    /// A unix pair whose byte counts have no common origin.
    UnixUnsynchronised,
    /// The record that opened the connection was lost.
    OpenLost,
}

/// An address of one end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// IPv4 or IPv6 with port (an IPv4-mapped IPv6 address is given as IPv4).
    Inet(SocketAddr),
    /// Unix stream socket (path unknown or unnamed: empty).
    Unix(PathBuf),
    /// Not known.
    Unknown,
}

/// One end of a connection as the kernel described it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The kernel programs' number for this end.
    pub conn: u64,
    /// Process that was first seen using it.
    pub tgid: u32,
    /// This end's address.
    pub local: Endpoint,
    /// The other end's address.
    pub peer: Endpoint,
    /// Stream bases (client to server, server to client) that both ends agree on, S applied; for
    /// unix pairs two numbers made from the pair's identity. Or why there is none.
    pub bases: Result<(u64, u64), NoHop>,
    /// SYN sent, handshake complete (monotonic ns), 0 where unseen.
    pub connect_ns: u64,
    /// See `connect_ns`.
    pub established_ns: u64,
}

/// What moved a message: taken from the segment that completes its header block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Process.
    pub tgid: u32,
    /// Thread.
    pub tid: u32,
    /// Goroutine, 0 where there is none.
    pub goid: u64,
    /// When this thread last returned from a wait on several descriptors (monotonic ns), 0: never.
    pub last_wait_ns: u64,
    /// The descriptor was in non-blocking mode.
    pub nonblocking: bool,
}

/// A parsed request header block. Secrets are not in here (only the headers named below are kept).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// Method as sent, e.g. `GET`.
    pub method: String,
    /// Path of the target without query, e.g. `/items/1`.
    pub path: String,
    /// Query without `?`; values already replaced where redaction is on.
    pub query: Option<String>,
    /// `Host` header (or authority of an absolute target), without user info.
    pub host: Option<String>,
    /// HTTP version, `1.0` or `1.1`.
    pub version: &'static str,
    /// `User-Agent`.
    pub user_agent: Option<String>,
    /// `X-Request-Id`.
    pub request_id: Option<String>,
    /// Value of every `traceparent` header, in order, trimmed, at most 4 kept.
    pub traceparent: Vec<String>,
    /// Values of `tracestate` headers, joined by commas.
    pub tracestate: Option<String>,
    /// Address of the original client from a PROXY protocol header in front of the first request.
    pub proxied_for: Option<SocketAddr>,
}

/// A parsed response header block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead {
    /// Status code.
    pub status: u16,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The response is complete.
    Complete,
    /// The connection switched protocols (101, or 2xx to CONNECT); the span ends with the switch.
    Switched,
    /// The peer (or this end) closed before the response was complete.
    Closed,
    /// The connection was reset (`ECONNRESET`, `EPIPE`, ...): positive errno.
    Reset(u32),
    /// The process ended.
    ProcessExited,
    /// Still open when the agent stopped.
    OpenAtStop,
    /// Still open after `span.long_after`: an interim report; a final one follows.
    Interim,
    /// Records that would have told the end were lost: the reason's name in the ledger.
    Lost(&'static str),
}

/// A request's header block is complete.
#[derive(Clone, Debug)]
pub struct Begin {
    /// Number of the transaction.
    pub id: TransactionId,
    /// Client or server.
    pub role: Role,
    /// The end it passed through.
    pub connection: Arc<Connection>,
    /// Offset of the request's first byte in the client-to-server stream, S applied.
    pub request_offset: u64,
    /// Client: entry of the first write. Server: return of the read that brought the first byte.
    pub start_ns: u64,
    /// Time of the segment that completed the header block.
    pub head_ns: u64,
    /// What moved that segment.
    pub activity: Activity,
    /// The header block.
    pub request: Arc<RequestHead>,
}

/// A transaction ended (or, with [`Outcome::Interim`], is reported while it goes on).
#[derive(Clone, Debug)]
pub struct End {
    /// The same as in its [`Begin`].
    pub id: TransactionId,
    /// Client: return of the read that brought the last byte. Server: entry of the write that took
    /// the last byte. For what never completed: when that became known.
    pub end_ns: u64,
    /// Final response header block (never a 1xx other than 101), where it was seen.
    pub response: Option<ResponseHead>,
    /// Body bytes as moved, where known.
    pub request_body_bytes: Option<u64>,
    /// Body bytes as moved, where known.
    pub response_body_bytes: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
    /// Reasons of loss that touched it (ledger names), for `threadline.incomplete`.
    pub incomplete: Option<&'static str>,
}

/// Output of the connection stage.
#[derive(Clone, Debug)]
pub enum Progress {
    /// A request began.
    Begin(Begin),
    /// A request ended.
    End(End),
}
