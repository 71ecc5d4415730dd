//! `bpf-linker`: turns the compiler's LLVM bitcode into one BPF object.
//!
//! It links against an LLVM that must not be older than the compiler's. Distributions that have such an LLVM get it built
//! from the crate registry (about 90 s); elsewhere its authors' release binary is fetched, which has LLVM inside.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::compiler::Compiler;
use super::{Setup, apt};
use crate::process;

const VERSION: &str = "0.13.0";
const WHY: &str = "linking the eBPF programs";
/// What [`VERSION`] can be built with, each with Debian's packages.
const LLVMS: [(u32, &str, [&str; 2]); 3] = [
    (22, "llvm-22", ["llvm-22-dev", "libpolly-22-dev"]),
    (23, "llvm-23", ["llvm-23-dev", "libpolly-23-dev"]),
    (21, "llvm-21", ["llvm-21-dev", "libpolly-21-dev"]),
];

/// Finds the linker or installs it; its path.
pub fn ensure(setup: &mut Setup, compiler: &Compiler) -> Result<PathBuf> {
    if let Some(found) = find() {
        return Ok(found);
    }
    let usable = || LLVMS.iter().filter(|(major, ..)| *major >= compiler.llvm);
    if let Some((major, feature, packages)) =
        usable().find(|(_, _, packages)| apt::has_candidate(packages[0]))
    {
        let names = [packages[0], packages[1], "zlib1g-dev", "libzstd-dev", "g++"];
        let packages = names.map(|name| apt::Package { name, why: "building bpf-linker" });
        if apt::ensure(setup, &packages)?
            && setup.may_install(&format!("bpf-linker {VERSION} (from the crate registry)"), WHY)?
        {
            let mut cargo = process::cargo();
            cargo.args(["install", "--locked", "bpf-linker", "--version", VERSION]);
            cargo.args(["--no-default-features", "--features", feature]);
            // llvm-sys takes the first llvm-config that it finds.
            cargo.env("PATH", process::path_with(Path::new(&format!("/usr/lib/llvm-{major}/bin")))?);
            process::run(&mut cargo)?;
        }
    } else if setup
        .may_install(&format!("bpf-linker {VERSION} (its release binary, by cargo-binstall)"), WHY)?
    {
        binstall();
    }
    let llvm = compiler.llvm;
    find().map_or_else(
        || {
            bail!(
                "no bpf-linker: install LLVM {llvm} with its headers (packages llvm-{llvm}-dev, libpolly-{llvm}-dev, zlib1g-dev and libzstd-dev, from your \
                 distribution or apt.llvm.org) and run `cargo install bpf-linker --version {VERSION} --no-default-features \
                 --features llvm-{llvm}`, or take the release binary: `cargo install cargo-binstall && cargo binstall bpf-linker@{VERSION}`"
            )
        },
        Ok,
    )
}

/// A linker that starts: one whose LLVM library is gone does not.
fn find() -> Option<PathBuf> {
    process::find_installed("bpf-linker")
}

/// Errors are printed: the caller looks whether the linker is there now.
fn binstall() {
    if process::find("cargo-binstall").is_none()
        && let Err(error) = process::run(process::cargo().args(["install", "--locked", "cargo-binstall"]))
    {
        eprintln!("    {error:#}");
        return;
    }
    let mut command = process::cargo();
    command.args(["binstall", "--no-confirm", "--disable-strategies", "quick-install,compile"]);
    if let Err(error) = process::run(command.arg(format!("bpf-linker@{VERSION}"))) {
        eprintln!("    {error:#}");
    }
}
