//! What the checks look at, so that a test can show them another machine.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::probe::object::{Contents, ObjectError};

/// Bits of `CapEff` in `/proc/PID/status`.
pub const CAP_DAC_READ_SEARCH: u32 = 2;
pub const CAP_SYS_PTRACE: u32 = 19;
pub const CAP_SYS_ADMIN: u32 = 21;
pub const CAP_PERFMON: u32 = 38;
pub const CAP_BPF: u32 = 39;

/// A machine as the checks see it.
pub struct Machine {
    /// Where `/proc`, `/sys` and `/run` are looked up.
    pub root: PathBuf,
    /// `uname -m`.
    pub architecture: &'static str,
    /// The eBPF programs in the binary; `None` when it was built without.
    pub programs: Option<Result<Contents, ObjectError>>,
    /// Where the sensor would listen, and for what.
    pub addresses: Vec<(&'static str, SocketAddr)>,
    /// Where the alert log would be; not below `root`.
    pub state: PathBuf,
}

impl Machine {
    /// The one that this runs on.
    pub fn this(state: PathBuf) -> Self {
        Self {
            root: PathBuf::from("/"),
            architecture: std::env::consts::ARCH,
            programs: Contents::embedded(),
            addresses: vec![
                ("intake", SocketAddr::from(([127, 0, 0, 1], 2801))),
                ("web app", SocketAddr::from(([127, 0, 0, 1], 2802))),
            ],
            state,
        }
    }

    /// `/proc/…` and the like, on that machine.
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(Path::new(absolute).strip_prefix("/").unwrap_or(Path::new(absolute)))
    }

    /// A small text file without the white space around it; `None` when it cannot be read.
    pub fn text(&self, absolute: &str) -> Option<String> {
        Some(fs::read_to_string(self.path(absolute)).ok()?.trim().to_owned())
    }

    /// True when this process has the capability (and not only inside a user namespace of its own).
    pub fn has(&self, capability: u32) -> bool {
        let status = self.text("/proc/self/status").unwrap_or_default();
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let bits = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
        !self.in_user_namespace() && bits & (1 << capability) != 0
    }

    /// True when user ids are not the host's.
    pub fn in_user_namespace(&self) -> bool {
        let map = self.text("/proc/self/uid_map").unwrap_or_default();
        !map.is_empty() && !map.split_whitespace().eq(["0", "0", "4294967295"])
    }
}
