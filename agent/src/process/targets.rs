//! Which processes are traced.
//!
//! A rule is `exe:GLOB`, `port:N`, `port:N-M`, `pid:N`, `container:GLOB`, `cgroup:GLOB`,
//! `k8s:NAMESPACE/GLOB`, or a bare word, which is an `exe:` glob; `!` in front excludes. A process
//! is selected when any rule meets it and no `!` rule does. In globs `*` stops at `/`, `**` does not.

use std::ops::RangeInclusive;
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};

use super::telemetry;

/// Rules one agent takes.
pub const RULES_MAX: usize = 256;
/// Longest rule.
pub const RULE_MAX: usize = 1024;
/// Characters of a container id that tools print.
const SHORT_ID: usize = 12;

/// Why a target is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Nothing after the prefix.
    #[error("target `{0}` is empty")]
    Empty(String),
    /// `port:`.
    #[error("target `{0}`: allowed is port:N or port:N-M, 1 to 65535, N not above M")]
    Port(String),
    /// `pid:`.
    #[error("target `{0}`: allowed is pid:N, N from 1 on")]
    Pid(String),
    /// The glob cannot be read.
    #[error("target `{rule}`: {message}")]
    Glob {
        /// As typed.
        rule: String,
        /// What the glob parser says.
        message: String,
    },
    /// Unknown prefix.
    #[error("target `{0}`: allowed prefixes are exe, port, pid, container, cgroup and k8s")]
    Prefix(String),
    /// Too long.
    #[error("a target has at most {RULE_MAX} characters")]
    TooLong,
    /// Too many.
    #[error("at most {RULES_MAX} targets can be given")]
    TooMany,
}

/// What selection looks at.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessView<'a> {
    /// Process id in the initial pid namespace.
    pub tgid: u32,
    /// Path of the executable.
    pub exe: &'a str,
    /// Ports it listens on; `None`: not looked up.
    pub ports: Option<&'a [u16]>,
    /// Cgroup path.
    pub cgroup: &'a str,
    /// Container id.
    pub container_id: Option<&'a str>,
    /// Container name.
    pub container_name: Option<&'a str>,
    /// Kubernetes namespace.
    pub namespace: Option<&'a str>,
    /// Kubernetes pod.
    pub pod: Option<&'a str>,
}

/// Why a process is not traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Skip {
    /// It is the agent.
    Agent,
    /// It is a telemetry backend or another agent, and nobody asked for it.
    Telemetry,
    /// It receives what the agent exports.
    Exporter,
    /// A `!` rule meets it.
    Excluded,
    /// No rule meets it.
    NoTarget,
    /// Only a `port:` rule could meet it, and it does not listen there yet: ask again.
    NotListening,
}

impl Skip {
    /// In words, for `plan`.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Agent => "the agent itself",
            Self::Telemetry => "a telemetry backend or agent",
            Self::Exporter => "receives what the agent exports",
            Self::Excluded => "excluded",
            Self::NoTarget => "no target names it",
            Self::NotListening => "does not listen on a target port",
        }
    }
}

/// Traced or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Traced.
    Selected,
    /// Not traced.
    Skipped(Skip),
}

#[derive(Clone, Debug)]
enum Matcher {
    Exe(PathGlob),
    Port(RangeInclusive<u16>),
    Pid(u32),
    Container(GlobMatcher),
    Cgroup(PathGlob),
    Kubernetes {
        namespace: GlobMatcher,
        pod: GlobMatcher,
    },
}

/// A glob with a slash is matched against the whole path.
#[derive(Clone, Debug)]
struct PathGlob {
    glob: GlobMatcher,
    whole: bool,
}

impl PathGlob {
    fn new(rule: &str, text: &str) -> Result<Self, TargetError> {
        Ok(Self {
            glob: glob(rule, text)?,
            whole: text.contains('/'),
        })
    }
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    exclude: bool,
    matcher: Matcher,
}

impl FromStr for Rule {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let rule = text.trim();
        if rule.len() > RULE_MAX {
            return Err(TargetError::TooLong);
        }
        let (exclude, body) = match rule.strip_prefix('!') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, rule),
        };
        let (prefix, value) = body.split_once(':').unwrap_or(("exe", body));
        if value.is_empty() {
            return Err(TargetError::Empty(rule.to_owned()));
        }
        let matcher = match prefix {
            "exe" => Matcher::Exe(PathGlob::new(rule, value)?),
            "port" => Matcher::Port(ports(rule, value)?),
            "pid" => Matcher::Pid(match value.parse() {
                Ok(pid) if pid > 0 => pid,
                _ => return Err(TargetError::Pid(rule.to_owned())),
            }),
            "container" => Matcher::Container(glob(rule, value)?),
            "cgroup" => Matcher::Cgroup(PathGlob::new(rule, value)?),
            "k8s" => {
                let (namespace, pod) = value.split_once('/').unwrap_or((value, "*"));
                Matcher::Kubernetes {
                    namespace: glob(rule, namespace)?,
                    pod: glob(rule, pod)?,
                }
            }
            _ => return Err(TargetError::Prefix(rule.to_owned())),
        };
        Ok(Self { exclude, matcher })
    }
}

fn glob(rule: &str, text: &str) -> Result<GlobMatcher, TargetError> {
    if text.is_empty() {
        return Err(TargetError::Empty(rule.to_owned()));
    }
    GlobBuilder::new(text)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|error| TargetError::Glob {
            rule: rule.to_owned(),
            message: error.kind().to_string(),
        })
}

fn ports(rule: &str, value: &str) -> Result<RangeInclusive<u16>, TargetError> {
    let wrong = || TargetError::Port(rule.to_owned());
    let number = |text: &str| text.trim().parse::<u16>().map_err(|_| wrong());
    let (first, last) = match value.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(value)?, number(value)?),
    };
    if first == 0 || first > last {
        return Err(wrong());
    }
    Ok(first..=last)
}

impl Matcher {
    fn meets(&self, view: &ProcessView<'_>) -> bool {
        match self {
            Self::Exe(glob) if glob.whole => glob.glob.is_match(view.exe),
            Self::Exe(glob) => glob.glob.is_match(base_name(view.exe)),
            Self::Port(range) => view
                .ports
                .is_some_and(|ports| ports.iter().any(|port| range.contains(port))),
            Self::Pid(pid) => *pid == view.tgid,
            Self::Container(glob) => {
                let id = view.container_id.unwrap_or_default();
                let short = id.get(..SHORT_ID).unwrap_or(id);
                view.container_name.is_some_and(|name| glob.is_match(name))
                    || !id.is_empty() && (glob.is_match(id) || glob.is_match(short))
            }
            Self::Cgroup(glob) if glob.whole => glob.glob.is_match(view.cgroup),
            Self::Cgroup(glob) => view
                .cgroup
                .split('/')
                .any(|part| !part.is_empty() && glob.glob.is_match(part)),
            Self::Kubernetes { namespace, pod } => {
                view.namespace.is_some_and(|name| namespace.is_match(name))
                    && view.pod.is_some_and(|name| pod.is_match(name))
            }
        }
    }
}

/// Last component of a path.
pub(super) fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// All rules, and whom the agent never traces.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    rules: Vec<Rule>,
    agent: u32,
    exporter_ports: Vec<u16>,
}

impl Targets {
    /// Reads rules as typed; no rule selects everything but telemetry.
    pub fn parse(rules: &[String]) -> Result<Self, TargetError> {
        if rules.len() > RULES_MAX {
            return Err(TargetError::TooMany);
        }
        Ok(Self {
            rules: rules
                .iter()
                .map(|rule| rule.parse())
                .collect::<Result<_, _>>()?,
            ..Self::default()
        })
    }

    /// Never selects `tgid`, the agent's own process.
    #[must_use]
    pub fn without_agent(mut self, tgid: u32) -> Self {
        self.agent = tgid;
        self
    }

    /// Does not select who listens on `ports` of this node, where the agent exports to, unless
    /// a rule asks for it.
    #[must_use]
    pub fn without_exporter(mut self, ports: Vec<u16>) -> Self {
        self.exporter_ports = ports;
        self
    }

    /// Nothing was asked for: everything but telemetry is meant.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether [`ProcessView::ports`] can change the verdict.
    pub fn needs_ports(&self) -> bool {
        !self.exporter_ports.is_empty()
            || self
                .rules
                .iter()
                .any(|rule| matches!(rule.matcher, Matcher::Port(_)))
    }

    /// Whether `view` is traced.
    pub fn select(&self, view: &ProcessView<'_>) -> Verdict {
        if self.agent != 0 && view.tgid == self.agent {
            return Verdict::Skipped(Skip::Agent);
        }
        let meets = |exclude| {
            self.rules
                .iter()
                .any(|rule| rule.exclude == exclude && rule.matcher.meets(view))
        };
        if meets(true) {
            return Verdict::Skipped(Skip::Excluded);
        }
        if meets(false) {
            return Verdict::Selected;
        }
        let mut included = self.rules.iter().filter(|rule| !rule.exclude).peekable();
        if included.peek().is_some() {
            let by_port = included.any(|rule| matches!(rule.matcher, Matcher::Port(_)));
            return Verdict::Skipped(if by_port {
                Skip::NotListening
            } else {
                Skip::NoTarget
            });
        }
        if telemetry::is_telemetry(base_name(view.exe)) {
            return Verdict::Skipped(Skip::Telemetry);
        }
        let ports = view.ports.unwrap_or_default();
        if ports.iter().any(|port| self.exporter_ports.contains(port)) {
            return Verdict::Skipped(Skip::Exporter);
        }
        Verdict::Selected
    }
}
