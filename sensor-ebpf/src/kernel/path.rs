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
}

/// A `struct path`, pointers copied.
#[derive(Clone, Copy)]
pub struct Path {
    pub mnt: Ptr,
    pub dentry: Ptr,
}

impl Path {
    /// Reads the `struct path` at `ptr`.
    #[inline(always)]
    pub fn at(ptr: Ptr) -> Self {
        Self { mnt: read::pointer(ptr, off!(path_mnt)), dentry: read::pointer(ptr, off!(path_dentry)) }
    }
}

/// Appends the name of `path` to the record.
#[inline(always)]
pub fn append(w: &mut Writer, path: Path, root: Path) -> Tail {
    let buf = (&raw mut w.path_buf().bytes).cast::<u8>();
    let Path { mut mnt, mut dentry } = path;
    let mut start = LEN;
    let mut done = false;
    for _ in 0..DEPTH {
        if dentry.is_null() || (dentry == root.dentry && mnt == root.mnt) {
            done = true;
            break;
        }
        let parent = read::pointer(dentry, off!(dentry_parent));
        let mount_root = read::pointer(mnt, off!(vfsmount_root));
        if dentry == mount_root {
            let mount = mnt.wrapping_sub(off!(mount_mnt));
            let up = read::pointer(mount, off!(mount_parent));
            if up == mount || up.is_null() {
                done = true;
                break;
            }
            dentry = read::pointer(mount, off!(mount_mountpoint));
            mnt = up.wrapping_add(off!(mount_mnt));
            continue;
        }
        let qstr = dentry.wrapping_add(off!(dentry_name));
        let len = opaque(read::kernel::<u32>(qstr, off!(qstr_len)) as usize) & NAME_MAX;
        let name = read::pointer(qstr, off!(qstr_name));
        // A dentry that is its own parent but not a mount's root belongs to no tree (memfd, pipe, anonymous
        // inode): its bare name is the whole name.
        let in_tree = parent != dentry;
        let need = len + in_tree as usize;
        if start < need {
            break;
        }
        start -= need;
        let at = opaque(start) & (LEN - 1);
        // SAFETY: `at` < LEN and `len` <= NAME_MAX, so all writes stay inside `bytes`.
        unsafe {
            if in_tree {
                *buf.add(at) = b'/';
            }
            bpf_probe_read_kernel(buf.add(at + in_tree as usize).cast(), len as u32, name.cast());
        }
        if !in_tree {
            done = true;
            break;
        }
        dentry = parent;
    }
    if !done {
        w.cut();
    }
    if start == LEN {
        start -= 1;
        // SAFETY: LEN - 1 lies inside `bytes`.
        unsafe { *buf.add(LEN - 1) = b'/' };
    }
    let at = opaque(start) & (LEN - 1);
    // SAFETY: as above.
    w.kernel_bytes(unsafe { buf.add(at) }, LEN - at)
}
