//! The table of event types: every name that `evt.type` can take, with the names of its parameters.
//!
//! A name stands for the whole event: Falco's enter and exit codes of one name are one type here. System calls
//! without an event of their own in Falco's table stand at the end; Falco maps them to its generic event.

use std::collections::HashMap;
use std::sync::LazyLock;

use Kind::{Meta, Syscall};

use super::event::EventType;
use super::syscall_names::NAMES;
use crate::rules::report::suggest;

/// Where an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A system call, seen at its exit.
    Syscall,
    /// Anything else: tracepoints and asynchronous events such as `container`.
    Meta,
}

/// One event type.
#[derive(Debug)]
pub struct Info {
    pub kind: Kind,
    pub name: &'static str,
    /// Parameter names in Falco's order: what `evt.arg.NAME` and `evt.arg[N]` mean.
    pub params: &'static [&'static str],
}

const fn row(kind: Kind, name: &'static str, params: &'static [&'static str]) -> Info {
    Info { kind, name, params }
}

static EVENTS: &[Info] = &[
    row(Meta, "container", &["plugin_id", "name", "data"]),
    row(Meta, "container_removed", &["plugin_id", "name", "data"]),
    row(Syscall, "open", &["fd", "name", "flags", "mode", "dev", "ino"]),
    row(Syscall, "close", &["res", "fd"]),
    row(Syscall, "read", &["res", "data", "fd", "size"]),
    row(Syscall, "write", &["res", "data", "fd", "size"]),
    row(Syscall, "socket", &["fd", "domain", "type", "proto", "flags"]),
    row(Syscall, "bind", &["res", "addr", "fd"]),
    row(Syscall, "connect", &["res", "tuple", "fd", "addr"]),
    row(Syscall, "listen", &["res", "fd", "backlog"]),
    row(Syscall, "send", &["res", "data", "fd", "size", "tuple"]),
    row(Syscall, "sendto", &["res", "data", "fd", "size", "tuple"]),
    row(Syscall, "recv", &["res", "data", "fd", "size", "tuple"]),
    row(Syscall, "recvfrom", &["res", "data", "tuple", "fd", "size"]),
    row(Syscall, "shutdown", &["res", "fd", "how"]),
    row(Syscall, "getsockname", &[]),
    row(Syscall, "getpeername", &[]),
    row(Syscall, "socketpair", &["res", "fd1", "fd2", "source", "peer", "domain", "type", "proto"]),
    row(Syscall, "setsockopt", &["res", "fd", "level", "optname", "val", "optlen"]),
    row(Syscall, "getsockopt", &["res", "fd", "level", "optname", "val", "optlen"]),
    row(Syscall, "sendmsg", &["res", "data", "fd", "size", "tuple"]),
    row(Syscall, "sendmmsg", &["res", "fd", "size", "data", "tuple"]),
    row(Syscall, "recvmsg", &["res", "size", "data", "tuple", "msgcontrol", "fd"]),
    row(Syscall, "recvmmsg", &["res", "fd", "size", "data", "tuple", "msgcontrol"]),
    row(Syscall, "creat", &["fd", "name", "mode", "dev", "ino", "creat_flags"]),
    row(Syscall, "pipe", &["res", "fd1", "fd2", "ino"]),
    row(Syscall, "eventfd", &["res", "initval", "flags"]),
    row(Syscall, "futex", &["res", "addr", "op", "val"]),
    row(Syscall, "stat", &["res", "path"]),
    row(Syscall, "lstat", &["res", "path"]),
    row(Syscall, "fstat", &["res", "fd"]),
    row(Syscall, "stat64", &["res", "path"]),
    row(Syscall, "lstat64", &["res", "path"]),
    row(Syscall, "fstat64", &["res"]),
    row(Syscall, "epoll_wait", &["res", "maxevents"]),
    row(Syscall, "poll", &["res", "fds", "timeout"]),
    row(Syscall, "select", &["res"]),
    row(Syscall, "lseek", &["res", "fd", "offset", "whence"]),
    row(Syscall, "llseek", &["res", "fd", "offset", "whence"]),
    row(Syscall, "getcwd", &["res", "path"]),
    row(Syscall, "chdir", &["res", "path"]),
    row(Syscall, "fchdir", &["res", "fd"]),
    row(Syscall, "pread", &["res", "data", "fd", "size", "pos"]),
    row(Syscall, "pwrite", &["res", "data", "fd", "size", "pos"]),
    row(Syscall, "readv", &["res", "size", "data", "fd"]),
    row(Syscall, "writev", &["res", "data", "fd", "size"]),
    row(Syscall, "preadv", &["res", "size", "data", "fd", "pos"]),
    row(Syscall, "pwritev", &["res", "data", "fd", "size", "pos"]),
    row(Syscall, "signalfd", &["res", "fd", "mask", "flags"]),
    row(Syscall, "kill", &["res", "pid", "sig"]),
    row(Syscall, "tkill", &["res", "tid", "sig"]),
    row(Syscall, "tgkill", &["res", "pid", "tid", "sig"]),
    row(Syscall, "nanosleep", &["res", "interval"]),
    row(Syscall, "timerfd_create", &["res", "clockid", "flags"]),
    row(Syscall, "inotify_init", &["res", "flags"]),
    row(Syscall, "getrlimit", &["res", "cur", "max", "resource"]),
    row(Syscall, "setrlimit", &["res", "cur", "max", "resource"]),
    row(Syscall, "prlimit", &["res", "newcur", "newmax", "oldcur", "oldmax", "pid", "resource"]),
    row(Meta, "drop", &["ratio"]),
    row(Syscall, "fcntl", &["res", "fd", "cmd", "arg"]),
    row(Meta, "switch", &["next", "pgft_maj", "pgft_min", "vm_size", "vm_rss", "vm_swap"]),
    row(Syscall, "brk", &["res", "vm_size", "vm_rss", "vm_swap", "addr"]),
    row(
        Syscall,
        "mmap",
        &["res", "vm_size", "vm_rss", "vm_swap", "addr", "length", "prot", "flags", "fd", "offset"],
    ),
    row(
        Syscall,
        "mmap2",
        &["res", "vm_size", "vm_rss", "vm_swap", "addr", "length", "prot", "flags", "fd", "pgoffset"],
    ),
    row(Syscall, "munmap", &["res", "vm_size", "vm_rss", "vm_swap", "addr", "length"]),
    row(Syscall, "splice", &["res", "fd_in", "fd_out", "size", "flags"]),
    row(Syscall, "ptrace", &["res", "addr", "data", "request", "pid"]),
    row(Syscall, "ioctl", &["res", "fd", "request", "argument"]),
    row(Syscall, "rename", &["res", "oldpath", "newpath"]),
    row(Syscall, "renameat", &["res", "olddirfd", "oldpath", "newdirfd", "newpath"]),
    row(Syscall, "symlink", &["res", "target", "linkpath"]),
    row(Syscall, "symlinkat", &["res", "target", "linkdirfd", "linkpath"]),
    row(Meta, "procexit", &["status", "ret", "sig", "core", "reaper_tid"]),
    row(Syscall, "sendfile", &["res", "offset", "out_fd", "in_fd", "size"]),
    row(
        Syscall,
        "quotactl",
        &[
            "res",
            "special",
            "quotafilepath",
            "dqb_bhardlimit",
            "dqb_bsoftlimit",
            "dqb_curspace",
            "dqb_ihardlimit",
            "dqb_isoftlimit",
            "dqb_btime",
            "dqb_itime",
            "dqi_bgrace",
            "dqi_igrace",
            "dqi_flags",
            "quota_fmt_out",
            "cmd",
            "type",
            "id",
            "quota_fmt",
        ],
    ),
    row(Syscall, "setresuid", &["res", "ruid", "euid", "suid"]),
    row(Syscall, "setresgid", &["res", "rgid", "egid", "sgid"]),
    row(Meta, "scapevent", &["event_type", "event_data"]),
    row(Syscall, "close_range", &["res", "first", "last", "flags"]),
    row(Syscall, "setuid", &["res", "uid"]),
    row(Syscall, "setgid", &["res", "gid"]),
    row(Syscall, "getuid", &["uid"]),
    row(Syscall, "geteuid", &["euid"]),
    row(Syscall, "getgid", &["gid"]),
    row(Syscall, "getegid", &["egid"]),
    row(Syscall, "getresuid", &["res", "ruid", "euid", "suid"]),
    row(Syscall, "getresgid", &["res", "rgid", "egid", "sgid"]),
    row(
        Syscall,
        "clone",
        &[
            "res",
            "exe",
            "args",
            "tid",
            "pid",
            "ptid",
            "cwd",
            "fdlimit",
            "pgft_maj",
            "pgft_min",
            "vm_size",
            "vm_rss",
            "vm_swap",
            "comm",
            "cgroups",
            "flags",
            "uid",
            "gid",
            "vtid",
            "vpid",
            "pidns_init_start_ts",
        ],
    ),
    row(
        Syscall,
        "fork",
        &[
            "res",
            "exe",
            "args",
            "tid",
            "pid",
            "ptid",
            "cwd",
            "fdlimit",
            "pgft_maj",
            "pgft_min",
            "vm_size",
            "vm_rss",
            "vm_swap",
            "comm",
            "cgroups",
            "flags",
            "uid",
            "gid",
            "vtid",
            "vpid",
            "pidns_init_start_ts",
        ],
    ),
    row(
        Syscall,
        "vfork",
        &[
            "res",
            "exe",
            "args",
            "tid",
            "pid",
            "ptid",
            "cwd",
            "fdlimit",
            "pgft_maj",
            "pgft_min",
            "vm_size",
            "vm_rss",
            "vm_swap",
            "comm",
            "cgroups",
            "flags",
            "uid",
            "gid",
            "vtid",
            "vpid",
            "pidns_init_start_ts",
        ],
    ),
    row(Meta, "signaldeliver", &["spid", "dpid", "sig"]),
    row(Meta, "procinfo", &["cpu_usr", "cpu_sys"]),
    row(Syscall, "getdents", &["res", "fd"]),
    row(Syscall, "getdents64", &["res", "fd"]),
    row(Syscall, "setns", &["res", "fd", "nstype"]),
    row(Syscall, "flock", &["res", "fd", "operation"]),
    row(Meta, "cpu_hotplug", &["cpu", "action"]),
    row(Syscall, "accept", &["fd", "tuple", "queuepct", "queuelen", "queuemax"]),
    row(
        Syscall,
        "semop",
        &[
            "res",
            "nsops",
            "sem_num_0",
            "sem_op_0",
            "sem_flg_0",
            "sem_num_1",
            "sem_op_1",
            "sem_flg_1",
            "semid",
        ],
    ),
    row(Syscall, "semctl", &["res", "semid", "semnum", "cmd", "val"]),
    row(Syscall, "ppoll", &["res", "fds", "timeout", "sigmask"]),
    row(Syscall, "mount", &["res", "dev", "dir", "type", "flags"]),
    row(Syscall, "semget", &["res", "key", "nsems", "semflg"]),
    row(Syscall, "access", &["res", "name", "mode"]),
    row(Syscall, "chroot", &["res", "path"]),
    row(Syscall, "setsid", &["res"]),
    row(Syscall, "mkdir", &["res", "path", "mode"]),
    row(Syscall, "rmdir", &["res", "path"]),
    row(Meta, "notification", &["id", "desc"]),
    row(Syscall, "unshare", &["res", "flags"]),
    row(Meta, "infra", &["source", "name", "description", "scope"]),
    row(Meta, "page_fault", &["addr", "ip", "error"]),
    row(
        Syscall,
        "execve",
        &[
            "res",
            "exe",
            "args",
            "tid",
            "pid",
            "ptid",
            "cwd",
            "fdlimit",
            "pgft_maj",
            "pgft_min",
            "vm_size",
            "vm_rss",
            "vm_swap",
            "comm",
            "cgroups",
            "env",
            "tty",
            "vpgid",
            "loginuid",
            "flags",
            "cap_inheritable",
            "cap_permitted",
            "cap_effective",
            "exe_ino",
            "exe_ino_ctime",
            "exe_ino_mtime",
            "uid",
            "trusted_exepath",
            "pgid",
            "gid",
            "filename",
        ],
    ),
    row(Syscall, "setpgid", &["res", "pid", "pgid"]),
    row(Syscall, "seccomp", &["res", "op", "flags"]),
    row(Syscall, "unlink", &["res", "path"]),
    row(Syscall, "unlinkat", &["res", "dirfd", "name", "flags"]),
    row(Syscall, "mkdirat", &["res", "dirfd", "path", "mode"]),
    row(Syscall, "openat", &["fd", "dirfd", "name", "flags", "mode", "dev", "ino"]),
    row(Syscall, "link", &["res", "oldpath", "newpath"]),
    row(Syscall, "linkat", &["res", "olddir", "oldpath", "newdir", "newpath", "flags"]),
    row(Syscall, "fchmodat", &["res", "dirfd", "filename", "mode"]),
    row(Syscall, "chmod", &["res", "filename", "mode"]),
    row(Syscall, "fchmod", &["res", "fd", "mode"]),
    row(Syscall, "renameat2", &["res", "olddirfd", "oldpath", "newdirfd", "newpath", "flags"]),
    row(Syscall, "userfaultfd", &["res", "flags"]),
    row(Meta, "pluginevent", &["plugin_id", "event_data"]),
    row(Syscall, "openat2", &["fd", "dirfd", "name", "flags", "mode", "resolve", "dev", "ino"]),
    row(Syscall, "mprotect", &["res", "addr", "length", "prot"]),
    row(
        Syscall,
        "execveat",
        &[
            "res",
            "exe",
            "args",
            "tid",
            "pid",
            "ptid",
            "cwd",
            "fdlimit",
            "pgft_maj",
            "pgft_min",
            "vm_size",
            "vm_rss",
            "vm_swap",
            "comm",
            "cgroups",
            "env",
            "tty",
            "vpgid",
            "loginuid",
            "flags",
            "cap_inheritable",
            "cap_permitted",
            "cap_effective",
            "exe_ino",
            "exe_ino_ctime",
            "exe_ino_mtime",
            "uid",
            "trusted_exepath",
            "pgid",
            "gid",
        ],
    ),
    row(Syscall, "copy_file_range", &["res", "fdout", "offout", "fdin", "offin", "len"]),
    row(
        Syscall,
        "clone3",
        &[
            "res",
            "exe",
            "args",
            "tid",
            "pid",
            "ptid",
            "cwd",
            "fdlimit",
            "pgft_maj",
            "pgft_min",
            "vm_size",
            "vm_rss",
            "vm_swap",
            "comm",
            "cgroups",
            "flags",
            "uid",
            "gid",
            "vtid",
            "vpid",
            "pidns_init_start_ts",
        ],
    ),
    row(Syscall, "open_by_handle_at", &["fd", "mountfd", "flags", "path", "dev", "ino"]),
    row(
        Syscall,
        "io_uring_setup",
        &[
            "res",
            "entries",
            "sq_entries",
            "cq_entries",
            "flags",
            "sq_thread_cpu",
            "sq_thread_idle",
            "features",
        ],
    ),
    row(Syscall, "io_uring_enter", &["res", "fd", "to_submit", "min_complete", "flags", "sig"]),
    row(Syscall, "io_uring_register", &["res", "fd", "opcode", "arg", "nr_args"]),
    row(Syscall, "mlock", &["res", "addr", "len"]),
    row(Syscall, "munlock", &["res", "addr", "len"]),
    row(Syscall, "mlockall", &["res", "flags"]),
    row(Syscall, "munlockall", &["res"]),
    row(Syscall, "capset", &["res", "cap_inheritable", "cap_permitted", "cap_effective"]),
    row(Meta, "useradded", &["uid", "gid", "name", "home", "shell", "container_id"]),
    row(Meta, "userdeleted", &["uid", "gid", "name", "home", "shell", "container_id"]),
    row(Meta, "groupadded", &["gid", "name", "container_id"]),
    row(Meta, "groupdeleted", &["gid", "name", "container_id"]),
    row(Syscall, "dup2", &["res", "oldfd", "newfd"]),
    row(Syscall, "dup3", &["res", "oldfd", "newfd", "flags"]),
    row(Syscall, "dup", &["res", "oldfd"]),
    row(Syscall, "bpf", &["fd", "cmd"]),
    row(Syscall, "mlock2", &["res", "addr", "len", "flags"]),
    row(Syscall, "fsconfig", &["res", "fd", "cmd", "key", "value_bytebuf", "value_charbuf", "aux"]),
    row(Syscall, "epoll_create", &["res", "size"]),
    row(Syscall, "epoll_create1", &["res", "flags"]),
    row(Syscall, "chown", &["res", "path", "uid", "gid"]),
    row(Syscall, "lchown", &["res", "path", "uid", "gid"]),
    row(Syscall, "fchown", &["res", "fd", "uid", "gid"]),
    row(Syscall, "fchownat", &["res", "dirfd", "pathname", "uid", "gid", "flags"]),
    row(Syscall, "umount", &["res", "name"]),
    row(Syscall, "accept4", &["fd", "tuple", "queuepct", "queuelen", "queuemax", "flags"]),
    row(Syscall, "umount2", &["res", "name", "flags"]),
    row(Syscall, "pipe2", &["res", "fd1", "fd2", "ino", "flags"]),
    row(Syscall, "inotify_init1", &["res", "flags"]),
    row(Syscall, "eventfd2", &["res", "flags", "initval"]),
    row(Syscall, "signalfd4", &["res", "flags", "fd", "mask"]),
    row(Syscall, "prctl", &["res", "option", "arg2_str", "arg2_int"]),
    row(Syscall, "memfd_create", &["fd", "name", "flags"]),
    row(Syscall, "pidfd_getfd", &["fd", "pid_fd", "target_fd", "flags"]),
    row(Syscall, "pidfd_open", &["fd", "pid", "flags"]),
    row(Syscall, "init_module", &["res", "img", "length", "uargs"]),
    row(Syscall, "finit_module", &["res", "fd", "uargs", "flags"]),
    row(Syscall, "mknod", &["res", "path", "mode", "dev"]),
    row(Syscall, "mknodat", &["res", "dirfd", "path", "mode", "dev"]),
    row(Syscall, "newfstatat", &["res", "dirfd", "path", "flags"]),
    row(Syscall, "process_vm_readv", &["res", "pid", "data"]),
    row(Syscall, "process_vm_writev", &["res", "pid", "data"]),
    row(Syscall, "delete_module", &["res", "name", "flags"]),
    row(Syscall, "setreuid", &["res", "ruid", "euid"]),
    row(Syscall, "setregid", &["res", "rgid", "egid"]),
    row(Syscall, "keyctl", &["res", "operation", "arg2", "arg3", "arg4", "arg5"]),
    row(Meta, "asyncevent", &["plugin_id", "name", "data"]),
    row(
        Meta,
        "task",
        &[
            "ppid",
            "pgid",
            "vpgid",
            "sid",
            "comm",
            "argv",
            "exepath",
            "flags",
            "env",
            "cwd",
            "fdlimit",
            "euid",
            "egid",
            "cap_permitted",
            "cap_effective",
            "cap_inheritable",
            "exe_ino_num",
            "exe_ino_ctime",
            "exe_ino_mtime",
            "vm_size",
            "vm_rss",
            "vm_swap",
            "pgft_maj",
            "pgft_min",
            "vtgid",
            "vpid",
            "pidns_init_start_ts",
            "cgroups",
            "root",
            "start_time",
            "tty",
            "loginuid",
        ],
    ),
    row(Meta, "task_file_pipe", &["fd", "path", "ino_num"]),
    row(Meta, "task_file_memfd", &["fd", "path", "ino_num"]),
    row(Meta, "task_file_regular", &["fd", "path", "flags", "mnt_id", "ino_num"]),
    row(Meta, "task_file_directory", &["fd", "path", "ino_num"]),
    row(
        Meta,
        "task_file_socket_inet",
        &["fd", "sk_type", "sk_proto", "local_ip", "local_port", "remote_ip", "remote_port", "ino_num"],
    ),
    row(
        Meta,
        "task_file_socket_inet6",
        &["fd", "sk_type", "sk_proto", "local_ip", "local_port", "remote_ip", "remote_port", "ino_num"],
    ),
    row(Meta, "task_file_socket_unix", &["fd", "sk_type", "sk_proto", "sk_pointer", "sun_path", "ino_num"]),
    row(Meta, "task_file_socket_netlink", &["fd", "sk_type", "sk_proto", "ino_num"]),
    row(Meta, "task_file_anon_inode", &["fd", "fd_type", "path", "ino_num"]),
];

/// Parameters of the generic event.
pub const GENERIC: &[&str] = &["ID", "nativeID"];

static TYPES: LazyLock<Vec<Info>> = LazyLock::new(|| {
    let own = EVENTS.iter().map(|event| row(event.kind, event.name, event.params));
    own.chain(NAMES.split_whitespace().map(|name| row(Syscall, name, GENERIC))).collect()
});

static BY_NAME: LazyLock<HashMap<&'static str, EventType, foldhash::fast::RandomState>> =
    LazyLock::new(|| all().map(|(event, info)| (info.name, event)).collect());

/// Every event type.
pub fn all() -> impl Iterator<Item = (EventType, &'static Info)> {
    // The table has a few hundred lines.
    (0u16..).map(EventType).zip(TYPES.iter())
}

/// Number of event types; [`EventType`] counts from 0 up to it.
pub fn count() -> usize {
    TYPES.len()
}

/// The type called `name`.
pub fn by_name(name: &str) -> Option<EventType> {
    BY_NAME.get(name).copied()
}

/// The table line of a type; `None` for a number that is no type.
pub fn info(event: EventType) -> Option<&'static Info> {
    TYPES.get(usize::from(event.0))
}

/// The name nearest to a misspelt one.
pub fn suggest(name: &str) -> Option<&'static str> {
    suggest::nearest(name, TYPES.iter().map(|info| info.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for (event, info) in all() {
            assert_eq!(by_name(info.name), Some(event), "{}", info.name);
        }
        assert!(
            by_name("getpid").is_some() && by_name("container").is_some() && by_name("socketcall").is_some()
        );
        assert_eq!(suggest("opnat"), Some("openat"));
    }

    /// The table of the specification, where it is at hand.
    #[test]
    fn every_event_and_parameter_of_falcos_table_is_here() {
        let Some(table) = crate::rules::upstream_tests::shared("spec/event-params.tsv") else {
            println!("skipped: every_event_and_parameter_of_falcos_table_is_here: shared/spec is not here");
            return;
        };
        for line in table.lines().skip(1) {
            let columns: Vec<&str> = line.split('\t').collect();
            let (code, name, params) = (columns[0], columns[1], columns.get(6).copied().unwrap_or_default());
            let names: Vec<&str> = params
                .split(';')
                .filter_map(|param| param.split(':').next().map(str::trim))
                .filter(|name| !name.is_empty())
                .collect();
            for name in &names {
                assert!(super::super::params::kind(name).is_some(), "{code}: {name}");
            }
            // The generic event has the name of its system call; `container` is made by a plugin today.
            if code.contains("GENERIC") || name == "container" {
                continue;
            }
            let known = by_name(name).and_then(info).unwrap_or_else(|| panic!("{name} is missing"));
            if columns[2] == "exit" || known.kind == Meta {
                assert_eq!(known.params, names, "{code}");
            } else {
                assert!(names.iter().all(|name| known.params.contains(name)), "{code}");
            }
        }
    }

    #[test]
    fn every_event_of_the_probe_is_here_with_its_parameters() {
        for event in sensor_ebpf::events::EVENTS {
            let Some(name) = event.info.name else { continue };
            let known = by_name(name).and_then(info).unwrap_or_else(|| panic!("{name} is missing"));
            for param in event.info.params {
                assert!(known.params.contains(&param.name), "{name}.{}", param.name);
            }
        }
    }
}
