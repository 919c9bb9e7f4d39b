//! Where things lie in the repository.

use std::path::{Path, PathBuf};

/// The repository.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Cargo's target directory of the workspace.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The built kernel programs, as they are embedded in the agent.
pub fn bpf_object() -> PathBuf {
    target().join("bpf/threadline.bpf.o")
}

/// Programs that setup installed for this repository alone.
pub fn tools() -> PathBuf {
    target().join("tools")
}

/// Where the OTLP backends of the test bed keep their programs and data.
pub fn testbed() -> PathBuf {
    root().join(".testbed")
}
