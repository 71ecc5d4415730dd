//! Resolves a `struct path` to its name, as seen from the process's root: what `d_path` gives, without the race, and deeper.
//!
//! A file may lie far deeper than `PATH_MAX` lets anyone name in one call (`chdir` and `openat` in turn), and whoever wants to
//! hide where it is does just that. So the walk goes on when the buffer is full: the last names stay, and of those before them
//! the ones nearest to the root. Such a path reads `/dev/shm/…...…/file` and is marked [`CUT_MIDDLE`]. One whose root is not
//! reached in [`STEPS`] times [`CALLS`] times [`ROUNDS`] steps begins with `...` and is marked [`CUT_HEAD`].
//!
//! The verifier counts every step of a loop that it follows, in each program and at each place that asks for a path. So the walk
//! is made of three global functions, which it checks once and on their own, each with a short loop: [`walk`] takes some steps,
//! [`walk_on`] calls it, and [`append_path`] calls that until there are no more. That works on every kernel that has BTF;
//! `bpf_loop` came later.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;

use super::read::{self, Ptr};
use super::writer::{Writer, opaque};
use crate::off;
use crate::record::{CUT_HEAD, CUT_MIDDLE, Tail};

const LEN: usize = 4096;
/// Below it the buffer becomes a ring when it is full.
const HALF: usize = LEN / 2;
/// Longest name that is read; only file systems in user space have longer ones.
const NAME_MAX: usize = 255;
/// Room for a name that begins before, or ends behind, its part of the buffer.
const MARGIN: usize = NAME_MAX + 1;
/// What stays of the end of a path that is longer than the buffer: a name that goes round the ring may spill over the rest.
const KEPT: usize = HALF + MARGIN;
/// Stands for what is not there.
const GAP: [u8; 3] = *b"...";

/// Components and mount crossings that one call of [`walk`] follows, how often [`walk_on`] calls it, and how often that is called:
/// 8,192 in all, half a millisecond.
const STEPS: usize = 4;
const CALLS: usize = 32;
const ROUNDS: usize = 64;

/// This CPU's walk.
///
/// Names are written from the end towards the start. All of it lives in map memory and not in registers: the verifier forgets
/// what it knew of a value that it loads from there, so all ways through a step look alike to it and it follows only one.
#[repr(C, align(8))]
struct Walk {
    bytes: [u8; MARGIN + LEN + MARGIN],
    dentry: u64,
    mnt: u64,
    /// `mnt`'s root dentry.
    mnt_root: u64,
    root_dentry: u64,
    root_mnt: u64,
    /// Where the path begins, from `MARGIN` on.
    start: u64,
    /// 1: the buffer was full, and `start` goes round in its lower half.
    round: u64,
    /// 1: a name was too long, or could not be read.
    clipped: u64,
}

#[map]
static WALK: PerCpuArray<Walk> = PerCpuArray::with_max_entries(1, 0);

/// Reads a member of the walk; volatile, so that the compiler keeps nothing in registers.
macro_rules! get {
    ($walk:ident.$member:ident) => {
        // SAFETY: `walk` is this CPU's map value, which nothing else uses while the program runs.
        unsafe { (&raw const (*$walk).$member).read_volatile() }
    };
}

/// Writes a member of the walk.
macro_rules! set {
    ($walk:ident.$member:ident = $value:expr) => {
        // SAFETY: as in `get`.
        unsafe { (&raw mut (*$walk).$member).write_volatile($value) }
    };
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

/// Appends the name of `path`, as seen from `root`, to the record.
#[inline(always)]
pub fn append(w: &mut Writer, path: Path, root: Path) -> Tail {
    let Some(walk) = WALK.get_ptr_mut(0) else {
        w.cut(CUT_HEAD);
        return Tail::EMPTY;
    };
    set!(walk.dentry = path.dentry as u64);
    set!(walk.mnt = path.mnt as u64);
    set!(walk.mnt_root = read::kernel(path.mnt, off!(vfsmount_root)));
    set!(walk.root_dentry = root.dentry as u64);
    set!(walk.root_mnt = root.mnt as u64);
    set!(walk.start = LEN as u64);
    set!(walk.round = 0);
    set!(walk.clipped = 0);
    let tail = append_path();
    Tail { off: tail as u16, len: (tail >> 16) as u16 }
}

/// Follows this CPU's walk to its end and appends the path to the record under construction. Returns the [`Tail`]: `off` in
/// the low half, `len` in the high one, for a global function gives back no more than a number.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn append_path() -> u32 {
    let (Some(walk), Some(mut w)) = (WALK.get_ptr_mut(0), Writer::resume()) else { return 0 };
    let mut whole = false;
    for _ in 0..ROUNDS {
        if walk_on() == 0 {
            whole = true;
            break;
        }
    }
    let tail = finish(&mut w, walk, whole);
    u32::from(tail.off) | u32::from(tail.len) << 16
}

/// Takes at most [`STEPS`] times [`CALLS`] steps of this CPU's walk; 0 when it is at its end.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn walk_on() -> u32 {
    for _ in 0..CALLS {
        if walk() == 0 {
            return 0;
        }
    }
    1
}

/// Takes at most [`STEPS`] steps of this CPU's walk; 0 when it is at its end.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn walk() -> u32 {
    let Some(walk) = WALK.get_ptr_mut(0) else { return 0 };
    for _ in 0..STEPS {
        if !step(walk) {
            return 0;
        }
    }
    1
}

/// Appends what the walk has found; `whole` when it has reached the root.
#[inline(always)]
fn finish(w: &mut Writer, walk: *mut Walk, whole: bool) -> Tail {
    let (mut start, round) = (get!(walk.start) as usize, get!(walk.round) != 0);
    if get!(walk.clipped) != 0 {
        w.cut(CUT_MIDDLE);
    }
    // SAFETY: `walk` is this CPU's map value, and MARGIN lies inside `bytes`.
    let bytes = unsafe { (&raw mut (*walk).bytes).cast::<u8>().add(MARGIN) };
    if whole && !round {
        if start >= LEN {
            start = LEN - 1;
            // SAFETY: inside `bytes`.
            unsafe { *bytes.add(LEN - 1) = b'/' };
        }
        let at = opaque(start) & (LEN - 1);
        // SAFETY: `at` < LEN.
        return w.kernel_bytes(unsafe { bytes.add(at) }, LEN - at);
    }
    let mut head = Tail::EMPTY;
    if whole {
        w.cut(CUT_MIDDLE);
        // The names next to the root: the ring from `start`, once round.
        let at = opaque(start) & (HALF - 1);
        // SAFETY: `at` < HALF < LEN.
        head = w.kernel_bytes(unsafe { bytes.add(at) }, HALF - at);
        head.len += w.kernel_bytes(bytes, at).len;
    } else {
        w.cut(CUT_HEAD);
    }
    if round || start < GAP.len() || start >= LEN {
        start = KEPT;
    }
    let at = opaque(start - GAP.len()) & (LEN - 1);
    // SAFETY: `at` < LEN, and MARGIN bytes follow LEN.
    let end = unsafe {
        let gap = bytes.add(at);
        gap.cast::<[u8; 3]>().write_unaligned(GAP);
        w.kernel_bytes(gap, LEN - at)
    };
    if head.len == 0 { end } else { Tail { off: head.off, len: head.len + end.len } }
}

/// One component or mount crossing towards the root; false when there is nothing more to do.
#[inline(always)]
fn step(walk: *mut Walk) -> bool {
    let (dentry, mnt) = (get!(walk.dentry), get!(walk.mnt));
    if dentry == 0 || (dentry == get!(walk.root_dentry) && mnt == get!(walk.root_mnt)) {
        return false;
    }
    if dentry == get!(walk.mnt_root) {
        let mount = (mnt as Ptr).wrapping_sub(off!(mount_mnt));
        let up = read::pointer(mount, off!(mount_parent));
        if up == mount || up.is_null() {
            return false;
        }
        let up = up.wrapping_add(off!(mount_mnt));
        set!(walk.dentry = read::kernel(mount, off!(mount_mountpoint)));
        set!(walk.mnt = up as u64);
        set!(walk.mnt_root = read::kernel(up, off!(vfsmount_root)));
        return true;
    }
    let part: DentryPart = read::kernel(dentry as Ptr, off!(dentry_parent));
    if part.len as usize > NAME_MAX {
        set!(walk.clipped = 1);
    }
    let len = if part.len as usize > NAME_MAX { NAME_MAX } else { part.len as usize };
    // A dentry that is its own parent but not a mount's root belongs to no tree (memfd, pipe, anonymous inode): its bare
    // name is the whole name.
    let in_tree = part.parent != dentry;
    let start = get!(walk.start) as usize;
    let needed = len + in_tree as usize;
    let full = start < needed;
    let at = opaque(if full { start + HALF - needed } else { start - needed }) & (LEN - 1);
    // SAFETY: MARGIN and `at` < LEN lie inside `bytes`, and MARGIN bytes follow: room for the slash and the longest name.
    let status =
        unsafe { put((&raw mut (*walk).bytes).cast::<u8>().add(MARGIN + at), part.name, len, in_tree) };
    if full {
        // What reaches beyond the ring's end is its beginning.
        let at = opaque(start + MARGIN - needed) & (MARGIN - 1);
        // SAFETY: the same, from the margin before the buffer.
        unsafe { put((&raw mut (*walk).bytes).cast::<u8>().add(at), part.name, len, in_tree) };
        set!(walk.round = 1);
    }
    if status != 0 {
        set!(walk.clipped = 1);
    }
    set!(walk.start = at as u64);
    set!(walk.dentry = part.parent);
    in_tree
}

/// Writes one name, after a slash if it lies in a directory. Returns what the helper returned.
///
/// # Safety
/// `to` is followed by room for 1 and `len` bytes, which are at most [`NAME_MAX`].
#[inline(always)]
unsafe fn put(to: *mut u8, name: u64, len: usize, in_tree: bool) -> i64 {
    // Bounded here and not before: Linux 6.12 forgets the bound of a value when a sum that it is part of is compared.
    let len = opaque(len) & NAME_MAX;
    // SAFETY: by the caller's word; the helper takes any source address.
    unsafe {
        if in_tree {
            *to = b'/';
        }
        bpf_probe_read_kernel(to.add(in_tree as usize).cast(), len as u32, name as *const _)
    }
}
