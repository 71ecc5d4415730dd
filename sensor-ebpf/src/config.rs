//! What user space fixes before load: kernel offsets and settings, one read-only global.
//!
//! The map behind it is frozen, so the verifier sees constants and drops the branches that cannot be taken.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Offset of something that the running kernel's BTF does not have.
pub const MISSING: u32 = u32::MAX;

/// One entry of [`OFFSETS`].
pub struct OffsetSpec {
    /// Field name in [`Offsets`].
    pub name: &'static str,
    /// What records lack on a kernel without it; `None` when no program can do without it.
    pub costs: Option<&'static str>,
    /// The fields of rules that have no value there.
    pub fields: &'static [&'static str],
    /// `struct.member` spellings, newest kernel first; the first one found in BTF wins. A spelling without a dot
    /// asks for the size of the struct, one that begins with `bit ` for the offset in bits.
    pub paths: &'static [&'static str],
}

macro_rules! offsets {
    ($($name:ident = $($path:literal)|+ $(, optional: $costs:literal $([$($field:literal),+])?)?;)+) => {
        /// Byte offsets in structures of the running kernel, or [`MISSING`]. All `u32`, in the order of [`OFFSETS`].
        #[repr(C)]
        #[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
        pub struct Offsets { $(pub $name: u32),+ }

        /// Where each field of [`Offsets`] comes from.
        pub const OFFSETS: &[OffsetSpec] = &[
            $(OffsetSpec {
                name: stringify!($name),
                costs: offsets!(@costs $($costs)?),
                fields: &[$($($($field),+)?)?],
                paths: &[$($path),+],
            }),+
        ];

        impl Offsets {
            /// Every offset missing: what a program sees that was loaded without BTF.
            pub const NONE: Self = Self { $($name: MISSING),+ };
        }
    };
    (@costs) => { None };
    (@costs $costs:literal) => { Some($costs) };
}

offsets! {
    task_tgid = "task_struct.tgid";
    task_pid = "task_struct.pid";
    task_group_leader = "task_struct.group_leader";
    task_real_parent = "task_struct.real_parent";
    task_start_boottime = "task_struct.start_boottime" | "task_struct.real_start_time";
    task_thread_pid = "task_struct.thread_pid";
    task_cred = "task_struct.cred";
    task_comm = "task_struct.comm";
    task_fs = "task_struct.fs";
    task_files = "task_struct.files";
    task_nsproxy = "task_struct.nsproxy";
    task_signal = "task_struct.signal";
    task_loginuid = "task_struct.loginuid",
        optional: "the audit login uid" ["user.loginuid", "user.loginname"];
    task_mm = "task_struct.mm";
    task_cgroups = "task_struct.cgroups";
    task_exit_code = "task_struct.exit_code";
    thread_info_status = "thread_info.status",
        optional: "32-bit system calls, which are taken for native ones";
    thread_info_flags = "thread_info.flags",
        optional: "32-bit system calls of an arm64 kernel, which are taken for native ones";
    css_set_subsys = "css_set.subsys",
        optional: "the containers of a host with cgroup v1";
    css_set_dfl_cgrp = "css_set.dfl_cgrp";
    css_cgroup = "cgroup_subsys_state.cgroup";
    cgroup_kn = "cgroup.kn";
    cgroup_root = "cgroup.root";
    cgroup_root_hierarchy_id = "cgroup_root.hierarchy_id";
    kernfs_node_id = "kernfs_node.id";
    signal_live = "signal_struct.live";
    signal_pids = "signal_struct.pids";
    signal_tty = "signal_struct.tty";
    signal_is_child_subreaper = "bit signal_struct.is_child_subreaper",
        optional: "who inherits the children of a process below a subreaper";
    signal_has_child_subreaper = "bit signal_struct.has_child_subreaper",
        optional: "who inherits the children of a process below a subreaper";
    tty_driver = "tty_struct.driver";
    tty_index = "tty_struct.index";
    tty_driver_major = "tty_driver.major",
        optional: "the controlling terminal" ["proc.tty"];
    tty_driver_minor_start = "tty_driver.minor_start",
        optional: "the controlling terminal" ["proc.tty"];
    pid_level = "pid.level";
    pid_numbers = "pid.numbers";
    upid_nr = "upid.nr";
    upid_ns = "upid.ns";
    upid_size = "upid";
    pidns_child_reaper = "pid_namespace.child_reaper";
    pidns_inum = "pid_namespace.ns.inum";
    nsproxy_mnt_ns = "nsproxy.mnt_ns";
    mntns_inum = "mnt_namespace.ns.inum";
    cred_euid = "cred.euid";
    cred_egid = "cred.egid";
    cred_fsuid = "cred.fsuid";
    cred_cap_inheritable = "cred.cap_inheritable";
    cred_cap_permitted = "cred.cap_permitted";
    cred_cap_effective = "cred.cap_effective";
    mm_arg_start = "mm_struct.arg_start";
    mm_arg_end = "mm_struct.arg_end";
    mm_env_start = "mm_struct.env_start";
    mm_env_end = "mm_struct.env_end";
    mm_exe_file = "mm_struct.exe_file";
    bprm_filename = "linux_binprm.filename";
    fs_root = "fs_struct.root";
    fs_pwd = "fs_struct.pwd";
    path_mnt = "path.mnt";
    path_dentry = "path.dentry";
    files_fdt = "files_struct.fdt";
    fdt_max_fds = "fdtable.max_fds";
    fdt_fd = "fdtable.fd";
    file_path = "file.f_path";
    file_inode = "file.f_inode";
    file_mode = "file.f_mode",
        optional: "whether an open made the file" ["evt.is_open_create"];
    file_private_data = "file.private_data";
    dentry_parent = "dentry.d_parent";
    dentry_name = "dentry.d_name";
    dentry_inode = "dentry.d_inode";
    qstr_name = "qstr.name";
    qstr_len = "qstr.len";
    vfsmount_root = "vfsmount.mnt_root";
    mount_mnt = "mount.mnt";
    mount_parent = "mount.mnt_parent";
    mount_mountpoint = "mount.mnt_mountpoint";
    inode_mode = "inode.i_mode";
    inode_uid = "inode.i_uid";
    inode_ino = "inode.i_ino";
    inode_sb = "inode.i_sb";
    inode_ctime_sec = "inode.i_ctime_sec" | "inode.__i_ctime.tv_sec" | "inode.i_ctime.tv_sec",
        optional: "when an executable was changed"
        ["proc.exe_ino.ctime", "proc.exe_ino.ctime_duration_proc_start", "proc.exe_ino.ctime_duration_pidns_start"];
    inode_ctime_nsec = "inode.i_ctime_nsec" | "inode.__i_ctime.tv_nsec" | "inode.i_ctime.tv_nsec",
        optional: "when an executable was changed"
        ["proc.exe_ino.ctime", "proc.exe_ino.ctime_duration_proc_start", "proc.exe_ino.ctime_duration_pidns_start"];
    inode_mtime_sec = "inode.i_mtime_sec" | "inode.__i_mtime.tv_sec" | "inode.i_mtime.tv_sec",
        optional: "when an executable was written" ["proc.exe_ino.mtime"];
    inode_mtime_nsec = "inode.i_mtime_nsec" | "inode.__i_mtime.tv_nsec" | "inode.i_mtime.tv_nsec",
        optional: "when an executable was written" ["proc.exe_ino.mtime"];
    inode_size = "inode";
    sb_dev = "super_block.s_dev";
    sb_magic = "super_block.s_magic";
    socket_sk = "socket.sk";
    sk_family = "sock_common.skc_family";
    sk_state = "sock_common.skc_state";
    sk_dport = "sock_common.skc_dport";
    sk_num = "sock_common.skc_num";
    sk_daddr = "sock_common.skc_daddr";
    sk_rcv_saddr = "sock_common.skc_rcv_saddr";
    sk_v6_daddr = "sock_common.skc_v6_daddr";
    sk_v6_rcv_saddr = "sock_common.skc_v6_rcv_saddr";
    sk_type = "sock.sk_type";
    sk_protocol = "sock.sk_protocol";
    sk_ack_backlog = "sock.sk_ack_backlog";
    sk_max_ack_backlog = "sock.sk_max_ack_backlog";
    unix_addr = "unix_sock.addr";
    unix_peer = "unix_sock.peer";
    unix_path = "unix_sock.path";
    unix_address_len = "unix_address.len";
    unix_address_name = "unix_address.name";
    filename_name = "filename.name",
        optional: "requests of io_uring";
    uring_opcode = "io_kiocb.opcode",
        optional: "requests of io_uring";
    uring_flags = "io_kiocb.flags",
        optional: "requests of io_uring";
    uring_ring = "io_kiocb.ctx",
        optional: "requests of io_uring";
    uring_async_data = "io_kiocb.async_data",
        optional: "requests of io_uring";
    uring_cqe_user_data = "io_kiocb.cqe.user_data",
        optional: "requests of io_uring";
    uring_cqe_res = "io_kiocb.cqe.res",
        optional: "requests of io_uring";
    uring_cqe_fd = "io_kiocb.cqe.fd",
        optional: "requests of io_uring";
    uring_open_dfd = "io_open.dfd",
        optional: "requests of io_uring";
    uring_open_slot = "io_open.file_slot",
        optional: "requests of io_uring";
    uring_open_filename = "io_open.filename",
        optional: "requests of io_uring";
    uring_open_how = "io_open.how",
        optional: "requests of io_uring";
    uring_unlink_dfd = "io_unlink.dfd",
        optional: "requests of io_uring";
    uring_unlink_flags = "io_unlink.flags",
        optional: "requests of io_uring";
    uring_unlink_filename = "io_unlink.filename",
        optional: "requests of io_uring";
    uring_rename_old_dfd = "io_rename.old_dfd",
        optional: "requests of io_uring";
    uring_rename_new_dfd = "io_rename.new_dfd",
        optional: "requests of io_uring";
    uring_rename_flags = "io_rename.flags",
        optional: "requests of io_uring";
    uring_rename_oldpath = "io_rename.oldpath",
        optional: "requests of io_uring";
    uring_rename_newpath = "io_rename.newpath",
        optional: "requests of io_uring";
    uring_link_old_dfd = "io_link.old_dfd",
        optional: "requests of io_uring";
    uring_link_new_dfd = "io_link.new_dfd",
        optional: "requests of io_uring";
    uring_link_flags = "io_link.flags",
        optional: "requests of io_uring";
    uring_link_oldpath = "io_link.oldpath",
        optional: "requests of io_uring";
    uring_link_newpath = "io_link.newpath",
        optional: "requests of io_uring";
    uring_mkdir_dfd = "io_mkdir.dfd",
        optional: "requests of io_uring";
    uring_mkdir_mode = "io_mkdir.mode",
        optional: "requests of io_uring";
    uring_mkdir_filename = "io_mkdir.filename",
        optional: "requests of io_uring";
    uring_socket_domain = "io_socket.domain",
        optional: "requests of io_uring";
    uring_socket_type = "io_socket.type",
        optional: "requests of io_uring";
    uring_socket_protocol = "io_socket.protocol",
        optional: "requests of io_uring";
    uring_socket_slot = "io_socket.file_slot",
        optional: "requests of io_uring";
    uring_connect_len = "io_connect.addr_len",
        optional: "requests of io_uring";
    uring_address = "io_async_connect.address" | "io_async_msghdr.addr",
        optional: "requests of io_uring";
}

/// Members that the programs read in one go: each must lie at its distance from the first one's start.
pub const LAYOUTS: &[(&str, &str, u32)] = &[
    ("dentry.d_parent", "dentry.d_name.len", 12),
    ("dentry.d_parent", "dentry.d_name.name", 16),
    ("path.mnt", "path.dentry", 8),
];

/// Words of a `struct file`, `struct inode` and `struct super_block` that the programs read in one go.
pub const FILE_WORDS: usize = 30;
pub const INODE_WORDS: usize = 12;
pub const SB_WORDS: usize = 14;
/// All of them.
pub const ROOM: usize = FILE_WORDS + INODE_WORDS + SB_WORDS;

/// Members that must lie inside these words, and the bytes they take.
pub const PREFIXES: &[(&str, u32, usize)] = &[
    ("file.f_path", 16, FILE_WORDS),
    ("file.f_inode", 8, FILE_WORDS),
    ("file.f_mode", 4, FILE_WORDS),
    ("file.private_data", 8, FILE_WORDS),
    ("inode.i_mode", 2, INODE_WORDS),
    ("inode.i_uid", 4, INODE_WORDS),
    ("inode.i_sb", 8, INODE_WORDS),
    ("inode.i_ino", 8, INODE_WORDS),
    ("super_block.s_dev", 4, SB_WORDS),
    ("super_block.s_magic", 8, SB_WORDS),
];

/// Number of bulk lanes that exist in the object; user space uses 1, 2 or 4 of them.
pub const BULK_LANES: u32 = 4;

/// Everything that the programs read and never write; user space sets its bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, IntoBytes, Immutable)]
pub struct Config {
    pub offsets: Offsets,
    /// Index in `css_set.subsys` of the cgroup v1 controller whose hierarchy names containers; -1: the unified hierarchy.
    pub cgroup_subsys: i32,
    /// Hierarchy of the above; `cgroup_mkdir` records of others are not made.
    pub cgroup_hierarchy: u32,
    /// The sensor's own process: it makes no bulk records.
    pub own_tgid: u32,
    /// Bulk lanes in use minus one (a mask).
    pub lane_mask: u32,
    /// Bytes waiting in a bulk lane from which on a record wakes the reader.
    pub watermark: u32,
}

impl Config {
    pub const EMPTY: Self = Self {
        offsets: Offsets::NONE,
        cgroup_subsys: -1,
        cgroup_hierarchy: 0,
        own_tgid: 0,
        lane_mask: 0,
        watermark: 0,
    };
}

/// Longest raw path argument and resolved path, as the kernel's `PATH_MAX`.
pub const PATH_MAX: usize = 4096;
/// Most bytes of `argv` and of `envp` in a record: the head, of which Falco reads as much, and, if there are more, the tail, so that what is at
/// the end cannot be pushed out by what is before it.
pub const ARGS_ENDS: Ends = Ends { head: 4095, tail: 4095 };
pub const ENV_ENDS: Ends = Ends { head: 4095, tail: 1023 };

/// How many bytes of a long text are kept; [`GAP`] stands between the two parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    pub head: usize,
    pub tail: usize,
}

/// Stands for what is left out of a text.
pub const GAP: &[u8; 3] = b"...";

/// Counters of one event type, per CPU.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
pub struct Counters {
    /// Records made and handed to a lane.
    pub seen: u64,
    /// Not of interest by the kernel's own look: no record made.
    pub filtered: u64,
    /// Lost because the lane was full.
    pub lost_full: u64,
    /// Lost because the record could not be built.
    pub lost_build: u64,
}

/// Syscalls through an interface that the dispatcher has no table for, per CPU: no handler sees them.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
pub struct ForeignCalls {
    /// 32-bit calls of an arm64 kernel.
    pub compat: u64,
    /// Calls with a number of x32 alone, whether the kernel knows it or not.
    pub x32: u64,
    /// The process that made the last one of each.
    pub compat_tgid: u32,
    pub x32_tgid: u32,
}

/// Entries of the `COUNTERS` map: one per event kind.
pub const COUNTERS_LEN: u32 = 256;
