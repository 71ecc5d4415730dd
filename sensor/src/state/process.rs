//! What a process is.

use std::sync::Arc;

use sensor_ebpf::events::{NewImage, process};
use sensor_ebpf::record::{Exe, Task};

/// One process at one moment.
#[derive(Debug, Clone)]
pub struct Process {
    /// Identity, also after exec.
    pub exec_id: u64,
    pub tgid: u32,
    /// Exec id of the process that forked it, which need not be its parent (any more); 0 where nobody saw it.
    pub forked_by: u64,
    /// Ids, credentials, namespaces: as the kernel told them last. `comm`: as it was when the process ran its program.
    pub task: Task,
    /// kernfs id of its cgroup when the snapshot was made; a record's header has the current one.
    pub cgroup: u64,
    /// When the process was made and when it last ran a new image; `CLOCK_BOOTTIME` ns, 0 unknown.
    pub cloned: u64,
    pub execed: u64,
    /// Working directory, from the process's root.
    pub cwd: Arc<[u8]>,
    /// What it runs; shared with the children that have not run anything else yet.
    pub image: Arc<Image>,
}

/// What an exec set: the same for a process and for children that it made since.
#[derive(Debug, Clone)]
pub struct Image {
    /// Inode, times and `EXE_*` flags of the executable; all 0 where unknown.
    pub exe: Exe,
    /// Path of the executable from the process's root, without ` (deleted)`; `memfd:NAME` for a memfd.
    pub exepath: Box<[u8]>,
    /// The path that the exec was asked for; empty for processes found in `/proc`.
    pub filename: Box<[u8]>,
    /// `argv` and `envp`, each string ended by NUL, cut to the record's limits.
    pub args: Box<[u8]>,
    pub env: Box<[u8]>,
}

impl Image {
    /// Nothing known.
    pub fn unknown() -> Self {
        Self {
            exe: Exe { ino: 0, ctime: 0, mtime: 0, dev: 0, flags: 0 },
            exepath: Box::default(),
            filename: Box::default(),
            args: Box::default(),
            env: Box::default(),
        }
    }

    /// What an exec's record tells.
    pub fn of_exec(new: &NewImage<'_>) -> Self {
        Self {
            exe: *new.exe,
            exepath: exe_path(new.exepath).into(),
            filename: new.filename.into(),
            args: new.args.into(),
            env: new.env.into(),
        }
    }

    /// Memory behind this image.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.exepath.len() + self.filename.len() + self.args.len() + self.env.len()
    }

    /// `argv[0]`.
    pub fn arg0(&self) -> &[u8] {
        process::split_first(&self.args).0
    }

    /// `argv[1..]`, each ended by NUL.
    pub fn rest(&self) -> &[u8] {
        process::split_first(&self.args).1
    }
}

/// The kernel's name of an executable in the form that rules know.
pub(super) fn exe_path(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    if path.starts_with(b"/memfd:") { &path[1..] } else { path }
}

impl Process {
    /// The name that the kernel gave the process when it ran its program, without padding; not one that it gave itself since.
    pub fn comm(&self) -> &[u8] {
        process::comm(&self.task)
    }

    /// The entry for a process of which nothing but its identity is known.
    pub fn unknown(exec_id: u64, tgid: u32) -> Self {
        Self {
            exec_id,
            tgid,
            forked_by: 0,
            task: Task {
                start: 0,
                parent_exec_id: 0,
                cap_inheritable: 0,
                cap_permitted: 0,
                cap_effective: 0,
                pidns_start: 0,
                ppid: 0,
                sid: 0,
                pgid: 0,
                vpid: 0,
                vsid: 0,
                vpgid: 0,
                uid: u32::MAX,
                gid: u32::MAX,
                loginuid: u32::MAX,
                tty: 0,
                pidns: 0,
                mntns: 0,
                comm: [0; 16],
            },
            cgroup: 0,
            cloned: 0,
            execed: 0,
            cwd: Arc::default(),
            image: Arc::new(Image::unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executables_name_is_as_rules_know_it() {
        for (kernel, rules) in [
            ("/bin/sh (deleted)", "/bin/sh"),
            ("/memfd:x (deleted)", "memfd:x"),
            ("memfd:x", "memfd:x"),
            ("", ""),
        ] {
            assert_eq!(exe_path(kernel.as_bytes()), rules.as_bytes());
        }
    }
}
