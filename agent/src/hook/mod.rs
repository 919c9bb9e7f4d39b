//! Kernel programs: loaded, given the kernel's layout, attached. One file per back end.

pub mod counters;
pub mod golang;
pub mod kernel;
pub mod load;
