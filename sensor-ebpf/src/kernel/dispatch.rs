//! The `sys_exit` dispatcher: one array look-up for a syscall that nobody watches, a tail call for one that is.
//!
//! A call comes in by one of several interfaces (see [`crate::abi`]), each with its own table of numbers and its own place for
//! arguments; the handler is the same. Calls that no table has are counted, and user space says that there were some.

use aya_ebpf::helpers::generated::bpf_get_current_task_btf;
use aya_ebpf::programs::BtfTracePointContext;

use super::lane::{self, Abi, Outcome, PROGRAMS, SYSCALLS};
use super::read::{self, Ptr, typed};
use super::writer::opaque;
use crate::abi::{Interface, NUMBERS, SOCKETCALL, SOCKETCALL_ARGS, regs};
use crate::config::MISSING;
use crate::{config, off};

/// A finished syscall of the current task.
pub struct Exit {
    args: [u64; 6],
    /// Return value, negative errno on failure.
    pub ret: i64,
    /// The current task.
    pub task: Ptr,
    /// Its number among those of its word size.
    pub nr: u64,
    /// The caller's words and pointers have 32 bits, also those in structures that it passes.
    pub compat: bool,
}

impl Exit {
    #[inline(always)]
    pub fn new(ctx: &BtfTracePointContext) -> Self {
        let call = Call::of(ctx);
        let mut args = [0; 6];
        for (n, arg) in args.iter_mut().enumerate() {
            *arg = match call.interface {
                Interface::Native => call.register(regs::ARGS[n]),
                Interface::Compat => call.compat_argument(n),
                // The kernel has read them before; what another thread makes of them meanwhile is lost on it.
                Interface::SocketCall if n < usize::from(SOCKETCALL_ARGS[call.number as usize & 31]) => {
                    read::user::<u32>(call.compat_argument(1) + 4 * n as u64).unwrap_or(0).into()
                }
                Interface::SocketCall => 0,
            };
        }
        Self {
            args,
            ret: ctx.arg(1),
            // SAFETY: the helper has no preconditions.
            task: unsafe { bpf_get_current_task_btf() } as Ptr,
            nr: call.number,
            compat: !matches!(call.interface, Interface::Native),
        }
    }

    /// The `n`th argument as the caller set it, extended with zeros if it has 32 bits.
    #[inline(always)]
    pub fn arg(&self, n: usize) -> u64 {
        self.args[n]
    }
}

/// A call as it came in.
struct Call {
    regs: Ptr,
    interface: Interface,
    number: u64,
}

impl Call {
    #[inline(always)]
    fn of(ctx: &BtfTracePointContext) -> Self {
        let regs = ctx.arg::<u64>(0) as Ptr;
        let native = Self { regs, interface: Interface::Native, number: 0 };
        let number = native.register(regs::SYSCALL);
        if !is_compat() {
            return Self { number, ..native };
        }
        if number == SOCKETCALL {
            return Self { regs, interface: Interface::SocketCall, number: native.compat_argument(0) };
        }
        Self { regs, interface: Interface::Compat, number }
    }

    #[inline(always)]
    fn register(&self, offset: usize) -> u64 {
        // SAFETY: `regs` is the tracepoint's `struct pt_regs *`, which the verifier knows by type.
        unsafe { typed(self.regs, offset) }
    }

    #[inline(always)]
    fn compat_argument(&self, n: usize) -> u64 {
        self.register(regs::COMPAT_ARGS[n]) & u64::from(u32::MAX)
    }
}

/// Whether the current task is in a 32-bit call of x86.
#[inline(always)]
fn is_compat() -> bool {
    /// `TS_COMPAT` in `thread_info.status`.
    const TS_COMPAT: u32 = 2;
    if config!(offsets.thread_info_status) == MISSING {
        return false;
    }
    // SAFETY: `thread_info` is the first member of the current task, a BTF-typed pointer.
    let status: u32 = unsafe { typed(bpf_get_current_task_btf() as Ptr, off!(thread_info_status)) };
    status & TS_COMPAT != 0
}

/// Whether the current task is a 32-bit program on arm64, whose calls no table has.
#[inline(always)]
fn is_arm32() -> bool {
    /// `TIF_32BIT` of arm64.
    const TIF_32BIT: u64 = 1 << 22;
    if cfg!(not(bpf_target_arch = "aarch64")) || config!(offsets.thread_info_flags) == MISSING {
        return false;
    }
    // SAFETY: as above.
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
