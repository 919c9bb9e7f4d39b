//! What the agent knows of one traced process. Written into recordings, so that a replay needs
//! neither root nor the process.

use serde::{Deserialize, Serialize};

/// Facts of one process at the time it was first seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessFacts {
    /// Process id in the initial pid namespace.
    pub tgid: u32,
    /// Start, nanoseconds since boot (tells a reused pid).
    pub start_ns: u64,
    /// `comm`.
    pub comm: String,
    /// Path of the executable as the process sees it.
    pub exe: String,
    /// True when the process runs Go code (its threads prove nothing).
    pub go: bool,
    /// Resource attributes, `service.name` first: (key, value).
    pub resource: Vec<(String, FactValue)>,
}

/// A resource attribute's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FactValue {
    /// Integer.
    Int(i64),
    /// Text.
    String(String),
    /// List of text.
    Strings(Vec<String>),
}
