//! What `plan` says about things a Go binary does not tell.

pub(super) const MACHINE: &str = "built for another processor than x86-64, where Go probes are \
    not supported yet: no goroutines, no routes; requests are traced at socket level only";
pub(super) const NO_FUNCTIONS: &str = "its function table (.gopclntab) was not found or is older \
    than Go 1.18: no Go probes; requests are traced at socket level only";
pub(super) const ROUTE: &str =
    "no cheap place to read ServeMux's pattern was found: http.route stays empty";
pub(super) const TLS: &str = "the thread-local slot of the current goroutine was not found \
    (runtime.stackcheck reads otherwise than known): calls are not joined to their handlers";
pub(super) const TLS_DYNAMIC: &str = "a shared library: the thread-local slot of the current \
    goroutine is chosen by the loader in each process; without reading it there, calls are not \
    joined to their handlers";
pub(super) const GOROUTINE: &str =
    "goroutines cannot be told apart: calls are not joined to their handlers";
pub(super) const CONTEXT: &str = "requests' contexts cannot be read: calls made by worker pools \
    are not joined to their handlers";
pub(super) const POOLED: &str = "client connections older than the agent cannot be followed to \
    their sockets: their calls are not joined to their handlers";

/// The offsets of `version` are neither in its debug information nor in the table.
pub(super) fn unknown_version(version: &str, newest: u32) -> String {
    match version {
        "" => "its Go version is not recorded and it has no debug information: struct offsets \
               are unknown"
            .to_owned(),
        _ => format!(
            "{version} is not a version this agent knows (go1.18 to go1.{newest}) and the binary \
             has no debug information: struct offsets are unknown"
        ),
    }
}

/// A function is there but has changed its shape.
pub(super) fn no_site(symbol: &str, lost: &str) -> String {
    format!("no place to probe was found in {symbol}: {lost}")
}
