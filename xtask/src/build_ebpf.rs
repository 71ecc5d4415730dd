//! `cargo xtask build-ebpf`: the eBPF programs, compiled into `target/bpf/falconet.bpf.o`, which the binary embeds.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::setup::{InstallArgs, Setup, compiler, linker};
use crate::workspace::{self, Stamp};

pub const TARGET: &str = "bpfel-unknown-none";

#[derive(clap::Args)]
pub struct Args {
    /// Build even if nothing changed.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    install: InstallArgs,
}

/// `cargo xtask build-ebpf`.
pub fn task(args: &Args) -> Result<()> {
    build(&mut Setup::new(args.install), args.force)
}

/// Where `sensor/build.rs` looks for the object.
pub fn object() -> PathBuf {
    workspace::root().join("target/bpf/falconet.bpf.o")
}

/// Builds the object unless it is there and its sources are unchanged.
pub fn build(setup: &mut Setup, force: bool) -> Result<()> {
    workspace::phase("eBPF programs", || {
        let root = workspace::root();
        let inputs = ["sensor-ebpf", "Cargo.toml", "xtask/src/build_ebpf.rs"].map(|input| root.join(input));
        let lock = fs::read_to_string(root.join("Cargo.lock")).context("cannot read Cargo.lock")?;
        let stamp = Stamp::new("ebpf", &inputs, &[std::env::consts::ARCH, &locked_aya(&lock)])?;
        if !force && stamp.is_current() && object().is_file() {
            eprintln!("    unchanged");
            return Ok(());
        }
        let compiler = compiler::ensure(setup)?;
        let linker = linker::ensure(setup, &compiler)?;
        eprintln!("    {compiler}, {}", linker.display());
        let target = root.join("target/bpf-build");
        let linker_text = linker.to_str().context("the path of bpf-linker is not UTF-8")?;
        let mut cargo = process::cargo();
        compiler.apply(&mut cargo);
        cargo
            .current_dir(root.join("sensor-ebpf"))
            .env("CARGO_TARGET_DIR", &target)
            // Encoded, so that a space in the linker's path is no separator.
            .env("CARGO_ENCODED_RUSTFLAGS", rustflags(linker_text))
            .args(["build", "--locked", "--release", "-Z", "build-std=core", "--target", TARGET])
            .args(["--features", "bpf", "--bin", "falconet-bpf"]);
        process::run(&mut cargo).with_context(|| {
            format!(
                "the eBPF programs do not compile with {compiler}; if the linker complains about bitcode, its LLVM is older: \
                 `cargo uninstall bpf-linker` and try again"
            )
        })?;
        let made = target.join(TARGET).join("release/falconet-bpf");
        let bytes = fs::read(&made).with_context(|| format!("cannot read {}", made.display()))?;
        ensure!(bytes.starts_with(b"\x7fELF"), "{} is no ELF object", made.display());
        // An equal object keeps its time, so that the binary is not linked again for nothing.
        if fs::read(object()).is_ok_and(|old| old == bytes) {
            eprintln!("    the object is the same as before");
        } else {
            workspace::write(&object(), &bytes)?;
        }
        stamp.set()
    })
}

/// What Cargo.lock says of the crates that the programs are made of; a change of any other changes nothing here.
fn locked_aya(lock: &str) -> String {
    lock.split("[[package]]").filter(|package| package.trim().starts_with("name = \"aya-ebpf")).collect()
}

/// For the compiler of the eBPF programs, in cargo's encoded form. Debug information becomes BTF.
pub fn rustflags(linker: &str) -> String {
    [
        "-C",
        &format!("linker={linker}"),
        "--cfg",
        &format!("bpf_target_arch=\"{}\"", std::env::consts::ARCH),
        "-C",
        "debuginfo=2",
        "-C",
        "link-arg=--btf",
    ]
    .join("\u{1f}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_crates_of_the_lock_file_count() {
        let lock = "version = 4\n\n[[package]]\nname = \"aya-ebpf\"\nversion = \"1\"\n\n[[package]]\nname = \"zlib\"\n";
        assert_eq!(locked_aya(lock).trim(), "name = \"aya-ebpf\"\nversion = \"1\"");
    }

    #[test]
    fn flags_keep_a_path_with_spaces_whole() {
        let flags = rustflags("/home/a b/bpf-linker");
        assert!(flags.split('\u{1f}').any(|flag| flag == "linker=/home/a b/bpf-linker"), "{flags}");
    }
}
