//! A finished call as its handler sees it: result, arguments, and where those that are no numbers lie.

use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_probe_read_kernel};
use aya_ebpf::programs::BtfTracePointContext;

use super::read::{self, Ptr, typed};
use crate::abi::{Interface, SOCKETCALL, SOCKETCALL_ARGS, regs};
use crate::config::MISSING;
use crate::{config, off};

/// A finished syscall of the current task.
pub struct Exit {
    pub(super) args: [u64; 6],
    /// Return value, negative errno on failure.
    pub ret: i64,
    /// The descriptor that a call made which makes one; negative when it made none, or none that the process has.
    pub fd: i32,
    /// The current task.
    pub task: Ptr,
    /// Its number among those of its word size.
    pub nr: u64,
    /// The caller's words and pointers have 32 bits, also those in structures that it passes.
    pub compat: bool,
    /// Where the paths, addresses and structures lie that arguments point to.
    pub memory: Memory,
}

/// Whose memory an argument points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// The caller's, who may change it at any time.
    User,
    /// The kernel's own copy.
    Kernel,
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
        let ret = ctx.arg(1);
        Self {
            args,
            ret,
            fd: ret as i32,
            // SAFETY: the helper has no preconditions.
            task: unsafe { bpf_get_current_task_btf() } as Ptr,
            nr: call.number,
            compat: !matches!(call.interface, Interface::Native),
            memory: Memory::User,
        }
    }

    /// How its arguments are to be read, for [`Exit::resume`].
    #[inline(always)]
    pub fn how(&self) -> u32 {
        u32::from(self.compat) | u32::from(matches!(self.memory, Memory::Kernel)) << 1
    }

    /// A call of the current task for a global function, which cannot be handed one: with its first argument, its result or that of
    /// a part of it, and [`Exit::how`].
    #[inline(always)]
    pub fn resume(first: u64, ret: i64, how: u32) -> Self {
        Self {
            args: [first, 0, 0, 0, 0, 0],
            ret,
            fd: -1,
            // SAFETY: the helper has no preconditions.
            task: unsafe { bpf_get_current_task_btf() } as Ptr,
            nr: 0,
            compat: how & 1 != 0,
            memory: if how & 2 != 0 { Memory::Kernel } else { Memory::User },
        }
    }

    /// The `n`th argument as the caller set it, extended with zeros if it has 32 bits.
    #[inline(always)]
    pub fn arg(&self, n: usize) -> u64 {
        self.args[n]
    }

    /// The same call with other arguments.
    #[must_use]
    #[inline(always)]
    pub fn with_args(&self, args: [u64; 6]) -> Self {
        Self { args, ..*self }
    }

    /// Reads a `T` that an argument points to.
    #[inline(always)]
    pub fn read<T: Copy + Default>(&self, ptr: u64) -> Option<T> {
        self.memory.read(ptr)
    }

    /// Reads a number of 32 bits that an argument points to; 0 when it cannot be read.
    #[inline(always)]
    pub fn number(&self, ptr: u64) -> u32 {
        match self.read::<u32>(ptr) {
            // Else the compiler computes with the number before it knows that it is there, in a register that may hold anything.
            Some(number) => core::hint::black_box(number),
            None => 0,
        }
    }

    /// The `n`th word of an array or a structure of words that an argument points to.
    #[inline(always)]
    pub fn word(&self, ptr: u64, n: u64) -> Option<u64> {
        self.memory.word(ptr, n, self.compat)
    }
}

impl Memory {
    /// Reads a `T` of it.
    #[inline(always)]
    pub fn read<T: Copy + Default>(self, ptr: u64) -> Option<T> {
        if matches!(self, Self::User) {
            return read::user(ptr);
        }
        let mut value = T::default();
        // SAFETY: the helper writes exactly `size_of::<T>()` bytes and tolerates any source address.
        let status =
            unsafe { bpf_probe_read_kernel((&raw mut value).cast(), size_of::<T>() as u32, ptr as *const _) };
        (status == 0).then_some(value)
    }

    /// The `n`th word at `ptr`, of 32 bits if it is of a `compat` call.
    #[inline(always)]
    pub fn word(self, ptr: u64, n: u64, compat: bool) -> Option<u64> {
        if compat {
            self.read::<u32>(ptr.wrapping_add(4 * n)).map(u64::from)
        } else {
            self.read(ptr.wrapping_add(8 * n))
        }
    }
}

/// A call as it came in.
pub struct Call {
    regs: Ptr,
    pub interface: Interface,
    pub number: u64,
}

impl Call {
    #[inline(always)]
    pub fn of(ctx: &BtfTracePointContext) -> Self {
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
