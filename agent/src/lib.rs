//! threadline: distributed traces of programs nobody changed. Data flows one way:
//!
//! ```text
//! ebpf -> ring buffer -> source -> order -> connection -> protocol -> span -> export
//! ```
//!
//! From `source` on nothing needs root: a recorded stream replays through the same code.

pub mod cli;
pub mod config;
pub mod connection;
pub mod export;
pub mod golang;
pub mod health;
pub mod hook;
pub mod instance;
pub mod live;
pub mod order;
pub mod pipeline;
pub mod plan;
pub mod preflight;
pub mod process;
pub mod propagation;
pub mod protocol;
pub mod replay;
pub mod source;
pub mod span;
pub mod status;
