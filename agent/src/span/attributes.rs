//! HTTP semantic conventions (stable): attributes, span name, status.

use std::net::SocketAddr;

use super::model::{Attribute, Status, Value};
use crate::connection::transaction::{Begin, End, Endpoint, Outcome, RequestHead, Role};

/// `error.type`.
pub const ERROR_TYPE: &str = "error.type";
/// What proves the parent.
pub const LINK_EVIDENCE: &str = "threadline.link.evidence";
/// How many requests were open where no parent is proven.
pub const LINK_CANDIDATES: &str = "threadline.link.candidates";
/// Why a span is linked.
pub const LINK_REASON: &str = "threadline.link.reason";
/// The request was still open when this was reported; a later span of the same id replaces it.
pub const THREADLINE_OPEN: &str = "threadline.open";
/// Reason of a loss that touched the span.
pub const THREADLINE_INCOMPLETE: &str = "threadline.incomplete";

/// Method of requests whose own is none of [`METHODS`].
const OTHER: &str = "_OTHER";
/// Methods of RFC 9110 and RFC 5789.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];
/// Port of a `Host` without one: only plaintext requests are seen.
const HTTP_PORT: u16 = 80;

/// Linux errno values that name an `error.type`.
const ERRNO: [(u32, &str); 4] = [
    (32, "broken_pipe"),
    (103, "connection_aborted"),
    (104, "connection_reset"),
    (110, "timed_out"),
];

/// Attributes of one transaction, errors and links aside.
pub fn http(begin: &Begin, end: &End, route: Option<&str>) -> Vec<Attribute> {
    let request = &*begin.request;
    let connection = &*begin.connection;
    let server = match begin.role {
        Role::Client => &connection.peer,
        Role::Server => &connection.local,
    };
    let host = request.host.as_deref().and_then(split_host);
    let mut out = Attributes(Vec::with_capacity(24));
    match known_method(&request.method) {
        Some(method) => out.put("http.request.method", Value::Static(method)),
        None => {
            out.put("http.request.method", Value::Static(OTHER));
            out.text("http.request.method_original", &request.method);
        }
    }
    out.put("url.scheme", Value::Static("http"));
    out.text("url.path", &request.path);
    out.some("url.query", request.query.as_deref());
    if begin.role == Role::Client {
        out.put("url.full", Value::String(full_url(request, server)));
    }
    out.some("http.route", route);
    out.number(
        "http.response.status_code",
        end.response.as_ref().map(|r| u64::from(r.status)),
    );
    let (address, port) = match host {
        Some((name, port)) => (Some(name.to_owned()), port.or(default_port(server))),
        None => parts(server),
    };
    out.address(("server.address", "server.port"), (address, port));
    if begin.role == Role::Server {
        let proxied = request.proxied_for.map(inet);
        let client = proxied.unwrap_or_else(|| parts(&connection.peer));
        out.address(("client.address", "client.port"), client);
    }
    let peer = parts(&connection.peer);
    out.address(("network.peer.address", "network.peer.port"), peer);
    let local = parts(&connection.local);
    out.address(("network.local.address", "network.local.port"), local);
    out.put("network.protocol.name", Value::Static("http"));
    out.put("network.protocol.version", Value::Static(request.version));
    if let Some(transport) = transport(&connection.local, &connection.peer) {
        out.put("network.transport", Value::Static(transport));
    }
    out.some("user_agent.original", request.user_agent.as_deref());
    out.number("http.request.body.size", end.request_body_bytes);
    out.number("http.response.body.size", end.response_body_bytes);
    out.0
}

/// Low-cardinality name: method and, where known, route.
pub fn name(request: &RequestHead, route: Option<&str>) -> String {
    let method = known_method(&request.method).unwrap_or("HTTP");
    match route {
        Some(route) => format!("{method} {route}"),
        None => method.to_owned(),
    }
}

/// Status and `error.type`.
pub fn status(role: Role, end: &End) -> (Status, Option<Value>) {
    let code = end.response.as_ref().map(|response| response.status);
    let broken = match end.outcome {
        Outcome::Closed => Some("connection_closed"),
        Outcome::ProcessExited => Some("process_exited"),
        Outcome::Reset(errno) => {
            let known = ERRNO.iter().find(|(number, _)| *number == errno);
            Some(known.map_or("connection_error", |(_, name)| *name))
        }
        _ => None,
    };
    let failed = match role {
        Role::Client => 400,
        Role::Server => 500,
    };
    match (code.filter(|code| *code >= failed), broken) {
        (Some(code), _) => {
            let error = Value::String(code.to_string());
            (Status::Error(String::new()), Some(error))
        }
        (None, Some(name)) => (
            Status::Error(name.replace('_', " ")),
            Some(Value::Static(name)),
        ),
        (None, None) => (Status::Unset, None),
    }
}

/// The route in a `ServeMux` pattern: `GET example.com/items/{id}` gives `/items/{id}`.
pub fn route(pattern: &str) -> Option<String> {
    let pattern = pattern.trim();
    let target = match pattern.split_once([' ', '\t']) {
        Some((_method, rest)) => rest.trim_start(),
        None => pattern,
    };
    let path = &target[target.find('/')?..];
    Some(path.strip_suffix("{$}").unwrap_or(path).to_owned())
}

fn known_method(method: &str) -> Option<&'static str> {
    METHODS.iter().find(|known| **known == method).copied()
}

/// Name and port of a `Host` header.
fn split_host(host: &str) -> Option<(&str, Option<u16>)> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']')?;
            (name, port.strip_prefix(':'))
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let port = port.and_then(|port| port.parse().ok());
    (!name.is_empty()).then_some((name, port))
}

fn default_port(server: &Endpoint) -> Option<u16> {
    (!matches!(server, Endpoint::Unix(_))).then_some(HTTP_PORT)
}

fn full_url(request: &RequestHead, server: &Endpoint) -> String {
    let socket = || match server {
        Endpoint::Inet(address) => address.to_string(),
        Endpoint::Unix(_) | Endpoint::Unknown => "localhost".to_owned(),
    };
    let host = request
        .host
        .clone()
        .filter(|host| !host.is_empty())
        .unwrap_or_else(socket);
    // CONNECT and `OPTIONS *` have no path.
    let path = if request.path.starts_with('/') {
        &request.path
    } else {
        ""
    };
    match &request.query {
        Some(query) => format!("http://{host}{path}?{query}"),
        None => format!("http://{host}{path}"),
    }
}

fn parts(endpoint: &Endpoint) -> (Option<String>, Option<u16>) {
    match endpoint {
        Endpoint::Inet(address) => inet(*address),
        Endpoint::Unix(path) => {
            let path = path.to_string_lossy().into_owned();
            (Some(path).filter(|path| !path.is_empty()), None)
        }
        Endpoint::Unknown => (None, None),
    }
}

fn inet(address: SocketAddr) -> (Option<String>, Option<u16>) {
    (Some(address.ip().to_string()), Some(address.port()))
}

fn transport(local: &Endpoint, peer: &Endpoint) -> Option<&'static str> {
    match (local, peer) {
        (Endpoint::Unix(_), _) | (_, Endpoint::Unix(_)) => Some("unix"),
        (Endpoint::Unknown, Endpoint::Unknown) => None,
        _ => Some("tcp"),
    }
}

struct Attributes(Vec<Attribute>);

impl Attributes {
    fn put(&mut self, key: &'static str, value: Value) {
        self.0.push((key, value));
    }

    fn text(&mut self, key: &'static str, value: &str) {
        self.put(key, Value::String(value.to_owned()));
    }

    fn some(&mut self, key: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn number(&mut self, key: &'static str, value: Option<u64>) {
        if let Some(value) = value {
            self.put(key, Value::Int(i64::try_from(value).unwrap_or(i64::MAX)));
        }
    }

    fn address(
        &mut self,
        keys: (&'static str, &'static str),
        (address, port): (Option<String>, Option<u16>),
    ) {
        let Some(address) = address else { return };
        self.put(keys.0, Value::String(address));
        self.number(keys.1, port.map(u64::from));
    }
}

#[cfg(test)]
#[path = "attributes_tests.rs"]
mod tests;
