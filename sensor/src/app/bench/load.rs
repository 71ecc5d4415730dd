//! The work that the benchmark measures: a fixed number of system calls of one kind, by one or more processes.
//!
//! It runs in a process of its own, so that the sensor sees a program like any other.

use std::ffi::CStr;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum as _;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::read;
use rustix::net::{AddressFamily, SocketType, connect};
use rustix::process::getppid;

/// One kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Work {
    /// A process that executes /bin/true, and a wait for its end.
    Exec,
    /// openat of a file, close.
    Open,
    /// connect of a UDP socket.
    Udp,
    /// socket, connect to a closed TCP port, close.
    Tcp,
    /// getppid: nobody watches it.
    Getppid,
    /// read of one byte: nobody watches it.
    Read,
}

/// Does `n` pieces of work in all, shared by `workers` processes; the time that the slowest of them took.
pub fn run(work: Work, n: u64, workers: u64) -> io::Result<Duration> {
    let each = n / workers.max(1);
    if workers <= 1 {
        let start = Instant::now();
        repeat(work, each)?;
        return Ok(start.elapsed());
    }
    let mut children = Vec::new();
    for _ in 0..workers {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([
            "bench",
            "--load",
            work.to_possible_value().map_or(String::new(), |v| v.get_name().into()).as_str(),
        ]);
        command.args(["--count", each.to_string().as_str()]);
        children.push(command.stdout(Stdio::piped()).spawn()?);
    }
    let mut slowest = Duration::ZERO;
    for child in children {
        let output = child.wait_with_output()?;
        let took = std::str::from_utf8(&output.stdout).ok().and_then(|text| text.trim().parse().ok());
        let took =
            took.filter(|_| output.status.success()).ok_or_else(|| io::Error::other("a worker failed"))?;
        slowest = slowest.max(Duration::from_nanos(took));
    }
    Ok(slowest)
}

fn repeat(work: Work, n: u64) -> io::Result<()> {
    match work {
        Work::Exec => (0..n).try_for_each(|_| exec_true()),
        Work::Open => (0..n).try_for_each(|_| open(c"/etc/passwd").map(drop)),
        Work::Udp => {
            let socket = socket(SocketType::DGRAM)?;
            (0..n).try_for_each(|_| Ok(connect(&socket, &DISCARD)?))
        }
        Work::Tcp => (0..n).try_for_each(|_| match connect(&socket(SocketType::STREAM)?, &DISCARD) {
            Ok(()) => Err(io::Error::other("something listens on port 9")),
            Err(_) => Ok(()),
        }),
        Work::Getppid => {
            for _ in 0..n {
                std::hint::black_box(getppid());
            }
            Ok(())
        }
        Work::Read => {
            let (file, mut byte) = (open(c"/dev/zero")?, [0u8]);
            (0..n).try_for_each(|_| match read(&file, &mut byte)? {
                1 => Ok(()),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            })
        }
    }
}

/// The discard port of the loopback address.
const DISCARD: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9);

fn open(path: &CStr) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::RDONLY, Mode::empty())?)
}

fn socket(kind: SocketType) -> io::Result<OwnedFd> {
    Ok(rustix::net::socket(AddressFamily::INET, kind, None)?)
}

fn exec_true() -> io::Result<()> {
    if Command::new("/bin/true").status()?.success() {
        Ok(())
    } else {
        Err(io::Error::other("/bin/true failed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_work_can_be_done() {
        for work in [Work::Open, Work::Udp, Work::Tcp, Work::Getppid, Work::Read] {
            repeat(work, 2).unwrap();
        }
        exec_true().unwrap();
    }
}
