//! The `sys_exit` dispatcher: one array look-up for a syscall that nobody watches, a tail call for one that is.
//!
//! Calls through another interface than the native one have other numbers or other arguments. No handler knows them, so they
//! are counted, and user space says that there were some.

use aya_ebpf::helpers::generated::bpf_get_current_task_btf;
use aya_ebpf::programs::BtfTracePointContext;

use super::lane::{self, Abi, Outcome, PROGRAMS, SYSCALLS};
use super::read::{Ptr, typed};
use crate::config::{MISSING, SYSCALLS_LEN};
use crate::{config, off};

/// Offsets in x86-64's `struct pt_regs`, which is ABI.
#[cfg(bpf_target_arch = "x86_64")]
mod regs {
    pub const SYSCALL: usize = 120;
    pub const ARGS: [usize; 6] = [112, 104, 96, 56, 72, 64];
}

/// A finished syscall of the current task.
pub struct Exit {
    regs: Ptr,
    /// Return value, negative errno on failure.
    pub ret: i64,
    /// The current task.
    pub task: Ptr,
}

impl Exit {
    #[inline(always)]
    pub fn new(ctx: &BtfTracePointContext) -> Self {
        Self {
            regs: ctx.arg::<u64>(0) as Ptr,
            ret: ctx.arg(1),
            // SAFETY: the helper has no preconditions.
            task: unsafe { bpf_get_current_task_btf() } as Ptr,
        }
    }

    /// The `n`th argument register as the caller set it.
    #[inline(always)]
    pub fn arg(&self, n: usize) -> u64 {
        // SAFETY: `regs` is the tracepoint's `struct pt_regs *`, which the verifier knows by type.
        unsafe { typed(self.regs, regs::ARGS[n]) }
    }
}

/// Body of the program on `sys_exit`.
#[inline(always)]
pub fn dispatch(ctx: &BtfTracePointContext) {
    /// `TS_COMPAT` in `thread_info.status`: a 32-bit syscall, whose number means something else.
    const TS_COMPAT: u32 = 2;
    /// `__X32_SYSCALL_BIT`, and one more than the highest number with it.
    const X32: core::ops::Range<u64> = 0x4000_0000..0x4000_0400;
    let regs = ctx.arg::<u64>(0) as Ptr;
    // SAFETY: `regs` is the tracepoint's `struct pt_regs *`, which the verifier knows by type.
    let nr: u64 = unsafe { typed(regs, regs::SYSCALL) };
    if config!(offsets.thread_info_status) != MISSING {
        // SAFETY: `thread_info` is the first member of the current task, a BTF-typed pointer.
        let status: u32 = unsafe { typed(bpf_get_current_task_btf() as Ptr, off!(thread_info_status)) };
        if status & TS_COMPAT != 0 {
            lane::count_foreign(Abi::Compat);
            return;
        }
    }
    if nr >= SYSCALLS_LEN as u64 {
        if X32.contains(&nr) {
            lane::count_foreign(Abi::X32);
        }
        return;
    }
    let Some(table) = SYSCALLS.get_ptr(0) else { return };
    // SAFETY: `nr` is below the table's length.
    let kind = unsafe { table.cast::<u8>().add(nr as usize & (SYSCALLS_LEN - 1)).read_volatile() };
    if kind == 0 {
        return;
    }
    // SAFETY: a tail call does not return; nothing here needs dropping.
    unsafe { PROGRAMS.tail_call(ctx, u32::from(kind)) };
    // The program is gone: rules that do not want the event have come while this call looked.
    lane::count(u16::from(kind), Outcome::Filtered);
}
