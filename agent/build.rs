//! Tells the agent where the kernel programs are, so that they can be embedded.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-env-changed=THREADLINE_BPF_OBJECT");
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bpf/threadline.bpf.o");
    let object = std::env::var_os("THREADLINE_BPF_OBJECT").map_or(default, Into::into);
    if !object.exists() {
        println!(
            "cargo:error=the kernel programs are not built yet ({}): run `cargo xtask build`",
            object.display()
        );
        std::process::exit(1);
    }
    println!("cargo:rerun-if-changed={}", object.display());
    println!("cargo:rustc-env=THREADLINE_BPF_OBJECT={}", object.display());
}
