//! What a process changes of itself between its execs.

use std::sync::Arc;

use sensor_ebpf::events::Change;
use sensor_ebpf::record::{Groups, Header};

use crate::state::process::Process;

/// The parts that have changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Changed {
    credentials: Option<Credentials>,
    pub cwd: Option<Arc<[u8]>>,
    groups: Option<Groups>,
    /// Inode of the mount namespace.
    mntns: Option<u32>,
}

/// Of a thread, as the header of its record has them.
#[derive(Debug, Clone, Copy)]
struct Credentials {
    uid: u32,
    gid: u32,
    cap_inheritable: u64,
    cap_permitted: u64,
    cap_effective: u64,
}

impl Changed {
    /// What the record of that header tells of its process; `None` when that is something else. An entry is about the process: what a
    /// thread beside the main one does to itself alone stands in the headers of its own records.
    pub fn of(header: &Header, change: &Change<'_>) -> Option<Self> {
        let main = header.tid == header.tgid;
        let none = Self::default();
        Some(match change {
            Change::Credentials if main => Self { credentials: Some(Credentials::of(header)), ..none },
            Change::Namespace { mntns } if main => Self { mntns: Some(*mntns), ..none },
            Change::Directory(path) => Self { cwd: Some((*path).into()), ..none },
            Change::Groups(now) => Self { groups: Some(**now), ..none },
            _ => return None,
        })
    }

    /// Takes in what changed later.
    pub fn then(&mut self, later: Self) {
        self.credentials = later.credentials.or(self.credentials);
        self.cwd = later.cwd.or_else(|| self.cwd.take());
        self.groups = later.groups.or(self.groups);
        self.mntns = later.mntns.or(self.mntns);
    }

    /// Writes it into an entry.
    pub fn apply(&self, process: &mut Process) {
        let task = &mut process.task;
        if let Some(now) = self.credentials {
            task.uid = now.uid;
            task.gid = now.gid;
            task.cap_inheritable = now.cap_inheritable;
            task.cap_permitted = now.cap_permitted;
            task.cap_effective = now.cap_effective;
        }
        if let Some(now) = self.groups {
            task.sid = now.sid;
            task.pgid = now.pgid;
            task.vsid = now.vsid;
            task.vpgid = now.vpgid;
            task.tty = now.tty;
        }
        if let Some(mntns) = self.mntns {
            task.mntns = mntns;
        }
        if let Some(cwd) = &self.cwd {
            process.cwd = cwd.clone();
        }
    }
}

impl Credentials {
    fn of(header: &Header) -> Self {
        Self {
            uid: header.uid,
            gid: header.gid,
            cap_inheritable: header.cap_inheritable,
            cap_permitted: header.cap_permitted,
            cap_effective: header.cap_effective,
        }
    }
}
