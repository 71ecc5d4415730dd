//! Readers of `struct file`: from a descriptor to what it really is.

use super::call::Exit;
use super::path::{self, Path};
use super::read::{self, Prefix, Ptr, typed};
use super::writer::Writer;
use super::{socket, task};
use crate::config::{FILE_WORDS, INODE_WORDS, MISSING, SB_WORDS};
use crate::off;
use crate::record::{
    EXE_FROM_MEMFD, EXE_LOWER_LAYER, EXE_UPPER_LAYER, EXE_WRITABLE, Exe, FD_LOWER_LAYER, FD_UPPER_LAYER, Fd,
    Tail,
};

const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;
const OVERLAYFS_MAGIC: u64 = 0x794c_7630;
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// As `dirfd`: a relative path starts from the working directory.
pub const AT_FDCWD: i32 = -100;

/// The open file behind descriptor `fd` of `task`; null when there is none.
#[inline(always)]
pub fn of_fd(task: Ptr, fd: i32) -> Ptr {
    if fd < 0 {
        return core::ptr::null();
    }
    // SAFETY: `task` is BTF-typed (the current task), and so is what is loaded through it; the array behind
    // `fdt->fd` is not, so its slot is read.
    let (max, array): (u32, Ptr) = unsafe {
        let files: Ptr = typed(task, off!(task_files));
        let fdt: Ptr = typed(files, off!(files_fdt));
        (typed(fdt, off!(fdt_max_fds)), typed(fdt, off!(fdt_fd)))
    };
    if fd as u32 >= max {
        return core::ptr::null();
    }
    read::pointer(array, 8 * fd as usize)
}

/// What is read of an open file.
struct Facts {
    path: Path,
    private_data: Ptr,
    inode: Ptr,
    ino: u64,
    /// `new_encode_dev`.
    dev: u32,
    uid: u32,
    file_mode: u32,
    mode: u16,
    /// Magic number of the file system.
    magic: u64,
}

impl Facts {
    #[inline(always)]
    fn of(w: &mut Writer, file: Ptr) -> Self {
        let (of_file, rest) = w.words().split_at_mut(FILE_WORDS);
        let (of_inode, of_sb) = rest.split_at_mut(INODE_WORDS);
        let file = Prefix::<FILE_WORDS>::read(of_file, file);
        let inode_ptr = file.get::<u64>(off!(file_inode)) as Ptr;
        let inode = Prefix::<INODE_WORDS>::read(of_inode, inode_ptr);
        let sb = Prefix::<SB_WORDS>::read(of_sb, inode.get::<u64>(off!(inode_sb)) as Ptr);
        let dev: u32 = sb.get(off!(sb_dev));
        Self {
            path: Path {
                mnt: file.get::<u64>(off!(file_path)) as Ptr,
                dentry: file.get::<u64>(off!(file_path) + 8) as Ptr,
            },
            private_data: file.get::<u64>(off!(file_private_data)) as Ptr,
            inode: inode_ptr,
            ino: inode.get(off!(inode_ino)),
            dev: task::encode_dev(dev >> 20, dev & 0xf_ffff),
            uid: inode.get(off!(inode_uid)),
            file_mode: file.get(off!(file_mode)),
            mode: inode.get(off!(inode_mode)),
            magic: sb.get(off!(sb_magic)),
        }
    }

    /// Layer of an overlayfs inode: (upper, lower). The `ovl_inode` carries the upper dentry right behind its VFS inode.
    #[inline(always)]
    fn layers(&self) -> (bool, bool) {
        if self.magic != OVERLAYFS_MAGIC {
            return (false, false);
        }
        let upper = !read::pointer(self.inode, (off!(inode_size) + 7) & !7).is_null();
        (upper, !upper)
    }
}

/// Makes it [`Fd::NONE`], word by word: for one store the compiler calls a function that goes byte by byte.
#[inline(always)]
fn clear(out: &mut Fd) {
    const WORDS: usize = size_of::<Fd>() / 8;
    let words = (&raw mut *out).cast::<[u64; WORDS]>();
    for n in 0..WORDS {
        // SAFETY: inside `out`, which has no padding, and for which all zeros is a value; a word is aligned as it is.
        unsafe { (&raw mut (*words)[n]).write_volatile(0) };
    }
}

/// Fills `out` with what descriptor `fd` of `task` is; `kind` 0 when there is no such descriptor. Returns the `FMODE_*` of the file.
#[inline(always)]
pub fn describe(w: &mut Writer, task: Ptr, fd: i32, out: &mut Fd) -> u32 {
    clear(out);
    let file = of_fd(task, fd);
    if file.is_null() {
        return 0;
    }
    let facts = Facts::of(w, file);
    out.ino = facts.ino;
    out.dev = facts.dev;
    if facts.mode & S_IFMT == S_IFSOCK {
        socket::describe(w, task, facts.private_data, out);
        return facts.file_mode;
    }
    out.kind = match facts.mode & S_IFMT {
        0o100_000 | 0o020_000 | 0o060_000 => b'f',
        0o040_000 => b'd',
        0o010_000 => b'p',
        _ => b'o',
    };
    let (upper, lower) = facts.layers();
    out.flags = if upper { FD_UPPER_LAYER } else { 0 } | if lower { FD_LOWER_LAYER } else { 0 };
    out.path = path::append(w, facts.path, task::root(task));
    facts.file_mode
}

/// The `struct sock` behind descriptor `fd` of `task`; null when it is no socket.
#[inline(always)]
pub fn sock(task: Ptr, fd: i32) -> Ptr {
    let file = of_fd(task, fd);
    let mode: u16 = read::kernel(read::pointer(file, off!(file_inode)), off!(inode_mode));
    if mode & S_IFMT != S_IFSOCK {
        return core::ptr::null();
    }
    read::pointer(read::pointer(file, off!(file_private_data)), off!(socket_sk))
}

/// The directory that a relative path argument starts from: `dirfd`'s, or the working directory for `AT_FDCWD`.
#[inline(always)]
pub fn base(w: &mut Writer, task: Ptr, dirfd: i32) -> Tail {
    let path = if dirfd == AT_FDCWD {
        task::cwd(task)
    } else {
        let file = of_fd(task, dirfd);
        if file.is_null() {
            return Tail::EMPTY;
        }
        Path::at(file.wrapping_add(off!(file_path)))
    };
    path::append(w, path, task::root(task))
}

/// Appends the path argument at `raw` and, if it is relative, the directory that it starts from.
#[inline(always)]
pub fn argument(w: &mut Writer, exit: &Exit, dirfd: i32, raw: u64) -> (Tail, Tail) {
    let tail = w.argument_str(exit, raw);
    let base = if tail.len == 0 || w.byte(tail) == b'/' { Tail::EMPTY } else { base(w, exit.task, dirfd) };
    (tail, base)
}

/// Fills `out` with the executable `file` of `task`.
#[inline(always)]
pub fn executable(w: &mut Writer, task: Ptr, file: Ptr, out: &mut Exe) {
    const S_IWUSR: u16 = 0o200;
    const S_IWOTH: u16 = 0o002;
    let facts = Facts::of(w, file);
    out.ino = facts.ino;
    out.dev = facts.dev;
    out.ctime = time(facts.inode, off!(inode_ctime_sec), off!(inode_ctime_nsec));
    out.mtime = time(facts.inode, off!(inode_mtime_sec), off!(inode_mtime_nsec));
    let (upper, lower) = facts.layers();
    let fsuid: u32 = read::kernel(read::pointer(task, off!(task_cred)), off!(cred_fsuid));
    let writable =
        (facts.uid == fsuid && facts.mode & S_IWUSR != 0) || facts.mode & S_IWOTH != 0 || fsuid == 0;
    out.flags = if upper { EXE_UPPER_LAYER } else { 0 }
        | if lower { EXE_LOWER_LAYER } else { 0 }
        | if writable { EXE_WRITABLE } else { 0 }
        | if facts.magic == TMPFS_MAGIC && is_memfd(facts.path.dentry) { EXE_FROM_MEMFD } else { 0 };
}

/// A memfd's dentry is its own parent and is named `memfd:…`.
#[inline(always)]
fn is_memfd(dentry: Ptr) -> bool {
    let name = read::pointer(dentry, off!(dentry_name) + off!(qstr_name));
    read::pointer(dentry, off!(dentry_parent)) == dentry
        && read::kernel::<u32>(name, 0) == u32::from_ne_bytes(*b"memf")
        && read::kernel::<u16>(name, 4) == u16::from_ne_bytes(*b"d:")
}

#[inline(always)]
fn time(inode: Ptr, sec: usize, nsec: usize) -> u64 {
    if sec as u32 == MISSING {
        return 0;
    }
    read::kernel::<u64>(inode, sec)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(u64::from(read::kernel::<u32>(inode, nsec)))
}

/// `FMODE_CREATED`: the open made the file.
pub const FMODE_CREATED: u32 = 0x10_0000;
