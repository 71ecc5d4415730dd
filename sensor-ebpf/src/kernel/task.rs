//! Readers of `struct task_struct` and what it points to.

use super::path::Path;
use super::read::{self, Ptr, typed};
use crate::record::{Groups, Task, exec_id};
use crate::{config, off};

/// Number of `pid` in the namespace at `level`.
#[inline(always)]
fn number(pid: Ptr, level: u32) -> u32 {
    let upid = off!(pid_numbers) + (level as usize & 31) * off!(upid_size);
    read::kernel(pid, upid + off!(upid_nr))
}

/// `signal->pids[kind]`: 2 is the process group, 3 the session (`enum pid_type`).
#[inline(always)]
fn signal_pid(signal: Ptr, kind: usize) -> Ptr {
    read::pointer(signal, off!(signal_pids) + 8 * kind)
}

/// Fills the snapshot of `task`'s process.
#[inline(always)]
pub fn snapshot(task: Ptr, out: &mut Task) {
    let leader = read::pointer(task, off!(task_group_leader));
    out.start = read::kernel(leader, off!(task_start_boottime));
    let parent = read::pointer(leader, off!(task_real_parent));
    out.ppid = read::kernel(parent, off!(task_tgid));
    out.parent_exec_id = exec_id_of(parent);

    let cred = read::pointer(task, off!(task_cred));
    out.cap_inheritable = read::kernel(cred, off!(cred_cap_inheritable));
    out.cap_permitted = read::kernel(cred, off!(cred_cap_permitted));
    out.cap_effective = read::kernel(cred, off!(cred_cap_effective));
    out.uid = read::kernel(cred, off!(cred_euid));
    out.gid = read::kernel(cred, off!(cred_egid));
    out.loginuid = if config!(offsets.task_loginuid) == crate::config::MISSING {
        u32::MAX
    } else {
        read::kernel(task, off!(task_loginuid))
    };

    let pid = read::pointer(leader, off!(task_thread_pid));
    let level: u32 = read::kernel(pid, off!(pid_level));
    out.vpid = number(pid, level);
    let now = groups(task);
    out.pgid = now.pgid;
    out.sid = now.sid;
    out.vpgid = now.vpgid;
    out.vsid = now.vsid;
    out.tty = now.tty;
    let upid = off!(pid_numbers) + (level as usize & 31) * off!(upid_size);
    let pidns = read::pointer(pid, upid + off!(upid_ns));
    out.pidns = read::kernel(pidns, off!(pidns_inum));
    let reaper = read::pointer(pidns, off!(pidns_child_reaper));
    out.pidns_start = read::kernel(reaper, off!(task_start_boottime));
    out.mntns = mntns(task);
    out.comm = read::kernel(task, off!(task_comm));
}

/// [`exec_id`] of `task`'s process.
#[inline(always)]
pub fn exec_id_of(task: Ptr) -> u64 {
    let leader = read::pointer(task, off!(task_group_leader));
    exec_id(read::kernel(task, off!(task_tgid)), read::kernel(leader, off!(task_start_boottime)))
}

/// Process group, session and terminal of `task`'s process.
#[inline(always)]
pub fn groups(task: Ptr) -> Groups {
    let level = level(task);
    let signal = read::pointer(task, off!(task_signal));
    let group = signal_pid(signal, 2);
    let session = signal_pid(signal, 3);
    Groups {
        sid: number(session, 0),
        pgid: number(group, 0),
        vsid: number(session, level),
        vpgid: number(group, level),
        tty: tty(signal),
        level,
    }
}

/// Inode of the mount namespace.
#[inline(always)]
pub fn mntns(task: Ptr) -> u32 {
    let nsproxy = read::pointer(task, off!(task_nsproxy));
    read::kernel(read::pointer(nsproxy, off!(nsproxy_mnt_ns)), off!(mntns_inum))
}

/// The thread's number as it sees itself, and the depth of its pid namespace.
#[inline(always)]
pub fn own_number(task: Ptr) -> (u32, u32) {
    let level = level(task);
    (number(read::pointer(task, off!(task_thread_pid)), level), level)
}

/// Depth of `task`'s pid namespace; 0 is the initial one.
#[inline(always)]
fn level(task: Ptr) -> u32 {
    read::kernel(read::pointer(task, off!(task_thread_pid)), off!(pid_level))
}

/// Whether `task` has a working directory of its own, which other threads of its process do not share.
#[inline(always)]
pub fn has_own_cwd(task: Ptr) -> bool {
    // SAFETY: `task` is BTF-typed (the current task), and so is what is loaded through it.
    let (own, of_leader) = unsafe {
        let leader: Ptr = typed(task, off!(task_group_leader));
        (typed::<u64>(task, off!(task_fs)), typed::<u64>(leader, off!(task_fs)))
    };
    // A leader that has ended has none.
    of_leader != 0 && own != of_leader
}

/// Generations that are looked at for a subreaper; a session of systemd or a container's shim is a few away.
const SUBREAPER_DEPTH: usize = 16;

/// `tgid` of who gets the children of `task` when its process ends, as the kernel's `find_new_reaper` decides: the nearest living
/// ancestor in the same pid namespace that has made itself a subreaper (containerd-shim, `systemd --user`), else the
/// namespace's init.
#[inline(always)]
pub fn reaper(task: Ptr) -> u32 {
    let pid = read::pointer(task, off!(task_thread_pid));
    let level: u32 = read::kernel(pid, off!(pid_level));
    if config!(offsets.signal_is_child_subreaper) != crate::config::MISSING
        && bit(read::pointer(task, off!(task_signal)), off!(signal_has_child_subreaper))
    {
        let mut ancestor = task;
        for _ in 0..SUBREAPER_DEPTH {
            ancestor = read::pointer(ancestor, off!(task_real_parent));
            let pid = read::pointer(ancestor, off!(task_thread_pid));
            if ancestor.is_null() || read::kernel::<u32>(pid, off!(pid_level)) != level {
                break;
            }
            let signal = read::pointer(ancestor, off!(task_signal));
            if bit(signal, off!(signal_is_child_subreaper))
                && read::kernel::<u32>(signal, off!(signal_live)) > 0
            {
                return read::kernel(ancestor, off!(task_tgid));
            }
        }
    }
    let upid = off!(pid_numbers) + (level as usize & 31) * off!(upid_size);
    let pidns = read::pointer(pid, upid + off!(upid_ns));
    read::kernel(read::pointer(pidns, off!(pidns_child_reaper)), off!(task_tgid))
}

/// The bit field of one bit at bit offset `at`.
#[inline(always)]
fn bit(ptr: Ptr, at: usize) -> bool {
    read::kernel::<u8>(ptr, at / 8) >> (at % 8) & 1 == 1
}

/// The controlling terminal's device number (`tty_devnum`), 0 when there is none.
#[inline(always)]
fn tty(signal: Ptr) -> u32 {
    let tty = read::pointer(signal, off!(signal_tty));
    if tty.is_null() {
        return 0;
    }
    let driver = read::pointer(tty, off!(tty_driver));
    let major: u32 = read::kernel(driver, off!(tty_driver_major));
    let minor: u32 = read::kernel::<u32>(driver, off!(tty_driver_minor_start))
        .wrapping_add(read::kernel(tty, off!(tty_index)));
    encode_dev(major, minor)
}

/// `new_encode_dev`.
#[inline(always)]
pub fn encode_dev(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// The root directory of the current task.
#[inline(always)]
pub fn root(task: Ptr) -> Path {
    fs_path(task, off!(fs_root))
}

/// The working directory of the current task.
#[inline(always)]
pub fn cwd(task: Ptr) -> Path {
    fs_path(task, off!(fs_pwd))
}

#[inline(always)]
fn fs_path(task: Ptr, member: usize) -> Path {
    // SAFETY: `task` is BTF-typed (current task or tracepoint argument), and so is what is loaded through it.
    unsafe {
        let fs: Ptr = typed(task, off!(task_fs));
        Path { mnt: typed(fs, member + off!(path_mnt)), dentry: typed(fs, member + off!(path_dentry)) }
    }
}
