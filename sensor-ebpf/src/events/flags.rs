//! Names of flags and enumerations, in the order in which Falco prints them.

/// A table of names: `(name, value)`.
pub type Flags = [(&'static str, u32)];

/// Flags of the open family, in Falco's own bit set (see `open::falco_flags`).
pub static FILE_FLAGS: &Flags = &[
    ("O_LARGEFILE", 2048),
    ("O_DIRECTORY", 1024),
    ("O_DIRECT", 512),
    ("O_TRUNC", 256),
    ("O_SYNC", 128),
    ("O_NONBLOCK", 64),
    ("O_EXCL", 32),
    ("O_DSYNC", 16),
    ("O_APPEND", 8),
    ("O_CREAT", 4),
    ("O_RDWR", 3),
    ("O_WRONLY", 2),
    ("O_RDONLY", 1),
    ("O_CLOEXEC", 4096),
    ("O_NONE", 0),
    ("O_TMPFILE", 8192),
    ("O_F_CREATED", 16384),
    ("FD_UPPER_LAYER", 32768),
    ("FD_LOWER_LAYER", 65536),
];

/// Layers of a file made by `creat`.
pub static CREAT_FLAGS: &Flags = &[("FD_UPPER_LAYER_CREAT", 1), ("FD_LOWER_LAYER_CREAT", 2)];

/// `open_how.resolve`.
pub static OPENAT2_FLAGS: &Flags = &[
    ("RESOLVE_BENEATH", 1),
    ("RESOLVE_IN_ROOT", 2),
    ("RESOLVE_NO_MAGICLINKS", 4),
    ("RESOLVE_NO_SYMLINKS", 8),
    ("RESOLVE_NO_XDEV", 16),
    ("RESOLVE_CACHED", 32),
];

/// What is special about an executable (`record::EXE_*`).
pub static EXECVE_FLAGS: &Flags =
    &[("EXE_WRITABLE", 1), ("EXE_UPPER_LAYER", 2), ("EXE_FROM_MEMFD", 4), ("EXE_LOWER_LAYER", 8)];

/// Falco's numbering of ptrace requests (see `ptrace::falco_request`).
pub static PTRACE_REQUESTS: &Flags = &[
    ("PTRACE_SINGLEBLOCK", 38),
    ("PTRACE_SYSEMU_SINGLESTEP", 37),
    ("PTRACE_SYSEMU", 36),
    ("PTRACE_ARCH_PRCTL", 35),
    ("PTRACE_SET_THREAD_AREA", 34),
    ("PTRACE_GET_THREAD_AREA", 33),
    ("PTRACE_OLDSETOPTIONS", 32),
    ("PTRACE_SETFPXREGS", 31),
    ("PTRACE_GETFPXREGS", 30),
    ("PTRACE_SETFPREGS", 29),
    ("PTRACE_GETFPREGS", 28),
    ("PTRACE_SETREGS", 27),
    ("PTRACE_GETREGS", 26),
    ("PTRACE_SETSIGMASK", 25),
    ("PTRACE_GETSIGMASK", 24),
    ("PTRACE_PEEKSIGINFO", 23),
    ("PTRACE_LISTEN", 22),
    ("PTRACE_INTERRUPT", 21),
    ("PTRACE_SEIZE", 20),
    ("PTRACE_SETREGSET", 19),
    ("PTRACE_GETREGSET", 18),
    ("PTRACE_SETSIGINFO", 17),
    ("PTRACE_GETSIGINFO", 16),
    ("PTRACE_GETEVENTMSG", 15),
    ("PTRACE_SETOPTIONS", 14),
    ("PTRACE_SYSCALL", 13),
    ("PTRACE_DETACH", 12),
    ("PTRACE_ATTACH", 11),
    ("PTRACE_SINGLESTEP", 10),
    ("PTRACE_KILL", 9),
    ("PTRACE_CONT", 8),
    ("PTRACE_POKEUSR", 7),
    ("PTRACE_POKEDATA", 6),
    ("PTRACE_POKETEXT", 5),
    ("PTRACE_PEEKUSR", 4),
    ("PTRACE_PEEKDATA", 3),
    ("PTRACE_PEEKTEXT", 2),
    ("PTRACE_TRACEME", 1),
    ("PTRACE_UNKNOWN", 0),
];

/// Flags of `unlinkat`.
pub static UNLINKAT_FLAGS: &Flags = &[("AT_REMOVEDIR", 512)];

/// Flags of `renameat2`.
pub static RENAMEAT2_FLAGS: &Flags =
    &[("RENAME_NOREPLACE", 1), ("RENAME_EXCHANGE", 2), ("RENAME_WHITEOUT", 4)];

/// Flags of `linkat`.
pub static LINKAT_FLAGS: &Flags = &[("AT_SYMLINK_FOLLOW", 1024), ("AT_EMPTY_PATH", 4096)];

/// Permissions of a file.
pub static CHMOD_MODES: &Flags = &[
    ("S_IXOTH", 1),
    ("S_IWOTH", 2),
    ("S_IROTH", 4),
    ("S_IXGRP", 8),
    ("S_IWGRP", 16),
    ("S_IRGRP", 32),
    ("S_IXUSR", 64),
    ("S_IWUSR", 128),
    ("S_IRUSR", 256),
    ("S_ISVTX", 512),
    ("S_ISGID", 1024),
    ("S_ISUID", 2048),
];

/// Flags of calls on a path that Falco has no table for, with the kernel's values.
pub static AT_FLAGS: &Flags =
    &[("AT_SYMLINK_NOFOLLOW", 256), ("AT_NO_AUTOMOUNT", 2048), ("AT_EMPTY_PATH", 4096)];

/// Flags of `fchownat`, in Falco's bits (see `chown::falco_flags`).
pub static FCHOWNAT_FLAGS: &Flags = &[("AT_SYMLINK_NOFOLLOW", 1024), ("AT_EMPTY_PATH", 4096)];

/// Flags of `mount`.
pub static MOUNT_FLAGS: &Flags = &[
    ("RDONLY", 1),
    ("NOSUID", 2),
    ("NODEV", 4),
    ("NOEXEC", 8),
    ("SYNCHRONOUS", 16),
    ("REMOUNT", 32),
    ("MANDLOCK", 64),
    ("DIRSYNC", 128),
    ("NOATIME", 1024),
    ("NODIRATIME", 2048),
    ("BIND", 4096),
    ("MOVE", 8192),
    ("REC", 16384),
    ("SILENT", 32768),
    ("POSIXACL", 65536),
    ("UNBINDABLE", 131_072),
    ("PRIVATE", 262_144),
    ("SLAVE", 524_288),
    ("SHARED", 1_048_576),
    ("RELATIME", 2_097_152),
    ("KERNMOUNT", 4_194_304),
    ("I_VERSION", 8_388_608),
    ("STRICTATIME", 16_777_216),
    ("LAZYTIME", 33_554_432),
    ("NOSEC", 268_435_456),
    ("BORN", 536_870_912),
    ("ACTIVE", 1_073_741_824),
    ("NOUSER", 2_147_483_648),
];

/// Flags of `umount2`.
pub static UMOUNT_FLAGS: &Flags = &[("FORCE", 1), ("DETACH", 2), ("EXPIRE", 4), ("NOFOLLOW", 8)];

/// Permissions and type of a node that is made. As in Falco a type takes the bits of those before it: `S_IFBLK` reads `S_IFCHR`.
pub static MKNOD_MODES: &Flags = &[
    ("S_IXOTH", 1),
    ("S_IWOTH", 2),
    ("S_IROTH", 4),
    ("S_IXGRP", 8),
    ("S_IWGRP", 16),
    ("S_IRGRP", 32),
    ("S_IXUSR", 64),
    ("S_IWUSR", 128),
    ("S_IRUSR", 256),
    ("S_ISVTX", 512),
    ("S_ISGID", 1024),
    ("S_ISUID", 2048),
    ("S_IFREG", 32768),
    ("S_IFCHR", 8192),
    ("S_IFBLK", 24576),
    ("S_IFIFO", 4096),
    ("S_IFSOCK", 49152),
];

/// What `access` asks for.
pub static ACCESS_MODES: &Flags = &[("F_OK", 0), ("R_OK", 4), ("W_OK", 2), ("X_OK", 1)];

/// Flags of `newfstatat`.
pub static NEWFSTATAT_FLAGS: &Flags =
    &[("AT_EMPTY_PATH", 4096), ("AT_NO_AUTOMOUNT", 2048), ("AT_SYMLINK_NOFOLLOW", 256)];

/// Operations of `flock`.
pub static FLOCK_FLAGS: &Flags =
    &[("LOCK_SH", 1), ("LOCK_EX", 2), ("LOCK_NB", 4), ("LOCK_UN", 8), ("LOCK_NONE", 0)];

/// Where `lseek` counts from.
pub static LSEEK_WHENCE: &Flags = &[("SEEK_END", 2), ("SEEK_CUR", 1), ("SEEK_SET", 0)];

/// Flags of `memfd_create`.
pub static MEMFD_FLAGS: &Flags = &[("MFD_CLOEXEC", 1), ("MFD_ALLOW_SEALING", 2), ("MFD_HUGETLB", 4)];

/// Flags of `epoll_create1`, in Falco's bits.
pub static EPOLL_CREATE1_FLAGS: &Flags = &[("EPOLL_CLOEXEC", 1)];

/// Flags of `close_range`.
pub static CLOSE_RANGE_FLAGS: &Flags = &[("CLOSE_RANGE_UNSHARE", 2), ("CLOSE_RANGE_CLOEXEC", 4)];
