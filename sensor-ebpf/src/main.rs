//! The BPF object: one program per line of the event registry, and the `sys_exit` dispatcher.
#![no_std]
#![no_main]

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use sensor_ebpf::kernel::Exit;
use sensor_ebpf::{events, for_each_event, kernel, requests};

macro_rules! programs {
    ($($module:ident { $($kind:ident, $program:ident, $hook:ident $at:tt;)+ })+) => {
        $($(programs!(@ $hook $program $module);)+)+
    };
    (@ tracepoint $program:ident $module:ident) => {
        #[btf_tracepoint]
        pub fn $program(ctx: BtfTracePointContext) -> i32 {
            events::$module::$program(&ctx);
            0
        }
    };
    (@ syscall $program:ident $module:ident) => {
        #[btf_tracepoint]
        pub fn $program(ctx: BtfTracePointContext) -> i32 {
            events::$module::$program(&Exit::new(&ctx));
            0
        }
    };
}
for_each_event!(programs);

#[expect(clippy::needless_pass_by_value, reason = "the form that the kernel's entry point has")]
/// Attached to `sys_exit`; the syscall programs above are its tail calls.
#[btf_tracepoint]
pub fn sys_exit(ctx: BtfTracePointContext) -> i32 {
    kernel::dispatch::dispatch(&ctx);
    0
}

/// Attached to `io_uring_submit_req`.
#[expect(clippy::needless_pass_by_value, reason = "the form that the kernel's entry point has")]
#[btf_tracepoint]
pub fn uring_submit(ctx: BtfTracePointContext) -> i32 {
    kernel::uring::submit(&ctx, requests::handle);
    0
}

/// Attached to `io_uring_complete`.
#[expect(clippy::needless_pass_by_value, reason = "the form that the kernel's entry point has")]
#[btf_tracepoint]
pub fn uring_complete(ctx: BtfTracePointContext) -> i32 {
    kernel::uring::complete(&ctx, requests::handle);
    0
}

/// Attached to `io_uring_cqe_overflow`.
#[expect(clippy::needless_pass_by_value, reason = "the form that the kernel's entry point has")]
#[btf_tracepoint]
pub fn uring_overflow(ctx: BtfTracePointContext) -> i32 {
    kernel::uring::overflow(&ctx, requests::handle);
    0
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // BPF programs are compiled with `panic = "abort"` and contain no reachable panic; the verifier would refuse one.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
