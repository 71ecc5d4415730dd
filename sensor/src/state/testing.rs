//! Records made by hand, for the tests of this module and of captures.

use sensor_ebpf::events::Kind;
use sensor_ebpf::events::cgroup::Cgroup;
use sensor_ebpf::events::plain::Plain;
use sensor_ebpf::events::process::{Exec, Exit, Fork};
use sensor_ebpf::record::{Header, Pod, Record, Tail, Task, exec_id};
use zerocopy::IntoBytes as _;

use super::process::{Image, Process};

/// The bytes of a record, aligned as in the ring.
pub struct Made(Vec<u64>);

impl Made {
    pub fn record(&self) -> Record<'_> {
        Record::parse(self.0.as_bytes()).unwrap()
    }
}

/// A record with a body of `T` and the strings behind it; `body` gets their places.
pub fn record<T: Pod>(
    kind: Kind,
    mut header: Header,
    tails: &[&[u8]],
    body: impl FnOnce(&[Tail]) -> T,
) -> Made {
    let mut off = size_of::<Header>() + size_of::<T>();
    let places: Vec<Tail> = tails
        .iter()
        .map(|t| {
            let tail = Tail { off: u16::try_from(off).unwrap(), len: u16::try_from(t.len()).unwrap() };
            off += t.len();
            tail
        })
        .collect();
    header.kind = kind as u16;
    header.len = u32::try_from(off.next_multiple_of(8)).unwrap();
    let mut bytes = [header.as_bytes(), body(&places).as_bytes()].concat();
    bytes.extend(tails.concat());
    bytes.resize(off.next_multiple_of(8), 0);
    Made(bytes.chunks_exact(8).map(|c| u64::from_ne_bytes(c.try_into().unwrap())).collect())
}

/// A process that a test speaks of: pid and start time (s since boot) make its identity.
#[derive(Clone, Copy)]
pub struct Who {
    pub pid: u32,
    pub start: u64,
}

impl Who {
    pub fn exec_id(self) -> u64 {
        exec_id(self.pid, self.start * 1_000_000_000)
    }

    pub fn header(self, time: u64) -> Header {
        Header {
            time: time * 1_000_000_000,
            exec_id: self.exec_id(),
            cgroup: 1,
            tgid: self.pid,
            tid: self.pid,
            uid: 0,
            gid: 0,
            cap_inheritable: 0,
            cap_permitted: 0,
            cap_effective: 0,
            len: 0,
            kind: 0,
            flags: 0,
            comm: [0; 16],
        }
    }

    pub fn task(self, parent: Self, name: &str) -> Task {
        let mut comm = [0; 16];
        comm[..name.len()].copy_from_slice(name.as_bytes());
        Task {
            start: self.start * 1_000_000_000,
            parent_exec_id: parent.exec_id(),
            ppid: parent.pid,
            vpid: self.pid,
            uid: 0,
            gid: 0,
            comm,
            ..Process::unknown(0, 0).task
        }
    }

    pub fn fork(self, time: u64, task: Task) -> Made {
        let forker = task.parent_exec_id;
        record(Kind::Fork, self.header(time), &[], |_| Fork { task, forker })
    }

    /// A fork with `CLONE_PARENT`: `forker` is no parent.
    pub fn fork_as_sibling(self, time: u64, task: Task, forker: Self) -> Made {
        record(Kind::Fork, self.header(time), &[], |_| Fork { task, forker: forker.exec_id() })
    }

    pub fn exec(self, time: u64, task: Task, path: &str, args: &[u8]) -> Made {
        record(Kind::Exec, self.header(time), &[path.as_bytes(), args], |tails| Exec {
            task,
            exe: Image::unknown().exe,
            exepath: tails[0],
            filename: tails[0],
            args: tails[1],
            env: Tail::EMPTY,
            cwd: Tail::EMPTY,
            reserved: 0,
        })
    }

    pub fn exit(self, time: u64, reaper: Self) -> Made {
        record(Kind::Exit, self.header(time), &[], |_| Exit { status: 0, reaper: reaper.pid })
    }

    pub fn setuid(self, time: u64, ret: i64, euid: u32) -> Made {
        let header = Header { uid: euid, cap_permitted: 7, cap_effective: 3, ..self.header(time) };
        record(Kind::Setuid, header, &[], |_| Plain { ret, args: [euid.into(); 6] })
    }
}

/// A `cgroup_mkdir` or `cgroup_rmdir` by the first process of all.
pub fn cgroup(kind: Kind, id: u64, path: &str) -> Made {
    cgroup_of(Who { pid: 1, start: 0 }, kind, id, path)
}

/// The same by another one.
pub fn cgroup_of(who: Who, kind: Kind, id: u64, path: &str) -> Made {
    let header = who.header(0);
    record(kind, header, &[path.as_bytes()], |tails| Cgroup { id, hierarchy: 0, path: tails[0] })
}
