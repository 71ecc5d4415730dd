//! Runs the suite: in a virtual machine, or here.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::outcome::Outcome;
use crate::{process, workspace};

pub const EMULATOR: &str = "qemu-system-x86_64";

/// Boots a kernel, and waits for the end of the machine.
pub fn boot(name: &str, kernel: &Path, initramfs: &Path, limit: Duration) -> Result<Outcome> {
    let mut qemu = process::command(EMULATOR);
    qemu.args(["-m", "1024", "-smp", "2", "-nographic", "-no-reboot", "-nic", "none", "-no-user-config"])
        .args(["-append", "console=ttyS0 rdinit=/init quiet loglevel=0 panic=-1"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs);
    run(name, &mut qemu, limit)
}

/// Runs the suite on this machine's kernel.
pub fn host(suite: &Path) -> Result<Outcome> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut suite = process::command(suite);
    suite.args(["--color", "never", "--test-threads", "1"]);
    let outcome = run("host", &mut suite, Duration::MAX)?;
    Ok(outcome.on(release.trim()))
}

/// Runs a command with its output in a file, and reads that; one that takes too long is stopped.
fn run(name: &str, command: &mut Command, limit: Duration) -> Result<Outcome> {
    let started = Instant::now();
    let log = workspace::vm().join(format!("{name}.log"));
    let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let line = process::line(command);
    let mut child = command.spawn().with_context(|| format!("cannot start {line}"))?;
    let mut ended = false;
    while !ended && started.elapsed() < limit {
        sleep(Duration::from_millis(100));
        ended = child.try_wait().with_context(|| format!("cannot wait for {line}"))?.is_some();
    }
    if !ended {
        child.kill().and_then(|()| child.wait()).with_context(|| format!("cannot stop {line}"))?;
    }
    let said = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let outcome = Outcome::read(name, &String::from_utf8_lossy(&said), started.elapsed());
    eprintln!("    {outcome}");
    Ok(outcome)
}
