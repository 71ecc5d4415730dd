//! The `sys_exit` dispatcher: one array look-up for a syscall that nobody watches, a tail call for one that is.
//!
//! A call comes in by one of several interfaces (see [`crate::abi`]), each with its own table of numbers; the handler is the same.
//! Calls that no table has are counted, and user space says that there were some.

use aya_ebpf::helpers::generated::bpf_get_current_task_btf;
use aya_ebpf::programs::BtfTracePointContext;

use super::call::Call;
use super::lane::{self, Abi, Outcome, PROGRAMS, SYSCALLS};
use super::read::{Ptr, typed};
use super::writer::opaque;
use crate::abi::NUMBERS;
use crate::config::MISSING;
use crate::{config, off};

/// Whether the current task is a 32-bit program on arm64, whose calls no table has.
#[inline(always)]
fn is_arm32() -> bool {
    /// `TIF_32BIT` of arm64.
    const TIF_32BIT: u64 = 1 << 22;
    if cfg!(not(bpf_target_arch = "aarch64")) || config!(offsets.thread_info_flags) == MISSING {
        return false;
    }
    // SAFETY: `thread_info` is the first member of the current task, a BTF-typed pointer.
    let flags: u64 = unsafe { typed(bpf_get_current_task_btf() as Ptr, off!(thread_info_flags)) };
    flags & TIF_32BIT != 0
}

/// Body of the program on `sys_exit`.
#[inline(always)]
pub fn dispatch(ctx: &BtfTracePointContext) {
    /// `__X32_SYSCALL_BIT`: the caller's pointers have 32 bits, yet most such calls take the native structures.
    const X32: u64 = 0x4000_0000;
    if is_arm32() {
        lane::count_foreign(Abi::Compat);
        return;
    }
    let Call { mut number, interface, .. } = Call::of(ctx);
    if number & !(NUMBERS as u64 - 1) == X32 {
        number -= X32;
    }
    if number >= NUMBERS as u64 {
        // x32 has some forty numbers of its own above those that it shares.
        if (X32..X32 + 0x400).contains(&number) {
            lane::count_foreign(Abi::X32);
        }
        return;
    }
    let Some(table) = SYSCALLS.get_ptr(interface as u32) else { return };
    // SAFETY: `number` is below the table's length.
    let kind = unsafe { table.cast::<u8>().add(opaque(number as usize) & (NUMBERS - 1)).read_volatile() };
    if kind == 0 {
        return;
    }
    // SAFETY: a tail call does not return; nothing here needs dropping.
    unsafe { PROGRAMS.tail_call(ctx, u32::from(kind)) };
    // The program is gone: rules that do not want the event have come while this call looked.
    lane::count(u16::from(kind), Outcome::Filtered);
}
