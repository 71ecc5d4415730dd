//! The registry of events: one line per family in [`for_each_event`], and each family's file has everything else.

pub mod flags;
mod info;
pub mod plain;

pub(crate) use info::params;
pub use info::{
    Arg, Category, Change, Codes, Descriptor, Direction, FdView, Info, Is, Looks, NewImage, Opening, Param,
    ParamType, PathRole, Role, UnixName, View, Volume, goes_on,
};

use crate::abi::{self, Numbers};
use crate::record::{Record, Tag};

pub use crate::record::Lane;

/// The registry: per family its module, and per event of it `Kind, program, what it hooks`: a tracepoint, or a system call by its
/// name in the kernel's tables. The kind is also the type in the
/// module that says everything about the event, and the program the module's kernel handler.
///
/// The macro calls another one with all of it. Below it makes the modules, so a new family is a file and a line here.
#[macro_export]
macro_rules! for_each_event {
    ($callback:ident) => {
        $callback! {
            process {
                Fork, fork, tracepoint "sched_process_fork";
                Exec, exec, tracepoint "sched_process_exec";
                Exit, exit, tracepoint "sched_process_exit";
            }
            cgroup {
                CgroupMkdir, cgroup_mkdir, tracepoint "cgroup_mkdir";
                CgroupRmdir, cgroup_rmdir, tracepoint "cgroup_rmdir";
            }
            exec {
                Execve, execve, syscall "execve";
                Execveat, execveat, syscall "execveat";
            }
            open {
                Open, open, syscall "open";
                Openat, openat, syscall "openat";
                Openat2, openat2, syscall "openat2";
                Creat, creat, syscall "creat";
                OpenByHandleAt, open_by_handle_at, syscall "open_by_handle_at";
            }
            connect { Connect, connect, syscall "connect"; }
            dup {
                Dup, dup, syscall "dup";
                Dup2, dup2, syscall "dup2";
                Dup3, dup3, syscall "dup3";
            }
            setuid {
                Setuid, setuid, syscall "setuid";
                Setgid, setgid, syscall "setgid";
                Setreuid, setreuid, syscall "setreuid";
                Setregid, setregid, syscall "setregid";
                Setresuid, setresuid, syscall "setresuid";
                Setresgid, setresgid, syscall "setresgid";
                Setfsuid, setfsuid, syscall "setfsuid";
                Setfsgid, setfsgid, syscall "setfsgid";
                Setgroups, setgroups, syscall "setgroups";
                Capset, capset, syscall "capset";
            }
            session {
                Setsid, setsid, syscall "setsid";
                Setpgid, setpgid, syscall "setpgid";
            }
            chdir {
                Chdir, chdir, syscall "chdir";
                Fchdir, fchdir, syscall "fchdir";
            }
            prctl { Prctl, prctl, syscall "prctl"; }
            clone {
                Clone, clone, syscall "clone";
                Clone3, clone3, syscall "clone3";
                ForkCall, fork_call, syscall "fork";
                Vfork, vfork, syscall "vfork";
            }
            namespace {
                Unshare, unshare, syscall "unshare";
                Setns, setns, syscall "setns";
            }
            signal {
                Kill, kill, syscall "kill";
                Tkill, tkill, syscall "tkill";
                Tgkill, tgkill, syscall "tgkill";
                PidfdSendSignal, pidfd_send_signal, syscall "pidfd_send_signal";
            }
            pidfd {
                PidfdOpen, pidfd_open, syscall "pidfd_open";
                PidfdGetfd, pidfd_getfd, syscall "pidfd_getfd";
            }
            process_vm {
                ProcessVmReadv, process_vm_readv, syscall "process_vm_readv";
                ProcessVmWritev, process_vm_writev, syscall "process_vm_writev";
            }
            module {
                InitModule, init_module, syscall "init_module";
                FinitModule, finit_module, syscall "finit_module";
                DeleteModule, delete_module, syscall "delete_module";
                KexecLoad, kexec_load, syscall "kexec_load";
                KexecFileLoad, kexec_file_load, syscall "kexec_file_load";
            }
            bpf {
                Bpf, bpf, syscall "bpf";
                Userfaultfd, userfaultfd, syscall "userfaultfd";
                PerfEventOpen, perf_event_open, syscall "perf_event_open";
                Seccomp, seccomp, syscall "seccomp";
            }
            keys {
                Keyctl, keyctl, syscall "keyctl";
                AddKey, add_key, syscall "add_key";
                RequestKey, request_key, syscall "request_key";
            }
            io_uring {
                IoUringSetup, io_uring_setup, syscall "io_uring_setup";
                IoUringEnter, io_uring_enter, syscall "io_uring_enter";
                IoUringRegister, io_uring_register, syscall "io_uring_register";
            }
            memory {
                Mmap, mmap, syscall "mmap";
                Mprotect, mprotect, syscall "mprotect";
                Munmap, munmap, syscall "munmap";
                Mremap, mremap, syscall "mremap";
                Brk, brk, syscall "brk";
                Mlock, mlock, syscall "mlock";
                Munlock, munlock, syscall "munlock";
                Mlock2, mlock2, syscall "mlock2";
                Mlockall, mlockall, syscall "mlockall";
                Munlockall, munlockall, syscall "munlockall";
            }
            identity {
                Getuid, getuid, syscall "getuid";
                Geteuid, geteuid, syscall "geteuid";
                Getgid, getgid, syscall "getgid";
                Getegid, getegid, syscall "getegid";
                Getresuid, getresuid, syscall "getresuid";
                Getresgid, getresgid, syscall "getresgid";
            }
            limits {
                Getrlimit, getrlimit, syscall "getrlimit";
                Setrlimit, setrlimit, syscall "setrlimit";
                Prlimit, prlimit, syscall "prlimit64";
            }
            ptrace { Ptrace, ptrace, syscall "ptrace"; }
            unlink {
                Unlink, unlink, syscall "unlink";
                Unlinkat, unlinkat, syscall "unlinkat";
                Rmdir, rmdir, syscall "rmdir";
            }
            rename {
                Rename, rename, syscall "rename";
                Renameat, renameat, syscall "renameat";
                Renameat2, renameat2, syscall "renameat2";
            }
            link {
                Link, link, syscall "link";
                Linkat, linkat, syscall "linkat";
            }
            symlink {
                Symlink, symlink, syscall "symlink";
                Symlinkat, symlinkat, syscall "symlinkat";
            }
            mkdir {
                Mkdir, mkdir, syscall "mkdir";
                Mkdirat, mkdirat, syscall "mkdirat";
            }
            chmod {
                Chmod, chmod, syscall "chmod";
                Fchmod, fchmod, syscall "fchmod";
                Fchmodat, fchmodat, syscall "fchmodat";
                Fchmodat2, fchmodat2, syscall "fchmodat2";
            }
            chown {
                Chown, chown, syscall "chown";
                Lchown, lchown, syscall "lchown";
                Fchown, fchown, syscall "fchown";
                Fchownat, fchownat, syscall "fchownat";
            }
            mknod {
                Mknod, mknod, syscall "mknod";
                Mknodat, mknodat, syscall "mknodat";
            }
            mount {
                Mount, mount, syscall "mount";
                Umount2, umount2, syscall "umount2";
            }
            newmount {
                OpenTree, open_tree, syscall "open_tree";
                MoveMount, move_mount, syscall "move_mount";
                Fsopen, fsopen, syscall "fsopen";
                Fsmount, fsmount, syscall "fsmount";
                MountSetattr, mount_setattr, syscall "mount_setattr";
            }
            root {
                Chroot, chroot, syscall "chroot";
                PivotRoot, pivot_root, syscall "pivot_root";
            }
            access {
                Access, access, syscall "access";
                Faccessat, faccessat, syscall "faccessat";
                Faccessat2, faccessat2, syscall "faccessat2";
                Stat, stat, syscall "stat";
                Lstat, lstat, syscall "lstat";
                Newfstatat, newfstatat, syscall "newfstatat";
                Statx, statx, syscall "statx";
                Readlink, readlink, syscall "readlink";
                Readlinkat, readlinkat, syscall "readlinkat";
                Truncate, truncate, syscall "truncate";
            }
            fdcalls {
                Flock, flock, syscall "flock";
                Lseek, lseek, syscall "lseek";
                Ioctl, ioctl, syscall "ioctl";
                Getdents, getdents, syscall "getdents";
                Getdents64, getdents64, syscall "getdents64";
                Fstat, fstat, syscall "fstat";
                Ftruncate, ftruncate, syscall "ftruncate";
            }
            attributes {
                Utimensat, utimensat, syscall "utimensat";
                Utimes, utimes, syscall "utimes";
                Utime, utime, syscall "utime";
                Setxattr, setxattr, syscall "setxattr";
                Lsetxattr, lsetxattr, syscall "lsetxattr";
                Fsetxattr, fsetxattr, syscall "fsetxattr";
                Removexattr, removexattr, syscall "removexattr";
                Lremovexattr, lremovexattr, syscall "lremovexattr";
                Fremovexattr, fremovexattr, syscall "fremovexattr";
            }
            pipe {
                Pipe, pipe, syscall "pipe";
                Pipe2, pipe2, syscall "pipe2";
            }
            close_range { CloseRange, close_range, syscall "close_range"; }
            fcntl { Fcntl, fcntl, syscall "fcntl"; }
            descriptors {
                Eventfd, eventfd, syscall "eventfd";
                Eventfd2, eventfd2, syscall "eventfd2";
                Signalfd, signalfd, syscall "signalfd";
                Signalfd4, signalfd4, syscall "signalfd4";
                TimerfdCreate, timerfd_create, syscall "timerfd_create";
                InotifyInit, inotify_init, syscall "inotify_init";
                InotifyInit1, inotify_init1, syscall "inotify_init1";
                EpollCreate1, epoll_create1, syscall "epoll_create1";
                MemfdCreate, memfd_create, syscall "memfd_create";
            }
            socket { Socket, socket, syscall "socket"; }
            bind {
                Bind, bind, syscall "bind";
                Listen, listen, syscall "listen";
            }
            accept {
                Accept, accept, syscall "accept";
                Accept4, accept4, syscall "accept4";
            }
            send {
                Sendto, sendto, syscall "sendto";
                Sendmsg, sendmsg, syscall "sendmsg";
                Sendmmsg, sendmmsg, syscall "sendmmsg";
            }
            recv {
                Recvfrom, recvfrom, syscall "recvfrom";
                Recvmsg, recvmsg, syscall "recvmsg";
                Recvmmsg, recvmmsg, syscall "recvmmsg";
            }
            shutdown { Shutdown, shutdown, syscall "shutdown"; }
            sockname {
                Getsockname, getsockname, syscall "getsockname";
                Getpeername, getpeername, syscall "getpeername";
            }
            socketpair { Socketpair, socketpair, syscall "socketpair"; }
            sockopt {
                Setsockopt, setsockopt, syscall "setsockopt";
                Getsockopt, getsockopt, syscall "getsockopt";
            }
            io {
                Read, read, syscall "read";
                Write, write, syscall "write";
                Pread, pread, syscall "pread64";
                Pwrite, pwrite, syscall "pwrite64";
                Readv, readv, syscall "readv";
                Writev, writev, syscall "writev";
                Preadv, preadv, syscall "preadv";
                Pwritev, pwritev, syscall "pwritev";
            }
            copy {
                Sendfile, sendfile, syscall "sendfile";
                Splice, splice, syscall "splice";
                CopyFileRange, copy_file_range, syscall "copy_file_range";
            }
        }
    };
}

macro_rules! registry {
    ($($module:ident { $($kind:ident, $program:ident, $hook:ident $at:tt;)+ })+) => {
        $(pub mod $module;)+

        /// Number of an event in records, maps and counters. 0 is no event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Kind { None = 0, $($($kind),+),+ }

        /// Every event, in the order of [`Kind`] without `None`.
        pub static EVENTS: &[Event] = &[$($(Event {
            kind: Kind::$kind,
            program: stringify!($program),
            hook: registry!(@hook $hook $at),
            info: &$module::$kind::EVENT,
        }),+),+];

        impl Kind {
            /// The lane that records of this kind take.
            #[inline(always)]
            pub const fn lane(self) -> Lane {
                match self {
                    Self::None => Lane::Bulk,
                    $($(Self::$kind => const { $module::$kind::EVENT.lane }),+),+
                }
            }
        }
    };
    (@hook tracepoint $at:literal) => { Hook::Tracepoint($at) };
    (@hook syscall $at:literal) => { Hook::Syscall(const { abi::numbers($at) }) };
}
for_each_event!(registry);

impl From<Kind> for Tag {
    #[inline(always)]
    fn from(kind: Kind) -> Self {
        Self { kind: kind as u16, lane: kind.lane() }
    }
}

impl Event {
    /// The event with the number that stands in a record's header.
    pub fn of_kind(kind: u16) -> Option<&'static Self> {
        EVENTS.get(usize::from(kind).checked_sub(1)?)
    }
}

/// What a record changes in the state; `None` for most.
pub fn change<'a>(record: &Record<'a>) -> Option<Change<'a>> {
    (Event::of_kind(record.header().kind)?.info.changes?)(record)
}

/// Where the program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// BTF tracepoint of that name.
    Tracepoint(&'static str),
    /// Tail-called by the `sys_exit` dispatcher for these syscall numbers.
    Syscall(Numbers),
}

/// An event of the registry.
pub struct Event {
    pub kind: Kind,
    /// Name of the BPF program.
    pub program: &'static str,
    pub hook: Hook,
    pub info: &'static Info,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_number_the_registry() {
        for (i, event) in EVENTS.iter().enumerate() {
            assert_eq!(event.kind as usize, i + 1);
            assert_eq!(Event::of_kind(event.kind as u16).unwrap().program, event.program);
            assert!((event.kind as u32) < crate::config::COUNTERS_LEN);
        }
        assert!(Event::of_kind(0).is_none());
        assert!(Event::of_kind(u16::MAX).is_none());
    }

    #[test]
    fn no_syscall_stands_twice() {
        for (i, a) in EVENTS.iter().enumerate() {
            for b in &EVENTS[i + 1..] {
                assert_ne!(a.hook, b.hook, "{} and {}", a.program, b.program);
            }
        }
    }

    /// The small lane is for what a process cannot do in a loop without much else: begin, run another program, end.
    #[test]
    fn the_lifecycle_lane_is_for_what_the_state_cannot_do_without() {
        for event in EVENTS {
            let first = event.info.lane == Lane::Lifecycle;
            assert_eq!(first, matches!(event.hook, Hook::Tracepoint(_)), "{}", event.program);
            assert!(!first || event.info.feeds_state(), "{}", event.program);
            assert_eq!(event.kind.lane(), event.info.lane, "{}", event.program);
        }
    }

    #[test]
    fn a_call_has_either_one_path_or_two() {
        for view in EVENTS.iter().filter_map(|event| event.info.rules) {
            let count = |role| view.params.iter().filter(|param| param.ty.path_role() == Some(role)).count();
            let counts = [PathRole::Name, PathRole::Source, PathRole::Target].map(count);
            assert!([[0, 0, 0], [1, 0, 0], [0, 1, 1]].contains(&counts), "{}: {counts:?}", view.name);
        }
    }
}
