//! What the agent can do here and what it cannot, with what the user loses. `status` tells the same.

use serde::Serialize;

/// One feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FeaturePlan {
    /// Name, never changed.
    pub name: &'static str,
    /// It works.
    pub on: bool,
    /// How it works, or why it does not.
    pub why: String,
    /// What the user loses; empty where it works in full.
    pub loses: String,
}

/// On wherever the kernel takes the programs: name, what is seen, what is lost all the same.
const KERNEL: &[(&str, &str, &str)] = &[
    (
        "http1",
        "HTTP/1.0 and 1.1 of any program in any language, client and server",
        "",
    ),
    (
        "process_events",
        "processes are met at their exec, none is too short-lived",
        "",
    ),
    (
        "hop_id",
        "TCP (IPv4, IPv6) and unix stream sockets: both ends on this node are joined without headers",
        "",
    ),
    (
        "splice",
        "what splice and sendfile move is counted and keeps its place in the stream",
        "header blocks sent that way are not readable",
    ),
    (
        "trace_context",
        "W3C traceparent and tracestate are read",
        "B3 and Jaeger headers are not read yet",
    ),
];

/// Off, whatever the kernel: name, why, what is lost.
const NOT_YET: &[(&str, &str, &str)] = &[
    (
        "tls",
        "encrypted bytes are not readable, no TLS library is hooked yet",
        "requests inside TLS; their messages are counted (rx/tx_messages_unknown_protocol)",
    ),
    (
        "http2",
        "not parsed yet",
        "gRPC and other HTTP/2 requests; their messages are counted (rx/tx_messages_unknown_protocol)",
    ),
    (
        "databases",
        "no protocol but HTTP/1 is parsed yet",
        "spans of PostgreSQL, MySQL, Redis and others; their messages are counted",
    ),
    (
        "io_uring",
        "sockets driven by io_uring pass no system call that is hooked",
        "their requests; io_uring_enter calls are counted (io_uring_enter)",
    ),
    (
        "hop_id_mptcp",
        "MPTCP spreads one stream over several, which have no common numbers",
        "requests are seen, their two ends are joined by headers only; counted (mptcp)",
    ),
    (
        "hop_id_replaced",
        "kTLS, sockmap and SMC replace the socket's operations",
        "requests are seen, their two ends are joined by headers only; counted (replaced_operations)",
    ),
    (
        "hop_id_between_nodes",
        "not built yet",
        "requests that go to another node without traceparent begin a new trace there",
    ),
    (
        "programs_32_bit",
        "32-bit system calls have numbers of their own",
        "requests of 32-bit programs; their calls are counted (compat_syscall)",
    ),
];

/// The kernel's list of event sources has this one where it was built with uprobes.
const UPROBE_SOURCE: &str = "/sys/bus/event_source/devices/uprobe/type";

/// All features. `uprobes`: as configured; `blocked`: why tracing cannot run at all.
pub fn features(uprobes: bool, blocked: Option<&str>) -> Vec<FeaturePlan> {
    let built_in = std::path::Path::new(UPROBE_SOURCE).exists();
    list(uprobes, built_in, blocked)
}

fn list(uprobes: bool, built_in: bool, blocked: Option<&str>) -> Vec<FeaturePlan> {
    let seen = KERNEL.iter().map(|&(name, why, loses)| match blocked {
        None => feature(name, true, why, loses),
        Some(_) => feature(name, false, "tracing cannot run here", why),
    });
    let later = NOT_YET
        .iter()
        .map(|&(name, why, loses)| feature(name, false, why, loses));
    seen.chain([go(uprobes, built_in, blocked)])
        .chain(later)
        .collect()
}

fn go(uprobes: bool, built_in: bool, blocked: Option<&str>) -> FeaturePlan {
    const LOSES: &str = "calls made over pooled connections, by goroutines that a handler \
        started or by worker pools are not joined to their requests; http.route stays empty";
    let off = match (uprobes, built_in, blocked) {
        (_, _, Some(_)) => "tracing cannot run here",
        (false, ..) => "switched off (--no-uprobes)",
        (_, false, _) => "this kernel has no uprobes (CONFIG_UPROBES, CONFIG_PERF_EVENTS)",
        (true, true, None) => {
            let why = "Go 1.18 and later on x86-64: goroutines, contexts, http.route";
            return feature("go_probes", true, why, "");
        }
    };
    feature("go_probes", false, off, LOSES)
}

fn feature(name: &'static str, on: bool, why: &str, loses: &str) -> FeaturePlan {
    FeaturePlan {
        name,
        on,
        why: why.to_owned(),
        loses: loses.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(all: &[FeaturePlan]) -> Vec<&str> {
        let on = all.iter().filter(|feature| feature.on);
        on.map(|feature| feature.name).collect()
    }

    #[test]
    fn what_is_off_says_why_and_what_is_lost() {
        for all in [
            list(true, true, None),
            list(false, true, None),
            list(true, false, Some("no root")),
        ] {
            for feature in all {
                assert!(!feature.why.is_empty(), "{feature:?}");
                assert!(feature.on || !feature.loses.is_empty(), "{feature:?}");
            }
        }
    }

    #[test]
    fn nothing_is_on_where_tracing_cannot_run() {
        assert_eq!(on(&list(true, true, Some("no root"))), [""; 0]);
        let all = list(true, true, None);
        assert!(on(&all).contains(&"go_probes") && on(&all).contains(&"http1"));
        let never = ["tls", "http2", "io_uring", "hop_id_mptcp"];
        assert!(never.iter().all(|name| !on(&all).contains(name)));
    }

    #[test]
    fn go_probes_need_the_setting_and_the_kernel() {
        assert!(!on(&list(false, true, None)).contains(&"go_probes"));
        assert!(!on(&list(true, false, None)).contains(&"go_probes"));
        let why = |uprobes, built_in| go(uprobes, built_in, None).why;
        assert!(why(false, true).contains("--no-uprobes"));
        assert!(why(true, false).contains("CONFIG_UPROBES"));
    }
}
