//! `cargo xtask lint`: formatting, clippy with warnings as errors, the dependencies, the web app's checks, the rules of this house.

mod arrows;
mod dependencies;
mod errors;
mod house;
mod references;

use anyhow::{Context, Result, bail};

use crate::setup::node::{self, Node};
use crate::setup::{InstallArgs, Setup, compiler, linker};
use crate::{build_ebpf, process, workspace};

#[derive(clap::Args)]
pub struct Args {
    /// Only what takes seconds: the rules of this house, the arrows between modules, formatting.
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    install: InstallArgs,
}

/// `cargo xtask lint`. All checks run, so that one run shows everything.
pub fn task(args: &Args) -> Result<()> {
    let mut failed = Vec::new();
    let mut record = |name: &'static str, check: &mut dyn FnMut() -> Result<()>| {
        if let Err(error) = workspace::phase(name, check) {
            eprintln!("xtask: {error:#}");
            failed.push(name);
        }
    };
    record("house rules", &mut house::check);
    record("arrows between modules", &mut arrows::check);
    record("causes of errors", &mut errors::check);
    record("files that the documentation names", &mut references::check);
    record("rustfmt", &mut rustfmt);
    if !args.quick {
        let mut setup = Setup::new(args.install);
        record("clippy", &mut clippy);
        record("clippy of the eBPF programs", &mut || clippy_ebpf(&mut setup));
        record("dependencies", &mut || dependencies::check(&mut setup));
        record("web app", &mut || web_app(&mut setup));
    }
    if failed.is_empty() { Ok(()) } else { bail!("not clean: {}", failed.join(", ")) }
}

/// `cargo fmt` does not find the families of events, whose modules the registry's macro declares. It formats them when it is
/// told of each: `rustfmt sensor-ebpf/src/events/*.rs`.
fn rustfmt() -> Result<()> {
    process::run(process::cargo().args(["fmt", "--all", "--check"]))?;
    let events = workspace::root().join(house::EVENTS);
    let mut files = Vec::new();
    workspace::walk(&events, &mut files).with_context(|| format!("cannot read {}", events.display()))?;
    process::run(process::command("rustfmt").args(["--check", "--edition", "2024"]).args(files))
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
