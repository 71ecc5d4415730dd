//! Builds one record in this CPU's scratch area: header, body, tails.

use aya_ebpf::helpers::generated::{
    bpf_get_current_task_btf, bpf_ktime_get_boot_ns, bpf_probe_read_kernel, bpf_probe_read_kernel_str,
    bpf_probe_read_user, bpf_probe_read_user_str,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;

use super::call::{Exit, Memory};
use super::lane::{self, Outcome};
use super::log;
use super::read::{self, Ptr, typed};
use crate::config::{Ends, GAP, PATH_MAX, ROOM};
use crate::record::{CUT_ARGS, CUT_ARGUMENT, CUT_HEAD, CUT_MIDDLE, Header, Lane, Pod, Tag, Tail, exec_id};
use crate::{config, off};

/// A record is shorter than this; a power of two, so that a masked offset satisfies the verifier.
const RECORD_MAX: usize = 16 * 1024;
/// The longest single tail, which may start anywhere below `RECORD_MAX`.
const TAIL_MAX: usize = 4096;

#[repr(C, align(8))]
pub struct Scratch {
    record: [u8; RECORD_MAX + TAIL_MAX],
    /// For what readers take out of a kernel structure in one go; the stack is too small for it.
    room: [u64; ROOM],
    /// Bytes of the record so far. It lives here and not in a register, so that the verifier forgets what it knew of it and
    /// all ways to the next step look alike.
    len: usize,
    /// What the last helper returned that failed, for the debug log.
    status: i64,
    /// What every record lacks that is made now, see [`mark`].
    mark: u64,
}

#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// The record under construction. Dropping it without `submit` makes no record.
pub struct Writer {
    scratch: *mut Scratch,
    tgid: u32,
}

impl Writer {
    /// Starts a record about the current process; `None` (and counted) when there is no scratch area, or when the
    /// process is the sensor itself.
    #[inline(always)]
    pub fn new<T: Pod>(tag: impl Into<Tag>) -> Option<Self> {
        // SAFETY: the helper has no preconditions.
        let task = unsafe { bpf_get_current_task_btf() } as Ptr;
        // SAFETY: the current task is BTF-typed.
        let (tgid, pid) = unsafe { (typed(task, off!(task_tgid)), typed(task, off!(task_pid))) };
        Self::about::<T>(tag, task, tgid, pid)
    }

    /// As [`Writer::new`], about any task that the verifier knows as such.
    #[inline(always)]
    pub fn about<T: Pod>(tag: impl Into<Tag>, task: Ptr, tgid: u32, tid: u32) -> Option<Self> {
        let tag = tag.into();
        if tgid == config!(own_tgid) && matches!(tag.lane, Lane::Bulk) {
            lane::count(tag.kind, Outcome::Filtered);
            return None;
        }
        let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
            lane::count(tag.kind, Outcome::LostBuild);
            return None;
        };
        // SAFETY: `scratch` is this CPU's map value; programs are not preempted by others that use it.
        let header = unsafe { &mut *(&raw mut (*scratch).record).cast::<Header>() };
        let identity = identity(task);
        // SAFETY: the helper has no preconditions.
        header.time = unsafe { bpf_ktime_get_boot_ns() };
        header.exec_id = exec_id(tgid, identity.start);
        header.cgroup = identity.cgroup;
        header.tgid = tgid;
        header.tid = tid;
        credentials(task, header);
        header.kind = tag.kind;
        // SAFETY: as above.
        header.flags = unsafe { (&raw const (*scratch).mark).read_volatile() } as u16;
        // SAFETY: as above.
        unsafe { (&raw mut (*scratch).status).write_volatile(0) };
        let mut writer = Self { scratch, tgid };
        writer.set_len(size_of::<Header>() + size_of::<T>());
        Some(writer)
    }

    /// The record under construction, for a global function, which cannot be handed it. It must not submit it.
    #[inline(always)]
    pub fn resume() -> Option<Self> {
        Some(Self { scratch: SCRATCH.get_ptr_mut(0)?, tgid: 0 })
    }

    #[inline(always)]
    fn len(&self) -> usize {
        // SAFETY: the scratch area lives as long as the program runs.
        unsafe { (&raw const (*self.scratch).len).read_volatile() }
    }

    #[inline(always)]
    fn set_len(&mut self, len: usize) {
        // SAFETY: as above.
        unsafe { (&raw mut (*self.scratch).len).write_volatile(len) };
    }

    /// The fixed part behind the header; holds the bytes of an earlier record until written.
    #[inline(always)]
    pub fn body<T: Pod>(&mut self) -> &'static mut T {
        // SAFETY: `T` fits behind the header (bodies are far smaller than the area), is aligned to 8 at most, and
        // any bytes are a valid `T`. Handlers take the body once per record.
        unsafe { &mut *(&raw mut (*self.scratch).record).cast::<u8>().add(size_of::<Header>()).cast() }
    }

    /// Room for words of kernel structures.
    #[inline(always)]
    pub fn words(&mut self) -> &'static mut [u64; ROOM] {
        // SAFETY: the scratch area lives as long as the program runs, and `room` is disjoint from `record`.
        unsafe { &mut (*self.scratch).room }
    }

    #[inline(always)]
    fn header(&mut self) -> *mut Header {
        // SAFETY: the header lies at the start of the area.
        unsafe { (&raw mut (*self.scratch).record).cast() }
    }

    /// Marks the record as incomplete: `what` of `CUT_*` is not all there.
    #[inline(always)]
    pub fn cut(&mut self, what: u16) {
        let header = self.header();
        // SAFETY: the header lies at the start of the area.
        unsafe { (*header).flags |= what };
    }

    /// True when a path of the record is not all there.
    #[inline(always)]
    pub fn path_is_cut(&mut self) -> bool {
        let header = self.header();
        // SAFETY: as above; volatile, for a global function may have written it.
        unsafe { (&raw const (*header).flags).read_volatile() & (CUT_HEAD | CUT_MIDDLE) != 0 }
    }

    /// Where the next tail begins; `None` when the record is full.
    #[inline(always)]
    fn room(&mut self) -> Option<*mut u8> {
        let len = self.len();
        if len >= RECORD_MAX {
            return None;
        }
        // SAFETY: the masked offset plus TAIL_MAX lies inside `record`.
        Some(unsafe { (&raw mut (*self.scratch).record).cast::<u8>().add(opaque(len) & (RECORD_MAX - 1)) })
    }

    /// The first byte of a tail just written.
    #[inline(always)]
    pub fn byte(&mut self, tail: Tail) -> u8 {
        // SAFETY: the masked offset lies inside `record`.
        unsafe {
            (&raw const (*self.scratch).record)
                .cast::<u8>()
                .add(opaque(tail.off as usize) & (RECORD_MAX - 1))
                .read_volatile()
        }
    }

    /// What stands at `at` in a tail; `None` when the tail ends before.
    #[inline(always)]
    pub fn part<T: Pod>(&mut self, tail: Tail, at: usize) -> Option<T> {
        if usize::from(tail.len) < at + size_of::<T>() {
            return None;
        }
        // SAFETY: the masked offset plus a small type lie inside `record`, and any bytes are a valid `T`.
        Some(unsafe {
            (&raw const (*self.scratch).record)
                .cast::<u8>()
                .add(opaque(usize::from(tail.off) + at) & (RECORD_MAX - 1))
                .cast::<T>()
                .read_unaligned()
        })
    }

    /// The first bytes of the tail written last, NUL-padded.
    #[inline(always)]
    pub fn head(&mut self, tail: Tail) -> [u64; 2] {
        // An absent tail lies nowhere.
        if tail.len == 0 {
            return [0; 2];
        }
        // SAFETY: the masked offsets plus what is written or read there lie inside `record`, and nothing stands behind the last
        // tail yet.
        unsafe {
            let record = (&raw mut (*self.scratch).record).cast::<u8>();
            let end = opaque(tail.off as usize + tail.len as usize) & (RECORD_MAX - 1);
            record.add(end).cast::<[u64; 2]>().write_unaligned([0; 2]);
            record.add(opaque(tail.off as usize) & (RECORD_MAX - 1)).cast::<[u64; 2]>().read_unaligned()
        }
    }

    /// Accounts for `len` bytes that were written at `room()`; `what` of `CUT_*` they are.
    #[inline(always)]
    fn grow(&mut self, len: usize, what: u16) -> Tail {
        let off = self.len();
        // The last tail of a record may reach into the margin, which is not sent.
        let end = if off + len >= RECORD_MAX {
            self.cut(what);
            RECORD_MAX - 1
        } else {
            off + len
        };
        self.set_len(end);
        Tail { off: off as u16, len: (end - off) as u16 }
    }

    /// A NUL-terminated string of the current process, without its NUL: what the caller passed.
    #[inline(always)]
    pub fn user_str(&mut self, ptr: u64) -> Tail {
        let Some(dst) = self.room() else { return self.none(CUT_ARGUMENT) };
        // SAFETY: `room` left TAIL_MAX bytes at `dst`.
        let n = unsafe { bpf_probe_read_user_str(dst.cast(), PATH_MAX as u32, ptr as *const _) };
        // The helper ends a longer string by itself.
        if n == PATH_MAX as i64 && read::user::<u8>(ptr.wrapping_add(PATH_MAX as u64 - 1)) != Some(0) {
            self.cut(CUT_ARGUMENT);
        }
        self.string(n)
    }

    /// A NUL-terminated string that an argument of a call points to, without its NUL.
    #[inline(always)]
    pub fn argument_str(&mut self, exit: &Exit, ptr: u64) -> Tail {
        match exit.memory {
            Memory::User => self.user_str(ptr),
            Memory::Kernel => self.kernel_str(ptr as Ptr),
        }
    }

    /// `len` bytes that an argument of a call points to, `max` (below `TAIL_MAX`) at most; `what` of `CUT_*` they are.
    #[inline(always)]
    pub fn argument_bytes(&mut self, exit: &Exit, ptr: u64, len: u64, max: u64, what: u16) -> Tail {
        match exit.memory {
            Memory::User => self.user_bytes(ptr, len, max, what),
            Memory::Kernel => {
                if len > max {
                    self.cut(what);
                }
                self.kernel_bytes(ptr as Ptr, if len > max { max as usize } else { len as usize })
            }
        }
    }

    /// A NUL-terminated string of the kernel, without its NUL: a name that the kernel keeps of what the caller passed.
    #[inline(always)]
    pub fn kernel_str(&mut self, ptr: Ptr) -> Tail {
        let Some(dst) = self.room() else { return self.none(CUT_ARGUMENT) };
        // SAFETY: `room` left TAIL_MAX bytes at `dst`.
        let n = unsafe { bpf_probe_read_kernel_str(dst.cast(), PATH_MAX as u32, ptr.cast()) };
        self.string(n)
    }

    #[inline(always)]
    fn string(&mut self, n: i64) -> Tail {
        if n <= 0 || n > TAIL_MAX as i64 {
            return self.failed(CUT_ARGUMENT, n);
        }
        self.grow(n as usize - 1, CUT_ARGUMENT)
    }

    /// No tail, and the mark that tells why.
    #[inline(always)]
    fn none(&mut self, what: u16) -> Tail {
        self.cut(what);
        Tail::EMPTY
    }

    /// No tail, because a helper returned `status`.
    #[inline(always)]
    fn failed(&mut self, what: u16, status: i64) -> Tail {
        // SAFETY: the scratch area lives as long as the program runs.
        unsafe { (&raw mut (*self.scratch).status).write_volatile(status) };
        self.none(what)
    }

    /// `len` bytes of the current process, `max` (below `TAIL_MAX`) at most; `what` of `CUT_*` they are.
    #[inline(always)]
    pub fn user_bytes(&mut self, ptr: u64, len: u64, max: u64, what: u16) -> Tail {
        let tail = append_user_bytes(ptr, len, max as u32 | u32::from(what) << 16);
        Tail { off: tail as u16, len: (tail >> 16) as u16 }
    }

    #[inline(always)]
    fn bytes_of_user(&mut self, ptr: u64, len: u64, max: u64, what: u16) -> Tail {
        if len > max {
            self.cut(what);
        }
        let len = opaque(if len > max { max as usize } else { len as usize }) & (TAIL_MAX - 1);
        let Some(dst) = self.room() else { return self.none(what) };
        // SAFETY: `room` left TAIL_MAX bytes at `dst`, and `len` is less.
        let status = unsafe { bpf_probe_read_user(dst.cast(), len as u32, ptr as *const _) };
        if status != 0 {
            return self.failed(what, status);
        }
        self.grow(len, what)
    }

    /// `len` bytes of the current process, or both ends of them with [`GAP`] between; `what` of `CUT_*` they are.
    #[inline(always)]
    pub fn user_ends(&mut self, ptr: u64, len: u64, ends: Ends, what: u16) -> Tail {
        let (head, tail) = (ends.head as u64, ends.tail as u64);
        let mut text = self.user_bytes(ptr, if len < head { len } else { head }, head, what);
        if len > head && text.len != 0 {
            let rest = if len - head > tail {
                self.cut(what);
                self.gap();
                tail
            } else {
                len - head
            };
            self.user_bytes(ptr.wrapping_add(len - rest), rest, tail, what);
            text.len = (self.len() - text.off as usize) as u16;
        }
        text
    }

    /// Marks that something is left out here.
    #[inline(always)]
    fn gap(&mut self) {
        let Some(dst) = self.room() else { return };
        // SAFETY: `room` left TAIL_MAX bytes at `dst`.
        unsafe { dst.cast::<[u8; 3]>().write(*GAP) };
        self.grow(GAP.len(), 0);
    }

    /// `len` bytes of kernel memory, `TAIL_MAX - 1` at most: a part of a path.
    #[inline(always)]
    pub fn kernel_bytes(&mut self, ptr: Ptr, len: usize) -> Tail {
        let len = opaque(len) & (TAIL_MAX - 1);
        let Some(dst) = self.room() else { return self.none(CUT_MIDDLE) };
        // SAFETY: `room` left TAIL_MAX bytes at `dst`, and `len` is less.
        let status = unsafe { bpf_probe_read_kernel(dst.cast(), len as u32, ptr.cast()) };
        if status != 0 {
            return self.failed(CUT_MIDDLE, status);
        }
        self.grow(len, CUT_MIDDLE)
    }

    /// Strings that an array of user pointers (`argv`) points to, each with its NUL; at most `N`. Pointers as in
    /// [`read::user_word`].
    #[inline(always)]
    pub fn user_strings<const N: usize>(&mut self, array: u64, compat: bool) -> Tail {
        let start = self.len();
        let mut whole = false;
        for i in 0..=N {
            let Some(ptr) = read::user_word(array, i as u64, compat) else { break };
            if ptr == 0 {
                whole = true;
                break;
            }
            if i == N || self.len() - start >= TAIL_MAX {
                break;
            }
            let Some(dst) = self.room() else { break };
            // SAFETY: `room` left TAIL_MAX bytes at `dst`.
            let n = unsafe { bpf_probe_read_user_str(dst.cast(), PATH_MAX as u32, ptr as *const _) };
            // The helper ends a longer string by itself; one that is just as long is marked, too.
            if n == PATH_MAX as i64 {
                self.cut(CUT_ARGS);
            }
            if n <= 0 || n > TAIL_MAX as i64 {
                break;
            }
            self.grow(n as usize, CUT_ARGS);
        }
        if !whole {
            self.cut(CUT_ARGS);
        }
        Tail { off: start as u16, len: (self.len() - start) as u16 }
    }

    /// Hands the record to its lane.
    #[inline(always)]
    pub fn submit(self, tag: impl Into<Tag>) {
        let tag = tag.into();
        let len = self.len();
        // SAFETY: the header lies at the start of the area.
        let record = unsafe { (&raw mut (*self.scratch).record).cast::<u8>() };
        // SAFETY: as above.
        unsafe {
            let header = record.cast::<Header>();
            (*header).len = len as u32;
            if (*header).flags != 0 {
                let status = (&raw const (*self.scratch).status).read_volatile();
                log::log_cut(u32::from(tag.kind), self.tgid, u32::from((*header).flags), status);
            }
        }
        lane::submit(tag, self.tgid, record, opaque(len) & (RECORD_MAX - 1));
    }
}

/// Records of this CPU lack `what` of `CUT_*` from now on, until the same program says 0.
#[inline(always)]
pub fn mark(what: u16) {
    if let Some(scratch) = SCRATCH.get_ptr_mut(0) {
        // SAFETY: this CPU's map value; programs are not preempted by others that use it.
        unsafe { (&raw mut (*scratch).mark).write_volatile(what.into()) };
    }
}

/// What every record's header needs of a task.
struct Identity {
    start: u64,
    cgroup: u64,
}

/// `task` must be a BTF-typed pointer (current task or a tracepoint's argument).
#[inline(always)]
fn identity(task: Ptr) -> Identity {
    // SAFETY: every pointer here is BTF-typed: `task` by contract, the others loaded through typed pointers.
    unsafe {
        let leader: Ptr = typed(task, off!(task_group_leader));
        let css_set: Ptr = typed(task, off!(task_cgroups));
        let subsys = config!(cgroup_subsys);
        let cgroup: Ptr = if subsys < 0 {
            typed(css_set, off!(css_set_dfl_cgrp))
        } else {
            let css: Ptr = typed(css_set, off!(css_set_subsys) + 8 * subsys as usize);
            typed(css, off!(css_cgroup))
        };
        let kn: Ptr = typed(cgroup, off!(cgroup_kn));
        Identity { start: typed(leader, off!(task_start_boottime)), cgroup: typed(kn, off!(kernfs_node_id)) }
    }
}

/// Fills in who `task` is at this moment. `task` as in [`identity`].
#[inline(always)]
fn credentials(task: Ptr, header: &mut Header) {
    // SAFETY: every pointer here is BTF-typed: `task` by contract, `cred` loaded through it.
    unsafe {
        header.comm = core::mem::transmute::<[u64; 2], [u8; 16]>(typed(task, off!(task_comm)));
        let cred: Ptr = typed(task, off!(task_cred));
        // A task always has one; a verifier that knows the member as one for RCU wants to see it checked.
        if cred.is_null() {
            return;
        }
        header.uid = typed(cred, off!(cred_euid));
        header.gid = typed(cred, off!(cred_egid));
        header.cap_inheritable = typed(cred, off!(cred_cap_inheritable));
        header.cap_permitted = typed(cred, off!(cred_cap_permitted));
        header.cap_effective = typed(cred, off!(cred_cap_effective));
    }
}

/// [`Writer::user_bytes`] of the record under construction, with `max` in the low half of `limits` and `what` in the high one; the
/// [`Tail`], `off` in the low half. A global function: whoever calls it goes on in one way and not in as many as this has.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn append_user_bytes(ptr: u64, len: u64, limits: u32) -> u32 {
    let Some(mut w) = Writer::resume() else { return 0 };
    let tail = w.bytes_of_user(ptr, len, u64::from(limits & 0xffff), (limits >> 16) as u16);
    u32::from(tail.off) | u32::from(tail.len) << 16
}

/// Hides a value's history from the compiler, which would otherwise drop a mask that it finds superfluous
/// and that the verifier needs.
#[inline(always)]
pub fn opaque(value: usize) -> usize {
    core::hint::black_box(value)
}
