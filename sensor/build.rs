//! Embeds the BPF object that `cargo xtask build-ebpf` made, if there is one.
use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let object = root.join("../target/bpf/falconet.bpf.o");
    println!("cargo:rerun-if-changed={}", object.display());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("falconet.bpf.o");
    let bytes = fs::read(&object).unwrap_or_default();
    if bytes.is_empty() {
        println!("cargo:warning=built without the eBPF programs; run `cargo xtask build-ebpf` first");
    }
    fs::write(&out, bytes)
}
