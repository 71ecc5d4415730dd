//! Readers of `struct file`: from a descriptor to what it really is.

use super::path::{self, Path};
use super::read::{self, Ptr, typed};
use super::writer::Writer;
use super::{socket, task};
use crate::config::MISSING;
use crate::record::{
    EXE_FROM_MEMFD, EXE_LOWER_LAYER, EXE_UPPER_LAYER, EXE_WRITABLE, Exe, FD_LOWER_LAYER, FD_UPPER_LAYER, Fd,
    Tail,
};
use crate::{config, off};

const S_IFMT: u16 = 0o170_000;
const OVERLAYFS_MAGIC: u64 = 0x794c_7630;
const TMPFS_MAGIC: u64 = 0x0102_1994;

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

/// Layer of an overlayfs inode: (upper, lower). The `ovl_inode` carries the upper dentry right behind its VFS inode.
#[inline(always)]
fn layers(inode: Ptr, magic: u64) -> (bool, bool) {
    if magic != OVERLAYFS_MAGIC {
        return (false, false);
    }
    let upper = !read::pointer(inode, (off!(inode_size) + 7) & !7).is_null();
    (upper, !upper)
}

#[inline(always)]
fn device(sb: Ptr) -> u32 {
    let dev: u32 = read::kernel(sb, off!(sb_dev));
    task::encode_dev(dev >> 20, dev & 0xf_ffff)
}

/// Fills `out` with what descriptor `fd` of `task` is; `kind` 0 when there is no such descriptor.
#[inline(always)]
pub fn describe(w: &mut Writer, task: Ptr, fd: i32, out: &mut Fd) -> Ptr {
    *out = Fd {
        ino: 0,
        dev: 0,
        kind: 0,
        proto: 0,
        sock_type: 0,
        flags: 0,
        local: [0; 16],
        remote: [0; 16],
        local_port: 0,
        remote_port: 0,
        path: Tail::EMPTY,
    };
    let file = of_fd(task, fd);
    if file.is_null() {
        return file;
    }
    let inode = read::pointer(file, off!(file_inode));
    let sb = read::pointer(inode, off!(inode_sb));
    let mode: u16 = read::kernel(inode, off!(inode_mode));
    out.ino = read::kernel(inode, off!(inode_ino));
    out.dev = device(sb);
    if mode & S_IFMT == 0o140_000 {
        socket::describe(w, read::pointer(file, off!(file_private_data)), out);
        return file;
    }
    out.kind = match mode & S_IFMT {
        0o100_000 | 0o020_000 | 0o060_000 => b'f',
        0o040_000 => b'd',
        0o010_000 => b'p',
        _ => b'o',
    };
    let (upper, lower) = layers(inode, read::kernel(sb, off!(sb_magic)));
    out.flags = if upper { FD_UPPER_LAYER } else { 0 } | if lower { FD_LOWER_LAYER } else { 0 };
    out.path = name(w, file, task);
    file
}

/// Path of an open file as seen from `task`'s root.
#[inline(always)]
pub fn name(w: &mut Writer, file: Ptr, task: Ptr) -> Tail {
    path::append(w, Path::at(file.wrapping_add(off!(file_path))), task::root(task))
}

/// The directory that a relative path argument starts from: `dirfd`'s, or the working directory for `AT_FDCWD`.
#[inline(always)]
pub fn base(w: &mut Writer, task: Ptr, dirfd: i32) -> Tail {
    const AT_FDCWD: i32 = -100;
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

/// [`base`] if the path argument at user address `raw` is relative, else nothing.
#[inline(always)]
pub fn base_if_relative(w: &mut Writer, task: Ptr, dirfd: i32, raw: u64) -> Tail {
    match read::user::<u8>(raw) {
        Some(b'/') | None => Tail::EMPTY,
        Some(_) => base(w, task, dirfd),
    }
}

/// Fills `out` with the executable `file` of `task`.
#[inline(always)]
pub fn executable(task: Ptr, file: Ptr, out: &mut Exe) {
    const S_IWUSR: u16 = 0o200;
    const S_IWOTH: u16 = 0o002;
    let inode = read::pointer(file, off!(file_inode));
    let sb = read::pointer(inode, off!(inode_sb));
    let magic = read::kernel(sb, off!(sb_magic));
    out.ino = read::kernel(inode, off!(inode_ino));
    out.dev = device(sb);
    out.ctime = time(inode, off!(inode_ctime_sec), off!(inode_ctime_nsec));
    out.mtime = time(inode, off!(inode_mtime_sec), off!(inode_mtime_nsec));
    let (upper, lower) = layers(inode, magic);
    let mode: u16 = read::kernel(inode, off!(inode_mode));
    let owner: u32 = read::kernel(inode, off!(inode_uid));
    let fsuid: u32 = read::kernel(read::pointer(task, off!(task_cred)), off!(cred_fsuid));
    let writable = (owner == fsuid && mode & S_IWUSR != 0) || mode & S_IWOTH != 0 || fsuid == 0;
    out.flags = if upper { EXE_UPPER_LAYER } else { 0 }
        | if lower { EXE_LOWER_LAYER } else { 0 }
        | if writable { EXE_WRITABLE } else { 0 }
        | if magic == TMPFS_MAGIC && is_memfd(file) { EXE_FROM_MEMFD } else { 0 };
}

/// A memfd's dentry is its own parent and is named `memfd:…`.
#[inline(always)]
fn is_memfd(file: Ptr) -> bool {
    let dentry = read::pointer(file, off!(file_path) + off!(path_dentry));
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
#[inline(always)]
pub fn was_created(file: Ptr) -> bool {
    const FMODE_CREATED: u32 = 0x10_0000;
    config!(offsets.file_mode) != MISSING && read::kernel::<u32>(file, off!(file_mode)) & FMODE_CREATED != 0
}
