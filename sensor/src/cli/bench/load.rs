//! The work that the benchmark measures: a fixed number of system calls of one kind, by one or more processes.
//!
//! It runs in a process of its own, so that the sensor sees a program like any other.

use std::ffi::CStr;
use std::io;
use std::time::{Duration, Instant};

/// One kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Work {
    /// fork, execve of /bin/true, wait.
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

/// Does `n` pieces of work in all, shared by `workers` processes; the time they took together.
pub fn run(work: Work, n: u64, workers: u64) -> io::Result<Duration> {
    let each = n / workers.max(1);
    let start = Instant::now();
    let mut children = Vec::new();
    for _ in 0..workers {
        // SAFETY: this program has one thread here; the child only makes system calls and ends by `_exit`.
        match unsafe { libc::fork() } {
            -1 => return Err(io::Error::last_os_error()),
            0 => {
                let ok = repeat(work, each).is_ok();
                // SAFETY: ends the child without running what the parent still owns.
                unsafe { libc::_exit(i32::from(!ok)) }
            }
            pid => children.push(pid),
        }
    }
    let mut failed = false;
    for pid in children {
        failed |= wait(pid)? != 0;
    }
    if failed {
        return Err(io::Error::other("a worker failed"));
    }
    Ok(start.elapsed())
}

fn repeat(work: Work, n: u64) -> io::Result<()> {
    match work {
        Work::Exec => (0..n).try_for_each(|_| exec_true()),
        Work::Open => {
            let file = c"/etc/passwd";
            (0..n).try_for_each(|_| {
                // SAFETY: the path is NUL-terminated.
                close(check(unsafe { libc::openat(libc::AT_FDCWD, file.as_ptr(), libc::O_RDONLY) })?)
            })
        }
        Work::Udp => {
            let fd = socket(libc::SOCK_DGRAM)?;
            (0..n).try_for_each(|_| connect(fd).and_then(|r| check(r).map(drop)))
        }
        Work::Tcp => (0..n).try_for_each(|_| {
            let fd = socket(libc::SOCK_STREAM)?;
            if connect(fd)? == 0 {
                return Err(io::Error::other("something listens on port 9"));
            }
            close(fd)
        }),
        Work::Getppid => {
            for _ in 0..n {
                // SAFETY: no preconditions.
                unsafe { libc::syscall(libc::SYS_getppid) };
            }
            Ok(())
        }
        Work::Read => {
            let file = c"/dev/zero";
            // SAFETY: the path is NUL-terminated.
            let fd = check(unsafe { libc::open(file.as_ptr(), libc::O_RDONLY) })?;
            let mut byte = 0u8;
            for _ in 0..n {
                // SAFETY: one byte of room for one byte.
                if unsafe { libc::read(fd, (&raw mut byte).cast(), 1) } != 1 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        }
    }
}

fn exec_true() -> io::Result<()> {
    let path: &CStr = c"/bin/true";
    let argv = [path.as_ptr(), std::ptr::null()];
    let env = [std::ptr::null()];
    // SAFETY: as in `run`; the arrays are NULL-terminated and outlive the call.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: as above.
        0 => unsafe {
            libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr());
            libc::_exit(127)
        },
        pid => match wait(pid)? {
            0 => Ok(()),
            _ => Err(io::Error::other("/bin/true failed")),
        },
    }
}

fn wait(pid: libc::pid_t) -> io::Result<i32> {
    let mut status = 0;
    // SAFETY: waits for a child of this process.
    if unsafe { libc::waitpid(pid, &raw mut status, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(status)
}

fn socket(kind: i32) -> io::Result<i32> {
    // SAFETY: no preconditions.
    check(unsafe { libc::socket(libc::AF_INET, kind, 0) })
}

/// connect to the discard port of the loopback address.
fn connect(fd: i32) -> io::Result<i32> {
    let address = libc::sockaddr_in {
        sin_family: libc::sa_family_t::try_from(libc::AF_INET).map_err(io::Error::other)?,
        sin_port: 9u16.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(std::net::Ipv4Addr::LOCALHOST).to_be() },
        sin_zero: [0; 8],
    };
    let len = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
    // SAFETY: the address is valid for its length.
    Ok(unsafe { libc::connect(fd, (&raw const address).cast(), len) })
}

fn close(fd: i32) -> io::Result<()> {
    // SAFETY: closes a descriptor that this function's caller opened.
    check(unsafe { libc::close(fd) }).map(drop)
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
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
