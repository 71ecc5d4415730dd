//! `cargo xtask lint`: formatting, clippy with warnings as errors, the web app's checks, the rules of this house.

mod house;

use anyhow::{Result, bail};

use crate::setup::node::{self, Node};
use crate::setup::{InstallArgs, Setup, compiler, linker};
use crate::{build_ebpf, process, workspace};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    install: InstallArgs,
}

/// `cargo xtask lint`. All checks run, so that one run shows everything.
pub fn task(args: &Args) -> Result<()> {
    let mut setup = Setup::new(args.install);
    let checks: [(&str, &mut dyn FnMut() -> Result<()>); 3] = [
        ("house rules", &mut house::check),
        ("rustfmt", &mut || process::run(process::cargo().args(["fmt", "--all", "--check"]))),
        ("clippy", &mut clippy),
    ];
    let mut failed = Vec::new();
    let mut record = |name: &'static str, result: Result<()>| {
        if let Err(error) = result {
            eprintln!("xtask: {error:#}");
            failed.push(name);
        }
    };
    for (name, check) in checks {
        record(name, workspace::phase(name, check));
    }
    record(
        "clippy of the eBPF programs",
        workspace::phase("clippy of the eBPF programs", || clippy_ebpf(&mut setup)),
    );
    record("web app", workspace::phase("web app", || web_app(&mut setup)));
    if failed.is_empty() { Ok(()) } else { bail!("not clean: {}", failed.join(", ")) }
}

fn clippy() -> Result<()> {
    let mut cargo = process::cargo();
    cargo.args(["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    process::run(&mut cargo)
}

/// Clippy for code that exists only on the BPF target. Debian's compiler has no clippy of its version.
fn clippy_ebpf(setup: &mut Setup) -> Result<()> {
    let compiler = compiler::ensure(setup)?;
    if !compiler.has_clippy() {
        eprintln!("skipped: clippy of the eBPF programs: {compiler} has no clippy");
        return Ok(());
    }
    let linker = linker::ensure(setup, &compiler)?;
    let root = workspace::root();
    let mut cargo = process::cargo();
    compiler.apply(&mut cargo);
    cargo
        .current_dir(root.join("sensor-ebpf"))
        .env("CARGO_TARGET_DIR", root.join("target/bpf-build"))
        .env("CARGO_ENCODED_RUSTFLAGS", build_ebpf::rustflags(&linker.to_string_lossy()))
        .args(["clippy", "--locked", "--release", "-Z", "build-std=core", "--target", build_ebpf::TARGET])
        .args(["--features", "bpf", "--bin", "falconet-bpf", "--lib", "--", "-D", "warnings"]);
    // A register is 64 bits wide and holds an `int` or a pointer; a checked conversion would be a branch for the verifier.
    for cast in ["possible_truncation", "possible_wrap", "sign_loss", "lossless", "ptr_alignment"] {
        cargo.arg(format!("-Aclippy::cast_{cast}"));
    }
    // Pointers here are the kernel's; the verifier proves each access or refuses the program.
    cargo.arg("-Aclippy::not_unsafe_ptr_arg_deref");
    process::run(&mut cargo)
}

/// `npm run check` (types), where the app has it.
fn web_app(setup: &mut Setup) -> Result<()> {
    let ui = workspace::root().join("sensor/ui");
    if !std::fs::read_to_string(ui.join("package.json")).unwrap_or_default().contains("\"check\":") {
        eprintln!("    no check to run");
        return Ok(());
    }
    let folder = match node::ensure(setup)? {
        Node::Found { folder, .. } => folder,
        Node::Missing(reason) => {
            eprintln!("skipped: check of the web app: {reason}");
            return Ok(());
        }
    };
    let path = process::path_with(&folder)?;
    if !ui.join("node_modules").is_dir() {
        let mut npm = process::command("npm");
        process::run(npm.current_dir(&ui).env("PATH", &path).args(["ci", "--no-audit", "--no-fund"]))?;
    }
    process::run(process::command("npm").current_dir(&ui).env("PATH", &path).args(["run", "check"]))
}
