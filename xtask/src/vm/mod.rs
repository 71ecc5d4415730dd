//! `cargo xtask vm`: every event's scenarios on other kernels.
//!
//! A machine is qemu with a Debian kernel and an initramfs that holds the suite `tests/syscalls.rs`, which runs as process 1. It needs
//! neither root nor KVM. What is downloaded stays in `target/vm`; a second run needs no network.

mod initramfs;
mod kernels;
mod machine;
mod outcome;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::setup::{InstallArgs, Setup};
use crate::{build_ebpf, process, workspace};
use kernels::{DISTRIBUTIONS, Distribution};
use outcome::{Outcome, Table};

/// More than this a program must not cost the verifier: it is a tenth of what the kernel allows.
const MOST_INSTRUCTIONS: u64 = 100_000;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    install: InstallArgs,
    /// Only the oldest and the newest kernel.
    #[arg(long)]
    ends: bool,
    /// Only this machine's own kernel, without qemu; needs root.
    #[arg(long, conflicts_with_all = ["ends", "distributions"])]
    host: bool,
    /// Look for newer kernels than those in `target/vm`.
    #[arg(long)]
    fresh: bool,
    /// Seconds that a machine may take.
    #[arg(long, default_value_t = 600)]
    timeout: u64,
    /// Debian's distributions whose kernels are tried; all that are known if none is given.
    #[arg(value_name = "DISTRIBUTION")]
    distributions: Vec<String>,
}

/// `cargo xtask vm`.
pub fn task(args: &Args) -> Result<()> {
    let mut setup = Setup::new(args.install);
    let chosen = chosen(args)?;
    build_ebpf::build(&mut setup, false)?;
    let suite = workspace::phase("the suite", suite)?;
    std::fs::create_dir_all(workspace::vm())
        .with_context(|| format!("cannot make {}", workspace::vm().display()))?;
    let mut table = Table::default();
    if args.host {
        table.add(workspace::phase("this kernel", || machine::host(&suite))?);
    } else if let Some(missing) = setup.emulator()? {
        table.skip(format!("virtual machines: {missing}"));
    } else {
        let initramfs = workspace::phase("initramfs", || initramfs::build(&suite))?;
        let limit = Duration::from_secs(args.timeout);
        workspace::phase("kernels", || all(&chosen, &initramfs, limit, args.fresh, &mut table))?;
    }
    print!("{table}");
    if table.failed(MOST_INSTRUCTIONS) {
        bail!("not every kernel is well; what the machines said is in {}", workspace::vm().display());
    }
    Ok(())
}

fn chosen(args: &Args) -> Result<Vec<Distribution>> {
    if args.ends {
        return Ok([DISTRIBUTIONS.first(), DISTRIBUTIONS.last()].into_iter().flatten().copied().collect());
    }
    if args.distributions.is_empty() {
        return Ok(DISTRIBUTIONS.to_vec());
    }
    let find = |name: &String| {
        DISTRIBUTIONS.iter().find(|known| known.name == name).copied().with_context(|| {
            let known: Vec<&str> = DISTRIBUTIONS.iter().map(|known| known.name).collect();
            format!("no distribution `{name}`; known are {}", known.join(", "))
        })
    };
    args.distributions.iter().map(find).collect()
}

/// Boots the machines, two at a time: each has two processors, and mostly uses one.
fn all(
    chosen: &[Distribution],
    initramfs: &Path,
    limit: Duration,
    fresh: bool,
    table: &mut Table,
) -> Result<()> {
    let mut ready = Vec::new();
    for distribution in chosen {
        match kernels::ensure(*distribution, fresh) {
            Ok(kernel) => ready.push((distribution.name, kernel)),
            Err(error) => table.skip(format!("the kernel of {}: {error:#}", distribution.name)),
        }
    }
    for pair in ready.chunks(2) {
        let outcomes: Vec<Result<Outcome>> = std::thread::scope(|scope| {
            let started: Vec<_> = pair
                .iter()
                .map(|(name, kernel)| scope.spawn(move || machine::boot(name, kernel, initramfs, limit)))
                .collect();
            started
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| bail!("the thread of a machine panicked")))
                .collect()
        });
        for outcome in outcomes {
            table.add(outcome?);
        }
    }
    Ok(())
}

/// Builds the suite; its file.
fn suite() -> Result<PathBuf> {
    let started = Instant::now();
    let mut cargo = process::cargo();
    cargo.args(["test", "--locked", "--package", "falconet", "--test", "syscalls", "--no-run"]);
    cargo.arg("--message-format=json-render-diagnostics");
    let said = process::output(cargo.stderr(std::process::Stdio::inherit()))?;
    let file = said.lines().filter(|line| line.contains("\"name\":\"syscalls\"")).find_map(executable);
    eprintln!("    built in {:.1} s", started.elapsed().as_secs_f64());
    file.context("cargo did not say where the suite is")
}

/// The file that one of cargo's messages says it made.
fn executable(message: &str) -> Option<PathBuf> {
    let (_, rest) = message.split_once("\"executable\":\"")?;
    Some(PathBuf::from(rest.split_once('"')?.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_says_where_an_executable_is() {
        let made = r#"{"reason":"compiler-artifact","target":{"name":"syscalls"},"executable":"/t/syscalls-1","fresh":true}"#;
        assert_eq!(executable(made), Some(PathBuf::from("/t/syscalls-1")));
        assert_eq!(executable(r#"{"target":{"name":"x"},"executable":null}"#), None);
    }
}
