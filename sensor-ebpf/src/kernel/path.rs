//! Resolves a `struct path` to its name, as seen from the process's root: what `d_path` gives, without the race.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;

use super::read::{self, Ptr};
use super::writer::{Writer, opaque};
use crate::off;
use crate::record::Tail;

const LEN: usize = 4096;
const NAME_MAX: usize = 255;
/// Components and mount crossings that are followed; deeper paths are cut on the left and marked.
const DEPTH: usize = 64;

/// Names are written from the end towards the start. One more name fits behind the end, so that a masked offset
/// plus a name stays inside.
#[repr(C, align(8))]
pub struct PathBuf {
    bytes: [u8; LEN + NAME_MAX + 1],
    walk: Walk,
}

/// What the walk carries from step to step. It lives in map memory and not in registers: the verifier forgets what it knew
/// of a value that it loads from there, so all ways through a step look alike to it and it follows only one.
#[repr(C)]
struct Walk {
    dentry: u64,
    mnt: u64,
    /// `mnt`'s root dentry.
    mnt_root: u64,
    start: u64,
}

/// The part of `struct dentry` that a step needs, read in one go; user space checks before load that the running
/// kernel's members stand in this order (`config::LAYOUTS`).
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct DentryPart {
    parent: u64,
    hash: u32,
    len: u32,
    name: u64,
}

/// A `struct path`, pointers copied.
#[derive(Clone, Copy)]
pub struct Path {
    pub mnt: Ptr,
    pub dentry: Ptr,
}

impl Path {
    /// Reads the `struct path` at `ptr`: two pointers, mount first.
    #[inline(always)]
    pub fn at(ptr: Ptr) -> Self {
        let [mnt, dentry] = read::kernel::<[u64; 2]>(ptr, 0);
        Self { mnt: mnt as Ptr, dentry: dentry as Ptr }
    }
}

/// Appends the name of `path` to the record.
#[inline(always)]
pub fn append(w: &mut Writer, path: Path, root: Path) -> Tail {
    let buf = w.path_buf();
    let walk = &raw mut buf.walk;
    let bytes = (&raw mut buf.bytes).cast::<u8>();
    // SAFETY: `walk` points into this CPU's scratch area, which nothing else uses while the program runs.
    unsafe {
        walk.write_volatile(Walk {
            dentry: path.dentry as u64,
            mnt: path.mnt as u64,
            mnt_root: read::kernel(path.mnt, off!(vfsmount_root)),
            start: LEN as u64,
        });
    };
    'walk: {
        for _ in 0..DEPTH {
            if !step(walk, bytes, root) {
                break 'walk;
            }
        }
        w.cut();
    }
    // SAFETY: as above.
    let mut start = unsafe { (*walk).start } as usize;
    if start >= LEN {
        start = LEN - 1;
        // SAFETY: LEN - 1 lies inside `bytes`.
        unsafe { *bytes.add(LEN - 1) = b'/' };
    }
    let at = opaque(start) & (LEN - 1);
    // SAFETY: `at` < LEN.
    w.kernel_bytes(unsafe { bytes.add(at) }, LEN - at)
}

/// One component or mount crossing towards the root; false when there is nothing more to do.
#[inline(always)]
fn step(walk: *mut Walk, bytes: *mut u8, root: Path) -> bool {
    // SAFETY: as in `append`; volatile, so that the compiler keeps nothing in registers.
    let (dentry, mnt, mnt_root, start) = unsafe {
        (
            (&raw const (*walk).dentry).read_volatile() as Ptr,
            (&raw const (*walk).mnt).read_volatile() as Ptr,
            (&raw const (*walk).mnt_root).read_volatile() as Ptr,
            (&raw const (*walk).start).read_volatile() as usize,
        )
    };
    if dentry.is_null() || (dentry == root.dentry && mnt == root.mnt) {
        return false;
    }
    if dentry == mnt_root {
        let mount = mnt.wrapping_sub(off!(mount_mnt));
        let up = read::pointer(mount, off!(mount_parent));
        if up == mount || up.is_null() {
            return false;
        }
        let up = up.wrapping_add(off!(mount_mnt));
        // SAFETY: as above.
        unsafe {
            (&raw mut (*walk).dentry).write_volatile(read::kernel(mount, off!(mount_mountpoint)));
            (&raw mut (*walk).mnt).write_volatile(up as u64);
            (&raw mut (*walk).mnt_root).write_volatile(read::kernel(up, off!(vfsmount_root)));
        }
        return true;
    }
    let part: DentryPart = read::kernel(dentry, off!(dentry_parent));
    let len = opaque(part.len as usize) & NAME_MAX;
    // A dentry that is its own parent but not a mount's root belongs to no tree (memfd, pipe, anonymous inode): its bare
    // name is the whole name.
    let in_tree = part.parent != dentry as u64;
    if start < len + 1 || start > LEN {
        return true;
    }
    let at = opaque(start - len - in_tree as usize) & (LEN - 1);
    // SAFETY: `at` < LEN and `len` <= NAME_MAX, so all writes stay inside `bytes`; `walk` as above.
    unsafe {
        if in_tree {
            *bytes.add(at) = b'/';
        }
        bpf_probe_read_kernel(bytes.add(at + in_tree as usize).cast(), len as u32, part.name as *const _);
        (&raw mut (*walk).start).write_volatile(at as u64);
        (&raw mut (*walk).dentry).write_volatile(part.parent);
    }
    in_tree
}
