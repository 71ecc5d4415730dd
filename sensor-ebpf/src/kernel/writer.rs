//! Builds one record in this CPU's scratch area: header, body, tails.

use aya_ebpf::helpers::generated::{
    bpf_get_current_task_btf, bpf_ktime_get_boot_ns, bpf_probe_read_kernel, bpf_probe_read_kernel_str,
    bpf_probe_read_user, bpf_probe_read_user_str,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;

use super::file::Words;
use super::lane::{self, Outcome};
use super::path::PathBuf;
use super::read::{Ptr, typed};
use super::task;
use crate::config::PATH_MAX;
use crate::events::{Kind, Lane};
use crate::record::{FLAG_CUT, Header, Pod, Tail, exec_id};
use crate::{config, off};

/// A record is shorter than this; a power of two, so that a masked offset satisfies the verifier.
const RECORD_MAX: usize = 16 * 1024;
/// The longest single tail, which may start anywhere below `RECORD_MAX`.
const TAIL_MAX: usize = 4096;

#[repr(C, align(8))]
pub struct Scratch {
    record: [u8; RECORD_MAX + TAIL_MAX],
    pub path: PathBuf,
    words: Words,
    /// Bytes of the record so far. It lives here and not in a register, so that the verifier forgets what it knew of it and
    /// all ways to the next step look alike.
    len: usize,
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
    pub fn new<T: Pod>(kind: Kind) -> Option<Self> {
        // SAFETY: the helper has no preconditions.
        let task = unsafe { bpf_get_current_task_btf() } as Ptr;
        // SAFETY: the current task is BTF-typed.
        let (tgid, pid) = unsafe { (typed(task, off!(task_tgid)), typed(task, off!(task_pid))) };
        Self::about::<T>(kind, task, tgid, pid)
    }

    /// As [`Writer::new`], about any task that the verifier knows as such.
    #[inline(always)]
    pub fn about<T: Pod>(kind: Kind, task: Ptr, tgid: u32, tid: u32) -> Option<Self> {
        if tgid == config!(own_tgid) && matches!(kind.lane(), Lane::Bulk) {
            lane::count(kind as u16, Outcome::Filtered);
            return None;
        }
        let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
            lane::count(kind as u16, Outcome::LostBuild);
            return None;
        };
        // SAFETY: `scratch` is this CPU's map value; programs are not preempted by others that use it.
        let header = unsafe { &mut *(&raw mut (*scratch).record).cast::<Header>() };
        let identity = task::identity(task);
        // SAFETY: the helper has no preconditions.
        header.time = unsafe { bpf_ktime_get_boot_ns() };
        header.exec_id = exec_id(tgid, identity.start);
        header.cgroup = identity.cgroup;
        header.tgid = tgid;
        header.tid = tid;
        header.kind = kind as u16;
        header.flags = 0;
        let mut writer = Self { scratch, tgid };
        writer.set_len(size_of::<Header>() + size_of::<T>());
        Some(writer)
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

    #[inline(always)]
    pub fn path_buf(&mut self) -> &'static mut PathBuf {
        // SAFETY: the scratch area lives as long as the program runs, and `path` is disjoint from `record`.
        unsafe { &mut (*self.scratch).path }
    }

    #[inline(always)]
    pub fn words(&mut self) -> &'static mut Words {
        // SAFETY: the scratch area lives as long as the program runs, and `words` is disjoint from `record` and `path`.
        unsafe { &mut (*self.scratch).words }
    }

    /// Marks the record as incomplete.
    #[inline(always)]
    pub fn cut(&mut self) {
        // SAFETY: the header lies at the start of the area.
        unsafe { (*(&raw mut (*self.scratch).record).cast::<Header>()).flags |= FLAG_CUT };
    }

    /// Where the next tail begins; `None` when the record is full.
    #[inline(always)]
    fn room(&mut self) -> Option<*mut u8> {
        let len = self.len();
        if len >= RECORD_MAX {
            self.cut();
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

    /// Accounts for `len` bytes that were written at `room()`.
    #[inline(always)]
    fn grow(&mut self, len: usize) -> Tail {
        let off = self.len();
        self.set_len(off + len);
        Tail { off: off as u16, len: len as u16 }
    }

    /// A NUL-terminated string of the current process, without its NUL.
    #[inline(always)]
    pub fn user_str(&mut self, ptr: u64) -> Tail {
        let Some(dst) = self.room() else { return Tail::EMPTY };
        // SAFETY: `room` left TAIL_MAX bytes at `dst`.
        let n = unsafe { bpf_probe_read_user_str(dst.cast(), PATH_MAX as u32, ptr as *const _) };
        self.string(n)
    }

    /// A NUL-terminated string of the kernel, without its NUL.
    #[inline(always)]
    pub fn kernel_str(&mut self, ptr: Ptr) -> Tail {
        let Some(dst) = self.room() else { return Tail::EMPTY };
        // SAFETY: `room` left TAIL_MAX bytes at `dst`.
        let n = unsafe { bpf_probe_read_kernel_str(dst.cast(), PATH_MAX as u32, ptr.cast()) };
        self.string(n)
    }

    #[inline(always)]
    fn string(&mut self, n: i64) -> Tail {
        if n <= 0 || n > TAIL_MAX as i64 {
            self.cut();
            return Tail::EMPTY;
        }
        self.grow(n as usize - 1)
    }

    /// `len` bytes of the current process, `TAIL_MAX - 1` at most.
    #[inline(always)]
    pub fn user_bytes(&mut self, ptr: u64, len: u64) -> Tail {
        let len = opaque(if len >= TAIL_MAX as u64 { TAIL_MAX - 1 } else { len as usize }) & (TAIL_MAX - 1);
        let Some(dst) = self.room() else { return Tail::EMPTY };
        // SAFETY: `room` left TAIL_MAX bytes at `dst`, and `len` is less.
        if unsafe { bpf_probe_read_user(dst.cast(), len as u32, ptr as *const _) } != 0 {
            self.cut();
            return Tail::EMPTY;
        }
        self.grow(len)
    }

    /// `len` bytes of kernel memory, `TAIL_MAX - 1` at most.
    #[inline(always)]
    pub fn kernel_bytes(&mut self, ptr: Ptr, len: usize) -> Tail {
        let len = opaque(len) & (TAIL_MAX - 1);
        let Some(dst) = self.room() else { return Tail::EMPTY };
        // SAFETY: `room` left TAIL_MAX bytes at `dst`, and `len` is less.
        if unsafe { bpf_probe_read_kernel(dst.cast(), len as u32, ptr.cast()) } != 0 {
            self.cut();
            return Tail::EMPTY;
        }
        self.grow(len)
    }

    /// Strings that an array of user pointers (`argv`) points to, each with its NUL; at most `N`.
    #[inline(always)]
    pub fn user_strings<const N: usize>(&mut self, array: u64) -> Tail {
        let start = self.len();
        for i in 0..N {
            let Some(ptr) = super::read::user::<u64>(array.wrapping_add(8 * i as u64)) else { break };
            if ptr == 0 || self.len() - start >= TAIL_MAX {
                break;
            }
            let Some(dst) = self.room() else { break };
            // SAFETY: `room` left TAIL_MAX bytes at `dst`.
            let n = unsafe { bpf_probe_read_user_str(dst.cast(), PATH_MAX as u32, ptr as *const _) };
            if n <= 0 || n > TAIL_MAX as i64 {
                self.cut();
                break;
            }
            let len = self.len();
            self.set_len(len + n as usize);
        }
        Tail { off: start as u16, len: (self.len() - start) as u16 }
    }

    /// Hands the record to its lane.
    #[inline(always)]
    pub fn submit(self, kind: Kind) {
        let mut len = self.len();
        if len >= RECORD_MAX {
            len = RECORD_MAX - 1;
        }
        // SAFETY: the header lies at the start of the area.
        let record = unsafe { (&raw mut (*self.scratch).record).cast::<u8>() };
        // SAFETY: as above.
        unsafe { (*record.cast::<Header>()).len = len as u32 };
        lane::submit(kind.lane(), kind as u16, self.tgid, record, opaque(len) & (RECORD_MAX - 1));
    }
}

/// Hides a value's history from the compiler, which would otherwise drop a mask that it finds superfluous
/// and that the verifier needs.
#[inline(always)]
pub fn opaque(value: usize) -> usize {
    core::hint::black_box(value)
}
