//! Maps and the lanes to user space.
//!
//! Two kinds of lane: `LIFECYCLE` for what must never be lost (the life of processes and cgroups), and sharded bulk
//! lanes for the rest, chosen by tgid so that the records of one process stay in order.

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::{bpf_get_current_pid_tgid, bpf_ringbuf_output, bpf_ringbuf_query};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray, ProgramArray, RingBuf};

use crate::abi::{INTERFACES, NUMBERS};
use crate::config;
use crate::config::{COUNTERS_LEN, Counters, ForeignCalls};
use crate::filter::{ALTERNATIVES, Asked, Filter, Look};
use crate::record::{Lane, Tag};

// Sizes are set by user space at load.
#[map]
static LIFECYCLE: RingBuf = RingBuf::with_byte_size(4096, 0);
#[map]
static BULK0: RingBuf = RingBuf::with_byte_size(4096, 0);
#[map]
static BULK1: RingBuf = RingBuf::with_byte_size(4096, 0);
#[map]
static BULK2: RingBuf = RingBuf::with_byte_size(4096, 0);
#[map]
static BULK3: RingBuf = RingBuf::with_byte_size(4096, 0);

/// By [`Interface`](crate::abi::Interface): handler of each syscall number, which is its event kind and its index in `PROGRAMS`;
/// 0 = not watched.
#[map]
pub static SYSCALLS: Array<[u8; NUMBERS]> = Array::with_max_entries(INTERFACES.len() as u32, 0);
/// Programs to tail-call, by event kind.
#[map]
pub static PROGRAMS: ProgramArray = ProgramArray::with_max_entries(COUNTERS_LEN, 0);
/// By event kind.
#[map]
static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(COUNTERS_LEN, 0);
#[map]
static FOREIGN: PerCpuArray<ForeignCalls> = PerCpuArray::with_max_entries(1, 0);
/// By event kind.
#[map]
static FILTERS: Array<Filter> = Array::with_max_entries(COUNTERS_LEN, 0);
/// Non-zero while the reader sleeps and wants to be woken by the next record.
#[map]
static ASLEEP: Array<u32> = Array::with_max_entries(1, 0);

/// An interface for syscalls that is not the native one.
#[derive(Clone, Copy)]
pub enum Abi {
    Compat,
    X32,
}

/// Counts a call that no handler understands.
#[inline(always)]
pub fn count_foreign(abi: Abi) {
    let Some(calls) = FOREIGN.get_ptr_mut(0) else { return };
    // SAFETY: the helper has no preconditions.
    let tgid = (unsafe { bpf_get_current_pid_tgid() } >> 32) as u32;
    // SAFETY: a per-CPU map value; nothing else writes it while this program runs on this CPU.
    unsafe {
        match abi {
            Abi::Compat => {
                (*calls).compat += 1;
                (*calls).compat_tgid = tgid;
            }
            Abi::X32 => {
                (*calls).x32 += 1;
                (*calls).x32_tgid = tgid;
            }
        }
    }
}

/// What became of an event.
#[derive(Clone, Copy)]
pub enum Outcome {
    Filtered,
    LostBuild,
}

/// Counts an event that made no record.
#[inline(always)]
pub fn count(kind: u16, outcome: Outcome) {
    if let Some(counters) = COUNTERS.get_ptr_mut(u32::from(kind)) {
        // SAFETY: a per-CPU map value; nothing else writes it while this program runs on this CPU.
        unsafe {
            match outcome {
                Outcome::Filtered => (*counters).filtered += 1,
                Outcome::LostBuild => (*counters).lost_build += 1,
            }
        }
    }
}

/// Whether any rule can match an open that looks so (see [`crate::filter`]).
#[inline(always)]
pub fn wanted(kind: u16, look: &Look) -> bool {
    let (asked, [third, fourth]) = match look.asked {
        Asked::Nothing => (0, [0; 2]),
        Asked::Path(head) => (1, head),
        Asked::Unclear => (2, [0; 2]),
    };
    let rest = u32::from(kind) | look.access << 16 | u32::from(look.success) << 24 | asked << 28;
    let [first, second] = look.resolved;
    is_wanted(rest, first, second, third, fourth) != 0
}

/// A global function, which the verifier checks once and on its own: before Linux 6.2 it followed the rest of an open's handler
/// anew from each step of the loop. It takes five numbers at the most: `rest` has the kind, the access, the outcome and which
/// name was asked for.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn is_wanted(rest: u32, first: u64, second: u64, third: u64, fourth: u64) -> u32 {
    let asked = match rest >> 28 {
        0 => Asked::Nothing,
        1 => Asked::Path([third, fourth]),
        _ => Asked::Unclear,
    };
    let (access, success) = (rest >> 16 & 0xff, rest >> 24 & 1 != 0);
    let look = Look { access, success, resolved: [first, second], asked };
    let Some(filter) = FILTERS.get_ptr(rest & 0xffff) else { return 1 };
    // SAFETY: a map value; user space may write it meanwhile, which the version tells.
    let (version, len) = unsafe {
        ((&raw const (*filter).version).read_volatile(), (&raw const (*filter).len).read_volatile())
    };
    if len == 0 {
        return 1;
    }
    for at in 0..ALTERNATIVES {
        if at as u64 >= len {
            break;
        }
        // SAFETY: as above, and `at` is in bounds.
        let alternative = unsafe { (&raw const (*filter).alternatives[at]).read_volatile() };
        if alternative.admits(&look) {
            return 1;
        }
    }
    // SAFETY: as above.
    let changed = version % 2 == 1 || version != unsafe { (&raw const (*filter).version).read_volatile() };
    changed.into()
}

/// Hands `len` bytes at `record` to a lane.
#[inline(always)]
pub fn submit(tag: Tag, tgid: u32, record: *mut u8, len: usize) {
    let status = match tag.lane {
        Lane::Lifecycle => output(&LIFECYCLE, record, len),
        Lane::Bulk => match tgid & config!(lane_mask) {
            0 => output(&BULK0, record, len),
            1 => output(&BULK1, record, len),
            2 => output(&BULK2, record, len),
            _ => output(&BULK3, record, len),
        },
    };
    if let Some(counters) = COUNTERS.get_ptr_mut(u32::from(tag.kind)) {
        // SAFETY: a per-CPU map value; nothing else writes it while this program runs on this CPU.
        unsafe {
            if status == 0 {
                (*counters).seen += 1;
            } else {
                (*counters).lost_full += 1;
            }
        }
    }
}

#[inline(always)]
fn output(ring: &'static RingBuf, record: *mut u8, len: usize) -> i64 {
    let map = core::ptr::from_ref(ring).cast_mut().cast();
    // A wake-up costs more than a record: wake only a reader that sleeps, or one that falls behind.
    let flags = match ASLEEP.get_ptr_mut(0) {
        // SAFETY: a map value of four bytes; the race with other CPUs is harmless (one wake-up more).
        Some(asleep) if unsafe { asleep.read_volatile() } != 0 => {
            // SAFETY: as above.
            unsafe { asleep.write_volatile(0) };
            BPF_RB_FORCE_WAKEUP
        }
        // SAFETY: `map` is a ring buffer map of this object.
        _ if unsafe { bpf_ringbuf_query(map, BPF_RB_AVAIL_DATA.into()) } >= u64::from(config!(watermark)) => {
            BPF_RB_FORCE_WAKEUP
        }
        _ => BPF_RB_NO_WAKEUP,
    };
    // SAFETY: `record` points to at least `len` initialised bytes of the scratch area.
    unsafe { bpf_ringbuf_output(map, record.cast(), len as u64, flags.into()) }
}
